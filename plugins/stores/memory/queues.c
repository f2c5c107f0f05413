/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queues, by number. One that is empty stays: it knows its last sequence number. */
#include "plugins/stores/memory/private.h"

#include <stdlib.h>

size_t
zs_queue_place (const zs_store *store, uint64_t queue)
{
  size_t low = 0, high = store->queues_n;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (store->queues[middle]->queue < queue)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int
make_room (zs_store *store)
{
  size_t room = store->queues_room > 0 ? store->queues_room * 2 : 8;
  zs_queue **queues;

  if (store->queues_n < store->queues_room)
    return 1;
  queues = realloc (store->queues, room * sizeof *queues);
  if (queues == NULL)
    return 0;
  store->queues = queues;
  store->queues_room = room;
  return 1;
}

zs_queue *
zs_queue_get (zs_store *store, uint64_t number, int make)
{
  size_t place = zs_queue_place (store, number);
  zs_queue *queue = place < store->queues_n ? store->queues[place] : NULL;

  if (queue != NULL && queue->queue == number)
    return queue;
  if (!make || !make_room (store) || (queue = calloc (1, sizeof *queue)) == NULL)
    return NULL;
  queue->queue = number;
  memmove (store->queues + place + 1, store->queues + place,
           (store->queues_n - place) * sizeof *store->queues);
  store->queues[place] = queue;
  store->queues_n++;
  store->bytes += sizeof *queue + 4 * sizeof (void *);
  return queue;
}
