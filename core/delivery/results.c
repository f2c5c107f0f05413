/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Publishes what messages' ends brought, after their commit: in a thread of its own, as a publisher may have to wait for slow
 * subscribers, and the store's thread must not.
 */
#include "config.h"

#include "base/zm-thread.h"
#include "delivery/delivery-private.h"

static gsize
bytes_of (GPtrArray *messages)
{
  gsize bytes = 0;

  for (guint i = 0; i < messages->len; i++)
    bytes += zm_message_body (messages->pdata[i]).size;
  return bytes;
}

/* Whoever was held back by a full list goes on when half of it is gone. */
static void
publish_all (ZmDelivery *delivery, GPtrArray *messages)
{
  gsize bytes = bytes_of (messages);
  guint n = messages->len;

  delivery->config.publish ((ZmMessage *const *) messages->pdata, n, delivery->config.user);
  atomic_fetch_sub (&delivery->results_waiting, n);
  atomic_fetch_sub (&delivery->results_bytes, bytes);
  g_ptr_array_unref (messages);
}

static void *
publisher_main (void *user)
{
  ZmDelivery *delivery = user;

  pthread_mutex_lock (&delivery->lock);
  for (;;) {
    GPtrArray *messages = delivery->results;

    if (messages->len == 0 && delivery->ending)
      break;
    if (messages->len == 0) {
      pthread_cond_wait (&delivery->results_come, &delivery->lock);
      continue;
    }
    delivery->results = g_ptr_array_new ();
    delivery->publishing = TRUE;
    pthread_mutex_unlock (&delivery->lock);
    publish_all (delivery, messages);
    pthread_mutex_lock (&delivery->lock);
    delivery->publishing = FALSE;
    gboolean kick = delivery->held_back;
    delivery->held_back = FALSE;
    pthread_cond_broadcast (&delivery->idle);
    if (kick) {
      pthread_mutex_unlock (&delivery->lock);
      zm_delivery_kick (delivery);
      pthread_mutex_lock (&delivery->lock);
    }
  }
  pthread_mutex_unlock (&delivery->lock);
  return NULL;
}

gboolean
zm_results_open (ZmDelivery *delivery, GError **error)
{
  int failed;

  delivery->results = g_ptr_array_new ();
  delivery->brought = g_ptr_array_new ();
  failed = zm_thread_create (&delivery->publisher, "zm-delivery", publisher_main, delivery);
  if (failed == 0)
    return TRUE;
  g_clear_pointer (&delivery->results, g_ptr_array_unref);
  g_clear_pointer (&delivery->brought, g_ptr_array_unref);
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
               "cannot start the delivery's thread: %s; is the limit of processes reached?",
               g_strerror (failed));
  return FALSE;
}

void
zm_results_add (ZmDelivery *delivery, GPtrArray *messages)
{
  atomic_fetch_add (&delivery->results_waiting, messages->len);
  atomic_fetch_add (&delivery->results_bytes, bytes_of (messages));
  for (guint i = 0; i < messages->len; i++)
    g_ptr_array_add (delivery->brought, messages->pdata[i]);
  g_ptr_array_set_free_func (messages, NULL);
  g_ptr_array_unref (messages);
}

void
zm_results_flush (ZmDelivery *delivery)
{
  GPtrArray *brought = delivery->brought;

  if (brought->len == 0)
    return;
  pthread_mutex_lock (&delivery->lock);
  for (guint i = 0; i < brought->len; i++)
    g_ptr_array_add (delivery->results, brought->pdata[i]);
  pthread_cond_signal (&delivery->results_come);
  pthread_mutex_unlock (&delivery->lock);
  g_ptr_array_set_size (brought, 0);
}

/* Looked at a second time under the lock: otherwise the last one could be published in between, and nobody kick. */
gboolean
zm_results_full (ZmDelivery *delivery)
{
  gboolean full = atomic_load (&delivery->results_waiting) >= ZM_DELIVERY_RESULTS_MOST ||
                  atomic_load (&delivery->results_bytes) >= ZM_DELIVERY_RESULT_BYTES;

  if (!full)
    return FALSE;
  pthread_mutex_lock (&delivery->lock);
  full = delivery->publishing || delivery->results->len > 0;
  delivery->held_back = full;
  pthread_mutex_unlock (&delivery->lock);
  return full;
}

/* What is there is still published. */
void
zm_results_close (ZmDelivery *delivery)
{
  if (delivery->results == NULL)
    return;
  pthread_mutex_lock (&delivery->lock);
  delivery->ending = TRUE;
  pthread_cond_signal (&delivery->results_come);
  pthread_mutex_unlock (&delivery->lock);
  pthread_join (delivery->publisher, NULL);
  g_clear_pointer (&delivery->results, g_ptr_array_unref);
  g_clear_pointer (&delivery->brought, g_ptr_array_unref);
}
