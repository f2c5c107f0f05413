/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading documents, by key, bytewise: keys are BLOBs, which SQLite compares as memcmp does. A document has no place for a mark
 * as records have: one whose checksum is wrong ends the reading with an error.
 */
#include "plugins/stores/sqlite/private.h"

enum { DOCUMENTS = 2 };

zm_str
zs_prefix_end (zm_str prefix, char *room)
{
  zm_str end = { room, prefix.size };

  memcpy (room, prefix.size > 0 ? prefix.data : "", prefix.size);
  while (end.size > 0 && (unsigned char) room[end.size - 1] == 0xff)
    end.size--;
  if (end.size > 0) {
    room[end.size - 1]++;
    return end;
  }
  /* There is none: longer than any key, and not less than any. */
  memset (room, 0xff, ZM_STORE_KEY_MOST + 1);
  end.size = ZM_STORE_KEY_MOST + 1;
  return end;
}

/* One reading on its way: the keys from `from` to before `end`. */
typedef struct zs_walk {
  zm_str space;
  char from[ZM_STORE_KEY_MOST + 1], end[ZM_STORE_KEY_MOST + 1];
  size_t from_size, end_size;
  uint64_t left;
  zm_store_document_fn func;
  void *user;
  int ended;
} zs_walk;

/* The next key after this one is the same with a zero byte behind it. */
static void
go_after (zs_walk *walk, zm_str key)
{
  memcpy (walk->from, key.data, key.size);
  walk->from[key.size] = '\0';
  walk->from_size = key.size + 1;
}

/* A wrong one ends the reading: what it says must not be believed, and that it is there must not be kept from the caller. */
static int
tell (zs_walk *walk, sqlite3_stmt *row)
{
  zm_str key = zs_column (row, 0), value = zs_column (row, 1);

  if (key.size > ZM_STORE_KEY_MOST ||
      zs_document_sum (walk->space, key, value) != sqlite3_column_int64 (row, 2))
    return SQLITE_CORRUPT;
  walk->ended = walk->func (walk->user, key, value) != 0 || --walk->left == 0;
  go_after (walk, key);
  return SQLITE_ROW;
}

static int
chunk (zs_walk *walk, sqlite3_stmt *statement)
{
  zm_str from = { walk->from, walk->from_size }, end = { walk->end, walk->end_size };
  char begin[ZM_STORE_KEY_MOST + 1];
  int rc = SQLITE_ROW;

  /* go_after writes into walk->from while the statement is bound. */
  memcpy (begin, walk->from, walk->from_size);
  from.data = begin;
  zs_bind (statement, 1, walk->space);
  zs_bind (statement, 2, from);
  zs_bind (statement, 3, end);
  for (unsigned rows = 0; rows < ZS_CHUNK && !walk->ended && rc == SQLITE_ROW; rows++)
    if ((rc = sqlite3_step (statement)) == SQLITE_ROW)
      rc = tell (walk, statement);
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  walk->ended |= rc == SQLITE_DONE;
  return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int
zs_documents (void *user, zm_str space, zm_str prefix, zm_str after, uint64_t most, zm_store_document_fn func,
              void *told)
{
  zs_reader *reader = user;
  zs_walk all = { .space = space, .left = most > 0 ? most : UINT64_MAX, .func = func, .user = told };
  sqlite3_stmt *statement = NULL;
  int rc;

  if (prefix.size > ZM_STORE_KEY_MOST || after.size > ZM_STORE_KEY_MOST)
    return ZM_E_INVALID;
  all.end_size = zs_prefix_end (prefix, all.end).size;
  memcpy (all.from, prefix.size > 0 ? prefix.data : "", prefix.size);
  all.from_size = prefix.size;
  if (after.size > 0 && zs_compare (after, prefix) >= 0)
    go_after (&all, after);
  rc = zs_reader_begin (reader);
  if (rc == SQLITE_OK)
    statement =
        zs_reader_statement (reader, DOCUMENTS,
                             "SELECT key, value, sum FROM documents WHERE space = ?1 AND key >= ?2 AND "
                             "key < ?3 ORDER BY key",
                             &rc);
  while (rc == SQLITE_OK && !all.ended)
    rc = chunk (&all, statement);
  if (statement != NULL)
    zs_reader_release (reader, DOCUMENTS, statement);
  rc = zs_code (reader->db, rc);
  zs_reader_end (reader);
  return rc;
}
