/*
 * @NAME@: a store that keeps everything in one list in memory. It is slow, forgets all at the end, and keeps the rules of
 * zmanager/store.h: put something real in the place of the list.
 *
 * Options   none
 * Example   [store]
 *           driver = @NAME@
 * Threads   none of its own
 */
#include <zmanager/store.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { RECORD, DOCUMENT, LEASE, LAST }; /* LAST: the greatest number that a queue ever had, in seq */

/* Never changed: a new value is a new thing. fresh and gone say what the batch that is being written does to it. */
struct thing {
  struct thing *next;
  enum kind kind;
  int fresh, gone;
  zm_store_op op; /* its space, key and data point into bytes */
  char bytes[1];
};

struct store {
  pthread_mutex_t lock; /* recursive: who is told a record may read on */
  struct thing *things;
  uint64_t writes;
};

static int
compare (zm_str a, zm_str b)
{
  size_t least = a.size < b.size ? a.size : b.size;
  int order = least > 0 ? memcmp (a.data, b.data, least) : 0;

  return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int
begins (zm_str text, zm_str prefix)
{
  return text.size >= prefix.size && (prefix.size == 0 || memcmp (text.data, prefix.data, prefix.size) == 0);
}

static zm_str
copy (char **to, zm_str from)
{
  zm_str copied = { *to, from.size };

  if (from.size > 0)
    memcpy (*to, from.data, from.size);
  *to += from.size;
  return copied;
}

static int
add (struct store *store, enum kind kind, const zm_store_op *op)
{
  struct thing *thing = (struct thing *) malloc (sizeof *thing + op->space.size + op->key.size + op->data.size);
  char *to;

  if (thing == NULL)
    return ZM_E_MEMORY;
  to = thing->bytes;
  thing->kind = kind;
  thing->fresh = 1;
  thing->gone = 0;
  thing->op = *op;
  thing->op.space = copy (&to, op->space);
  thing->op.key = copy (&to, op->key);
  thing->op.data = copy (&to, op->data);
  thing->next = store->things;
  store->things = thing;
  return ZM_OK;
}

/* Does this change mean that thing? */
static int
meant (const struct thing *thing, enum kind kind, const zm_store_op *op)
{
  if (thing->gone || thing->kind != kind)
    return 0;
  if (kind == LAST || kind == RECORD)
    return thing->op.queue == op->queue &&
           (kind == LAST || (thing->op.seq >= op->seq && thing->op.seq <= op->upto));
  if (kind == DOCUMENT && compare (thing->op.space, op->space) != 0)
    return 0;
  return op->kind == ZM_STORE_DELETE_PREFIX ? begins (thing->op.key, op->key)
                                            : compare (thing->op.key, op->key) == 0;
}

static struct thing *
find (struct store *store, enum kind kind, const zm_store_op *op)
{
  struct thing *thing = store->things;

  while (thing != NULL && !meant (thing, kind, op))
    thing = thing->next;
  return thing;
}

static void
take (struct store *store, enum kind kind, const zm_store_op *op)
{
  struct thing *thing;

  while ((thing = find (store, kind, op)) != NULL)
    thing->gone = 1;
}

/* The end of the batch: what is gone goes, or, where it failed, what is fresh. */
static void
settle (struct store *store, int good)
{
  struct thing **at = &store->things, *thing;

  while ((thing = *at) != NULL) {
    if (good ? thing->gone : thing->fresh) {
      *at = thing->next;
      free (thing);
    } else {
      thing->fresh = thing->gone = 0;
      at = &thing->next;
    }
  }
}

static int
append (struct store *store, zm_store_op *op)
{
  struct thing *last = find (store, LAST, op);
  uint64_t before = last != NULL ? last->op.seq : 0;
  zm_store_op number = *op;

  if (op->seq == 0)
    op->seq = before + 1;
  if (op->queue == 0 || op->queue > ZM_STORE_QUEUE_MOST || op->seq <= before || op->seq > ZM_STORE_SEQ_MOST)
    return ZM_E_INVALID;
  number.seq = op->seq;
  number.data.size = 0;
  take (store, LAST, op);
  return add (store, LAST, &number) == ZM_OK ? add (store, RECORD, op) : ZM_E_MEMORY;
}

static int
change (struct store *store, zm_store_op *op)
{
  switch (op->kind) {
  case ZM_STORE_APPEND: return append (store, op);
  case ZM_STORE_REMOVE: take (store, RECORD, op); return ZM_OK;
  case ZM_STORE_PUT: take (store, DOCUMENT, op); return add (store, DOCUMENT, op);
  case ZM_STORE_DELETE:
  case ZM_STORE_DELETE_PREFIX: take (store, DOCUMENT, op); return ZM_OK;
  case ZM_STORE_EXPECT: return ZM_OK;
  case ZM_STORE_LEASE: take (store, LEASE, op); return op->expires_us != 0 ? add (store, LEASE, op) : ZM_OK;
  default: return ZM_E_INVALID;
  }
}

static int
holds (struct store *store, const zm_store_op *op, int64_t now_us)
{
  struct thing *thing = find (store, op->kind == ZM_STORE_LEASE ? LEASE : DOCUMENT, op);

  if (op->kind == ZM_STORE_LEASE)
    return thing == NULL || thing->op.expires_us <= now_us || compare (thing->op.data, op->data) == 0;
  if (op->kind != ZM_STORE_EXPECT || thing == NULL || op->data.data == NULL)
    return op->kind != ZM_STORE_EXPECT || (thing == NULL && op->data.data == NULL);
  return compare (thing->op.data, op->data) == 0;
}

/* The conditions of a unit come before its changes. */
static int
write_unit (struct store *store, zm_store_batch *batch, size_t first, size_t end)
{
  int status = ZM_OK;

  for (size_t i = first; i < end; i++)
    if (!holds (store, &batch->ops[i], batch->now_us)) {
      for (size_t j = first; j < end; j++)
        batch->ops[j].status = j == i ? ZM_E_DENIED : ZM_E_AGAIN;
      return ZM_OK;
    }
  for (size_t i = first; i < end && status == ZM_OK; i++) {
    batch->ops[i].status = ZM_OK;
    status = change (store, &batch->ops[i]);
  }
  return status;
}

static int
store_write (void *user, zm_store_batch *batch)
{
  struct store *store = (struct store *) user;
  int status = ZM_OK;

  pthread_mutex_lock (&store->lock);
  for (size_t first = 0, end; first < batch->n && status == ZM_OK; first = end) {
    for (end = first; end < batch->n && batch->ops[end].unit == batch->ops[first].unit;)
      end++;
    status = write_unit (store, batch, first, end);
  }
  settle (store, status == ZM_OK);
  store->writes += status == ZM_OK;
  pthread_mutex_unlock (&store->lock);
  if (status != ZM_OK && batch->error != NULL)
    snprintf (batch->error, batch->error_size, "the batch is wrong, or no memory is left");
  return status;
}

/* The least record from (queue, seq) on. */
static const struct thing *
record_from (const struct store *store, uint64_t queue, uint64_t seq, int all)
{
  const struct thing *found = NULL;

  for (const struct thing *at = store->things; at != NULL; at = at->next)
    if (at->kind == RECORD && ((at->op.queue == queue && at->op.seq >= seq) || (all && at->op.queue > queue)) &&
        (found == NULL || at->op.queue < found->op.queue ||
         (at->op.queue == found->op.queue && at->op.seq < found->op.seq)))
      found = at;
  return found;
}

static int
store_read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user)
{
  struct store *store = (struct store *) reader;
  const struct thing *thing;
  uint64_t queue = range->queue, seq = queue != 0 ? range->seq : 0, told = 0;
  int ended = 0;

  pthread_mutex_lock (&store->lock);
  while (!ended && (thing = record_from (store, queue, seq, range->queue == 0)) != NULL) {
    const zm_store_record record
        = { sizeof record,      0,           thing->op.queue,     thing->op.seq, thing->op.expires_us,
            thing->op.tag, thing->op.data.size, thing->op.data };

    if (range->queue != 0 && range->upto != 0 && record.seq > range->upto)
      break;
    queue = record.queue;
    seq = record.seq + 1;
    ended = func (user, &record) != 0 || ++told == range->most;
  }
  pthread_mutex_unlock (&store->lock);
  return ZM_OK;
}

static int
store_documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most, zm_store_document_fn func,
                 void *user)
{
  struct store *store = (struct store *) reader;
  uint64_t told = 0;
  int ended = 0;

  pthread_mutex_lock (&store->lock);
  while (!ended) {
    const struct thing *found = NULL;

    for (const struct thing *at = store->things; at != NULL; at = at->next)
      if (at->kind == DOCUMENT && compare (at->op.space, space) == 0 && begins (at->op.key, prefix) &&
          compare (at->op.key, after) > 0 && (found == NULL || compare (at->op.key, found->op.key) < 0))
        found = at;
    ended = found == NULL || func (user, found->op.key, found->op.data) != 0 || ++told == most;
    if (!ended)
      after = found->op.key;
  }
  pthread_mutex_unlock (&store->lock);
  return ZM_OK;
}

static int
store_last (void *reader, uint64_t queue, uint64_t *seq)
{
  struct store *store = (struct store *) reader;
  zm_store_op op;
  const struct thing *last;

  memset (&op, 0, sizeof op);
  op.queue = queue;
  pthread_mutex_lock (&store->lock);
  last = find (store, LAST, &op);
  *seq = last != NULL ? last->op.seq : 0;
  pthread_mutex_unlock (&store->lock);
  return ZM_OK;
}

static int
store_open (void *state, const zm_host *host, const char *uri, void **out, char *error, size_t size)
{
  struct store *store = (struct store *) calloc (1, sizeof *store);
  pthread_mutexattr_t recursive;

  (void) state;
  (void) host;
  (void) uri;
  if (store == NULL) {
    snprintf (error, size, "no memory for the store");
    return ZM_E_MEMORY;
  }
  pthread_mutexattr_init (&recursive);
  pthread_mutexattr_settype (&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init (&store->lock, &recursive);
  pthread_mutexattr_destroy (&recursive);
  *out = store;
  return ZM_OK;
}

static void
store_close (void *user)
{
  struct store *store = (struct store *) user;

  for (struct thing *at = store->things; at != NULL; at = at->next)
    at->gone = 1;
  settle (store, 1);
  pthread_mutex_destroy (&store->lock);
  free (store);
}

/* A write never fails half-way here. */
static int
store_recover (void *store, char *error, size_t size)
{
  (void) store;
  (void) error;
  (void) size;
  return ZM_OK;
}

/* A reader has nothing of its own. */
static int
reader_open (void *store, void **reader, char *error, size_t size)
{
  *reader = store;
  return store_recover (store, error, size);
}

static void
reader_close (void *reader)
{
  (void) reader;
}

static int
store_figures (void *user, zm_store_figures *figures)
{
  struct store *store = (struct store *) user;

  pthread_mutex_lock (&store->lock);
  figures->schema = 1;
  figures->writes = store->writes;
  pthread_mutex_unlock (&store->lock);
  return ZM_OK;
}

static const zm_store_ops ops = {
  .struct_size = sizeof ops,
  .flags = 0, /* not DURABLE: say what is true */
  .schema = 1,
  .open = store_open,
  .close = store_close,
  .write = store_write,
  .recover = store_recover,
  .reader_open = reader_open,
  .reader_close = reader_close,
  .read = store_read,
  .documents = store_documents,
  .last = store_last,
  .figures = store_figures,
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = ZM_PLUGIN_RESIDENT,
  .name = "@NAME@",
  .version = "0.1",
  .licence = "LGPL-2.1-or-later",
  .summary = "Keeps everything in a list",
  .store = &ops,
};

ZM_PLUGIN_FULL ("@NAME@", "0.1", "LGPL-2.1-or-later", "Keeps everything in a list", "kind=store\nisolation=thread\n",
                &descriptor);
