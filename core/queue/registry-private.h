/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Of the queue room: what belongs to the room as a whole. Only for its files that find, configure, bind, watch and tidy up queues. */
#pragma once

#include "queue/queue-private.h"

G_BEGIN_DECLS

#define ZM_WATCHES_MOST 10000

/* A queue's binding to topics. Immutable. */
typedef struct ZmBinding {
  char *project, *name; /* of the queue */
  char *text;           /* of the pattern */
  ZmKey pattern;        /* its parts point into text */
} ZmBinding;

/* All bindings: replaced whole by a new configuration. */
typedef struct ZmBindings {
  int refs; /* atomic */
  guint n;
  ZmBinding *all;
} ZmBindings;

struct ZmQueuesPrivate {
  pthread_mutex_t
      lock; /* guards the members down to the next blank line; by_key and by_name are changed in the store's thread only */
  GHashTable *by_key; /* key -> ZmQueue, which it has a reference of */
  GTree *by_name;     /* the same, in order of keys */
  ZmConfig *settings; /* the configuration in force; changed in the store's thread only */
  char *standard;     /* its standard project: looked up once and not with each message */
  ZmBindings *bindings;
  int closed;    /* atomic */
  int any_bound; /* atomic: there are bindings at all */

  GHashTable *by_number; /* the store's thread's: number -> ZmQueue, not owned */
  guint64 next_number;
  ZmHeap agenda; /* when, number */

  gint64 tended_us; /* monotonic: when the background was here last */

  ZmTimer timer;
  int tidying; /* atomic: a unit of the background is on its way */

  pthread_mutex_t watch_lock; /* guards the members below; held while wake is called */
  GHashTable *watches;        /* number of the watch -> ZmWatch */
  GHashTable *watched;        /* key of the queue -> GPtrArray of ZmWatch */
  guint64 last_watch;
  int n_watches; /* atomic */

  ZmMetrics *own_metrics; /* where the caller has none */
  ZmCounter *put, *taken, *expired, *dropped, *refused, *damaged, *tap_lost, *lost; /* metrics */
};

/* registry.c */
/* "project NUL name", with the standard project where none is given. NULL with an error: a name that cannot be. The caller frees. */
char *zm_queues_key (ZmQueues *queues, ZmQueueName name, gsize *size, GError **error);
guint zm_queue_key_hash (gconstpointer key);
gboolean zm_queue_key_equal (gconstpointer a, gconstpointer b);
/* Takes key; not in the registry yet. */
ZmQueue *zm_queue_new (ZmQueues *queues, char *key, gsize key_size, guint64 number);
void zm_queues_tables (ZmQueues *queues);
/* documents.c */
/* The text that a queue's document has now; in memory that lives until done. */
zm_str zm_queue_document (ZmQueue *queue, ZmStoreWriter *writer);
void zm_queue_document_in (ZmQueue *queue, ZmStoreWriter *writer);
void zm_queue_forget_in (ZmQueue *queue, ZmStoreWriter *writer); /* the document goes */
/* Out of the registry, and into it again. */
void zm_queues_drop (ZmQueue *queue);
void zm_queues_keep (ZmQueue *queue);
/* Every queue of the store's list. */
gboolean zm_queues_read (ZmQueues *queues, GError **error);
gboolean zm_queues_closed (const ZmQueues *queues);

/* load.c */
gboolean zm_queue_load (ZmQueue *queue, GError **error);
/* Forgets what is loaded: the next use reads it again. */
void zm_queue_unload (ZmQueue *queue);
/* Listings in other threads see what is there now. */
void zm_queue_show (ZmQueue *queue);

/* options.c */
/* From the configuration and the metadata; stored: as it stands in the store, not as it comes from somebody. Errors: a reserved key of the metadata, or a key for encryption, is none. */
gboolean zm_queue_options_read (ZmQueueOptions *options, const ZmConfig *config, const char *project,
                                const char *name, ZmSpan metadata, gboolean stored,
                                GError **error);
void zm_queue_options_clear (ZmQueueOptions *options);
/* Into queue; cipher is read by other threads too. Takes what options has. */
void zm_queue_set_options (ZmQueue *queue, ZmQueueOptions *options);
/* Other threads read it too: takes metadata, gives what was there. */
char *zm_queue_swap_metadata (ZmQueue *queue, char *metadata);
ZmCipher *zm_queue_cipher (ZmQueue *queue); /* a reference, or NULL; any thread */
/* Of a number that stands as a key of a JSON object; FALSE: not there. Error: it is none, or out of bounds. */
gboolean zm_queue_json_number (ZmSpan object, const char *name, gint64 least, gint64 most, gint64 *value,
                               GError **error);
const char *zm_queue_standard_project (const ZmConfig *config);

/* bindings.c */
ZmBindings *zm_bindings_read (const ZmConfig *config);
void zm_bindings_unref (ZmBindings *bindings);
ZmBindings *zm_queues_bindings (ZmQueues *queues); /* a reference */
/* Calls func for each queue that is bound to it, once. */
void zm_bindings_each (const ZmBindings *bindings, const ZmKey *key,
                       void (*func) (const ZmBinding *binding, gpointer user), gpointer user);

/* watch.c */
void zm_watches_wake (ZmQueue *queue);
void zm_watches_clear (ZmQueues *queues);

/* expire.c */
void zm_queues_tend (ZmQueues *queues); /* a unit of the background now; any thread */
void zm_queues_tend_init (ZmQueues *queues);
void zm_queues_tend_end (ZmQueues *queues);

/* reader.c */
void zm_readers_wake (ZmQueue *queue);
/* A delayed message became due: those that are past it get it all the same. */
void zm_readers_late (ZmQueue *queue, guint64 seq);
/* Does a reader still need it? */
gboolean zm_readers_need (const ZmQueue *queue, guint64 seq);
/* Everything up to seq was purged. */
void zm_readers_purged (ZmQueue *queue);

/* memory.c and the like: a store of its own */
static inline gboolean
zm_queue_in_memory (const ZmQueue *queue)
{
  return queue->memory != NULL;
}

static inline void
zm_write_be64 (guint8 *out, guint64 value)
{
  for (int i = 0; i < 8; i++)
    out[i] = (guint8) (value >> (56 - 8 * i));
}

static inline guint64
zm_read_be64 (const guint8 *in)
{
  guint64 value = 0;

  for (int i = 0; i < 8; i++)
    value = value << 8 | in[i];
  return value;
}

G_END_DECLS
