/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine itself: consumers take turns, one message a turn, so that one with a long queue or a slow target holds no other up.
 * It moves when something is put, becomes due, ends, or a target takes again; idle queues cost nothing.
 */
#include "config.h"

#include "base/zm-thread.h"
#include "delivery/delivery-private.h"

#include <string.h>

/* ---- turns ---- */

void
zm_delivery_ready (ZmConsumer *consumer)
{
  ZmDelivery *delivery = consumer->delivery;

  if (consumer->listed || consumer->stalled || consumer->reading || consumer->reader == NULL)
    return;
  consumer->listed = TRUE;
  consumer->ready_next = NULL;
  if (delivery->ready_tail != NULL)
    delivery->ready_tail->ready_next = consumer;
  else
    delivery->ready_head = consumer;
  delivery->ready_tail = consumer;
}

static ZmConsumer *
ready_pop (ZmDelivery *delivery)
{
  ZmConsumer *consumer = delivery->ready_head;

  if (consumer == NULL)
    return NULL;
  delivery->ready_head = consumer->ready_next;
  if (delivery->ready_head == NULL)
    delivery->ready_tail = NULL;
  consumer->listed = FALSE;
  return consumer;
}

void
zm_delivery_unready (ZmConsumer *consumer)
{
  ZmDelivery *delivery = consumer->delivery;
  ZmConsumer *before = NULL;

  if (!consumer->listed)
    return;
  for (ZmConsumer *at = delivery->ready_head; at != consumer; at = at->ready_next)
    before = at;
  if (before != NULL)
    before->ready_next = consumer->ready_next;
  else
    delivery->ready_head = consumer->ready_next;
  if (delivery->ready_tail == consumer)
    delivery->ready_tail = before;
  consumer->listed = FALSE;
}

/* What is due goes to its consumer, which starts it before anything new. */
static void
take_due (ZmDelivery *delivery)
{
  gint64 now_us = zm_delivery_now (delivery);
  ZmDueEntry *entry;

  while ((entry = zm_due_pop (&delivery->due, now_us)) != NULL) {
    ZmWaiting *waiting = (ZmWaiting *) entry;
    ZmConsumer *consumer = waiting->consumer;

    waiting->next = NULL;
    if (consumer->due_tail != NULL)
      consumer->due_tail->next = waiting;
    else
      consumer->due_head = waiting;
    consumer->due_tail = waiting;
    zm_delivery_ready (consumer);
  }
}

/* The timers' clock is the real one, ours may be another: the difference counts. */
static void
arm (ZmDelivery *delivery)
{
  ZmDueEntry *first = zm_due_first (&delivery->due);

  if (first != NULL && !atomic_load (&delivery->closing))
    zm_timers_arm (delivery->config.timers, &delivery->timer,
                   zm_now_us () + MAX (first->due_us - zm_delivery_now (delivery), 0));
}

/* Not from within itself: a target that ends an attempt at once only submits. */
static void
pump (ZmStoreAfter *after)
{
  ZmDelivery *delivery = (ZmDelivery *) ((char *) after - G_STRUCT_OFFSET (ZmDelivery, pump));
  ZmConsumer *consumer;

  zm_results_flush (delivery);
  if (delivery->pumping)
    return;
  delivery->pumping = TRUE;
  take_due (delivery);
  while (!atomic_load (&delivery->closing) && delivery->ready_head != NULL && !zm_results_full (delivery)) {
    consumer = ready_pop (delivery);
    if (zm_consumer_start_one (consumer))
      zm_delivery_ready (consumer);
  }
  arm (delivery);
  delivery->pumping = FALSE;
}

void
zm_delivery_pump (ZmDelivery *delivery)
{
  zm_store_after (delivery->config.store, &delivery->pump);
}

/* ---- kicks ---- */

/* Targets that were busy and take again. */
static void
wake_stalled (ZmDelivery *delivery)
{
  pthread_mutex_lock (&delivery->lock);
  for (guint i = 0; i < delivery->consumers->len; i++) {
    ZmConsumer *consumer = delivery->consumers->pdata[i];

    if (!consumer->stalled || !atomic_exchange (&consumer->again, 0))
      continue;
    consumer->stalled = FALSE;
    zm_delivery_ready (consumer);
  }
  pthread_mutex_unlock (&delivery->lock);
}

/* Ends that the store did not take are given to it once more, before anything new is begun. */
static void
say_unsaid (ZmDelivery *delivery)
{
  pthread_mutex_lock (&delivery->lock);
  ZmTry *list = delivery->unsaid;
  delivery->unsaid = NULL;
  pthread_mutex_unlock (&delivery->lock);
  while (list != NULL) {
    ZmTry *try = list;

    list = try->next;
    try->next = NULL;
    zm_try_submit (try);
  }
}

static void
kick_done (ZmStoreUnit *unit, const GError *error)
{
  ZmDelivery *delivery = (ZmDelivery *) ((char *) unit - G_STRUCT_OFFSET (ZmDelivery, kick));

  atomic_store (&delivery->kicked, 0);
  if (error != NULL) {
    zm_delivery_later (delivery);
    return;
  }
  say_unsaid (delivery);
  wake_stalled (delivery);
  zm_delivery_pump (delivery);
}

void
zm_delivery_kick (ZmDelivery *delivery)
{
  /* Once it is closed nothing is started, and the store may be gone. */
  if (atomic_load (&delivery->closing) || atomic_exchange (&delivery->kicked, 1))
    return;
  delivery->kick = (ZmStoreUnit){ .done = kick_done, .inside = TRUE };
  if (zm_store_submit (delivery->config.store, &delivery->kick, NULL))
    return;
  atomic_store (&delivery->kicked, 0);
  zm_delivery_later (delivery);
}

/* A due time that the timer was armed for comes with the kick, as that looks at all of them. */
void
zm_delivery_later (ZmDelivery *delivery)
{
  if (!atomic_load (&delivery->closing))
    zm_timers_arm (delivery->config.timers, &delivery->timer, zm_now_us () + ZM_DELIVERY_AGAIN_US);
}

static void
on_timer (ZmTimer *timer, gpointer user)
{
  (void) timer;
  zm_delivery_kick (user);
}

void
zm_delivery_wake (ZmDelivery *delivery)
{
  zm_delivery_kick (delivery);
}

void
zm_delivery_again (ZmConsumer *consumer)
{
  atomic_store (&consumer->again, 1);
  zm_delivery_kick (consumer->delivery);
}

/* ---- beginning and end ---- */

static void
make_counters (ZmDelivery *delivery)
{
  ZmMetrics *metrics = delivery->config.metrics;

  delivery->c_delivered = zm_metrics_counter (metrics, "zmanager_delivery_delivered_total",
                                              "Messages that were delivered to their target", NULL, NULL);
  delivery->c_retried = zm_metrics_counter (metrics, "zmanager_delivery_retries_total",
                                            "Attempts that failed and come again", NULL, NULL);
  delivery->c_dead = zm_metrics_counter (metrics, "zmanager_delivery_dead_total",
                                         "Messages that went to a dead-letter queue", NULL, NULL);
  delivery->c_lost =
      zm_metrics_counter (metrics, "zmanager_delivery_gone_total",
                          "Messages that were over, purged or damaged when their turn came", NULL, NULL);
  delivery->g_in_flight =
      zm_metrics_gauge (metrics, "zmanager_delivery_in_flight", "Messages that targets have", NULL, NULL);
  delivery->g_waiting = zm_metrics_gauge (metrics, "zmanager_delivery_waiting",
                                          "Messages that wait for their next attempt", NULL, NULL);
}

ZmDelivery *
zm_delivery_new (const ZmDeliveryConfig *config, GError **error)
{
  ZmDelivery *delivery = g_new0 (ZmDelivery, 1);

  delivery->config = *config;
  delivery->timer.func = on_timer;
  delivery->timer.user = delivery;
  delivery->pump.run = pump;
  pthread_mutex_init (&delivery->lock, NULL);
  zm_cond_init_monotonic (&delivery->idle);
  pthread_cond_init (&delivery->results_come, NULL);
  delivery->consumers = g_ptr_array_new ();
  make_counters (delivery);
  if (zm_results_open (delivery, error))
    return delivery;
  zm_delivery_free (delivery);
  return NULL;
}

void
zm_delivery_started (ZmDelivery *delivery, int change)
{
  pthread_mutex_lock (&delivery->lock);
  delivery->started += (guint) change;
  if (delivery->started == 0)
    pthread_cond_broadcast (&delivery->idle);
  pthread_mutex_unlock (&delivery->lock);
}

guint
zm_delivery_close (ZmDelivery *delivery, gint64 deadline_us)
{
  guint left;

  atomic_store (&delivery->closing, 1);
  zm_timers_cancel (delivery->config.timers, &delivery->timer, TRUE);
  pthread_mutex_lock (&delivery->lock);
  while (delivery->started > 0 || delivery->publishing || atomic_load (&delivery->results_waiting) > 0)
    if (!zm_cond_wait_until (&delivery->idle, &delivery->lock, deadline_us))
      break;
  left = delivery->started;
  pthread_mutex_unlock (&delivery->lock);
  return left;
}

/* Nobody is started any more, so that only ends that are still to come look for a reader, and find none. */
static void
leave_done (ZmStoreUnit *unit, const GError *error)
{
  ZmDelivery *delivery = (ZmDelivery *) ((char *) unit - G_STRUCT_OFFSET (ZmDelivery, leave));

  (void) error;
  zm_store_after_drop (delivery->config.store, &delivery->pump);
  zm_results_flush (delivery);
  pthread_mutex_lock (&delivery->lock);
  for (guint i = 0; i < delivery->consumers->len; i++)
    g_clear_pointer (&((ZmConsumer *) delivery->consumers->pdata[i])->reader, zm_queue_reader_free);
  delivery->left = TRUE;
  pthread_cond_broadcast (&delivery->idle);
  pthread_mutex_unlock (&delivery->lock);
}

void
zm_delivery_leave (ZmDelivery *delivery)
{
  delivery->leave = (ZmStoreUnit){ .done = leave_done, .inside = TRUE };
  atomic_store (&delivery->closing, 1);
  if (!zm_store_submit (delivery->config.store, &delivery->leave, NULL))
    return;
  pthread_mutex_lock (&delivery->lock);
  while (!delivery->left)
    pthread_cond_wait (&delivery->idle, &delivery->lock);
  pthread_mutex_unlock (&delivery->lock);
}

void
zm_delivery_free (ZmDelivery *delivery)
{
  if (delivery == NULL)
    return;
  atomic_store (&delivery->closing, 1);
  zm_timers_cancel (delivery->config.timers, &delivery->timer, TRUE);
  zm_results_close (delivery);
  while (delivery->unsaid != NULL) {
    ZmTry *try = delivery->unsaid;

    delivery->unsaid = try->next;
    zm_consumer_release (try);
  }
  while (delivery->consumers->len > 0)
    zm_consumer_destroy (delivery->consumers->pdata[delivery->consumers->len - 1]);
  g_ptr_array_unref (delivery->consumers);
  zm_due_clear (&delivery->due);
  pthread_mutex_destroy (&delivery->lock);
  pthread_cond_destroy (&delivery->idle);
  pthread_cond_destroy (&delivery->results_come);
  g_free (delivery);
}

/* ---- figures ---- */

static void
append_consumer (GString *out, ZmConsumer *consumer)
{
  g_string_append (out, out->len > 1 ? ",{\"name\":" : "{\"name\":");
  zm_json_append_string (out, zm_span_text (consumer->name));
  g_string_append (out, ",\"queue\":");
  zm_json_append_string (out, zm_span_text (consumer->queue));
  g_string_append (out, ",\"dead_letter\":");
  zm_json_append_string (out, zm_span_text (consumer->dead));
  g_string_append_printf (out,
                          ",\"cursor\":%llu,\"in_flight\":%llu,\"concurrency\":%u,\"waiting\":%llu,"
                          "\"delivered\":%llu,\"retried\":%llu,\"dead\":%llu,\"gone\":%llu}",
                          atomic_load (&consumer->cursor_now), atomic_load (&consumer->in_flight_now),
                          consumer->concurrency, atomic_load (&consumer->waiting_now),
                          atomic_load (&consumer->delivered), atomic_load (&consumer->retried),
                          atomic_load (&consumer->dead_count), atomic_load (&consumer->lost));
}

char *
zm_delivery_status_json (ZmDelivery *delivery)
{
  GString *out = g_string_new ("[");

  pthread_mutex_lock (&delivery->lock);
  for (guint i = 0; i < delivery->consumers->len; i++)
    append_consumer (out, delivery->consumers->pdata[i]);
  pthread_mutex_unlock (&delivery->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}

void
zm_delivery_figures (ZmDelivery *delivery, ZmDeliveryFigures *figures)
{
  *figures = (ZmDeliveryFigures){ 0 };
  pthread_mutex_lock (&delivery->lock);
  for (guint i = 0; i < delivery->consumers->len; i++) {
    ZmConsumer *consumer = delivery->consumers->pdata[i];

    figures->in_flight += atomic_load (&consumer->in_flight_now);
    figures->waiting += atomic_load (&consumer->waiting_now);
    figures->delivered += atomic_load (&consumer->delivered);
    figures->retried += atomic_load (&consumer->retried);
    figures->dead += atomic_load (&consumer->dead_count);
    figures->gone += atomic_load (&consumer->lost);
  }
  pthread_mutex_unlock (&delivery->lock);
}
