/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers of the log: a cursor, and messages behind it that became due only later. What has left the queue view is kept as long as a reader
 * may need it (its settled place says so), by a document, and freed when all are past it.
 */
#include "config.h"

#include "queue/registry-private.h"

struct ZmQueueReader {
  int refs; /* atomic: the owner, and units on their way */
  ZmQueues *queues;
  ZmQueueName name;
  ZmQueue *queue; /* from attaching on; the store's thread's, as all that follows but lock and dead */
  guint64 cursor, settled;
  GArray *late; /* guint64: below the cursor, and due only now */
  guint taken;  /* so many of late are taken */
  void (*ready) (ZmQueueReader *reader, gpointer user);
  gpointer user;
  pthread_mutex_t lock; /* held while ready is called */
  gboolean dead;
};

typedef struct ReaderUnit {
  ZmStoreUnit unit; /* first */
  ZmQueueReader *reader;
  gboolean makes;  /* the queue, where it is not there: only such a unit has its document */
  GArray *leaving; /* ZmLeaving: what nobody needs any more */
} ReaderUnit;

static void
unref_reader (ZmQueueReader *reader)
{
  if (__atomic_sub_fetch (&reader->refs, 1, __ATOMIC_ACQ_REL) > 0)
    return;
  g_array_unref (reader->late);
  pthread_mutex_destroy (&reader->lock);
  zm_queue_unref (reader->queue);
  g_free ((char *) reader->name.project.data);
  g_free ((char *) reader->name.name.data);
  g_free (reader);
}

static gboolean
has_some (const ZmQueueReader *reader)
{
  return reader->taken < reader->late->len ||
         zm_index_next (&reader->queue->index, ZM_VIEW_LOG, reader->cursor + 1) != 0;
}

static void
tell (ZmQueueReader *reader)
{
  pthread_mutex_lock (&reader->lock);
  if (!reader->dead && has_some (reader))
    reader->ready (reader, reader->user);
  pthread_mutex_unlock (&reader->lock);
}

void
zm_readers_wake (ZmQueue *queue)
{
  for (guint i = 0; queue->readers != NULL && i < queue->readers->len; i++)
    tell (queue->readers->pdata[i]);
}

void
zm_readers_late (ZmQueue *queue, guint64 seq)
{
  for (guint i = 0; queue->readers != NULL && i < queue->readers->len; i++) {
    ZmQueueReader *reader = queue->readers->pdata[i];

    if (seq > reader->cursor)
      continue;
    g_array_append_val (reader->late, seq);
    tell (reader);
  }
}

gboolean
zm_readers_need (const ZmQueue *queue, guint64 seq)
{
  for (guint i = 0; queue->readers != NULL && i < queue->readers->len; i++)
    if (((const ZmQueueReader *) queue->readers->pdata[i])->settled < seq)
      return TRUE;
  return FALSE;
}

void
zm_readers_purged (ZmQueue *queue)
{
  for (guint i = 0; queue->readers != NULL && i < queue->readers->len; i++) {
    ZmQueueReader *reader = queue->readers->pdata[i];

    g_array_set_size (reader->late, 0);
    reader->taken = 0;
  }
}

/* ---- freeing what all are past ---- */

/* In the queue view they are many, and stay: only what has left it is looked at where nothing else goes. */
static guint64
next_in_log (const ZmQueue *queue, guint64 from)
{
  return queue->options.retain == ZM_RETAIN_TTL ? zm_index_next_gone (&queue->index, from)
                                                : zm_index_next (&queue->index, ZM_VIEW_LOG, from);
}

/* Of those that have left the queue view. Bounded: the rest follows with the next unit. */
static void
free_gone_in (ReaderUnit *unit, ZmQueue *queue, ZmStoreWriter *writer)
{
  guint64 seq;

  if (queue->index.n_log == queue->index.n_present && queue->options.retain == ZM_RETAIN_TTL)
    return;
  for (seq = next_in_log (queue, 1); seq != 0 && unit->leaving->len < ZM_QUEUE_STEP;
       seq = next_in_log (queue, seq + 1)) {
    gboolean present = zm_index_present (&queue->index, seq);
    ZmLeaving leaving;

    if (zm_readers_need (queue, seq))
      return;
    if (present && (queue->options.retain == ZM_RETAIN_TTL || g_hash_table_contains (queue->delayed, &seq)))
      continue;
    if (zm_queue_remove_in (queue, writer, seq, TRUE, &leaving))
      g_array_append_val (unit->leaving, leaving);
  }
}

static void
unit_done (ZmStoreUnit *base, const GError *error)
{
  ReaderUnit *unit = (ReaderUnit *) (void *) base;
  ZmQueueReader *reader = unit->reader;

  for (guint i = 0; i < unit->leaving->len; i++) {
    const ZmLeaving *leaving = &g_array_index (unit->leaving, ZmLeaving, i);

    if (error == NULL)
      zm_queue_remove_commit (reader->queue, leaving);
    else
      zm_queue_remove_undo (reader->queue, leaving);
  }
  if (unit->makes && reader->queue != NULL)
    zm_queue_settle (reader->queue, error == NULL);
  if (reader->queue != NULL && reader->queue->loaded)
    tell (reader);
  g_array_unref (unit->leaving);
  unref_reader (reader);
  g_free (unit);
}

static void
submit_unit (ZmQueueReader *reader, void (*prepare) (ZmStoreUnit *unit, ZmStoreWriter *writer))
{
  ReaderUnit *unit = g_new0 (ReaderUnit, 1);
  g_autoptr (GError) error = NULL;

  unit->reader = reader;
  unit->leaving = g_array_new (FALSE, FALSE, sizeof (ZmLeaving));
  unit->unit.prepare = prepare;
  unit->unit.done = unit_done;
  unit->unit.inside = TRUE;
  __atomic_add_fetch (&reader->refs, 1, __ATOMIC_RELAXED);
  if (zm_store_submit (reader->queues->config.store, &unit->unit, &error))
    return;
  zm_log_limited (reader->queues->config.log, ZM_LEVEL_WARNING, ZM_QUEUE_ROOM,
                  "readers that the store refused", "a reader of queue %.*s cannot be served: %s",
                  (int) reader->name.name.size, reader->name.name.data, error->message);
  g_array_unref (unit->leaving);
  unref_reader (reader);
  g_free (unit);
}

/* ---- coming and going ---- */

static void
attach (ZmStoreUnit *base, ZmStoreWriter *writer)
{
  ReaderUnit *unit = (ReaderUnit *) (void *) base;
  ZmQueueReader *reader = unit->reader;
  g_autoptr (GError) error = NULL;

  unit->makes = TRUE;
  reader->queue = zm_queue_find_in (reader->queues, writer, reader->name, TRUE, NULL, &error);
  if (reader->queue == NULL) {
    zm_log_limited (reader->queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "queues that cannot be read",
                    "queue %.*s has no reader: %s", (int) reader->name.name.size, reader->name.name.data,
                    error->message);
    return;
  }
  if (reader->queue->readers == NULL)
    reader->queue->readers = g_ptr_array_new_with_free_func ((GDestroyNotify) unref_reader);
  __atomic_add_fetch (&reader->refs, 1, __ATOMIC_RELAXED);
  g_ptr_array_add (reader->queue->readers, reader);
}

ZmQueueReader *
zm_queue_reader_new (ZmQueues *queues, ZmQueueName queue, guint64 after,
                     void (*ready) (ZmQueueReader *reader, gpointer user), gpointer user)
{
  ZmQueueReader *reader = g_new0 (ZmQueueReader, 1);

  reader->refs = 1;
  reader->queues = queues;
  reader->name.project = (ZmSpan){ zm_span_dup (queue.project), queue.project.size };
  reader->name.name = (ZmSpan){ zm_span_dup (queue.name), queue.name.size };
  reader->cursor = reader->settled = after;
  reader->late = g_array_new (FALSE, FALSE, sizeof (guint64));
  reader->ready = ready;
  reader->user = user;
  pthread_mutex_init (&reader->lock, NULL);
  submit_unit (reader, attach);
  return reader;
}

static void
detach (ZmStoreUnit *base, ZmStoreWriter *writer)
{
  ReaderUnit *unit = (ReaderUnit *) (void *) base;
  ZmQueue *queue = unit->reader->queue;

  if (queue == NULL || queue->readers == NULL)
    return;
  g_ptr_array_remove (queue->readers, unit->reader);
  if (queue->loaded && !queue->removed && queue->readers->len > 0)
    free_gone_in (unit, queue, writer);
}

/* Inside ready it holds the lock already: there the thread is the store's, which calls nobody else meanwhile. */
void
zm_queue_reader_free (ZmQueueReader *reader)
{
  gboolean here;

  if (reader == NULL)
    return;
  here = zm_store_here (reader->queues->config.store);
  if (!here)
    pthread_mutex_lock (&reader->lock);
  reader->dead = TRUE;
  if (!here)
    pthread_mutex_unlock (&reader->lock);
  submit_unit (reader, detach);
  unref_reader (reader);
}

/* ---- reading: the store's thread ---- */

static gboolean
is_for (const ZmQueue *queue, guint64 seq)
{
  return zm_index_in_log (&queue->index, seq) && zm_index_expiry (&queue->index, seq) > 0 &&
         !g_hash_table_contains (queue->delayed, &seq);
}

guint
zm_queue_reader_take (ZmQueueReader *reader, guint64 *seqs, guint most)
{
  ZmQueue *queue = reader->queue;
  gint64 now_us = queue == NULL ? 0 : zm_queues_wall (reader->queues);
  guint n = 0;

  if (queue == NULL || !queue->loaded)
    return 0;
  while (n < most && reader->taken < reader->late->len) {
    guint64 seq = g_array_index (reader->late, guint64, reader->taken++);

    if (is_for (queue, seq) && zm_index_expiry (&queue->index, seq) > zm_time_now (now_us))
      seqs[n++] = seq;
  }
  if (reader->taken == reader->late->len) {
    g_array_set_size (reader->late, 0);
    reader->taken = 0;
  }
  while (n < most) {
    guint64 seq = zm_index_next (&queue->index, ZM_VIEW_LOG, reader->cursor + 1);

    if (seq == 0)
      break;
    reader->cursor = seq;
    if (is_for (queue, seq) && zm_index_expiry (&queue->index, seq) > zm_time_now (now_us))
      seqs[n++] = seq;
  }
  return n;
}

gboolean
zm_queue_reader_has (const ZmQueueReader *reader, guint64 seq)
{
  const ZmQueue *queue = reader->queue;

  return queue == NULL || !queue->loaded ||
         (zm_index_in_log (&queue->index, seq) &&
          zm_index_expiry (&queue->index, seq) > zm_time_now (zm_queues_wall (reader->queues)));
}

guint64
zm_queue_reader_cursor (const ZmQueueReader *reader)
{
  guint64 cursor = reader->cursor;
  GHashTableIter iter;
  gpointer seq;

  for (guint i = reader->taken; i < reader->late->len; i++)
    cursor = MIN (cursor, g_array_index (reader->late, guint64, i) - 1);
  if (reader->queue == NULL || !reader->queue->loaded)
    return cursor;
  g_hash_table_iter_init (&iter, reader->queue->delayed);
  while (g_hash_table_iter_next (&iter, &seq, NULL))
    cursor = MIN (cursor, *(guint64 *) seq - 1);
  return cursor;
}

static void
tidy (ZmStoreUnit *base, ZmStoreWriter *writer)
{
  ReaderUnit *unit = (ReaderUnit *) (void *) base;

  if (unit->reader->queue->loaded && !unit->reader->queue->removed)
    free_gone_in (unit, unit->reader->queue, writer);
}

void
zm_queue_reader_settle (ZmQueueReader *reader, guint64 upto)
{
  const ZmQueue *queue = reader->queue;

  reader->settled = MAX (reader->settled, upto);
  if (queue != NULL && queue->loaded &&
      (queue->index.n_log > queue->index.n_present || queue->options.retain == ZM_RETAIN_CONSUMED))
    submit_unit (reader, tidy);
}

/* ---- one message, any thread ---- */

/* A reference, without loading. */
static ZmQueue *
known_queue (ZmQueues *queues, ZmQueueName name)
{
  gsize size;
  g_autofree char *key = zm_queues_key (queues, name, &size, NULL);
  ZmQueue *queue;

  if (key == NULL)
    return NULL;
  pthread_mutex_lock (&queues->p->lock);
  queue = g_hash_table_lookup (queues->p->by_key, key);
  if (queue != NULL)
    zm_queue_ref (queue);
  pthread_mutex_unlock (&queues->p->lock);
  return queue;
}

gboolean
zm_queue_read (ZmQueues *queues, void *reader, ZmQueueName name, guint64 seq,
               void (*func) (const ZmStored *stored, gpointer user), gpointer user)
{
  ZmQueue *queue = known_queue (queues, name);
  ZmRecord *record = queue != NULL ? zm_queue_fetch (queue, reader, seq) : NULL;
  ZmCipher *cipher = record != NULL ? zm_queue_cipher (queue) : NULL;
  g_autoptr (GByteArray) plain = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  ZmStored stored = { .seq = seq };
  gboolean there = record != NULL && zm_record_unpack (record, cipher, plain, &stored, &error);

  if (there)
    func (&stored, user);
  else if (record != NULL)
    zm_log_limited (queues->config.log, ZM_LEVEL_ERROR, ZM_QUEUE_ROOM, "messages that cannot be read",
                    "message %" G_GUINT64_FORMAT " of queue %s cannot be read: %s", seq, queue->name,
                    error->message);
  zm_cipher_unref (cipher);
  zm_record_unref (record);
  zm_queue_unref (queue);
  return there;
}
