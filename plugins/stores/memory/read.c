/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading: some items are held under the lock, told without it, and so on. Whoever is told may thus write, or read, itself.
 */
#include "plugins/stores/memory/private.h"

#include <stdlib.h>

#define CHUNK 64

typedef struct zs_chunk {
  zs_item *items[CHUNK];
  uint64_t queues[CHUNK];
  size_t n;
} zs_chunk;

static void
hold (zs_chunk *chunk, zs_item *item, uint64_t queue)
{
  item->held++;
  chunk->queues[chunk->n] = queue;
  chunk->items[chunk->n++] = item;
}

static void
let_go (zs_store *store, zs_chunk *chunk)
{
  pthread_mutex_lock (&store->lock);
  for (size_t i = 0; i < chunk->n; i++)
    zs_item_let_go (chunk->items[i]);
  pthread_mutex_unlock (&store->lock);
}

/* From (queue, seq) on, which becomes what comes after the last of them; one queue, or with `all` those after it, too. */
static void
take_records (zs_store *store, zs_chunk *chunk, uint64_t *queue, uint64_t *seq, uint64_t upto, int all)
{
  size_t at;

  chunk->n = 0;
  pthread_mutex_lock (&store->lock);
  for (at = zs_queue_place (store, *queue); at < store->queues_n && chunk->n < CHUNK; at++) {
    const zs_queue *here = store->queues[at];
    size_t place = zs_list_record (&here->records, here->queue == *queue ? *seq : 0);
    zs_item *item;

    if (here->queue != *queue && !all)
      break;
    while (chunk->n < CHUNK && (item = zs_list_nth (&here->records, place++)) != NULL && item->seq <= upto)
      hold (chunk, item, here->queue);
  }
  if (chunk->n > 0) {
    *queue = chunk->queues[chunk->n - 1];
    *seq = chunk->items[chunk->n - 1]->seq + 1;
  }
  pthread_mutex_unlock (&store->lock);
}

static int
tell (const zs_item *item, uint64_t queue, zm_store_record_fn func, void *user)
{
  const zm_store_record record = { .struct_size = sizeof record,
                                   .queue = queue,
                                   .seq = item->seq,
                                   .expires_us = item->expires_us,
                                   .tag = item->tag,
                                   .size = item->size,
                                   .data = zs_item_data (item) };

  return func (user, &record);
}

int
zs_read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user)
{
  zs_store *store = reader;
  uint64_t queue = range->queue, seq = range->queue != 0 ? range->seq : 0;
  uint64_t upto = range->queue == 0 || range->upto == 0 ? ZM_STORE_SEQ_MOST : range->upto;
  uint64_t left = range->most > 0 ? range->most : UINT64_MAX;
  zs_chunk chunk;
  int ended = 0;

  if (range->queue > ZM_STORE_QUEUE_MOST)
    return ZM_E_INVALID;
  while (!ended) {
    take_records (store, &chunk, &queue, &seq, upto, range->queue == 0);
    for (size_t i = 0; i < chunk.n && !ended; i++)
      ended = tell (chunk.items[i], chunk.queues[i], func, user) != 0 || --left == 0;
    ended |= chunk.n < CHUNK;
    let_go (store, &chunk);
  }
  return ZM_OK;
}

static int
wanted (const zs_item *item, zm_str space, zm_str prefix)
{
  zm_str key = zs_item_key (item);

  return zs_compare (zs_item_space (item), space) == 0 && key.size >= prefix.size &&
         (prefix.size == 0 || memcmp (key.data, prefix.data, prefix.size) == 0);
}

/* Keys that are greater than `after`. */
static void
take_documents (zs_store *store, zs_chunk *chunk, zm_str space, zm_str prefix, zm_str after)
{
  zm_str from = zs_compare (after, prefix) > 0 ? after : prefix;
  zs_item *item;
  size_t place;

  chunk->n = 0;
  pthread_mutex_lock (&store->lock);
  place = zs_list_document (&store->documents, space, from);
  for (; chunk->n < CHUNK && (item = zs_list_nth (&store->documents, place)) != NULL; place++) {
    if (after.size > 0 && zs_compare (zs_item_space (item), space) == 0 &&
        zs_compare (zs_item_key (item), after) <= 0)
      continue;
    if (!wanted (item, space, prefix))
      break;
    hold (chunk, item, 0);
  }
  pthread_mutex_unlock (&store->lock);
}

int
zs_documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most,
              zm_store_document_fn func, void *user)
{
  zs_store *store = reader;
  char last[ZM_STORE_KEY_MOST];
  uint64_t left = most > 0 ? most : UINT64_MAX;
  zs_chunk chunk;
  int ended = 0;

  if (prefix.size > ZM_STORE_KEY_MOST || after.size > ZM_STORE_KEY_MOST)
    return ZM_E_INVALID;
  while (!ended) {
    take_documents (store, &chunk, space, prefix, after);
    for (size_t i = 0; i < chunk.n && !ended; i++)
      ended = func (user, zs_item_key (chunk.items[i]), zs_item_data (chunk.items[i])) != 0 || --left == 0;
    ended |= chunk.n < CHUNK;
    if (!ended) {
      after = zs_item_key (chunk.items[chunk.n - 1]);
      memcpy (last, after.data, after.size);
      after.data = last;
    }
    let_go (store, &chunk);
  }
  return ZM_OK;
}

int
zs_last (void *reader, uint64_t number, uint64_t *seq)
{
  zs_store *store = reader;
  const zs_queue *queue;

  pthread_mutex_lock (&store->lock);
  queue = zs_queue_get (store, number, 0);
  *seq = queue != NULL ? queue->last : 0;
  pthread_mutex_unlock (&store->lock);
  return ZM_OK;
}

/* A reader has nothing of its own. */
int
zs_reader_open (void *store, void **reader, char *error, size_t size)
{
  (void) error;
  (void) size;
  *reader = store;
  return ZM_OK;
}

void
zs_reader_close (void *reader)
{
  (void) reader;
}
