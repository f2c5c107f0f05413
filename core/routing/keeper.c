/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flow keeper in memory: 64 shards, a mutex each, chained hash tables whose links are the waits' own, so that parking
 * allocates nothing but now and then a larger array. Hashed by flow and id: all waits of one instance share a chain.
 */
#include "config.h"

#include "routing/table-private.h"
#include "routing/zm-keeper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SHARDS     64
#define FIRST_SIZE 16
/* Copies taken of one shard for listings. */
#define COPIES_MOST 256

typedef struct Shard {
  _Alignas(64) pthread_mutex_t mutex; /* guards all below, and `next` of every wait in it */
  ZmWait **chains;                    /* lists by the lower bits of the hash */
  guint64 size;                       /* of chains, a power of two; 0: none yet */
  guint64 count;                      /* waits in it: more than chains, and they are doubled */
  guint64 any;                        /* the chain at which take_any goes on */
} Shard;

typedef struct Memory {
  ZmKeeper keeper;   /* first: the door's pointer is this one's */
  guint most;        /* waits in all shards together */
  atomic_uint count; /* that there are, with those that are just being parked */
  Shard *shards;     /* SHARDS of them */
} Memory;

/* Of flow and id alone, not of the step: all waits of one instance are then in one chain, where `waiting` and a
 * second push look. */
static guint64
hash_of (ZmSpan flow, ZmSpan id)
{
  /* An odd number, so that flow and id do not cancel out where they are equal. */
  return zm_span_hash (flow) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + zm_span_hash (id);
}

/* The upper bits choose the shard, the lower ones the chain. */
static Shard *
shard_of (Memory *memory, guint64 hash)
{
  return &memory->shards[hash >> 58];
}

/* Doubles the chains, under the shard's lock. They are never made smaller: as many waited once, and a pointer each
 * is little. */
static void
grow (Shard *shard)
{
  guint64 size = shard->size > 0 ? shard->size * 2 : FIRST_SIZE;
  ZmWait **chains = g_new0 (ZmWait *, size);

  for (guint64 i = 0; i < shard->size; i++)
    for (ZmWait *wait = shard->chains[i], *next; wait != NULL; wait = next) {
      next = wait->next;
      wait->next = chains[wait->hash & (size - 1)];
      chains[wait->hash & (size - 1)] = wait;
    }
  g_free (shard->chains);
  shard->chains = chains;
  shard->size = size;
}

/* The id first of the two texts: it differs where hashes collide. */
static gboolean
is_instance (const ZmWait *wait, guint64 hash, ZmSpan flow, ZmSpan id)
{
  return wait->hash == hash && zm_span_equal (wait->id, id) && zm_span_equal (wait->flow, flow);
}

/* Where the link to this wait stands, or NULL. key NULL: any wait of the instance. */
static ZmWait **
find (Shard *shard, guint64 hash, ZmSpan flow, ZmSpan id, const ZmKey *key)
{
  if (shard->size == 0)
    return NULL;
  for (ZmWait **link = &shard->chains[hash & (shard->size - 1)]; *link != NULL; link = &(*link)->next)
    if (is_instance (*link, hash, flow, id) && (key == NULL || zm_routing_same_step (&(*link)->key, key)))
      return link;
  return NULL;
}

/* From here on the caller owns the wait. Under the shard's lock. */
static ZmWait *
unlink_wait (Memory *memory, Shard *shard, ZmWait **link)
{
  ZmWait *wait = *link;

  *link = wait->next;
  wait->next = NULL;
  shard->count--;
  atomic_fetch_sub (&memory->count, 1);
  return wait;
}

/* The count is taken before the look, so that two which park at the bound cannot both pass it. */
static gboolean
park (ZmKeeper *keeper, ZmWait *wait, GError **error)
{
  Memory *memory = (Memory *) keeper;
  guint64 hash = hash_of (wait->flow, wait->id);
  Shard *shard = shard_of (memory, hash);
  gboolean there;

  if (atomic_fetch_add (&memory->count, 1) >= memory->most) {
    atomic_fetch_sub (&memory->count, 1);
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "%u flow instances wait already; no more is taken",
                 memory->most);
    return FALSE;
  }
  pthread_mutex_lock (&shard->mutex);
  there = find (shard, hash, wait->flow, wait->id, &wait->key) != NULL;
  if (!there) {
    if (shard->count >= shard->size)
      grow (shard);
    wait->hash = hash;
    wait->next = shard->chains[hash & (shard->size - 1)];
    shard->chains[hash & (shard->size - 1)] = wait;
    shard->count++;
  }
  pthread_mutex_unlock (&shard->mutex);
  if (!there)
    return TRUE;
  atomic_fetch_sub (&memory->count, 1);
  g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS, "flow \"%.*s\" with id \"%.*s\" waits for this step already",
               (int) wait->flow.size, wait->flow.data != NULL ? wait->flow.data : "", (int) wait->id.size,
               wait->id.data != NULL ? wait->id.data : "");
  return FALSE;
}

/* Looking and taking are one step under the lock: of an answer, a timeout and a cancel that come together exactly
 * one gets it. */
static ZmWait *
take (ZmKeeper *keeper, ZmSpan flow, ZmSpan id, const ZmKey *key)
{
  Memory *memory = (Memory *) keeper;
  guint64 hash = hash_of (flow, id);
  Shard *shard = shard_of (memory, hash);
  ZmWait **link, *wait;

  pthread_mutex_lock (&shard->mutex);
  link = find (shard, hash, flow, id, key);
  wait = link != NULL ? unlink_wait (memory, shard, link) : NULL;
  pthread_mutex_unlock (&shard->mutex);
  return wait;
}

/* For who has the wait's address, but not the right to it. */
static gboolean
take_this (ZmKeeper *keeper, ZmWait *wait)
{
  Memory *memory = (Memory *) keeper;
  /* Not wait->hash: a timer may ask while the wait is being parked. */
  guint64 hash = hash_of (wait->flow, wait->id);
  Shard *shard = shard_of (memory, hash);
  ZmWait **link;

  pthread_mutex_lock (&shard->mutex);
  link = shard->size > 0 ? &shard->chains[hash & (shard->size - 1)] : NULL;
  while (link != NULL && *link != NULL && *link != wait)
    link = &(*link)->next;
  if (link != NULL && *link == NULL)
    link = NULL;
  if (link != NULL)
    unlink_wait (memory, shard, link);
  pthread_mutex_unlock (&shard->mutex);
  return link != NULL;
}

/* For the end of the pool, which takes all: each shard goes on at the chain where it found the last one, and once round.
 * An empty shard costs a lock. */
static ZmWait *
take_any (ZmKeeper *keeper)
{
  Memory *memory = (Memory *) keeper;

  for (guint i = 0; i < SHARDS; i++) {
    Shard *shard = &memory->shards[i];
    ZmWait *wait = NULL;

    pthread_mutex_lock (&shard->mutex);
    while (shard->count > 0 && wait == NULL) {
      ZmWait **link = &shard->chains[shard->any & (shard->size - 1)];

      if (*link != NULL)
        wait = unlink_wait (memory, shard, link);
      else
        shard->any++;
    }
    pthread_mutex_unlock (&shard->mutex);
    if (wait != NULL)
      return wait;
  }
  return NULL;
}

/* Taken out one by one as in take_any, but in one turn over all. */
static ZmWait *
take_all (ZmKeeper *keeper, gboolean (*match) (const ZmWait *wait))
{
  Memory *memory = (Memory *) keeper;
  ZmWait *taken = NULL;

  for (guint i = 0; i < SHARDS; i++) {
    Shard *shard = &memory->shards[i];

    pthread_mutex_lock (&shard->mutex);
    for (guint chain = 0; chain < shard->size; chain++)
      for (ZmWait **link = &shard->chains[chain]; *link != NULL;) {
        ZmWait *wait = *link;

        if (!match (wait)) {
          link = &wait->next;
          continue;
        }
        unlink_wait (memory, shard, link);
        wait->next = taken;
        taken = wait;
      }
    pthread_mutex_unlock (&shard->mutex);
  }
  return taken;
}

/* The answer may be old when it is read; park refuses a second wait of the same step in any case. */
static gboolean
waiting (ZmKeeper *keeper, ZmSpan flow, ZmSpan id)
{
  Memory *memory = (Memory *) keeper;
  guint64 hash = hash_of (flow, id);
  Shard *shard = shard_of (memory, hash);
  gboolean found;

  pthread_mutex_lock (&shard->mutex);
  found = find (shard, hash, flow, id, NULL) != NULL;
  pthread_mutex_unlock (&shard->mutex);
  return found;
}

/* Read without a lock by every message that has an id: where nobody waits, nothing is looked up. */
static guint
count (ZmKeeper *keeper)
{
  return atomic_load (&((Memory *) keeper)->count);
}

static void
memory_free (ZmKeeper *keeper)
{
  Memory *memory = (Memory *) keeper;

  for (guint i = 0; i < SHARDS; i++) {
    pthread_mutex_destroy (&memory->shards[i].mutex);
    g_free (memory->shards[i].chains);
  }
  g_aligned_free (memory->shards);
  g_free (memory);
}

static const ZmKeeperOps memory_ops = {
  .park = park,
  .take = take,
  .take_this = take_this,
  .count = count,
  .free = memory_free,
  .waiting = waiting,
  .take_any = take_any,
  .take_all = take_all,
};

/* Shards are a cache line apart, so that workers at different ones do not slow each other; chains are made at
 * first use. */
ZmKeeper *
zm_keeper_memory_new (guint most)
{
  Memory *memory = g_new0 (Memory, 1);

  memory->keeper.ops = &memory_ops;
  memory->most = most;
  memory->shards = g_aligned_alloc0 (SHARDS, sizeof (Shard), 64);
  for (guint i = 0; i < SHARDS; i++)
    pthread_mutex_init (&memory->shards[i].mutex, NULL);
  return &memory->keeper;
}

/* ---- listings ---- */

static void
copy_span (ZmSpan *span, GStringChunk *texts)
{
  if (span->size > 0)
    span->data = g_string_chunk_insert_len (texts, span->data, (gssize) span->size);
}

/* The copy has the embedding struct's first member only: enough for a listing, and the rest may change at any
 * time. */
static void
copy_wait (const ZmWait *wait, GArray *copies, GStringChunk *texts)
{
  ZmWait copy = *wait;

  copy.next = NULL;
  copy_span (&copy.flow, texts);
  copy_span (&copy.id, texts);
  copy_span (&copy.key.decorator, texts);
  copy_span (&copy.key.sender, texts);
  copy_span (&copy.key.context, texts);
  copy_span (&copy.key.action, texts);
  g_array_append_val (copies, copy);
}

static void
copy_shard (Shard *shard, GArray *copies, GStringChunk *texts)
{
  pthread_mutex_lock (&shard->mutex);
  for (guint64 i = 0; i < shard->size; i++)
    for (const ZmWait *wait = shard->chains[i]; wait != NULL && copies->len < COPIES_MOST; wait = wait->next)
      copy_wait (wait, copies, texts);
  pthread_mutex_unlock (&shard->mutex);
}

/* Shard by shard, so that no lock is held while func runs and no more than one shard stands still. */
void
zm_keeper_memory_each (ZmKeeper *keeper, ZmKeeperFunc func, gpointer user)
{
  Memory *memory = (Memory *) keeper;
  g_autoptr (GArray) copies = g_array_new (FALSE, FALSE, sizeof (ZmWait));
  g_autoptr (GStringChunk) texts = g_string_chunk_new (4096);

  for (guint i = 0; i < SHARDS; i++) {
    copy_shard (&memory->shards[i], copies, texts);
    for (guint c = 0; c < copies->len; c++)
      func (&g_array_index (copies, ZmWait, c), user);
    g_array_set_size (copies, 0);
    g_string_chunk_clear (texts);
  }
}
