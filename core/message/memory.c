/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of messages. A message is made by one thread and freed by another, which is what malloc does worst: its arenas are
 * locked from both sides. So each thread keeps two handfuls of free ones, and whole handfuls go round through one list.
 * Bounded: what is over goes back to malloc.
 */
#include "config.h"

#include "message/make.h"

#include <pthread.h>
#include <string.h>

#define HANDFUL       64
#define HANDFULS_MOST 256

/* Sanitizers and valgrind see more where each message is an allocation of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KEEP 0
#endif
#endif
#ifndef KEEP
#define KEEP 1
#endif

typedef struct Handful {
  ZmMessage *first; /* linked by next */
  guint n;
} Handful;

/* What all threads share. */
static struct {
  pthread_mutex_t lock;
  Handful full[HANDFULS_MOST]; /* under the lock, as is n */
  guint n;
  pthread_once_t once;
  pthread_key_t key; /* its destructor empties the hand of a thread that ends */
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

/* What one thread has at hand. */
static _Thread_local struct {
  Handful now, spare;
  gboolean known; /* its end is watched */
} hand;

/* Back to malloc. */
static void
free_all (Handful *handful)
{
  while (handful->first != NULL) {
    ZmMessage *message = handful->first;
    handful->first = message->next;
    g_free (message);
  }
  handful->n = 0;
}

/* The key's destructor: what the thread has at hand would be lost with its thread-local storage. Messages that it frees
 * later still, in other destructors, begin a new handful, and the key is set again: POSIX calls this again then. */
static void
thread_ends (void *user)
{
  (void) user;
  free_all (&hand.now);
  free_all (&hand.spare);
  hand.known = FALSE;
}

static void
make_key (void)
{
  pthread_key_create (&shared.key, thread_ends);
}

/* Once a thread: only one with something at hand has its end watched. */
static void
watch_thread (void)
{
  hand.known = TRUE;
  pthread_once (&shared.once, make_key);
  pthread_setspecific (shared.key, &hand);
}

/* The spare one first, which needs no lock; then a full one of the common list. The hand stays empty where that is empty
 * too. */
static void
take_handful (void)
{
  hand.now = hand.spare;
  hand.spare = (Handful){ NULL, 0 };
  if (hand.now.n > 0)
    return;
  pthread_mutex_lock (&shared.lock);
  if (shared.n > 0)
    hand.now = shared.full[--shared.n];
  pthread_mutex_unlock (&shared.lock);
  /* A thread that only makes messages must give back what it took, too. */
  if (hand.now.n > 0 && !hand.known)
    watch_thread ();
}

/* Called with `now` full. It becomes the spare one, and the spare one before it goes to the common list: a thread that
 * makes and frees in turns moves between these two and never meets the lock. */
static void
give_handful (void)
{
  Handful full = hand.spare;
  hand.spare = hand.now;
  hand.now = (Handful){ NULL, 0 };
  if (full.n == 0)
    return;
  pthread_mutex_lock (&shared.lock);
  if (shared.n < HANDFULS_MOST) {
    shared.full[shared.n++] = full;
    full = (Handful){ NULL, 0 };
  }
  pthread_mutex_unlock (&shared.lock);
  free_all (&full);
}

/* Memory of one message, uninitialised. Of the thread's own, but for one in HANDFUL. */
static ZmMessage *
take_memory (void)
{
  if (!KEEP)
    return g_malloc (sizeof (ZmMessage));
  if (hand.now.n == 0)
    take_handful ();
  if (hand.now.n == 0)
    return g_malloc (sizeof (ZmMessage));
  ZmMessage *message = hand.now.first;
  hand.now.first = message->next;
  hand.now.n--;
  return message;
}

static void
give_memory (ZmMessage *message)
{
  if (!KEEP) {
    g_free (message);
    return;
  }
  if (!hand.known)
    watch_thread ();
  message->next = hand.now.first;
  hand.now.first = message;
  if (++hand.now.n == HANDFUL)
    give_handful ();
}

/* Everything up to `inside` is cleared; the room for a short topic behind it is not, as that would cost more than the
 * rest. */
ZmMessage *
zm_message_alloc (ZmOrigin origin)
{
  ZmMessage *message = take_memory ();
  memset (message, 0, offsetof (ZmMessage, inside));
  message->refs = 1;
  message->origin = (guint8) origin;
  message->attempt = 1;
  zmq_msg_init (&message->topic_frame);
  zmq_msg_init (&message->headers_frame);
  zmq_msg_init (&message->body_frame);
  return message;
}

/* Whichever thread drops the last reference: its hand gets the memory. */
void
zm_message_release (ZmMessage *message)
{
  zmq_msg_close (&message->topic_frame);
  zmq_msg_close (&message->headers_frame);
  zmq_msg_close (&message->body_frame);
  give_memory (message);
}
