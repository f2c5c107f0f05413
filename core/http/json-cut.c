/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON documents cut into raw texts. yajl tells what a token is and how far it has read, which is where the token ends; where a
 * value begins is found by going on from the end of the token before, over blanks, commas and colons.
 */
#include "config.h"

#include "http/json-cut.h"

#include <errno.h>
#include <string.h>
#include <yajl/yajl_parse.h>

/* An open container down to the depth that is told. */
typedef struct Level {
  gsize start;   /* of its text */
  GString *name; /* of the member that is being read in it */
  gboolean named;
} Level;

typedef struct Cutter {
  ZmSpan text;
  yajl_handle yajl;
  guint depth; /* that is told */
  guint open;  /* containers at this place */
  gsize at;    /* the end of the token before */
  Level levels[ZM_CUT_DEPTH_MOST + 2];
  ZmCutFunc func;
  gpointer user;
  gboolean too_large;
} Cutter;

static gsize
token_end (const Cutter *cutter)
{
  return yajl_get_bytes_consumed (cutter->yajl);
}

/* Where the value begins whose token was just read. */
static gsize
value_start (const Cutter *cutter)
{
  gsize at = cutter->at;

  while (at < cutter->text.size && strchr (" \t\r\n,:", cutter->text.data[at]) != NULL &&
         cutter->text.data[at] != '\0')
    at++;
  return at;
}

/* Tells a part; its name stands in the container around it. */
static gboolean
tell (Cutter *cutter, ZmCutKind kind, gboolean opens, ZmSpan raw, gint64 integer)
{
  ZmCut cut = { .depth = cutter->open, .opens = opens, .kind = kind, .raw = raw, .integer = integer };

  if (cutter->open > 0 && cutter->levels[cutter->open - 1].named) {
    const GString *name = cutter->levels[cutter->open - 1].name;

    cut.name = zm_span (name->str, name->len);
  }
  return cutter->func (&cut, cutter->user);
}

static int
scalar (Cutter *cutter, ZmCutKind kind, gint64 integer)
{
  gsize start = value_start (cutter), end = token_end (cutter);

  cutter->at = end;
  return cutter->open > cutter->depth ||
         tell (cutter, kind, FALSE, zm_span (cutter->text.data + start, end - start), integer);
}

static int
on_null (void *ctx)
{
  return scalar (ctx, ZM_CUT_NULL, 0);
}

static int
on_boolean (void *ctx, int value)
{
  return scalar (ctx, ZM_CUT_BOOLEAN, value);
}

/* Readers of other languages keep integers in 64 bits: what does not fit is refused wherever it stands. */
static int
on_number (void *ctx, const char *number, size_t size)
{
  Cutter *cutter = ctx;
  char copy[24];
  gint64 integer;

  for (size_t i = 0; i < size; i++)
    if (number[i] == '.' || number[i] == 'e' || number[i] == 'E')
      return scalar (cutter, ZM_CUT_NUMBER, 0);
  errno = size < sizeof copy ? 0 : ERANGE;
  if (errno == 0) {
    memcpy (copy, number, size);
    copy[size] = '\0';
    integer = g_ascii_strtoll (copy, NULL, 10);
  }
  cutter->too_large = errno == ERANGE;
  return !cutter->too_large && scalar (cutter, ZM_CUT_INTEGER, integer);
}

static int
on_string (void *ctx, const unsigned char *text, size_t size)
{
  (void) text;
  (void) size;
  return scalar (ctx, ZM_CUT_STRING, 0);
}

static int
on_key (void *ctx, const unsigned char *key, size_t size)
{
  Cutter *cutter = ctx;
  guint level = cutter->open - 1;

  cutter->at = token_end (cutter);
  if (level < cutter->depth) {
    g_string_truncate (cutter->levels[level].name, 0);
    g_string_append_len (cutter->levels[level].name, (const char *) key, (gssize) size);
  }
  return 1;
}

static int
opens (Cutter *cutter, ZmCutKind kind)
{
  gsize start = value_start (cutter);
  int go_on = cutter->open >= cutter->depth || tell (cutter, kind, TRUE, zm_span (NULL, 0), 0);

  cutter->at = token_end (cutter);
  if (cutter->open <= cutter->depth) {
    Level *level = &cutter->levels[cutter->open];

    level->start = start;
    level->named = kind == ZM_CUT_OBJECT;
    g_string_truncate (level->name, 0);
  }
  cutter->open++;
  return go_on;
}

static int
closes (Cutter *cutter, ZmCutKind kind)
{
  gsize start;

  cutter->at = token_end (cutter);
  cutter->open--;
  if (cutter->open > cutter->depth)
    return 1;
  start = cutter->levels[cutter->open].start;
  return tell (cutter, kind, FALSE, zm_span (cutter->text.data + start, cutter->at - start), 0);
}

static int
on_start_map (void *ctx)
{
  return opens (ctx, ZM_CUT_OBJECT);
}

static int
on_end_map (void *ctx)
{
  return closes (ctx, ZM_CUT_OBJECT);
}

static int
on_start_array (void *ctx)
{
  return opens (ctx, ZM_CUT_ARRAY);
}

static int
on_end_array (void *ctx)
{
  return closes (ctx, ZM_CUT_ARRAY);
}

static const yajl_callbacks callbacks = {
  .yajl_null = on_null,
  .yajl_boolean = on_boolean,
  .yajl_number = on_number,
  .yajl_string = on_string,
  .yajl_start_map = on_start_map,
  .yajl_map_key = on_key,
  .yajl_end_map = on_end_map,
  .yajl_start_array = on_start_array,
  .yajl_end_array = on_end_array,
};

/* Is it an object or an array? A bare value ends where the text does, so that yajl cannot tell its place. */
static gboolean
is_container (ZmSpan text)
{
  for (gsize i = 0; i < text.size; i++)
    if (strchr (" \t\r\n", text.data[i]) == NULL)
      return text.data[i] == '{' || text.data[i] == '[';
  return FALSE;
}

/* FALSE: it is wrong, or func stopped it. */
static gboolean
parse (Cutter *cutter, gboolean *wrong)
{
  const unsigned char *data = (const unsigned char *) cutter->text.data;
  yajl_status status = yajl_parse (cutter->yajl, data, cutter->text.size);

  if (status == yajl_status_ok)
    status = yajl_complete_parse (cutter->yajl);
  *wrong = status == yajl_status_error;
  return status == yajl_status_ok;
}

gboolean
zm_json_cut (ZmSpan text, guint depth, ZmCutFunc func, gpointer user, GError **error)
{
  Cutter cutter = { .text = text, .depth = MIN (depth, ZM_CUT_DEPTH_MOST), .func = func, .user = user };
  gboolean wrong = FALSE, done = FALSE;

  /* It bounds the depth, and is strict where yajl is not. */
  if (!is_container (text) || !zm_json_valid (text)) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "Request body could not be parsed.");
    return FALSE;
  }
  for (guint i = 0; i <= cutter.depth; i++)
    cutter.levels[i].name = g_string_new (NULL);
  cutter.yajl = yajl_alloc (&callbacks, NULL, &cutter);
  if (cutter.yajl != NULL) {
    done = parse (&cutter, &wrong);
    yajl_free (cutter.yajl);
  } else
    wrong = TRUE;
  for (guint i = 0; i <= cutter.depth; i++)
    g_string_free (cutter.levels[i].name, TRUE);
  if (cutter.too_large)
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_LIMIT, "JSON contains integer that is too large.");
  else if (wrong)
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "Request body could not be parsed.");
  return done;
}
