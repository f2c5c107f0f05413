/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Live tails of HTTP: the publish tap, spread over those who look. Without any it costs one load a batch. */
#include "config.h"

#include "runtime/http-private.h"

#include <string.h>

typedef struct WebTail {
  guint64 number;
  char *prefix;
  gsize size;
  void (*func) (ZmMessage *message, gpointer user);
  gpointer user;
} WebTail;

static void
tail_free (WebTail *tail)
{
  g_free (tail->prefix);
  g_free (tail);
}

guint64
zm_web_tail (const char *prefix, void (*func) (ZmMessage *message, gpointer func_user), gpointer func_user,
             gpointer user)
{
  ZmWeb *web = user;
  WebTail *tail;
  guint64 number = 0;

  pthread_mutex_lock (&web->tails_lock);
  if (web->tails->len < ZM_WEB_TAILS_MOST) {
    tail = g_new (WebTail, 1);
    number = ++web->last_tail;
    *tail = (WebTail){ number, g_strdup (prefix), strlen (prefix), func, func_user };
    g_ptr_array_add (web->tails, tail);
    atomic_store (&web->n_tails, web->tails->len);
  }
  pthread_mutex_unlock (&web->tails_lock);
  return number;
}

/* Functions run with the lock, so that none runs when this has returned. */
void
zm_web_untail (guint64 number, gpointer user)
{
  ZmWeb *web = user;

  pthread_mutex_lock (&web->tails_lock);
  for (guint i = 0; i < web->tails->len; i++) {
    WebTail *tail = web->tails->pdata[i];

    if (tail->number != number)
      continue;
    g_ptr_array_remove_index_fast (web->tails, i);
    tail_free (tail);
    break;
  }
  atomic_store (&web->n_tails, web->tails->len);
  pthread_mutex_unlock (&web->tails_lock);
}

static void
show (ZmWeb *web, ZmMessage *message)
{
  ZmSpan topic = zm_message_topic (message);

  for (guint i = 0; i < web->tails->len; i++) {
    const WebTail *tail = web->tails->pdata[i];

    if (tail->size <= topic.size && memcmp (tail->prefix, topic.data, tail->size) == 0)
      tail->func (message, tail->user);
  }
}

void
zm_web_tap (ZmMessage *const *messages, guint n, ZmRuntime *runtime)
{
  ZmWeb *web = runtime->web;

  if (atomic_load_explicit (&web->n_tails, memory_order_relaxed) == 0)
    return;
  pthread_mutex_lock (&web->tails_lock);
  for (guint i = 0; i < n; i++)
    show (web, messages[i]);
  pthread_mutex_unlock (&web->tails_lock);
}
