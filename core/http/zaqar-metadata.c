/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Metadata of queues: free members, and reserved ones whose values are checked and which each queue shows. */
#include "config.h"

#include "http/zaqar-document.h"

#include <string.h>

typedef struct Member {
  char *key;
  char *raw;
  ZmCutKind kind;
  gint64 integer;
} Member;

struct ZmMeta {
  GPtrArray *members;
};

typedef enum {
  RESERVED_POST_SIZE,
  RESERVED_TTL,
  RESERVED_DELAY,
  RESERVED_NAME,
  RESERVED_DEAD_TTL,
  RESERVED_COUNT,
  RESERVED_FLAG
} Reserved;

static const struct {
  const char *key;
  Reserved what;
} reserved[] = {
  { "_max_messages_post_size", RESERVED_POST_SIZE },
  { "_default_message_ttl", RESERVED_TTL },
  { "_default_message_delay", RESERVED_DELAY },
  { "_dead_letter_queue", RESERVED_NAME },
  { "_dead_letter_queue_messages_ttl", RESERVED_DEAD_TTL },
  { "_max_claim_count", RESERVED_COUNT },
  { "_enable_encrypt_messages", RESERVED_FLAG },
};

static void
member_free (gpointer data)
{
  Member *member = data;

  g_free (member->key);
  g_free (member->raw);
  g_free (member);
}

static Member *
find (const ZmMeta *meta, const char *key)
{
  for (guint i = 0; i < meta->members->len; i++) {
    Member *member = meta->members->pdata[i];

    if (strcmp (member->key, key) == 0)
      return member;
  }
  return NULL;
}

void
zm_meta_set (ZmMeta *meta, const char *key, ZmCutKind kind, ZmSpan raw, gint64 integer)
{
  Member *member = find (meta, key);

  if (member == NULL) {
    member = g_new0 (Member, 1);
    member->key = g_strdup (key);
    g_ptr_array_add (meta->members, member);
  }
  g_free (member->raw);
  member->raw = zm_span_dup (raw);
  member->kind = kind;
  member->integer = integer;
}

gboolean
zm_meta_remove (ZmMeta *meta, const char *key)
{
  Member *member = find (meta, key);

  return member != NULL && g_ptr_array_remove (meta->members, member);
}

gboolean
zm_meta_get (const ZmMeta *meta, const char *key, ZmCutKind *kind, ZmSpan *raw, gint64 *integer)
{
  const Member *member = find (meta, key);

  if (member == NULL)
    return FALSE;
  *kind = member->kind;
  *raw = zm_span_text (member->raw);
  *integer = member->integer;
  return TRUE;
}

gboolean
zm_meta_reserved (const char *key)
{
  for (guint i = 0; i < G_N_ELEMENTS (reserved); i++)
    if (strcmp (reserved[i].key, key) == 0)
      return TRUE;
  return FALSE;
}

/* ---- reading and writing ---- */

typedef struct Reading {
  ZmMeta *meta;
  GHashTable *seen; /* key -> member, so that many members take no square of their time */
  GError **error;
} Reading;

static gboolean
on_member (const ZmCut *cut, gpointer user)
{
  Reading *reading = user;
  Member *member;

  if (cut->depth == 0) {
    if (cut->kind != ZM_CUT_OBJECT)
      g_set_error_literal (reading->error, ZM_ZAQAR_ERROR, ZM_ZAQAR_BODY, "Document type not supported.");
    return cut->kind == ZM_CUT_OBJECT;
  }
  g_autofree char *key = zm_span_dup (cut->name);
  member = g_hash_table_lookup (reading->seen, key);
  if (member == NULL) {
    member = g_new0 (Member, 1);
    member->key = g_steal_pointer (&key);
    g_ptr_array_add (reading->meta->members, member);
    g_hash_table_insert (reading->seen, member->key, member);
  }
  g_free (member->raw);
  member->raw = zm_span_dup (cut->raw);
  member->kind = cut->kind;
  member->integer = cut->integer;
  return TRUE;
}

ZmMeta *
zm_meta_read (ZmSpan text, GError **error)
{
  g_autoptr (ZmMeta) meta = g_new0 (ZmMeta, 1);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  Reading reading = { meta, seen, error };

  meta->members = g_ptr_array_new_with_free_func (member_free);
  return zm_zaqar_cut (text, 1, on_member, &reading, error) ? g_steal_pointer (&meta) : NULL;
}

void
zm_meta_free (ZmMeta *meta)
{
  if (meta == NULL)
    return;
  g_ptr_array_unref (meta->members);
  g_free (meta);
}

char *
zm_meta_text (const ZmMeta *meta)
{
  GString *out = g_string_new ("{");

  for (guint i = 0; i < meta->members->len; i++) {
    const Member *member = meta->members->pdata[i];

    if (i > 0)
      g_string_append_c (out, ',');
    zm_json_append_string (out, zm_span_text (member->key));
    g_string_append_c (out, ':');
    g_string_append (out, member->raw);
  }
  g_string_append_c (out, '}');
  return g_string_free (out, FALSE);
}

/* ---- reserved keys ---- */

static gboolean wrong (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
wrong (GError **error, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API, text);
  return FALSE;
}

static gboolean
check_seconds (const Member *member, gint64 least, gint64 most, GError **error)
{
  if (member->integer >= least && member->integer <= most)
    return TRUE;
  return wrong (error,
                "%s can not exceed %" G_GINT64_FORMAT " seconds, and must be at least %" G_GINT64_FORMAT
                " seconds long.",
                member->key, most, least);
}

/* The dead-letter queue is another one, of a name that a queue may have. */
static gboolean
check_name (const Member *member, ZmSpan queue, GError **error)
{
  g_autofree char *name = member->kind == ZM_CUT_STRING ? zm_json_text (zm_span_text (member->raw)) : NULL;

  if (name == NULL)
    return wrong (error, "%s must be string.", member->key);
  if (name[0] == '\0')
    return TRUE;
  if (!zm_zaqar_queue_name_ok (zm_span_text (name)))
    return wrong (error, "%s must be the name of a queue.", member->key);
  return !zm_span_is (queue, name) || wrong (error, "%s can not be the queue itself.", member->key);
}

static gboolean
check_integer (const Member *member, Reserved what, const ZmZaqarLimits *limits, GError **error)
{
  if (member->kind != ZM_CUT_INTEGER)
    return wrong (error, "%s must be integer.", member->key);
  switch (what) {
  case RESERVED_TTL:
  case RESERVED_DEAD_TTL: return check_seconds (member, ZM_ZAQAR_TTL_LEAST, limits->message_ttl_most, error);
  case RESERVED_DELAY: return check_seconds (member, 0, limits->message_delay_most, error);
  case RESERVED_POST_SIZE:
    return (member->integer > 0 && member->integer <= limits->post_most) ||
           wrong (error, "%s can not exceed %" G_GINT64_FORMAT ", and must be at least greater than 0.",
                  member->key, limits->post_most);
  default:
    return (member->integer >= 0 && member->integer <= G_MAXINT32) ||
           wrong (error, "%s must be at least 0 and not be greater than %d.", member->key, G_MAXINT32);
  }
}

/* null says nothing: the standard counts. */
static gboolean
check_member (const Member *member, Reserved what, ZmSpan queue, const ZmZaqarLimits *limits, GError **error)
{
  if (member->kind == ZM_CUT_NULL)
    return TRUE;
  if (what == RESERVED_NAME)
    return check_name (member, queue, error);
  if (what == RESERVED_FLAG)
    return member->kind == ZM_CUT_BOOLEAN || wrong (error, "%s must be boolean.", member->key);
  return check_integer (member, what, limits, error);
}

gboolean
zm_meta_check (const ZmMeta *meta, ZmSpan queue, const ZmZaqarLimits *limits, GError **error)
{
  const Member *policy = find (meta, "_retry_policy");
  g_autofree char *text = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (reserved); i++) {
    const Member *member = find (meta, reserved[i].key);

    if (member != NULL && !check_member (member, reserved[i].what, queue, limits, error))
      return FALSE;
  }
  if (policy != NULL && policy->kind != ZM_CUT_OBJECT)
    return wrong (error, "retry policy must be a dict. Member: _retry_policy.");
  text = zm_meta_text (meta);
  return strlen (text) <= (gsize) limits->metadata_most ||
         wrong (error, "Queue metadata is too large. Max size: %" G_GINT64_FORMAT, limits->metadata_most);
}

/* Zaqar shows the standard for whatever counts as false in Python. */
static gboolean
says_nothing (const Member *member)
{
  static const char *const empty[] = { "null", "false", "\"\"", "0", "-0", "0.0", "{}", "[]", NULL };

  return member == NULL || g_strv_contains (empty, member->raw);
}

void
zm_meta_fill (ZmMeta *meta, const ZmZaqarLimits *limits)
{
  for (guint i = 0; i < G_N_ELEMENTS (reserved); i++) {
    g_autofree char *standard = NULL;

    if (!says_nothing (find (meta, reserved[i].key)))
      continue;
    switch (reserved[i].what) {
    case RESERVED_POST_SIZE: standard = g_strdup_printf ("%" G_GINT64_FORMAT, limits->post_most); break;
    case RESERVED_TTL: standard = g_strdup_printf ("%" G_GINT64_FORMAT, limits->message_ttl); break;
    case RESERVED_DELAY: standard = g_strdup_printf ("%" G_GINT64_FORMAT, limits->message_delay); break;
    case RESERVED_FLAG: standard = g_strdup ("false"); break;
    default: standard = g_strdup ("null"); break;
    }
    zm_meta_set (meta, reserved[i].key, ZM_CUT_NULL, zm_span_text (standard), 0);
  }
}
