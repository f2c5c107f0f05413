/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls to hosts: against credits, of which each host has so many for each plugin. A call that finds none waits at its plugin,
 * and is sent when a credit comes back. Those of one order go to one host; all others to the one with most credits.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <stdarg.h>
#include <string.h>

#define WINDOW_MOST  224 /* credits of one plugin at one host */
#define WINDOW_LEAST 8
#define BYTES_MOST   ((gsize) 64 << 20) /* of bodies that one host has at a time, beside those of one call */
#define OUT_MOST     ((gsize) 16 << 20) /* bytes for one host, beside those of one call */

void
zm_call_fail (ZmHostCall *call, const char *code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_free (call->code);
  g_free (call->text);
  call->code = g_strdup (code);
  call->text = g_strdup_vprintf (format, args);
  call->status = ZM_REJECT;
  va_end (args);
}

/* ---- credits ---- */

/* Plugins that share a host share its slots, so that one with many calls leaves some to the others. */
static guint
window_of (const ZmHostGroup *group)
{
  return CLAMP (ZM_PAGE_SLOTS / MAX (group->members->len, 1), WINDOW_LEAST, WINDOW_MOST);
}

/* Large bodies wait where they are, once, until the host is done with those that it has: it keeps each in its own memory. */
static gboolean
is_choked (const ZmHost *host)
{
  guint64 memory = host->group->memory;
  gsize most = memory > 0 ? (gsize) MIN (BYTES_MOST, memory / 2) : BYTES_MOST;

  return host->bytes > most || host->out->len - host->out_at > OUT_MOST;
}

/* So many more this host may take of this plugin; 0: none. */
static guint
credits_at (const ZmHost *host, const ZmCarried *carried, guint window)
{
  const ZmSeat *seat = &carried->seats[host->index];

  if (seat->slow && carried->n_seats > 1)
    window = MIN (window, carried->threads);
  if (host->state != ZM_HOST_UP || host->dying || seat->state != ZM_SEAT_UP || seat->calls >= window ||
      is_choked (host))
    return 0;
  return MIN (host->n_free, window - seat->calls);
}

/* The only host that has a timer's function. NULL: no credit now; *gone: it has ended since. */
static ZmHost *
choose_home (const ZmCarried *carried, const ZmHostCall *call, gboolean *gone)
{
  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    if (host->number != call->home || host->life != call->home_life)
      continue;
    return credits_at (host, carried, ZM_PAGE_SLOTS) > 0 ? host : NULL;
  }
  *gone = TRUE;
  return NULL;
}

static ZmHost *
choose (const ZmCarried *carried, const ZmHostCall *call, gboolean *gone)
{
  guint window = window_of (carried->group), best = 0;
  ZmHost *chosen = NULL;

  if (call->home != 0)
    return choose_home (carried, call, gone);
  if (call->order != 0) {
    guint place = (guint) (call->order % carried->n_seats);

    chosen = g_ptr_array_index (carried->group->list, place);
    return credits_at (chosen, carried, window) > 0 ? chosen : NULL;
  }
  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);
    guint credits = credits_at (host, carried, window);

    if (credits > best) {
      best = credits;
      chosen = host;
    }
  }
  return chosen;
}

static ZmSpan
span_of (zm_str text)
{
  return zm_span (text.data != NULL ? text.data : "", text.size);
}

static void
say_work (ZmHost *host, const ZmHostCall *call, guint slot)
{
  const zm_call *asked = call->call;
  ZmRecord record = {
    .kind = ZM_RECORD_WORK, .id = call->serial, .n_numbers = ZM_WORK_NUMBERS, .n_parts = ZM_WORK_PARTS
  };

  record.numbers[ZM_WORK_SLOT] = slot;
  record.numbers[ZM_WORK_GENERATION] = call->carried->serial;
  record.numbers[ZM_WORK_ACTION] = call->place;
  record.numbers[ZM_WORK_FN] = call->function;
  /* Its host was chosen by the rest of a division by their number: its thread is by what is left. */
  record.numbers[ZM_WORK_ORDER] = call->order != 0 ? call->order / call->carried->n_seats + 1 : 0;
  record.numbers[ZM_WORK_DEADLINE] = (guint64) call->deadline_us;
  record.numbers[ZM_WORK_TIMEOUT] = (guint64) call->timeout_us;
  record.numbers[ZM_WORK_ATTEMPT] = asked->attempt;
  record.numbers[ZM_WORK_STEP] = asked->step;
  record.numbers[ZM_WORK_HOPS] = call->hops;
  record.parts[ZM_WORK_FLOW] = span_of (asked->flow);
  record.parts[ZM_WORK_DECORATOR] = span_of (asked->decorator);
  record.parts[ZM_WORK_SENDER] = span_of (asked->sender);
  record.parts[ZM_WORK_CONTEXT] = span_of (asked->context);
  record.parts[ZM_WORK_KEY_ACTION] = span_of (asked->action);
  record.parts[ZM_WORK_ID] = span_of (asked->id);
  record.parts[ZM_WORK_HEADERS] = span_of (asked->headers);
  record.parts[ZM_WORK_TYPE] = call->type != NULL ? zm_span_text (call->type) : zm_span (NULL, 0);
  record.parts[ZM_WORK_BODY] = zm_span (asked->body != NULL ? asked->body : "", asked->body_size);
  zm_host_say (host, &record);
}

/* Takes a slot of the host and puts the call on its way. */
static void
send_to (ZmHost *host, ZmHostCall *call)
{
  ZmCarried *carried = call->carried;
  guint slot = host->free_slots[--host->n_free];
  ZmPageSlot *shared = &host->page->slots[slot];

  call->host = host;
  call->serial = ++host->next_serial;
  host->slots[slot] = (ZmHostSlot){
    .call = call, .carried = carried, .serial = call->serial, .bytes = call->call->body_size
  };
  host->bytes += call->call->body_size;
  carried->seats[host->index].calls++;
  atomic_store (&shared->cancelled, 0);
  atomic_store (&shared->word, zm_page_word (call->serial, ZM_SLOT_IS_QUEUED));
  say_work (host, call, slot);
  host->unsent++;
  carried->sent++;
}

gboolean
zm_carried_runs (const ZmCarried *carried)
{
  for (guint i = 0; i < carried->n_seats; i++)
    if (carried->seats[i].calls > 0)
      return TRUE;
  return FALSE;
}

/* After an old generation: not before its calls are over and what it had not begun is here, or its time is up. */
static gboolean
is_blocked (ZmCarried *carried)
{
  gboolean waits = carried->held || (carried->after != NULL && carried->hosts->moving > 0);

  if (carried->after == NULL && !waits)
    return FALSE;
  /* One that was replaced before it was its turn may have one before it that still has calls. */
  for (const ZmCarried *old = carried->after; old != NULL && !waits; old = old->after)
    waits = !old->closed || old->held || zm_carried_runs (old);
  if (waits && zm_now_us () < carried->after_until_us)
    return TRUE;
  carried->held = FALSE;
  carried->after = NULL;
  zm_carried_all_came (carried);
  return FALSE;
}

/* The next one of a list. One that cannot go yet may be passed over, as others of the first list may go elsewhere; but where
 * one that is bound to nothing, or to the host of its list, finds no credit there is none for those behind it either. */
static void
pump_one (ZmCarried *carried, ZmWaiting *list, gboolean blocked)
{
  ZmHostCall *call = list->at;
  gboolean gone = FALSE, held = blocked && (call->order != 0 || call->serial_action);
  ZmHost *host = held ? NULL : choose (carried, call, &gone);

  list->at = call->next;
  if (host != NULL) {
    zm_carried_unlink (carried, list, list->before, call);
    send_to (host, call);
    return;
  }
  list->before = call;
  list->passed++;
  if ((!gone && !held && (carried->n_seats == 1 || call->home == 0)) || list->passed >= WINDOW_MOST)
    list->at = NULL;
}

void
zm_carried_pump (ZmCarried *carried)
{
  ZmWaiting *list;
  gboolean blocked = carried->waiting > 0 && is_blocked (carried);

  if (carried->waiting == 0)
    return;
  zm_carried_rewind (carried);
  while ((list = zm_carried_next (carried)) != NULL)
    pump_one (carried, list, blocked);
}

void
zm_group_pump (ZmHostGroup *group)
{
  for (guint i = 0; i < group->members->len; i++)
    zm_carried_pump (g_ptr_array_index (group->members, i));
}

void
zm_slot_free (ZmHost *host, guint slot)
{
  ZmHostSlot *used = &host->slots[slot];

  if (used->carried == NULL)
    return;
  if (host->page != NULL)
    atomic_store (&host->page->slots[slot].word, 0);
  used->carried->seats[host->index].calls--;
  host->bytes -= used->bytes;
  used->carried->hung -= used->call == NULL && used->symbol != NULL ? 1 : 0;
  g_free (used->symbol);
  g_free (used->id);
  g_free (used->key);
  *used = (ZmHostSlot){ 0 };
  host->free_slots[host->n_free++] = (guint16) slot;
}

/* Who comes after it looks again whether it is its turn. */
void
zm_carried_pump_after (const ZmCarried *carried)
{
  GPtrArray *all = carried->hosts->carrieds;

  for (guint i = 0; i < all->len; i++) {
    ZmCarried *other = g_ptr_array_index (all, i);

    if (other->after == carried || (other->after != NULL && other->after->after == carried))
      zm_carried_pump (other);
  }
}

/* Who waits for this to be empty, or for room, looks again. */
void
zm_carried_less (ZmCarried *carried, guint n)
{
  ZmHosts *hosts = carried->hosts;

  carried->outstanding -= n;
  if (carried->closed)
    zm_carried_pump_after (carried);
  if (carried->outstanding == 0 || hosts->room_waiters > 0)
    pthread_cond_broadcast (&hosts->changed);
}

/* ---- the door ---- */

/* Before it is counted as outstanding. FALSE: its error is set. */
static gboolean
may_enter (ZmHosts *hosts, ZmCarried *carried, ZmHostCall *call)
{
  if (carried->quarantine != NULL) {
    zm_call_fail (call, "quarantined", "plugin %s is in quarantine: %s",
                  zm_generation_name (carried->generation), carried->quarantine);
    return FALSE;
  }
  if (hosts->n_dead > 0 && zm_dead_refuses (hosts, call))
    return FALSE;
  if (call->place == ZM_WORK_FUNCTION) {
    ZmHostTimer *timer = zm_hosts_timer (hosts, call->function);

    if (timer == NULL) {
      zm_call_fail (call, "unavailable", "the host that started this timer has ended");
      return FALSE;
    }
    call->home = timer->host->number;
    call->home_life = timer->host->life;
    call->function = timer->function;
    timer->fired = timer->once;
    hosts->n_fired += timer->once ? 1 : 0;
  }
  return TRUE;
}

/* Nobody of it is under way, so that nobody would send this one along with others. */
static gboolean
is_idle (const ZmCarried *carried)
{
  return carried->outstanding <= 1;
}

ZmHostsEntry
zm_hosts_call (ZmHosts *hosts, ZmGeneration *generation, ZmHostCall *call)
{
  ZmCarried *carried = zm_generation_carried (generation);
  ZmHostsEntry entry = ZM_HOSTS_TAKEN;

  pthread_mutex_lock (&hosts->lock);
  call->carried = carried;
  if (carried->closed) {
    entry = ZM_HOSTS_CLOSED;
  } else if (carried->waiting >= ZM_HOST_WAITING_MOST && hosts->moving == 0 && carried->quarantine == NULL) {
    entry = ZM_HOSTS_FULL;
  } else if (!may_enter (hosts, carried, call)) {
    entry = ZM_HOSTS_REFUSED;
  } else {
    carried->outstanding++;
    if (call->rank != 0) {
      zm_carried_insert_again (carried, call);
    } else {
      call->rank = ++hosts->next_rank;
      zm_carried_append (carried, call);
    }
    zm_carried_pump (carried);
    if (!hosts->busy) {
      hosts->busy = TRUE; /* from now on it ticks, for the deadlines */
      zm_hosts_wake (hosts);
    }
    if (call->host != NULL && (is_idle (carried) || zm_host_has_much (call->host)))
      zm_host_flush_locked (call->host);
  }
  pthread_mutex_unlock (&hosts->lock);
  return entry;
}

/* Every thread that could make room hangs: waiting for it would only cost others. */
static gboolean
all_hang (const ZmCarried *carried)
{
  return carried->hung >= carried->threads * carried->n_seats;
}

gboolean
zm_hosts_wait_room (ZmHosts *hosts, ZmGeneration *generation, gint64 until_us)
{
  ZmCarried *carried = zm_generation_carried (generation);
  guint64 sent;
  gboolean room;

  pthread_mutex_lock (&hosts->lock);
  sent = carried->sent;
  hosts->room_waiters++;
  while (carried->waiting >= ZM_HOST_WAITING_MOST && !carried->closed && !all_hang (carried) &&
         carried->quarantine == NULL && hosts->moving == 0 &&
         zm_cond_wait_until (&hosts->changed, &hosts->lock, until_us))
    continue;
  hosts->room_waiters--;
  /* Others may have been quicker to take the room that there was: as long as it moves on, it is worth waiting. */
  room = carried->waiting < ZM_HOST_WAITING_MOST || carried->sent != sent || is_blocked (carried) ||
         carried->closed || carried->quarantine != NULL || hosts->moving > 0;
  pthread_mutex_unlock (&hosts->lock);
  return room;
}
