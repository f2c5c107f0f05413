/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a host's process: what it still said is read, each call that it had ends or goes elsewhere, whose fault it was is
 * found out, and the next process is started. In the hosts' thread.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* Ends that are nobody's fault: a host that lived no longer than this is started again at once so many times, then after a pause
 * that grows to 0.4 seconds: shorter than who waits for room at its plugin has patience. */
#define QUICK_US       (2 * G_USEC_PER_SEC)
#define QUICK_FREE     5
#define QUICK_COUNT    8
#define QUICK_PAUSE_US 50000

/* What is known of an end. */
typedef struct Death {
  pid_t pid;
  char *how;           /* "signal 11 (Segmentation fault)" */
  gboolean expected;   /* it was asked to end */
  gboolean own_making; /* a crash that a plugin made */
  ZmCarried *guilty;   /* or NULL */
  const char *symbol;  /* what ran, or NULL */
  const char *id;      /* of the message, or NULL */
  ZmHostCall *call;    /* that ran, or NULL */
  char *text;          /* for people: who, where, how */
} Death;

/* ---- whose fault ---- */

static gboolean
is_crash_signal (int signal)
{
  static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

  for (guint i = 0; i < G_N_ELEMENTS (crashes); i++)
    if (crashes[i] == signal)
      return TRUE;
  return FALSE;
}

static void
accuse_slot (const ZmHost *host, guint slot, Death *death)
{
  const ZmHostSlot *used = &host->slots[slot];

  death->guilty = used->carried;
  death->call = used->call;
  death->symbol = used->call != NULL ? used->call->symbol : used->symbol;
  death->id = used->id;
}

/* The dying thread left a note; it may have been written over, so it is believed only as far as it fits. */
static gboolean
accuse_by_note (const ZmHost *host, Death *death)
{
  guint slot = atomic_load (&host->page->dying_slot);
  guint64 generation = atomic_load (&host->page->dying_generation);
  guint64 loading = atomic_load (&host->page->loading);

  if (slot > 0 && slot <= ZM_PAGE_SLOTS && host->slots[slot - 1].carried != NULL) {
    accuse_slot (host, slot - 1, death);
    return TRUE;
  }
  if (generation == 0)
    generation = loading;
  death->guilty = generation != 0 ? zm_carried_by_serial (host->hosts, generation) : NULL;
  if (death->guilty != NULL && death->guilty->group != host->group)
    death->guilty = NULL;
  if (death->guilty != NULL && generation == loading)
    death->symbol = zm_seat_step (host, death->guilty);
  return death->guilty != NULL;
}

/* Without a note (it called _exit): only where one call alone ran. */
static void
accuse_by_call (const ZmHost *host, Death *death)
{
  guint running = 0, last = 0;

  for (guint i = 0; i < ZM_PAGE_SLOTS; i++)
    if (host->slots[i].carried != NULL &&
        (atomic_load (&host->page->slots[i].word) & 3) == ZM_SLOT_IS_STARTED) {
      running++;
      last = i;
    }
  if (running == 1)
    accuse_slot (host, last, death);
}

static void
accuse (ZmHost *host, int status, Death *death)
{
  guint note = host->page != NULL ? atomic_load (&host->page->dying_signal) : 0;

  if (host->killed != NULL) {
    death->guilty = host->guilty;
    death->symbol = host->guilty_symbol;
    death->id = host->guilty_id;
    death->own_making = host->guilty != NULL;
    return;
  }
  if (host->page == NULL)
    return;
  death->own_making = note != 0 || !WIFSIGNALED (status) || is_crash_signal (WTERMSIG (status));
  if (death->own_making && !accuse_by_note (host, death))
    accuse_by_call (host, death);
}

static void
examine (ZmHost *host, int status, Death *death)
{
  g_autofree char *end = zm_child_describe_end (status);
  gboolean exited = host->page != NULL && atomic_load (&host->page->dying_signal) == ZM_PAGE_EXIT;

  death->pid = host->child.pid;
  /* One that nobody needs any more is not asked before it was ready. */
  death->expected = host->state == ZM_HOST_LEAVING && !exited &&
                    (host->killed != NULL ? host->unneeded : WIFEXITED (status) && WEXITSTATUS (status) == 0);
  death->how = host->killed != NULL ? g_strdup (host->killed)
               : exited             ? g_strdup_printf ("it called exit: %s", end)
                                    : g_strdup (end);
  if (!death->expected)
    accuse (host, status, death);
  if (death->guilty != NULL && death->symbol != NULL)
    death->text = g_strdup_printf ("plugin %s ended its host in %s: %s",
                                   zm_generation_name (death->guilty->generation), death->symbol, death->how);
  else if (death->guilty != NULL)
    death->text = g_strdup_printf ("plugin %s ended its host: %s",
                                   zm_generation_name (death->guilty->generation), death->how);
  else
    death->text = g_strdup_printf ("host %s ended: %s", host->name, death->how);
}

/* ---- its calls ---- */

static void
lose_call (ZmHost *host, ZmHostCall *call, const Death *death, ZmArrivals *arrivals)
{
  const char *plugin = zm_generation_name (call->carried->generation);

  zm_counter_add (host->hosts->c_lost, 1);
  if (call == death->call)
    zm_call_fail (call, "crashed", "plugin %s crashed in %s (%s); its host process was lost with it", plugin,
                  call->symbol, death->how);
  else
    zm_call_fail (call, "host-lost", "the host of plugin %s was lost while %s ran: %s", plugin, call->symbol,
                  death->text);
  zm_arrivals_add (arrivals, call);
}

/* Grouped by plugin, to the places that they had. */
void
zm_calls_back (ZmHosts *hosts, ZmHostCall *calls)
{
  while (calls != NULL) {
    ZmCarried *carried = calls->carried;
    ZmHostCall *own = NULL, *rest = NULL, **own_end = &own, **rest_end = &rest;

    for (ZmHostCall *next; calls != NULL; calls = next) {
      next = calls->next;
      calls->next = NULL;
      if (calls->carried == carried) {
        *own_end = calls;
        own_end = &calls->next;
        zm_counter_add (hosts->c_requeued, 1);
      } else {
        *rest_end = calls;
        rest_end = &calls->next;
      }
    }
    zm_carried_merge (carried, own);
    calls = rest;
  }
}

/* What had started ends; what had not goes back to the place that it had at its plugin. */
static void
end_slots (ZmHost *host, const Death *death, ZmArrivals *arrivals, GPtrArray *kept)
{
  ZmHostCall *back = NULL;

  for (guint i = 0; i < ZM_PAGE_SLOTS; i++) {
    ZmHostSlot *slot = &host->slots[i];
    ZmCarried *carried = slot->carried;
    ZmHostCall *call = slot->call;
    unsigned long long queued = zm_page_word (slot->serial, ZM_SLOT_IS_QUEUED);

    if (carried == NULL)
      continue;
    /* Once seen to have started it did, whatever was written there since. */
    if (call != NULL && slot->began_us == 0 && atomic_load (&host->page->slots[i].word) == queued) {
      ZmHostCall **at = &back;

      while (*at != NULL && (*at)->serial < call->serial)
        at = &(*at)->next;
      call->next = *at;
      *at = call;
    } else {
      if (call != NULL)
        lose_call (host, call, death, arrivals);
      carried->outstanding--;
    }
    if (slot->kept != NULL)
      g_ptr_array_add (kept, g_steal_pointer (&slot->kept));
    zm_slot_free (host, i);
  }
  zm_calls_back (host->hosts, back);
}

static void
end_deferred (ZmHost *host, const Death *death, ZmArrivals *arrivals)
{
  while (host->deferred != NULL) {
    ZmHostCall *call = host->deferred;

    zm_deferred_remove (host, call);
    lose_call (host, call, death, arrivals);
    call->carried->outstanding--;
  }
}

/* Nothing of a plugin in quarantine goes on. */
void
zm_carried_end_waiting (ZmCarried *carried, ZmArrivals *arrivals)
{
  for (ZmHostCall *call = zm_carried_take_all (carried), *next; call != NULL; call = next) {
    next = call->next;
    zm_call_fail (call, "quarantined", "plugin %s is in quarantine: %s",
                  zm_generation_name (carried->generation), carried->quarantine);
    zm_arrivals_add (arrivals, call);
    carried->outstanding--;
  }
}

/* ---- and then ---- */

static gint64
next_start (ZmHost *host, const Death *death, gint64 now_us)
{
  gint64 pause_us = death->guilty != NULL ? zm_carried_backoff (death->guilty) : 0;

  if (death->expected || now_us - host->started_us > QUICK_US) {
    host->quick = 0;
  } else if (death->guilty == NULL) {
    /* Nobody to be put in quarantine: the program itself may be what fails. */
    host->quick = MIN (host->quick + 1, QUICK_COUNT);
    if (host->quick > QUICK_FREE)
      pause_us = MAX (pause_us, (gint64) QUICK_PAUSE_US << (host->quick - QUICK_FREE));
  }
  return now_us + pause_us;
}

/* A plugin of its own in quarantine needs no host; in a shared one the others go on. Nor does one that was replaced or is
 * stopped: nothing of it would be done there. Should an EXCLUSIVE one be started again after all, a host is asked for then. */
static gboolean
is_wanted (const ZmHost *host)
{
  for (guint i = 0; i < host->group->members->len; i++) {
    const ZmCarried *member = g_ptr_array_index (host->group->members, i);

    if (host->index < member->n_seats && !member->closed && member->want != ZM_WANT_NOTHING &&
        member->want != ZM_WANT_STOPPED && (member->quarantine == NULL || host->group->shared))
      return TRUE;
  }
  return FALSE;
}

static void
log_death (ZmHost *host, const Death *death, gint64 pause_us, gboolean again)
{
  ZmLog *log = host->hosts->config.log;

  if (death->expected)
    zm_log_write (log, ZM_LEVEL_INFO, "host", "host %s (process %d) ended: %s", host->name, (int) death->pid,
                  host->leaving_why);
  else if (again)
    zm_log_write (log, ZM_LEVEL_ERROR, "host", "host %s (process %d) is lost: %s; started again %s",
                  host->name, (int) death->pid, death->text, pause_us > 0 ? "after a pause" : "at once");
  else
    zm_log_write (log, ZM_LEVEL_ERROR, "host", "host %s (process %d) is lost: %s", host->name,
                  (int) death->pid, death->text);
}

static void
lose_seats (ZmHost *host, const Death *death)
{
  for (guint i = 0; i < host->group->members->len; i++) {
    ZmCarried *member = g_ptr_array_index (host->group->members, i);
    ZmSeat *seat = zm_seat_of (host, member);

    if (seat == NULL)
      continue;
    /* Who waits for a host that never came up has asked nothing yet. */
    if (host->state == ZM_HOST_STARTING && member->waited > 0 && seat->failed == NULL)
      seat->failed = g_strdup_printf ("its host ended before it was ready: %s", death->how);
    /* Whose own step it was is told so; anyone else, and one that nobody waits for, is brought up again in the next process. */
    zm_seat_lost (seat, member == death->guilty && member->waited > 0 ? death->text : NULL);
  }
}

/* Under the lock. */
static void
settle (ZmHost *host, Death *death, ZmArrivals *arrivals, GPtrArray *kept)
{
  ZmHosts *hosts = host->hosts;
  gint64 now_us = zm_now_us ();
  gboolean again;

  if (!death->expected)
    zm_counter_add (hosts->c_crashes, 1);
  if (death->guilty != NULL && (death->call != NULL || death->id != NULL))
    zm_dead_note (hosts, death->call, death->id, zm_generation_name (death->guilty->generation),
                  death->symbol, death->how);
  if (host->page != NULL)
    end_slots (host, death, arrivals, kept);
  end_deferred (host, death, arrivals);
  lose_seats (host, death);
  zm_sources_lost (host);
  if (death->guilty != NULL && death->own_making &&
      zm_carried_blame (death->guilty, host, death->text, now_us))
    zm_carried_end_waiting (death->guilty, arrivals);
  host->due_us = next_start (host, death, now_us);
  g_free (host->last_end);
  /* That it ended well says nothing of why it was asked to. */
  host->last_end = g_strdup (death->expected ? host->leaving_why : death->how);
  zm_host_clear (host);
  /* Lets the lock go, so that only now it is known who needs the host: a plugin may have come in the meantime. The guilty one
   * may have gone in it. */
  again = !hosts->ending && is_wanted (host) && (host->state != ZM_HOST_LEAVING || host->again);
  log_death (host, death, host->due_us - now_us, again);
  host->state = again ? ZM_HOST_DOWN : ZM_HOST_OVER;
  zm_hosts_count_up (hosts);
  zm_group_pump (host->group);
  pthread_cond_broadcast (&hosts->changed);
}

void
zm_host_died (ZmHost *host, int status)
{
  ZmHosts *hosts = host->hosts;
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();
  ZmArrivals arrivals = { NULL, NULL };
  Death death = { 0 };
  g_autofree char *report = NULL;

  pthread_mutex_lock (&hosts->lock);
  host->dying = TRUE;
  pthread_mutex_unlock (&hosts->lock);
  zm_host_read_rest (host, &arrivals);
  zm_host_drop_services (host);
  pthread_mutex_lock (&hosts->lock);
  examine (host, status, &death);
  report = death.expected ? NULL : zm_host_report (host, death.text);
  settle (host, &death, &arrivals, kept);
  pthread_mutex_unlock (&hosts->lock);
  for (guint i = 0; i < kept->len; i++)
    zm_generation_unref (g_ptr_array_index (kept, i), "hung call");
  /* Before its calls are told: who hears of a crash finds its report. */
  if (report != NULL)
    zm_host_write_report (host, death.pid, report);
  g_free (death.how);
  g_free (death.text);
  zm_arrivals_tell (hosts, &arrivals);
}
