/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that were claimed too often go to the dead-letter queue of theirs, in one transaction, with a header that tells why,
 * how often and where from; it has the form of those of deliveries, so that they are replayed the same way.
 */
#include "config.h"

#include "queue/claims.h"

static void
append_text (GString *out, const char *name, const char *value)
{
  g_string_append_printf (out, ",\"%s\":", name);
  zm_json_append_string (out, zm_span_text (value));
}

/* The headers that it had, with ours before them. The caller frees. */
static GString *
make_headers (const ZmQueue *queue, const ZmStored *stored, guint count, gint64 now_us)
{
  GString *out = g_string_new ("{\"dead-letter\":{\"code\":\"claims\"");
  g_autofree char *text = g_strdup_printf ("claimed %u times and never acknowledged", count);
  g_autofree char *sender = zm_span_dup (stored->sender_id);
  ZmSpan rest = stored->headers;

  append_text (out, "text", text);
  g_string_append_printf (out, ",\"attempts\":%u,\"first\":%" G_GINT64_FORMAT ",\"last\":%" G_GINT64_FORMAT,
                          count, stored->created_us, now_us);
  append_text (out, "project", queue->project);
  append_text (out, "queue", queue->name);
  append_text (out, "id", stored->id);
  if (stored->sender_id.size > 0)
    append_text (out, "sender-id", sender);
  g_string_append_c (out, '}');
  /* Behind the brace of theirs; an object without members has only the other one. */
  while (rest.size > 0 && (g_ascii_isspace (rest.data[0]) || rest.data[0] == '{')) {
    gboolean brace = rest.data[0] == '{';

    rest = zm_span (rest.data + 1, rest.size - 1);
    if (brace)
      break;
  }
  while (rest.size > 0 && g_ascii_isspace (rest.data[0]))
    rest = zm_span (rest.data + 1, rest.size - 1);
  if (rest.size > 0 && rest.data[0] != '}')
    g_string_append_c (out, ',');
  if (rest.size > 0)
    g_string_append_len (out, rest.data, (gssize) rest.size);
  else
    g_string_append_c (out, '}');
  return out;
}

/* The dead letter that becomes of it; NULL with an error. */
static ZmRecord *
make_letter (ZmQueue *queue, const ZmRecord *record, guint count, gint64 now_us, GError **error)
{
  g_autoptr (GByteArray) plain = g_byte_array_new ();
  ZmStored stored;
  ZmPut put = { .ttl_s = -1, .delay_s = -1 };
  GString *headers;
  ZmRecord *letter;

  if (!zm_record_unpack (record, queue->options.cipher, plain, &stored, error))
    return NULL;
  headers = make_headers (queue, &stored, count, now_us);
  put.body = stored.body;
  put.topic = stored.topic;
  put.key = stored.key;
  put.client = stored.client;
  put.headers = zm_span (headers->str, headers->len);
  letter = zm_record_new (&put);
  g_string_free (headers, TRUE);
  return letter;
}

static gboolean
stays (ZmQueue *queue, guint64 seq, const GError *error)
{
  zm_log_limited (
      queue->queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM, "dead letters that stay",
      "message %" G_GUINT64_FORMAT
      " of queue %s was claimed too often and stays, as its dead-letter queue does not take it: %s",
      seq, queue->name, error != NULL ? error->message : "it cannot be read, or was dropped");
  return FALSE;
}

/* The queue that they go to, found once a unit. FALSE: there is none. */
static gboolean
find_target (ZmDeadLetters *dead, ZmQueue *queue, ZmStoreWriter *writer, GError **error)
{
  if (dead->to != NULL)
    return TRUE;
  dead->to = zm_queue_dead_letter_in (queue, writer, error);
  if (dead->to == NULL)
    return FALSE;
  dead->appends = g_ptr_array_new ();
  dead->leavings = g_array_new (FALSE, FALSE, sizeof (ZmLeaving));
  return TRUE;
}

gboolean
zm_dead_letters_in (ZmDeadLetters *dead, ZmQueue *queue, ZmStoreWriter *writer, guint64 seq, guint count,
                    gint64 now_us)
{
  gint64 ttl_s = queue->options.dead_letter_ttl_s;
  g_autoptr (GError) error = NULL;
  ZmRecord *record, *letter;
  ZmAppend *append;
  ZmLeaving leaving;

  if (!find_target (dead, queue, writer, &error))
    return error != NULL ? stays (queue, seq, error) : FALSE;
  /* A dead letter that is claimed too often in its own queue has nowhere to go. */
  if (dead->to == queue)
    return FALSE;
  record = zm_queue_fetch (queue, NULL, seq);
  letter = record != NULL ? make_letter (queue, record, count, now_us, &error) : NULL;
  zm_record_unref (record);
  if (letter == NULL)
    return stays (queue, seq, error);
  append = zm_append_in (dead->to, writer, letter, ttl_s >= 0 ? ttl_s : ZM_PUT_TTL_LETTER, 0, ZM_PUT_ALWAYS_,
                         FALSE, &error);
  if (append == NULL)
    return stays (queue, seq, error);
  g_ptr_array_add (dead->appends, append);
  if (zm_queue_remove_in (queue, writer, seq, FALSE, &leaving))
    g_array_append_val (dead->leavings, leaving);
  return TRUE;
}

static void
clear (ZmDeadLetters *dead, gboolean ok)
{
  if (dead->to == NULL)
    return;
  zm_queue_settle (dead->to, ok);
  zm_queue_unref (g_steal_pointer (&dead->to));
  g_clear_pointer (&dead->appends, g_ptr_array_unref);
  g_clear_pointer (&dead->leavings, g_array_unref);
}

void
zm_dead_letters_commit (ZmDeadLetters *dead, ZmQueue *queue)
{
  for (guint i = 0; dead->to != NULL && i < dead->appends->len; i++)
    zm_append_commit (g_ptr_array_index (dead->appends, i));
  for (guint i = 0; dead->to != NULL && i < dead->leavings->len; i++) {
    zm_queue_remove_commit (queue, &g_array_index (dead->leavings, ZmLeaving, i));
    queue->counts.dead++;
  }
  clear (dead, TRUE);
}

void
zm_dead_letters_undo (ZmDeadLetters *dead, ZmQueue *queue)
{
  for (guint i = 0; dead->to != NULL && i < dead->leavings->len; i++)
    zm_queue_remove_undo (queue, &g_array_index (dead->leavings, ZmLeaving, i));
  for (guint i = 0; dead->to != NULL && i < dead->appends->len; i++)
    zm_append_undo (g_ptr_array_index (dead->appends, i));
  clear (dead, FALSE);
}
