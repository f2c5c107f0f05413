/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the memory store share. One mutex guards all of it. A record or a document is one item, which never
 * changes: a new value is a new item. Whoever is told of items holds them meanwhile, not the mutex.
 */
#ifndef ZM_STORES_MEMORY_PRIVATE_H
#define ZM_STORES_MEMORY_PRIVATE_H

#include "plugins/stores/rules.h"

#include <pthread.h>

/* Its space, key and data stand behind it, in this order. */
typedef struct zs_item {
  unsigned held; /* by the store, and by readings */
  uint32_t space_size, key_size;
  uint64_t seq, tag;
  int64_t expires_us; /* of a lease: until when */
  size_t size;
  char bytes[];
} zs_item;

/* Items in order; what is taken from the front leaves a gap there, so that a log costs no moving. */
typedef struct zs_list {
  zs_item **at;
  size_t head, n, room;
} zs_list;

typedef struct zs_queue {
  uint64_t queue, last;
  zs_list records;
} zs_queue;

/* How to undo one change; in order. */
typedef struct zs_undo {
  zs_list *list; /* NULL: queue->last was `last` */
  zs_queue *queue;
  uint64_t last;
  zs_item *item;
  int taken; /* from the list: to be put back; else it was put there */
} zs_undo;

typedef struct zs_store {
  const zm_host *host;
  pthread_mutex_t lock;
  zs_queue **queues; /* by number */
  size_t queues_n, queues_room;
  zs_list documents; /* by space, then key */
  zs_list leases;    /* by key; the data is the owner */
  zs_undo *undo;
  size_t undo_n, undo_room;
  uint64_t bytes, most, records, writes;
} zs_store;

/* items.c */
zs_item *zs_item_new (const zm_store_op *op);
uint64_t zs_item_cost (const zs_item *item);
zm_str zs_item_space (const zs_item *item);
zm_str zs_item_key (const zs_item *item);
zm_str zs_item_data (const zs_item *item);
/* Under the lock. */
void zs_item_let_go (zs_item *item);
/* The place of the first that is not less. */
size_t zs_list_record (const zs_list *list, uint64_t seq);
size_t zs_list_document (const zs_list *list, zm_str space, zm_str key);
zs_item *zs_list_nth (const zs_list *list, size_t place);
/* The document itself, or NULL. */
zs_item *zs_list_find (const zs_list *list, zm_str space, zm_str key);
int zs_list_insert (zs_list *list, size_t place, zs_item *item); /* 0: no memory */
zs_item *zs_list_take (zs_list *list, size_t place);
void zs_list_clear (zs_list *list);

/* queues.c: NULL where there is none, or (make) no memory. */
zs_queue *zs_queue_get (zs_store *store, uint64_t queue, int make);
/* The place of the first whose number is not less. */
size_t zs_queue_place (const zs_store *store, uint64_t queue);

/* write.c */
int zs_write (void *store, zm_store_batch *batch);

/* read.c */
int zs_reader_open (void *store, void **reader, char *error, size_t size);
void zs_reader_close (void *reader);
int zs_read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user);
int zs_documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most,
                  zm_store_document_fn func, void *user);
int zs_last (void *reader, uint64_t queue, uint64_t *seq);

#endif
