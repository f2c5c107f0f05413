/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes from a host, in the hosts' thread. Nothing of it is believed: a plugin may have written over its host's memory.
 * Slots and serials are checked against what was sent; what does not fit is counted, and ends the host where nothing behind
 * it can be read.
 *
 * A chunk is gone through twice: first under the lock, which takes each ended call from its slot, then without it, which
 * copies results and does services.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

/* ---- ended calls ---- */

void
zm_arrivals_add (ZmArrivals *arrivals, ZmHostCall *call)
{
  call->next = NULL;
  if (arrivals->tail != NULL)
    arrivals->tail->next = call;
  else
    arrivals->head = call;
  arrivals->tail = call;
}

void
zm_arrivals_tell (ZmHosts *hosts, ZmArrivals *arrivals)
{
  ZmHostCall *calls = arrivals->head;

  arrivals->head = arrivals->tail = NULL;
  if (calls != NULL)
    hosts->config.ended (calls, hosts->config.user);
}

/* NULL where it is absent; cut where it is too long. A NUL ends it. */
static char *
text_of (ZmSpan part)
{
  return part.data != NULL ? g_strndup (part.data, MIN (part.size, ZM_HOST_TEXT_MOST)) : NULL;
}

void
zm_call_take_answer (ZmHostCall *call, const ZmRecord *record)
{
  const ZmSpan *parts = record->parts;

  call->status = (int) (gint64) record->numbers[ZM_DONE_STATUS];
  /* One that took longer would have been given up. */
  call->took_us = (gint64) MIN (record->numbers[ZM_DONE_TOOK], (guint64) call->timeout_us + 1) - 1;
  call->content_type = text_of (parts[ZM_DONE_TYPE]);
  call->key = text_of (parts[ZM_DONE_KEY]);
  call->next_key = text_of (parts[ZM_DONE_NEXT]);
  call->code = text_of (parts[ZM_DONE_CODE]);
  call->text = text_of (parts[ZM_DONE_TEXT]);
  if (parts[ZM_DONE_BODY].data == NULL)
    return;
  if (zmq_msg_init_size (&call->body, parts[ZM_DONE_BODY].size) != 0) {
    zm_call_fail (call, "memory", "no memory for a result of %" G_GSIZE_FORMAT " bytes",
                  parts[ZM_DONE_BODY].size);
    return;
  }
  call->given = TRUE;
  if (parts[ZM_DONE_BODY].size > 0)
    memcpy (zmq_msg_data (&call->body), parts[ZM_DONE_BODY].data, parts[ZM_DONE_BODY].size);
}

/* ---- deferred calls: they have no slot ---- */

void
zm_deferred_remove (ZmHost *host, ZmHostCall *call)
{
  g_hash_table_remove (host->deferred_by, &call->serial);
  atomic_fetch_sub (&host->hosts->n_deferred, 1);
  if (call->previous != NULL)
    call->previous->next = call->next;
  else
    host->deferred = call->next;
  if (call->next != NULL)
    call->next->previous = call->previous;
  call->deferred = FALSE;
  call->next = call->previous = NULL;
}

static void
deferred_add (ZmHost *host, ZmHostCall *call)
{
  call->deferred = TRUE;
  call->previous = NULL;
  call->next = host->deferred;
  if (host->deferred != NULL)
    host->deferred->previous = call;
  host->deferred = call;
  g_hash_table_insert (host->deferred_by, &call->serial, call);
  atomic_fetch_add (&host->hosts->n_deferred, 1);
}

/* ---- the first time through, under the lock ---- */

/* The slot that a record speaks of, where that is right; else NULL, and counted. */
static ZmHostSlot *
slot_of (ZmHost *host, const ZmRecord *record, guint64 number)
{
  ZmHostSlot *slot = number < ZM_PAGE_SLOTS ? &host->slots[number] : NULL;

  if (slot != NULL && slot->carried != NULL && slot->serial == record->id)
    return slot;
  zm_counter_add (host->hosts->c_bad, 1);
  zm_log_limited (host->hosts->config.log, ZM_LEVEL_WARNING, "host", "bad-answer",
                  "host %s: an answer to a call that it does not have was left out", host->name);
  return NULL;
}

/* Of one that was given up its code has come back at last. */
static void
came_late (ZmHost *host, ZmHostSlot *slot)
{
  zm_counter_add (host->hosts->c_late, 1);
  zm_log_limited (host->hosts->config.log, ZM_LEVEL_WARNING, "host", "late",
                  "%s.%s came back after its deadline had passed; its result is thrown away",
                  zm_generation_name (slot->carried->generation), slot->symbol);
}

static ZmHostCall *
done_deferred (ZmHost *host, const ZmRecord *record)
{
  guint64 serial = record->id;
  ZmHostCall *call = g_hash_table_lookup (host->deferred_by, &serial);

  if (call == NULL) {
    zm_counter_add (host->hosts->c_late, 1);
    return NULL;
  }
  if ((gint64) record->numbers[ZM_DONE_STATUS] == ZM_OK)
    call->carried->crashes = 0;
  zm_deferred_remove (host, call);
  zm_carried_less (call->carried, 1);
  return call;
}

/* Its call, detached from the host; NULL: nobody waits for it any more. *kept: to be let go without the lock. */
static ZmHostCall *
done (ZmHost *host, const ZmRecord *record, ZmGeneration **kept)
{
  guint64 number = record->numbers[ZM_DONE_SLOT];
  ZmHostSlot *slot;
  ZmHostCall *call;
  ZmCarried *carried;

  if (number == ZM_WORK_DEFERRED)
    return done_deferred (host, record);
  slot = slot_of (host, record, number);
  if (slot == NULL)
    return NULL;
  call = slot->call;
  carried = slot->carried;
  if (call == NULL)
    came_late (host, slot);
  else if ((gint64) record->numbers[ZM_DONE_STATUS] == ZM_OK)
    carried->crashes = 0;
  *kept = g_steal_pointer (&slot->kept);
  zm_slot_free (host, (guint) number);
  zm_carried_less (carried, 1);
  return call;
}

/* It holds no credit any more, and ends by a DONE of its own. */
static void
becomes_deferred (ZmHost *host, const ZmRecord *record)
{
  ZmHostSlot *slot = slot_of (host, record, record->numbers[0]);
  ZmHostCall *call = slot != NULL ? slot->call : NULL;

  if (slot == NULL)
    return;
  if (call == NULL)
    came_late (host, slot);
  else {
    call->due_us = zm_now_us () + call->timeout_us;
    if (call->deadline_us > 0)
      call->due_us = MIN (call->due_us, call->deadline_us);
    deferred_add (host, call);
  }
}

/* One that is deferred after its caller was given up is told so: its plugin need not go on. */
static void
free_deferred_slot (ZmHost *host, const ZmRecord *record, ZmGeneration **kept)
{
  guint64 number = record->numbers[0];
  ZmHostSlot *slot = number < ZM_PAGE_SLOTS ? &host->slots[number] : NULL;
  ZmCarried *carried;

  if (slot == NULL || slot->carried == NULL || slot->serial != record->id)
    return;
  carried = slot->carried;
  if (slot->call == NULL) {
    const ZmRecord cancel = { .kind = ZM_RECORD_CANCEL, .id = record->id };

    zm_host_say (host, &cancel);
    zm_carried_less (carried, 1);
  }
  *kept = g_steal_pointer (&slot->kept);
  zm_slot_free (host, (guint) number);
}

/* What the second time through finds of each record. */
typedef struct Found {
  gsize at;
  ZmHostCall *call;
  ZmGeneration *kept;
} Found;

/* FALSE: what stands at `at` is nonsense. */
static gboolean
sort_records (ZmHost *host, const guint8 *data, gsize size, GArray *found, gsize *used)
{
  ZmHosts *hosts = host->hosts;
  gssize taken = 0;

  pthread_mutex_lock (&hosts->lock);
  for (gsize at = 0; at < size; at += (gsize) taken) {
    g_autoptr (GError) error = NULL;
    ZmRecord record;
    Found one = { .at = at };
    gsize needed;

    taken = zm_record_read (data + at, size - at, &record, &needed, &error);
    if (taken <= 0)
      break;
    *used = at + (gsize) taken;
    if (record.kind == ZM_RECORD_DONE) {
      one.call = done (host, &record, &one.kept);
      if (one.call == NULL && one.kept == NULL)
        continue;
    } else if (record.kind == ZM_RECORD_DEFERRED) {
      becomes_deferred (host, &record);
      free_deferred_slot (host, &record, &one.kept);
      if (one.kept == NULL)
        continue;
    }
    g_array_append_val (found, one);
  }
  zm_group_pump (host->group);
  pthread_mutex_unlock (&hosts->lock);
  return taken >= 0;
}

/* ---- the second time ---- */

static void
take_one (ZmHost *host, const ZmRecord *record, const Found *one, ZmArrivals *arrivals)
{
  switch (record->kind) {
  case ZM_RECORD_DONE:
    if (one->call != NULL) {
      zm_call_take_answer (one->call, record);
      zm_arrivals_add (arrivals, one->call);
    }
    break;
  case ZM_RECORD_DEFERRED: break;
  case ZM_RECORD_PONG: host->pinged_us = 0; break;
  case ZM_RECORD_READY:
  case ZM_RECORD_PREPARED:
  case ZM_RECORD_INITED:
  case ZM_RECORD_COMMITTED:
  case ZM_RECORD_RETIRED:
  case ZM_RECORD_CLOSED:
  case ZM_RECORD_CONFIGURED: zm_seat_answer (host, record); break;
  case ZM_RECORD_OPENED:
  case ZM_RECORD_RETURNED:
  case ZM_RECORD_SHUTTED: zm_host_source_record (host, record); break;
  default: zm_host_service (host, record);
  }
  if (one->kept != NULL)
    zm_generation_unref (one->kept, "hung call");
}

gssize
zm_host_take (ZmHost *host, const guint8 *data, gsize size, ZmArrivals *arrivals)
{
  g_autoptr (GArray) found = g_array_sized_new (FALSE, FALSE, sizeof (Found), 256);
  gsize used = 0;
  gboolean good = sort_records (host, data, size, found, &used);

  for (guint i = 0; i < found->len; i++) {
    const Found *one = &g_array_index (found, Found, i);
    ZmRecord record;
    gsize needed;

    if (zm_record_read (data + one->at, size - one->at, &record, &needed, NULL) > 0)
      take_one (host, &record, one, arrivals);
  }
  return good ? (gssize) used : -1;
}
