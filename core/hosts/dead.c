/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that killed their host: counted by id, and set aside after the third time, so that a sender that tries again and
 * again cannot keep a plugin down. In memory, bounded: the oldest are forgotten first.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

#define KILLS_MOST  3
#define NOTES_MOST  4096
#define SAME_US     (3600 * (gint64) G_USEC_PER_SEC) /* from the first kill to the last */
#define BODY_MOST   ((gsize) 64 << 10)               /* bytes of a body that are kept; longer ones are cut */
#define BODIES_MOST 1000                             /* notes that keep more than their numbers */

struct ZmDeadNote {
  char *id, *plugin, *symbol, *key;
  GBytes *body;
  gsize body_size; /* of all of it */
  guint kills;
  gint64 since_us; /* wall time */
  char *history[KILLS_MOST];
  gboolean aside;
};

static void
note_free (ZmDeadNote *note)
{
  g_free (note->id);
  g_free (note->plugin);
  g_free (note->symbol);
  g_free (note->key);
  g_clear_pointer (&note->body, g_bytes_unref);
  for (guint i = 0; i < KILLS_MOST; i++)
    g_free (note->history[i]);
  g_free (note);
}

static void
forget (ZmHosts *hosts, ZmDeadNote *note)
{
  g_hash_table_remove (hosts->kills, note->id);
  g_queue_remove (&hosts->dead_order, note);
  hosts->n_dead -= note->aside ? 1 : 0;
  zm_counter_set (hosts->g_aside, hosts->n_dead);
  note_free (note);
}

void
zm_dead_free (ZmHosts *hosts)
{
  g_hash_table_unref (hosts->kills);
  g_queue_foreach (&hosts->dead_order, (GFunc) (void (*) (void)) note_free, NULL);
  g_queue_clear (&hosts->dead_order);
}

static ZmDeadNote *
note_new (ZmHosts *hosts, const char *id, const char *plugin, const char *symbol)
{
  ZmDeadNote *note = g_new0 (ZmDeadNote, 1);

  while (hosts->dead_order.length >= NOTES_MOST)
    forget (hosts, g_queue_peek_head (&hosts->dead_order));
  note->id = g_strdup (id);
  note->plugin = g_strdup (plugin);
  note->symbol = g_strdup (symbol);
  note->since_us = zm_wall_us ();
  g_hash_table_insert (hosts->kills, note->id, note);
  g_queue_push_tail (&hosts->dead_order, note);
  return note;
}

char *
zm_dead_key (const zm_call *call)
{
  return g_strdup_printf ("%.*s?%.*s%s%.*s?%.*s", (int) call->sender.size, call->sender.data,
                          (int) call->context.size, call->context.data, call->decorator.size > 0 ? "@" : "",
                          (int) call->decorator.size, call->decorator.data, (int) call->action.size,
                          call->action.data);
}

/* Kept with the first crash; of one that hung the call was given up by then, and only its id is left. */
static void
keep_message (ZmHosts *hosts, ZmDeadNote *note, const zm_call *call)
{
  if (note->key != NULL || hosts->dead_order.length > BODIES_MOST)
    return;
  note->key = zm_dead_key (call);
  note->body_size = call->body_size;
  note->body = g_bytes_new (call->body, MIN (call->body_size, BODY_MOST));
}

/* Ids come from senders, and some begin anew with each start of theirs: what counts are kills in the same action, not long apart. */
static gboolean
is_same (const ZmDeadNote *note, const char *plugin, const char *symbol)
{
  return note->aside ||
         (strcmp (note->plugin, plugin) == 0 && strcmp (note->symbol, symbol != NULL ? symbol : "") == 0 &&
          zm_wall_us () - note->since_us < SAME_US);
}

void
zm_dead_note (ZmHosts *hosts, const ZmHostCall *call, const char *id, const char *plugin, const char *symbol,
              const char *how)
{
  g_autofree char *own = call != NULL ? g_strndup (call->call->id.data, call->call->id.size) : g_strdup (id);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format_iso8601 (now);
  ZmDeadNote *note;

  if (own == NULL || *own == '\0')
    return;
  note = g_hash_table_lookup (hosts->kills, own);
  if (note != NULL && !is_same (note, plugin, symbol)) {
    forget (hosts, note);
    note = NULL;
  }
  if (note == NULL)
    note = note_new (hosts, own, plugin, symbol != NULL ? symbol : "");
  if (call != NULL)
    keep_message (hosts, note, call->call);
  if (note->kills < KILLS_MOST)
    note->history[note->kills++] =
        g_strdup_printf ("%s %s.%s: %s", time, plugin, symbol != NULL ? symbol : "?", how);
  if (note->kills < KILLS_MOST || note->aside)
    return;
  note->aside = TRUE;
  hosts->n_dead++;
  zm_counter_add (hosts->c_set_aside, 1);
  zm_counter_set (hosts->g_aside, hosts->n_dead);
  zm_log_write (
      hosts->config.log, ZM_LEVEL_ERROR, "host",
      "message %s is set aside: it killed its host %u times, last in %s.%s (%s); see zmanagerctl dead ls",
      own, KILLS_MOST, plugin, note->symbol, how);
}

gboolean
zm_dead_refuses (ZmHosts *hosts, ZmHostCall *call)
{
  g_autofree char *id = g_strndup (call->call->id.data, call->call->id.size);
  const ZmDeadNote *note = g_hash_table_lookup (hosts->kills, id);

  if (note == NULL || !note->aside)
    return FALSE;
  zm_call_fail (call, "set-aside",
                "message %s killed its host %u times, last in %s.%s, and is not tried again", id, note->kills,
                note->plugin, note->symbol);
  return TRUE;
}

/* ---- showing ---- */

static void
append_text (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "%s\"%s\":", out->str[out->len - 1] != '{' ? "," : "", name);
  zm_json_append_string (out, zm_span_text (text));
}

/* As text where it is text: what was cut in the midst of a character, or is none, is given byte for byte. */
static void
append_body (GString *out, const ZmDeadNote *note)
{
  gsize size;
  const char *data = g_bytes_get_data (note->body, &size);
  g_autofree char *encoded = NULL;

  if (g_utf8_validate_len (data, size, NULL)) {
    g_string_append (out, ",\"body\":");
    zm_json_append_string (out, zm_span (data, size));
    return;
  }
  encoded = g_base64_encode ((const guchar *) data, size);
  append_text (out, "base64", encoded);
}

static void
append_note (GString *out, const ZmDeadNote *note, gboolean bodies)
{
  g_string_append (out, "{");
  append_text (out, "id", note->id);
  append_text (out, "plugin", note->plugin);
  append_text (out, "action", note->symbol);
  append_text (out, "key", note->key != NULL ? note->key : "");
  append_text (out, "kind", "set-aside");
  g_string_append_printf (
      out, ",\"kills\":%u,\"since\":%" G_GINT64_FORMAT ",\"size\":%" G_GSIZE_FORMAT ",\"history\":[",
      note->kills, note->since_us / 1000, note->body_size);
  for (guint i = 0; i < note->kills; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    zm_json_append_string (out, zm_span_text (note->history[i]));
  }
  g_string_append_c (out, ']');
  if (bodies && note->body != NULL)
    append_body (out, note);
  g_string_append_c (out, '}');
}

char *
zm_hosts_dead_json (ZmHosts *hosts, gboolean bodies)
{
  GString *out = g_string_new ("[");

  if (hosts != NULL)
    pthread_mutex_lock (&hosts->lock);
  for (GList *at = hosts != NULL ? hosts->dead_order.head : NULL; at != NULL; at = at->next) {
    const ZmDeadNote *note = at->data;

    if (!note->aside)
      continue;
    if (out->len > 1)
      g_string_append_c (out, ',');
    append_note (out, note, bodies);
  }
  if (hosts != NULL)
    pthread_mutex_unlock (&hosts->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}

char *
zm_hosts_dead_one (ZmHosts *hosts, const char *id)
{
  g_autoptr (GString) out = g_string_new (NULL);
  const ZmDeadNote *note;

  if (hosts == NULL)
    return NULL;
  pthread_mutex_lock (&hosts->lock);
  note = g_hash_table_lookup (hosts->kills, id);
  if (note != NULL && note->aside)
    append_note (out, note, TRUE);
  pthread_mutex_unlock (&hosts->lock);
  return out->len > 0 ? g_strdup (out->str) : NULL;
}

guint
zm_hosts_dead_forget (ZmHosts *hosts, const char *id)
{
  guint n = 0;

  if (hosts == NULL)
    return 0;
  pthread_mutex_lock (&hosts->lock);
  for (GList *at = hosts->dead_order.head, *next; at != NULL; at = next) {
    ZmDeadNote *note = at->data;

    next = at->next;
    if (!note->aside || (id != NULL && strcmp (id, note->id) != 0))
      continue;
    forget (hosts, note);
    n++;
  }
  pthread_mutex_unlock (&hosts->lock);
  return n;
}
