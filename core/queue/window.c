/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window of duplicates of a queue: the ids of senders of the last ten minutes, at most a million.
 *
 * The record of a message that was consumed within these minutes is gone, and its id must be known after a restart all the same. So
 * each id has a small document of its own in the space "seen", written in the transaction of its message: its key is the queue's
 * number, the minute and the sequence number, its value the message's time and the id. A minute that is out of the window is
 * removed as a whole, with a later message. Queues whose senders give no ids have none of this. In memory there is no text, see
 * seen.h.
 */
#include "config.h"

#include "queue/queue-private.h"
#include "queue/seen.h"

#include <string.h>
#include <sys/random.h>

#define WINDOW_US   (G_GINT64_CONSTANT (600) * G_USEC_PER_SEC)
#define WINDOW_MOST 1000000
#define MINUTE_US   (G_GINT64_CONSTANT (60) * G_USEC_PER_SEC)
#define KEY_SIZE    24 /* queue, minute, seq */
#define TIME_SIZE   8

struct ZmWindow {
  ZmSeenIds seen;
  GArray *minutes;   /* guint64, ascending: those that have documents */
  gboolean sweeping; /* the first of them is being removed in this batch */
};

/* What an append has to remember. */
typedef struct Noted {
  guint64 swept; /* minute that its unit removes, 0: none */
  gsize size;
  char id[]; /* to take it back */
} Noted;

static ZmWindow *
window_new (void)
{
  ZmWindow *window = g_new0 (ZmWindow, 1);
  guint64 key[2];

  /* Without the kernel's randomness the clock has to do: collisions can be sought then, but nothing breaks. */
  if (getrandom (key, sizeof key, 0) != sizeof key) {
    key[0] = (guint64) zm_now_us ();
    key[1] = (guint64) zm_wall_us ();
  }
  zm_seen_init (&window->seen, key, WINDOW_MOST);
  window->minutes = g_array_new (FALSE, FALSE, sizeof (guint64));
  return window;
}

void
zm_window_free (ZmWindow *window)
{
  if (window == NULL)
    return;
  zm_seen_clear (&window->seen);
  g_array_unref (window->minutes);
  g_free (window);
}

static guint64
minute_of (gint64 at_us)
{
  return (guint64) MAX (at_us, 0) / MINUTE_US;
}

static void
note_minute (ZmWindow *window, guint64 minute)
{
  guint at = window->minutes->len;

  /* Nearly always the last one, or behind it; a clock that was set back may bring an earlier one. */
  while (at > 0 && g_array_index (window->minutes, guint64, at - 1) > minute)
    at--;
  if (at == 0 || g_array_index (window->minutes, guint64, at - 1) != minute)
    g_array_insert_val (window->minutes, at, minute);
}

/* ---- loading ---- */

typedef struct Loading {
  ZmWindow *window;
  gint64 now_us;
} Loading;

static guint64
big (const char *from)
{
  guint64 value;

  memcpy (&value, from, sizeof value);
  return GUINT64_FROM_BE (value);
}

static int
load_document (void *user, zm_str key, zm_str value)
{
  Loading *loading = user;
  guint64 created;

  /* What is not ours, or damaged, cannot be a duplicate. */
  if (key.size != KEY_SIZE || value.size <= TIME_SIZE || value.size > TIME_SIZE + ZM_QUEUE_ID_MOST)
    return 0;
  created = big (value.data);
  note_minute (loading->window, big (key.data + 8));
  if ((gint64) created >= loading->now_us - WINDOW_US)
    zm_seen_add (&loading->window->seen, zm_span (value.data + TIME_SIZE, value.size - TIME_SIZE),
                 big (key.data + 16), (gint64) created);
  return 0;
}

gboolean
zm_window_load (ZmQueue *queue, GError **error)
{
  Loading loading = { .window = window_new (), .now_us = zm_queues_wall (queue->queues) };
  guint64 prefix = GUINT64_TO_BE (queue->number);
  gboolean good = zm_store_documents (queue->queues->config.store, NULL, ZM_SPACE_SEEN,
                                      zm_span ((const char *) &prefix, sizeof prefix), zm_span (NULL, 0), 0,
                                      load_document, &loading, error);

  if (good && loading.window->minutes->len > 0)
    queue->window = loading.window;
  else
    zm_window_free (loading.window);
  return good;
}

/* ---- use ---- */

gboolean
zm_window_find (const ZmQueue *queue, ZmSpan id, gint64 now_us, guint64 *seq, gint64 *created_us)
{
  const ZmSeenEntry *entry =
      queue->window != NULL && id.size > 0 ? zm_seen_find (&queue->window->seen, id) : NULL;

  if (entry == NULL || entry->created_us < now_us - WINDOW_US)
    return FALSE;
  *seq = entry->seq;
  *created_us = entry->created_us;
  return TRUE;
}

static void
write_document (ZmAppend *append, ZmStoreWriter *writer, ZmSpan id)
{
  guint64 numbers[] = { minute_of (append->created_us), append->seq };
  guint64 created = GUINT64_TO_BE ((guint64) append->created_us);
  char *value = zm_store_alloc (writer, TIME_SIZE + id.size);
  zm_store_op op = { .kind = ZM_STORE_PUT,
                     .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_SEEN)),
                     .key = zm_queue_doc_key (append->queue, writer, numbers, G_N_ELEMENTS (numbers)),
                     .data = { value, TIME_SIZE + id.size } };

  memcpy (value, &created, TIME_SIZE);
  memcpy (value + TIME_SIZE, id.data, id.size);
  zm_queue_op (append->queue, writer, &op);
}

/* The first minute that nothing of the window is in: its number, or 0. One at a time: as many go as come. */
static guint64
sweep (ZmAppend *append, ZmStoreWriter *writer)
{
  ZmWindow *window = append->queue->window;
  const ZmSeenEntry *oldest = zm_seen_oldest (&window->seen);
  guint64 kept = minute_of (oldest != NULL ? oldest->created_us : append->created_us);
  guint64 first;
  zm_store_op op = { .kind = ZM_STORE_DELETE_PREFIX, .space = zm_str_of (ZM_SPAN_LITERAL (ZM_SPACE_SEEN)) };

  if (window->sweeping || window->minutes->len == 0)
    return 0;
  first = g_array_index (window->minutes, guint64, 0);
  if (first >= kept)
    return 0;
  op.key = zm_queue_doc_key (append->queue, writer, &first, 1);
  zm_queue_op (append->queue, writer, &op);
  window->sweeping = TRUE;
  return first;
}

void
zm_window_in (ZmAppend *append, ZmStoreWriter *writer, ZmSpan id)
{
  Noted *noted = g_malloc0 (sizeof *noted + id.size);
  ZmWindow *window;

  if (append->queue->window == NULL)
    append->queue->window = window_new ();
  window = append->queue->window;
  zm_seen_forget (&window->seen, append->created_us - WINDOW_US);
  noted->size = id.size;
  memcpy (noted->id, id.data, id.size);
  noted->swept = sweep (append, writer);
  write_document (append, writer, id);
  note_minute (window, minute_of (append->created_us));
  zm_seen_add (&window->seen, id, append->seq, append->created_us);
  append->window = noted;
}

void
zm_window_commit (ZmAppend *append)
{
  Noted *noted = append->window;
  GArray *minutes;

  if (noted == NULL)
    return;
  if (noted->swept != 0 && append->queue->window != NULL) {
    minutes = append->queue->window->minutes;
    append->queue->window->sweeping = FALSE;
    /* A clock that was set back may have put an earlier one before it. */
    for (guint i = 0; i < minutes->len; i++)
      if (g_array_index (minutes, guint64, i) == noted->swept) {
        g_array_remove_index (minutes, i);
        break;
      }
  }
  g_clear_pointer (&append->window, g_free);
}

void
zm_window_undo (ZmAppend *append)
{
  Noted *noted = append->window;

  if (noted == NULL)
    return;
  /* A purge that failed before it in this batch made the queue forget everything; it is read again. */
  if (append->queue->window != NULL) {
    zm_seen_take_back (&append->queue->window->seen, zm_span (noted->id, noted->size), append->seq);
    if (noted->swept != 0)
      append->queue->window->sweeping = FALSE;
  }
  g_clear_pointer (&append->window, g_free);
}

void
zm_window_figures (const ZmQueue *queue, guint64 *ids, gint64 *seconds)
{
  const ZmSeenEntry *oldest = queue->window != NULL ? zm_seen_oldest (&queue->window->seen) : NULL;
  gint64 age_us = oldest != NULL ? zm_queues_wall (queue->queues) - oldest->created_us : 0;
  gboolean full = oldest != NULL && queue->window->seen.live >= queue->window->seen.most;

  *ids = oldest != NULL ? queue->window->seen.live : 0;
  /* Until the bound cuts it, it is as long as it should be, also where nothing came. */
  *seconds = (full ? CLAMP (age_us, 0, WINDOW_US) : WINDOW_US) / G_USEC_PER_SEC;
}
