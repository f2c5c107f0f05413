/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the thread looks at of each process: whether it comes up, loads, answers, stays within its memory, and ends. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <stdio.h>
#include <unistd.h>

#define SILENT_US \
  (10 * G_USEC_PER_SEC) /* a host that says nothing for so long, and hard-after, is taken for dead */

/* A constructor, init or start that nobody waits for, as it came after a crash. */
static void
look_at_loading (ZmHost *host, gint64 now_us)
{
  guint64 loading = atomic_load (&host->page->loading);
  ZmCarried *carried;

  if (loading != host->loading) {
    host->loading = loading;
    host->loading_us = now_us;
  }
  if (loading == 0 || now_us - host->loading_us < ((gint64) host->hosts->config.call_ms + 3000) * 1000)
    return;
  carried = zm_carried_by_serial (host->hosts, loading);
  if (carried == NULL || carried->waited > 0 || carried->want == ZM_WANT_STOPPED ||
      carried->want == ZM_WANT_NOTHING || host->killed != NULL)
    return;
  host->guilty = carried;
  host->guilty_symbol = g_strdup ("(loading)");
  zm_host_kill (
      host, g_strdup_printf ("plugin %s hangs while it is loaded", zm_generation_name (carried->generation)));
}

void
zm_host_tend (ZmHost *host, gint64 now_us)
{
  if (host->state == ZM_HOST_STARTING && now_us > host->due_us)
    zm_host_kill (host, g_strdup_printf ("it did not come up within %u ms", host->hosts->config.call_ms));
  else if (host->state == ZM_HOST_LEAVING && now_us > host->due_us)
    zm_host_kill (host, host->hung != NULL ? g_steal_pointer (&host->hung) : g_strdup (host->leaving_why));
  else if (host->state == ZM_HOST_LEAVING)
    zm_host_try_leave (host);
  if (host->eof_us > 0 && now_us - host->eof_us > G_USEC_PER_SEC)
    zm_host_kill (host, g_strdup ("it closed its end of the bell"));
  zm_host_limit (host);
  if (host->page != NULL)
    look_at_loading (host, now_us);
}

/* Resident pages of a process, in bytes; 0: not known. */
static gsize
resident_size (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", (int) pid);
  g_autofree char *text = NULL;
  gsize pages = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL) || sscanf (text, "%*s %" G_GSIZE_FORMAT, &pages) != 1)
    return 0;
  return pages * (gsize) sysconf (_SC_PAGESIZE);
}

/* Over its limit: a fresh one takes its place when its calls are over. */
void
zm_host_measure (ZmHost *host)
{
  guint64 most = host->group->memory;

  if (host->child.pid <= 0)
    return;
  host->rss = resident_size (host->child.pid);
  if (most == 0 || host->rss <= most || host->state != ZM_HOST_UP)
    return;
  zm_log_write (host->hosts->config.log, ZM_LEVEL_WARNING, "host",
                "host %s has %" G_GSIZE_FORMAT " MiB, over its limit of %" G_GUINT64_FORMAT
                " MiB: it is replaced when its calls are over",
                host->name, host->rss >> 20, most >> 20);
  zm_calls_back (host->hosts, zm_host_take_back (host, NULL, FALSE));
  zm_host_leave (host, "it was over its memory limit", TRUE);
}

/* Some step of a plugin is to be answered. */
static gboolean
is_asked (const ZmHost *host)
{
  for (guint i = 0; i < host->group->members->len; i++) {
    const ZmSeat *seat = zm_seat_of (host, g_ptr_array_index (host->group->members, i));

    if (seat != NULL && seat->asked != 0)
      return TRUE;
  }
  return FALSE;
}

/* Its reader runs no plugin's code, and so answers within a moment, unless its process is stopped or starved. Calls that it has
 * not begun would wait for it for ever. While it is not read from, as its events wait, nothing can be heard. */
void
zm_host_ask_alive (ZmHost *host, gint64 now_us)
{
  const ZmRecord ping = { .kind = ZM_RECORD_PING };
  gint64 silent_us = MAX (SILENT_US, host->hosts->config.hard_after_us);

  if (host->state != ZM_HOST_UP && host->state != ZM_HOST_LEAVING)
    return;
  if (host->emits.length > 0) {
    host->pinged_us = 0;
    return;
  }
  if (host->pinged_us == 0) {
    if (host->n_free == ZM_PAGE_SLOTS && host->deferred == NULL && !is_asked (host))
      return;
    host->pinged_us = now_us;
    zm_host_say (host, &ping);
  } else if (now_us - host->pinged_us > silent_us) {
    zm_host_kill (host, g_strdup_printf ("it has not answered for %d s", (int) (silent_us / G_USEC_PER_SEC)));
  }
}
