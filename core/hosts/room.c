/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room itself: opened with its thread, closed when nothing is carried any more. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define END_GRACE_US G_USEC_PER_SEC /* for hosts at the end of the daemon */

static void
make_counters (ZmHosts *hosts)
{
  ZmMetrics *metrics = hosts->config.metrics;

#define COUNTER(name, help) zm_metrics_counter (metrics, name, help, NULL, NULL)
  hosts->c_starts = COUNTER ("zmanager_host_starts_total", "Processes started for plugins");
  hosts->c_crashes = COUNTER ("zmanager_host_crashes_total", "Hosts that ended without being asked to");
  hosts->c_killed = COUNTER ("zmanager_host_killed_total", "Hosts that were killed: a call hung, or loading");
  hosts->c_lost = COUNTER ("zmanager_host_calls_lost_total", "Started calls that ended with their host");
  hosts->c_requeued =
      COUNTER ("zmanager_host_calls_requeued_total", "Calls that had not started and went to another host");
  hosts->c_timeouts = COUNTER ("zmanager_host_timeouts_total", "Calls in hosts that passed their deadline");
  hosts->c_late = COUNTER ("zmanager_host_late_total", "Results of hosts that came after their deadline");
  hosts->c_emits_lost =
      COUNTER ("zmanager_host_emits_lost_total", "Messages of plugins in hosts that were not taken");
  /* The one that the daemon's own services count on, too. */
  hosts->c_loops = COUNTER ("zmanager_emit_loops_total", "Messages of plugins refused after too many hops");
  hosts->c_set_aside =
      COUNTER ("zmanager_messages_set_aside_total", "Messages that killed their host three times");
  hosts->c_bad = COUNTER ("zmanager_host_bad_records_total", "Records of hosts that did not fit");
  hosts->c_lines =
      COUNTER ("zmanager_host_lines_suppressed_total", "Lines of hosts' output left out of the log");
#undef COUNTER
  hosts->g_up = zm_metrics_gauge (metrics, "zmanager_hosts", "Hosts of plugins that are up", NULL, NULL);
  hosts->g_aside =
      zm_metrics_gauge (metrics, "zmanager_messages_aside", "Messages that are set aside now", NULL, NULL);
}

static void
free_memory (ZmHosts *hosts)
{
  if (hosts->wake_fd >= 0)
    close (hosts->wake_fd);
  zm_dead_free (hosts);
  g_ptr_array_unref (hosts->groups);
  g_ptr_array_unref (hosts->carrieds);
  g_hash_table_unref (hosts->timers);
  g_hash_table_unref (hosts->sources);
  pthread_cond_destroy (&hosts->changed);
  pthread_mutex_destroy (&hosts->lock);
  g_free ((char *) hosts->config.program);
  g_free ((char *) hosts->config.directory);
  g_free ((char *) hosts->config.report_directory);
  zm_log_unref (hosts->config.log);
  g_free (hosts);
}

ZmHosts *
zm_hosts_new (const ZmHostsConfig *config, GError **error)
{
  ZmHosts *hosts = g_new0 (ZmHosts, 1);
  int failed = 0;

  hosts->config = *config;
  hosts->config.program = g_strdup (config->program);
  hosts->config.directory = g_strdup (config->directory);
  hosts->config.report_directory = g_strdup (config->report_directory);
  hosts->config.log = zm_log_ref (config->log);
  pthread_mutex_init (&hosts->lock, NULL);
  zm_cond_init_monotonic (&hosts->changed);
  hosts->groups = g_ptr_array_new ();
  hosts->carrieds = g_ptr_array_new ();
  hosts->timers = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  hosts->sources = g_hash_table_new (g_int64_hash, g_int64_equal);
  hosts->kills = g_hash_table_new (g_str_hash, g_str_equal);
  g_queue_init (&hosts->dead_order);
  make_counters (hosts);
  zm_hosts_fill_carrier (hosts);
  hosts->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (hosts->wake_fd >= 0)
    failed = zm_thread_create (&hosts->thread, "zm-hosts", zm_hosts_main, hosts);
  if (hosts->wake_fd >= 0 && failed == 0)
    return hosts;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot start the thread of plugins' hosts: %s",
               g_strerror (failed != 0 ? failed : errno));
  free_memory (hosts);
  return NULL;
}

void
zm_hosts_free (ZmHosts *hosts)
{
  if (hosts == NULL)
    return;
  pthread_mutex_lock (&hosts->lock);
  hosts->ending = TRUE;
  hosts->end_us = zm_now_us () + END_GRACE_US;
  pthread_mutex_unlock (&hosts->lock);
  zm_hosts_wake (hosts);
  pthread_join (hosts->thread, NULL);
  /* A plugin's stop that hung keeps a thread in here, which may come back any moment: it finds no process any more, and its
   * plugin may be closed then. The memory goes with the daemon. */
  if (hosts->carrieds->len > 0)
    zm_log_write (hosts->config.log, ZM_LEVEL_INFO, "host",
                  "%u plugins were still open in hosts that have ended", hosts->carrieds->len);
  else
    free_memory (hosts);
}

const ZmCarrier *
zm_hosts_carrier (ZmHosts *hosts)
{
  return hosts != NULL && hosts->config.program != NULL ? &hosts->carrier : NULL;
}
