/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the thread looks at of each process: whether it comes up, loads, answers, stays within its memory, and ends. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <stdio.h>
#include <unistd.h>

#define LASTING_US (100 * 1000) /* a call that has run for so long may run on for much longer */
#define SILENT_US \
  (10 * G_USEC_PER_SEC) /* a host that says nothing for so long, and hard-after, is taken for dead */

#define EARLY_US            (10 * G_USEC_PER_SEC) /* over its memory limit so soon after its start */
#define HEAVY_PAUSE_MOST_US (60 * G_USEC_PER_SEC)

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
  host->guilty_symbol = g_strdup (zm_seat_step (host, carried));
  zm_host_kill (host, g_strdup_printf ("plugin %s does not come back from it",
                                       zm_generation_name (carried->generation)));
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

/* What one that is over soon after its start gets before it is replaced, as the next one will be no smaller. */
static gint64
heavy_pause_us (const ZmHost *host)
{
  return host->heavy < 2 ? 0 : MIN ((gint64) G_USEC_PER_SEC << MIN (host->heavy - 2, 6), HEAVY_PAUSE_MOST_US);
}

/* The first time in this life of it. */
static void
became_heavy (ZmHost *host, gint64 now_us)
{
  g_autofree char *then = NULL;

  host->over_us = now_us;
  host->over_rss = host->rss;
  host->heavy = now_us - host->started_us < EARLY_US ? host->heavy + 1 : 0;
  if (host->heavy > 1)
    then = g_strdup_printf ("as soon after its start as the one before it, so that memory is too little for "
                            "its plugins: it is replaced in %d s",
                            (int) (heavy_pause_us (host) / G_USEC_PER_SEC));
  zm_log_write (host->hosts->config.log, ZM_LEVEL_WARNING, "host",
                "host %s has %" G_GSIZE_FORMAT " MiB, over its limit of %" G_GUINT64_FORMAT " MiB%s %s",
                host->name, host->rss >> 20, host->group->memory >> 20, then != NULL ? "," : ":",
                then != NULL ? then : "it is replaced when its calls are over");
}

/* A call in it goes on for so long that a fresh process would be waited for. */
static gboolean
has_lasting_call (ZmHost *host, gint64 now_us)
{
  for (guint i = 0; host->page != NULL && host->n_free < ZM_PAGE_SLOTS && i < ZM_PAGE_SLOTS; i++)
    if (host->slots[i].carried != NULL &&
        (atomic_load (&host->page->slots[i].word) & 3) == ZM_SLOT_IS_STARTED &&
        now_us - zm_slot_began (host, i, now_us) > LASTING_US)
      return TRUE;
  return host->deferred != NULL;
}

/* As a host that leaves takes no calls until it is empty, one that would not be empty soon goes on meanwhile. */
static gint64
patience_us (ZmHost *host, gint64 now_us)
{
  gint64 drain_us = (gint64) host->hosts->config.drain_ms * 1000;

  return MAX (heavy_pause_us (host), has_lasting_call (host, now_us) ? drain_us : 0);
}

/* Over its limit: a fresh one takes its place when its calls are over. Where that would be no smaller it comes more and more
 * seldom, unless this one goes on growing. */
void
zm_host_measure (ZmHost *host, gint64 now_us)
{
  guint64 most = host->group->memory;

  if (host->child.pid <= 0)
    return;
  host->rss = resident_size (host->child.pid);
  if (host->state != ZM_HOST_UP)
    return;
  if (most == 0 || host->rss <= most) {
    host->over_us = 0;
    if (now_us - host->started_us >= EARLY_US)
      host->heavy = 0;
    return;
  }
  if (host->over_us == 0)
    became_heavy (host, now_us);
  if (now_us - host->over_us < patience_us (host, now_us) && host->rss <= host->over_rss + most / 2)
    return;
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
