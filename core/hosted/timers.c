/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timers run in the daemon, which asks for each call as for any other. Here it is known which there are. */
#include "config.h"

#include "hosted/hosted-private.h"
#include "message/zm-key.h"

typedef struct Timer {
  guint64 id;
  zm_action_fn fn;
  char *name; /* of one for once, by which its only call is known; else NULL */
} Timer;

static void
timer_clear (Timer *timer)
{
  g_free (timer->name);
}

/* Under the lock. */
static gboolean
add_timer (ZmHostedPlugin *plugin, const Timer *timer)
{
  if (plugin->timers == NULL) {
    plugin->timers = g_array_new (FALSE, FALSE, sizeof (Timer));
    g_array_set_clear_func (plugin->timers, (GDestroyNotify) timer_clear);
  }
  if (plugin->timers->len >= ZM_HOSTED_TIMERS)
    return FALSE;
  g_array_append_vals (plugin->timers, timer, 1);
  return TRUE;
}

/* The name becomes the action of the key that the timer's calls have, so it must be fit for a topic. */
static zm_ticket
host_timer_start (const zm_host *host, const char *name, zm_action_fn action, unsigned first_ms,
                  unsigned period_ms)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  Timer timer = { .fn = action };
  gboolean added;

  if (name == NULL || action == NULL || !zm_name_check (zm_span_text (name), NULL, NULL))
    return 0;
  timer.id = atomic_fetch_add (&plugin->hosted->next_timer, 1) + 1;
  timer.name = period_ms == 0 ? g_strdup (name) : NULL;
  pthread_mutex_lock (&plugin->lock);
  added = add_timer (plugin, &timer);
  pthread_mutex_unlock (&plugin->lock);
  if (!added) {
    timer_clear (&timer);
    zm_hosted_warn (plugin,
                    "a timer was not started: it has " G_STRINGIFY (ZM_HOSTED_TIMERS) ", which is the limit");
    return 0;
  }
  zm_hosted_say (plugin->hosted,
                 &(ZmRecord){ .kind = ZM_RECORD_TIMER,
                              .id = timer.id,
                              .n_numbers = 4,
                              .numbers = { plugin->serial, (guint64) (guintptr) action, first_ms, period_ms },
                              .n_parts = 1,
                              .parts = { zm_span_text (name) } });
  return timer.id;
}

static int
host_timer_stop (const zm_host *host, zm_ticket ticket)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  gboolean found = FALSE;

  pthread_mutex_lock (&plugin->lock);
  for (guint i = 0; plugin->timers != NULL && !found && i < plugin->timers->len; i++) {
    found = g_array_index (plugin->timers, Timer, i).id == ticket;
    if (found)
      g_array_remove_index_fast (plugin->timers, i);
  }
  pthread_mutex_unlock (&plugin->lock);
  if (!found)
    return ZM_E_NOT_FOUND;
  zm_hosted_say (
      plugin->hosted,
      &(ZmRecord){ .kind = ZM_RECORD_UNTIMER, .id = ticket, .n_numbers = 1, .numbers = { plugin->serial } });
  return ZM_OK;
}

/* Its call does not say which timer it is, but of two with one name and one function either may be forgotten. */
void
zm_hosted_timer_fired (ZmHostedPlugin *plugin, zm_action_fn fn, ZmSpan name)
{
  pthread_mutex_lock (&plugin->lock);
  for (guint i = 0; plugin->timers != NULL && i < plugin->timers->len; i++) {
    const Timer *timer = &g_array_index (plugin->timers, Timer, i);

    if (timer->name != NULL && timer->fn == fn && zm_span_is (name, timer->name)) {
      g_array_remove_index_fast (plugin->timers, i);
      break;
    }
  }
  pthread_mutex_unlock (&plugin->lock);
}

void
zm_hosted_fill_timers (zm_host *host)
{
  host->timer_start = host_timer_start;
  host->timer_stop = host_timer_stop;
}
