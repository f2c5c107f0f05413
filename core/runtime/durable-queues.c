/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The consumers of durable messages: made at the start, and for [queue NAME] action= again when that changes. */
#include "config.h"

#include "runtime/durable-private.h"

/* Messages of ^sends that workers have at a time: as many as their ring would take, so that it is the ring that bounds them. */
#define SENDS_MOST 4096

/* In the delivery's thread: the publisher may make it wait. Gone at the end, as for the workers. */
static void
publish (ZmMessage *const *messages, guint n, gpointer user)
{
  ZmIntegration *integration = ((ZmRuntime *) user)->integration;

  for (guint i = 0; integration == NULL && i < n; i++)
    zm_message_unref (messages[i]);
  if (integration != NULL)
    zm_integration_publish (integration, messages, n);
}

/* ---- ^sends ---- */

/* Results of durable messages are in the queues already, since their commit. */
void
zm_sends_tap (ZmMessage *const *messages, guint n, ZmRuntime *runtime)
{
  for (guint i = 0; i < n && runtime->queues != NULL;) {
    guint from = i;

    while (i < n && messages[i]->origin != ZM_ORIGIN_DURABLE)
      i++;
    if (i > from)
      zm_queues_tap (messages + from, i - from, runtime->queues);
    while (i < n && messages[i]->origin == ZM_ORIGIN_DURABLE)
      i++;
  }
}

static gboolean
open_queues (ZmRuntime *runtime, GError **error)
{
  ZmQueuesConfig config = { .store = runtime->store,
                            .timers = runtime->timers,
                            .config = runtime->config,
                            .log = runtime->log,
                            .metrics = runtime->metrics };

  runtime->queues = zm_queues_new (&config, error);
  return runtime->queues != NULL;
}

static char *
key_of (gconstpointer durable)
{
  return zm_delivery_attempt_key (durable);
}

gboolean
zm_sends_open_queues (ZmRuntime *runtime, GError **error)
{
  if (runtime->store != NULL && runtime->queues == NULL)
    return open_queues (runtime, error);
  return TRUE;
}

gboolean
zm_sends_open (ZmRuntime *runtime, GError **error)
{
  ZmDeliveryConfig config = { .timers = runtime->timers,
                              .log = runtime->log,
                              .metrics = runtime->metrics,
                              .publish = publish,
                              .user = runtime };
  gint64 ring = zm_config_integer (runtime->config, "workers", "ring");
  ZmConsumerConfig own = { .name = "sends",
                           .concurrency = (guint) CLAMP (ring, 1, SENDS_MOST),
                           .dead_letter = ZM_SENDS_DEAD };
  ZmSends *sends;

  runtime->store = config.store = zm_durable_store (runtime);
  if (runtime->store == NULL)
    return TRUE;
  if (!zm_sends_open_queues (runtime, error) || !zm_flow_states_open (runtime, key_of, error))
    return FALSE;
  config.queues = runtime->queues;
  runtime->delivery = zm_delivery_new (&config, error);
  if (runtime->delivery == NULL)
    return FALSE;
  zm_retry_policy_init (&own.policy);
  sends = g_new0 (ZmSends, 1);
  sends->runtime = runtime;
  sends->answers.run = zm_sends_wake_subject;
  sends->lanes = g_ptr_array_new_with_free_func (zm_sends_lane_free);
  sends->own = zm_sends_lane_new (runtime, ZM_SENDS_QUEUE, NULL, &own, error);
  runtime->sends = sends;
  return sends->own != NULL;
}

void
zm_sends_drain (ZmRuntime *runtime, gint64 deadline_us)
{
  if (runtime->delivery != NULL)
    zm_delivery_close (runtime->delivery, deadline_us);
}

void
zm_sends_close (ZmRuntime *runtime)
{
  zm_sends_drain (runtime, zm_now_us ());
  if (runtime->delivery != NULL)
    zm_delivery_leave (runtime->delivery);
  if (runtime->queues != NULL)
    zm_queues_close (runtime->queues);
}

/* Consumers go with the delivery; their targets after them. Their timers before both, as those ask the consumers. */
void
zm_sends_free (ZmRuntime *runtime)
{
  ZmSends *sends = g_steal_pointer (&runtime->sends);

  runtime->store = NULL;
  if (sends != NULL && sends->own != NULL)
    zm_timers_cancel (runtime->timers, &sends->own->timer, TRUE);
  for (guint i = 0; sends != NULL && i < sends->lanes->len; i++)
    zm_timers_cancel (runtime->timers, &((ZmSendsLane *) sends->lanes->pdata[i])->timer, TRUE);
  g_clear_pointer (&runtime->delivery, zm_delivery_free);
  zm_flow_states_free (runtime);
  if (sends == NULL)
    return;
  zm_sends_lane_free (sends->own);
  g_ptr_array_unref (sends->lanes);
  g_free (sends);
}

/* ---- [queue NAME] action= ---- */

/* In the runtime's thread: the old one is gone, and one with the new settings may take its place. */
static gboolean
on_gone (gpointer user)
{
  ZmSendsLane *lane = user;
  ZmRuntime *runtime = lane->runtime;

  g_ptr_array_remove (runtime->sends->lanes, lane);
  if (runtime->state == ZM_STATE_RUNNING)
    zm_sends_configure (runtime);
  return G_SOURCE_REMOVE;
}

/* In the store's thread, where the timer is armed too: it asks the consumer, which goes when this returns. At the end of the daemon
 * nobody comes by any more: the lane goes with the list. */
static void
lane_gone (gpointer user)
{
  ZmSendsLane *lane = user;
  g_autoptr (GSource) source = g_idle_source_new ();

  zm_timers_cancel (lane->runtime->timers, &lane->timer, TRUE);
  g_source_set_callback (source, on_gone, lane, NULL);
  g_source_attach (source, lane->runtime->context);
}

/* All that a consumer is made of; the caller frees. NULL: there is to be none. */
static char *
settings_of (const ZmConfig *config, const char *section)
{
  const char *action = zm_config_text (config, section, "action");
  const char *retry = zm_config_text (config, section, "retry");
  const char *dead = zm_config_text (config, section, "dead-letter");
  const char *project = zm_config_text (config, section, "project");

  if (action == NULL || *action == '\0')
    return NULL;
  return g_strdup_printf ("%s\n%s\n%s\n%s\n%" G_GINT64_FORMAT, action, retry != NULL ? retry : "",
                          dead != NULL ? dead : "", project != NULL ? project : "",
                          zm_config_integer (config, section, "concurrency"));
}

static ZmSendsLane *
lane_of (const ZmSends *sends, const char *queue)
{
  for (guint i = 0; i < sends->lanes->len; i++) {
    ZmSendsLane *lane = sends->lanes->pdata[i];

    if (g_strcmp0 (lane->queue, queue) == 0)
      return lane;
  }
  return NULL;
}

/* What is wrong with it was said by the check of the configuration; this says it for who looks at the log only. */
static void
add_lane (ZmRuntime *runtime, const char *queue, const char *section, char *made_of)
{
  const ZmConfig *config = runtime->config;
  const char *retry = zm_config_text (config, section, "retry");
  g_autofree char *name = g_strconcat ("action:", queue, NULL);
  g_autoptr (GError) error = NULL;
  ZmConsumerConfig consumer = { .name = name,
                                .concurrency = (guint) zm_config_integer (config, section, "concurrency"),
                                .dead_letter = zm_config_text (config, section, "dead-letter") };
  ZmSendsLane *lane = NULL;

  consumer.strict = consumer.concurrency == 1;
  consumer.queue.project = zm_span_text (zm_config_text (config, section, "project"));
  zm_retry_policy_init (&consumer.policy);
  if (retry == NULL || *retry == '\0' ||
      zm_retry_policy_read (&consumer.policy, zm_span_text (retry), &error))
    lane = zm_sends_lane_new (runtime, queue, zm_config_text (config, section, "action"), &consumer, &error);
  if (lane == NULL) {
    zm_log_write (runtime->log, ZM_LEVEL_ERROR, "runtime",
                  "the action of queue %s does not run: %s; its messages wait", queue, error->message);
    zm_retry_policy_clear (&consumer.policy);
    g_free (made_of);
    return;
  }
  lane->own_policy = retry != NULL && *retry != '\0';
  lane->made_of = made_of;
  g_ptr_array_add (runtime->sends->lanes, lane);
}

/* Those that are no longer wanted, or otherwise, end first what they have; their successors come when they are gone, as both
 * would run the same messages. */
static void
leave_changed (ZmRuntime *runtime)
{
  for (guint i = 0; i < runtime->sends->lanes->len; i++) {
    ZmSendsLane *lane = runtime->sends->lanes->pdata[i];
    g_autofree char *section = g_strconcat ("queue ", lane->queue, NULL);
    g_autofree char *now = settings_of (runtime->config, section);

    if (lane->leaving || g_strcmp0 (now, lane->made_of) == 0)
      continue;
    lane->leaving = TRUE;
    zm_consumer_free (lane->consumer, lane_gone, lane);
  }
}

void
zm_sends_configure (ZmRuntime *runtime)
{
  g_auto (GStrv) names = NULL;

  if (runtime->sends == NULL)
    return;
  zm_queues_configure (runtime->queues, runtime->config);
  leave_changed (runtime);
  names = zm_config_names (runtime->config, "queue");
  for (char **name = names; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("queue ", *name, NULL);
    char *made_of = settings_of (runtime->config, section);

    if (made_of != NULL && lane_of (runtime->sends, *name) == NULL)
      add_lane (runtime, *name, section, made_of);
    else
      g_free (made_of);
  }
}
