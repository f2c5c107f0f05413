/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seats: what a plugin is brought to in each of its hosts. What is wanted of it (loaded, initialised, started, stopped, gone)
 * is told by the carrier's functions, which wait until it is so; each seat takes one step after the other towards it. A new
 * process after a crash takes the same steps without anybody waiting.
 */
#include "config.h"

#include "hosts/hosts-private.h"
#include "plugin/zm-event.h"

#include <string.h>

#define HUNG_US G_USEC_PER_SEC /* what the other plugins' calls get in a host that is to be killed */

ZmSeat *
zm_seat_of (const ZmHost *host, const ZmCarried *carried)
{
  return host->index < carried->n_seats ? &carried->seats[host->index] : NULL;
}

ZmCarried *
zm_carried_by_serial (ZmHosts *hosts, guint64 serial)
{
  for (guint i = 0; i < hosts->carrieds->len; i++) {
    ZmCarried *carried = g_ptr_array_index (hosts->carrieds, i);

    if (carried->serial == serial)
      return carried;
  }
  return NULL;
}

/* ---- steps ---- */

static void
ask (ZmHost *host, ZmCarried *carried, ZmRecord *record)
{
  zm_seat_of (host, carried)->asked = record->kind;
  record->id = carried->serial;
  zm_host_say (host, record);
}

static void
ask_prepare (ZmHost *host, ZmCarried *carried)
{
  const ZmGeneration *generation = carried->generation;
  ZmRecord record = { .kind = ZM_RECORD_PREPARE, .n_numbers = 2, .n_parts = 2 };

  record.numbers[0] = zm_generation_number (generation);
  record.numbers[1] = zm_generation_placement (generation)->threads;
  record.parts[0] = zm_span_text (zm_generation_name (generation));
  record.parts[1] = zm_span_text (zm_generation_copy (generation));
  ask (host, carried, &record);
}

static void
ask_init (ZmHost *host, ZmCarried *carried)
{
  ZmRecord record = { .kind = ZM_RECORD_INIT, .n_parts = 1 };

  record.parts[0] =
      zm_span (carried->values->len > 0 ? (const char *) carried->values->data : "", carried->values->len);
  ask (host, carried, &record);
}

static void
ask_retire (ZmHost *host, ZmCarried *carried)
{
  ZmRecord record = { .kind = ZM_RECORD_RETIRE, .n_numbers = 1, .numbers = { carried->stop_ms } };

  ask (host, carried, &record);
}

static void
ask_plain (ZmHost *host, ZmCarried *carried, ZmRecordKind kind)
{
  ZmRecord record = { .kind = kind };

  ask (host, carried, &record);
}

/* Out of the host: stopped first where it was started. */
static void
step_out (ZmHost *host, ZmCarried *carried, ZmSeatState state)
{
  if (state == ZM_SEAT_UP)
    ask_retire (host, carried);
  else if (state != ZM_SEAT_EMPTY)
    ask_plain (host, carried, ZM_RECORD_CLOSE);
}

static void
step_in (ZmHost *host, ZmCarried *carried, ZmSeatState state, ZmWant want)
{
  if (state == ZM_SEAT_EMPTY)
    ask_prepare (host, carried);
  else if (state == ZM_SEAT_LOADED && want >= ZM_WANT_INITED)
    ask_init (host, carried);
  else if ((state == ZM_SEAT_READY || state == ZM_SEAT_STOPPED) && want == ZM_WANT_STARTED)
    ask_plain (host, carried, ZM_RECORD_COMMIT);
}

/* Somebody waits for a call that it has. Those that were given up are waited for only where their end is to be expected. */
static gboolean
is_empty (const ZmHost *host)
{
  if (zm_sources_there (host) || host->deferred != NULL ||
      (host->n_free < ZM_PAGE_SLOTS && host->hung == NULL))
    return FALSE;
  for (guint i = 0; host->n_free < ZM_PAGE_SLOTS && i < ZM_PAGE_SLOTS; i++)
    if (host->slots[i].call != NULL)
      return FALSE;
  return TRUE;
}

void
zm_seat_advance (ZmHost *host, ZmCarried *carried)
{
  ZmSeat *seat = zm_seat_of (host, carried);
  gboolean leaving = host->state == ZM_HOST_LEAVING;

  if (seat == NULL || host->dying || seat->asked != 0 || seat->failed != NULL ||
      (host->state != ZM_HOST_UP && !leaving))
    return;
  if (carried->want == ZM_WANT_NOTHING || (leaving && is_empty (host))) {
    step_out (host, carried, seat->state);
  } else if (carried->want == ZM_WANT_STOPPED) {
    if (seat->state == ZM_SEAT_UP)
      ask_retire (host, carried);
  } else if (!leaving && carried->quarantine == NULL) {
    step_in (host, carried, seat->state, carried->want);
  }
}

void
zm_seat_lost (ZmSeat *seat, const char *how)
{
  seat->state = ZM_SEAT_EMPTY;
  seat->calls = 0;
  if (seat->asked != 0 && seat->failed == NULL)
    seat->failed = g_strdup (how); /* none of NULL */
  seat->asked = 0;
}

void
zm_host_bring_up (ZmHost *host)
{
  for (guint i = 0; i < host->group->members->len; i++)
    zm_seat_advance (host, g_ptr_array_index (host->group->members, i));
}

/* ---- answers ---- */

static void
is_ready (ZmHost *host, const ZmRecord *record)
{
  if (host->state != ZM_HOST_STARTING)
    return;
  if (record->numbers[0] != ZM_HOST_VERSION || record->numbers[1] != ZM_PAGE_SLOTS) {
    zm_host_kill (host, g_strdup ("it is of another version than the daemon; install both anew"));
    return;
  }
  host->state = ZM_HOST_UP;
  zm_hosts_count_up (host->hosts);
  zm_host_bring_up (host);
}

/* Without any its host has one thread for it, whatever was asked for. */
static gboolean
has_threadsafe (const zm_plugin_desc *descriptor)
{
  for (const zm_action_desc *action = descriptor->actions; action != NULL && action->name != NULL; action++)
    if ((action->flags & ZM_ACTION_THREADSAFE_FLAG) != 0)
      return TRUE;
  return (descriptor->flags & ZM_PLUGIN_THREADSAFE) != 0;
}

/* Of the first host that has loaded it: what the plugin says of itself. */
static char *
describe (ZmCarried *carried, const ZmRecord *record)
{
  g_autoptr (GError) error = NULL;

  if (carried->described)
    return NULL;
  if (!zm_generation_adopt_carried (carried->generation, record, &error))
    return g_strdup (error->message);
  carried->described = TRUE;
  if (!has_threadsafe (zm_generation_descriptor (carried->generation)))
    carried->threads = 1;
  carried->serial_calls = (zm_generation_flags (carried->generation) & ZM_PLUGIN_THREADSAFE) == 0;
  return NULL;
}

static ZmSeatState
state_after (ZmRecordKind kind)
{
  switch (kind) {
  case ZM_RECORD_PREPARED: return ZM_SEAT_LOADED;
  case ZM_RECORD_INITED: return ZM_SEAT_READY;
  case ZM_RECORD_COMMITTED: return ZM_SEAT_UP;
  case ZM_RECORD_RETIRED: return ZM_SEAT_STOPPED;
  default: return ZM_SEAT_EMPTY;
  }
}

/* What an answer answers. */
static ZmRecordKind
question_of (ZmRecordKind kind)
{
  switch (kind) {
  case ZM_RECORD_PREPARED: return ZM_RECORD_PREPARE;
  case ZM_RECORD_INITED: return ZM_RECORD_INIT;
  case ZM_RECORD_COMMITTED: return ZM_RECORD_COMMIT;
  case ZM_RECORD_RETIRED: return ZM_RECORD_RETIRE;
  default: return ZM_RECORD_CLOSE;
  }
}

/* A step that nobody waits for failed: after a crash the plugin cannot be started again. */
static void
cannot_come_back (ZmHost *host, ZmCarried *carried, const char *why)
{
  if (carried->want != ZM_WANT_STARTED || carried->waited > 0 || carried->quarantine != NULL)
    return;
  carried->quarantine = g_strdup_printf ("after its host ended it could not be started again: %s", why);
  zm_log_write (host->hosts->config.log, ZM_LEVEL_ERROR, "host", "plugin %s is in quarantine: %s",
                zm_generation_name (carried->generation), carried->quarantine);
}

static void
step_done (ZmHost *host, ZmCarried *carried, const ZmRecord *record)
{
  ZmSeat *seat = zm_seat_of (host, carried);
  int status = (int) (gint64) record->numbers[0];
  g_autofree char *why = zm_record_text (record, 0);

  seat->asked = 0;
  /* A stop that left a thread, and a library that stays, are done all the same: their process goes in the end. */
  if (record->kind == ZM_RECORD_RETIRED || record->kind == ZM_RECORD_CLOSED)
    status = ZM_OK;
  if (status == ZM_OK && record->kind == ZM_RECORD_PREPARED) {
    g_free (why);
    why = describe (carried, record);
    status = why == NULL ? ZM_OK : ZM_E_FAILED;
    if (status != ZM_OK)
      seat->state = ZM_SEAT_LOADED;
  }
  if (status == ZM_OK) {
    seat->state = state_after (record->kind);
    return;
  }
  seat->failed = why != NULL ? zm_printable (zm_span_text (why), ZM_HOST_TEXT_MOST)
                             : g_strdup_printf ("status %d", status);
  cannot_come_back (host, carried, seat->failed);
}

/* CONFIGURED: the plugin keeps what it had where its reload says no. */
static void
told_configuration (ZmHost *host, const ZmCarried *carried, const ZmRecord *record)
{
  int status = (int) (gint64) record->numbers[0];
  g_autofree char *name = zm_status_text (status);

  if (status < 0)
    zm_log_write (host->hosts->config.log, ZM_LEVEL_WARNING, "plugin",
                  "plugin %s keeps its old configuration (reload gave %s)",
                  zm_generation_name (carried->generation), name);
}

/* Those that it started there end with it, not with its stop: an EXCLUSIVE one may be started again, and what its init
 * started is to go on then; and where it could not be loaded it is not closed. Who closes or loads it waits for this answer, so
 * that it is there still. */
static void
drop_timers (ZmHost *host, guint64 serial)
{
  ZmHosts *hosts = host->hosts;
  ZmGeneration *generation = NULL;
  ZmCarried *carried;

  pthread_mutex_lock (&hosts->lock);
  carried = zm_carried_by_serial (hosts, serial);
  if (carried != NULL && carried->group == host->group)
    generation = carried->generation;
  pthread_mutex_unlock (&hosts->lock);
  if (generation != NULL)
    zm_host_drop_timers (host, generation);
}

void
zm_seat_answer (ZmHost *host, const ZmRecord *record)
{
  ZmHosts *hosts = host->hosts;
  ZmCarried *carried = NULL;
  ZmSeat *seat = NULL;

  if (record->kind == ZM_RECORD_CLOSED ||
      (record->kind == ZM_RECORD_PREPARED && (gint64) record->numbers[0] != ZM_OK))
    drop_timers (host, record->id);
  pthread_mutex_lock (&hosts->lock);
  if (record->kind == ZM_RECORD_READY) {
    is_ready (host, record);
  } else {
    carried = zm_carried_by_serial (hosts, record->id);
    seat = carried != NULL && carried->group == host->group ? zm_seat_of (host, carried) : NULL;
  }
  if (seat != NULL && record->kind == ZM_RECORD_CONFIGURED)
    told_configuration (host, carried, record);
  else if (seat != NULL && seat->asked == question_of (record->kind)) {
    step_done (host, carried, record);
    zm_seat_advance (host, carried);
    zm_carried_pump (carried);
  }
  if (host->state == ZM_HOST_LEAVING)
    zm_host_try_leave (host);
  zm_host_flush_locked (host);
  pthread_cond_broadcast (&hosts->changed);
  pthread_mutex_unlock (&hosts->lock);
}

/* ---- leaving ---- */

void
zm_host_hangs (ZmHost *host, char *what)
{
  if (!host->group->shared) {
    zm_host_kill (host, what);
    return;
  }
  if (host->hung != NULL) {
    g_free (what);
    return;
  }
  host->hung = what;
  zm_calls_back (host->hosts, zm_host_take_back (host, NULL, FALSE));
  zm_host_leave (host, "something in it hangs", TRUE);
  host->due_us = MIN (host->due_us, zm_now_us () + HUNG_US);
  zm_host_try_leave (host);
}

void
zm_host_leave (ZmHost *host, const char *why, gboolean again)
{
  if (host->state == ZM_HOST_DOWN && !again) {
    host->state = ZM_HOST_OVER;
    return;
  }
  if (host->state == ZM_HOST_LEAVING)
    host->again = again;
  if (host->state != ZM_HOST_UP && host->state != ZM_HOST_STARTING)
    return;
  if (host->state == ZM_HOST_STARTING && !again) {
    host->unneeded = TRUE;
    zm_host_kill (host, g_strdup (why)); /* nothing is in it yet */
  }
  host->state = ZM_HOST_LEAVING;
  zm_hosts_count_up (host->hosts);
  host->again = again;
  host->leaving_why = why;
  host->due_us = zm_now_us () + (gint64) host->hosts->config.drain_ms * 1000;
  zm_sources_wake (host);
  zm_host_try_leave (host);
}

/* Once its calls are over each plugin is stopped and closed, and then it is told to end. */
void
zm_host_try_leave (ZmHost *host)
{
  gboolean left = FALSE;

  if (host->state != ZM_HOST_LEAVING || !is_empty (host) || host->killed != NULL)
    return;
  if (host->hung != NULL) {
    zm_host_kill (host, g_steal_pointer (&host->hung));
    return;
  }
  for (guint i = 0; i < host->group->members->len; i++) {
    ZmCarried *member = g_ptr_array_index (host->group->members, i);
    const ZmSeat *seat = zm_seat_of (host, member);

    zm_seat_advance (host, member);
    left |= seat != NULL && seat->state != ZM_SEAT_EMPTY && seat->failed == NULL;
  }
  if (!left) {
    const ZmRecord bye = { .kind = ZM_RECORD_BYE };

    zm_host_say (host, &bye);
  }
  zm_host_flush_locked (host);
}
