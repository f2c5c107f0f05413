/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deferred calls. RUNNING -> DEFERRED -> over: one that is completed before its action has returned is kept until then. Each
 * is ended once, by whoever takes its slot under the lock: its completion, the daemon's giving it up, or the end of its
 * plugin. A ticket is the slot and a number that counts up with each use of it, so that a late one finds nothing.
 */
#include "config.h"

#include "hosted/hosted-private.h"
#include "message/zm-key.h"

#include <string.h>

#define CHUNK 64

/* Size of zm_outcome in ABI 1.0. */
#define OUTCOME_1_0 (G_STRUCT_OFFSET (zm_outcome, text) + sizeof (const char *))

typedef enum { FREE, RUNNING, EARLY, DEFERRED } State;

typedef struct Slot {
  State state;
  guint32 number;      /* how often this slot was used */
  guint next_free;     /* index + 1 */
  ZmHostedCall *call;  /* RUNNING, EARLY: the action's; DEFERRED: owned */
  ZmHostedCall *early; /* EARLY: what was said, owned */
} Slot;

struct ZmHostedTickets {
  pthread_mutex_t lock;   /* all of this; held for moments, never while a plugin runs */
  GPtrArray *chunks;      /* of slots */
  guint used, first_free; /* first_free: index + 1 */
  GHashTable *serials;    /* of deferred calls -> index + 1 of the slot */
};

ZmHostedTickets *
zm_hosted_tickets_new (void)
{
  ZmHostedTickets *tickets = g_new0 (ZmHostedTickets, 1);

  pthread_mutex_init (&tickets->lock, NULL);
  tickets->chunks = g_ptr_array_new_with_free_func (g_free);
  tickets->serials = g_hash_table_new (g_int64_hash, g_int64_equal);
  return tickets;
}

/* ---- slots; all of it under the lock ---- */

static Slot *
slot_at (ZmHostedTickets *tickets, guint index)
{
  return (Slot *) tickets->chunks->pdata[index / CHUNK] + index % CHUNK;
}

static void
add_chunk (ZmHostedTickets *tickets)
{
  guint base = tickets->chunks->len * CHUNK;

  g_ptr_array_add (tickets->chunks, g_new0 (Slot, CHUNK));
  for (guint i = CHUNK; i > 0; i--) {
    slot_at (tickets, base + i - 1)->next_free = tickets->first_free;
    tickets->first_free = base + i;
  }
}

/* 0: all are in use. */
static zm_ticket
slot_take (ZmHostedTickets *tickets, ZmHostedCall *call)
{
  guint index;
  Slot *slot;

  if (tickets->used >= ZM_HOSTED_DEFERS)
    return 0;
  if (tickets->first_free == 0)
    add_chunk (tickets);
  index = tickets->first_free - 1;
  slot = slot_at (tickets, index);
  tickets->first_free = slot->next_free;
  tickets->used++;
  slot->number = (slot->number + 1) & 0x7fffffff;
  slot->state = RUNNING;
  slot->call = call;
  return (guint64) slot->number << 32 | (index + 1);
}

static Slot *
slot_find (ZmHostedTickets *tickets, zm_ticket ticket)
{
  guint index = (guint) (ticket & G_MAXUINT32);
  Slot *slot;

  if (index == 0 || index > tickets->chunks->len * CHUNK)
    return NULL;
  slot = slot_at (tickets, index - 1);
  return slot->state != FREE && slot->number == ticket >> 32 ? slot : NULL;
}

/* The call is the caller's from here on. */
static ZmHostedCall *
slot_release (ZmHostedTickets *tickets, Slot *slot)
{
  ZmHostedCall *call = g_steal_pointer (&slot->call);

  if (slot->state == DEFERRED)
    g_hash_table_remove (tickets->serials, &call->serial);
  slot->state = FREE;
  slot->next_free = tickets->first_free;
  tickets->first_free = (guint) (call->ticket & G_MAXUINT32);
  tickets->used--;
  call->ticket = 0;
  return call;
}

/* ---- the action's thread ---- */

/* From inside the action. Asked twice it gives the same ticket. 0: too many are deferred; the call then fails as busy
 * unless the action says otherwise. */
zm_ticket
zm_hosted_defer (zm_call *call)
{
  ZmHostedCall *self = (ZmHostedCall *) call;
  ZmHostedTickets *tickets = self->plugin->hosted->tickets;

  if (self->ticket != 0)
    return self->ticket;
  pthread_mutex_lock (&tickets->lock);
  self->ticket = slot_take (tickets, self);
  pthread_mutex_unlock (&tickets->lock);
  if (self->ticket == 0)
    zm_hosted_set_failure (self, "busy",
                           G_STRINGIFY (ZM_HOSTED_DEFERS) " calls are deferred already; no more can be");
  return self->ticket;
}

/* Takes over what the completion said; what it did not say stays as the action said it. */
static void
move_text (ZmHostedText *to, ZmHostedText *from)
{
  if (from->given) {
    ZmHostedText kept = *to;

    *to = *from;
    *from = kept;
    from->given = FALSE;
  }
}

static void
apply (ZmHostedCall *self, ZmHostedCall *said)
{
  if (said->body.given) {
    zm_hosted_drop_body (self);
    move_text (&self->body, &said->body);
    move_text (&self->type, &said->type);
  }
  move_text (&self->follow, &said->follow);
  if (!self->code.given) {
    move_text (&self->code, &said->code);
    move_text (&self->text, &said->text);
  }
}

/* Under the lock, so that whoever completes it says so after this was said. */
static void
say_deferred (ZmHosted *hosted, const ZmHostedCall *self)
{
  const ZmRecord record = {
    .kind = ZM_RECORD_DEFERRED, .id = self->serial, .n_numbers = 1, .numbers = { self->slot }
  };

  zm_hosted_say_result (hosted, &record);
}

static void
wait_for_completion (ZmHosted *hosted, Slot *slot, ZmHostedCall *self)
{
  slot->state = DEFERRED;
  g_hash_table_insert (hosted->tickets->serials, &self->serial,
                       GUINT_TO_POINTER (self->ticket & G_MAXUINT32));
  say_deferred (hosted, self);
}

/* DEFERRED waits; anything else after a defer is the plugin's mistake, as DEFERRED is without one. */
gboolean
zm_hosted_returned (ZmHosted *hosted, ZmHostedCall *self, int status, guint64 took)
{
  ZmHostedTickets *tickets = hosted->tickets;
  ZmHostedCall *early = NULL;
  gboolean waits = FALSE;
  Slot *slot;

  pthread_mutex_lock (&tickets->lock);
  slot = self->ticket != 0 ? slot_find (tickets, self->ticket) : NULL;
  if (slot != NULL && status == ZM_DEFERRED && slot->state == RUNNING) {
    wait_for_completion (hosted, slot, self);
    waits = TRUE;
  } else if (slot != NULL) {
    early = g_steal_pointer (&slot->early);
    slot_release (tickets, slot);
  }
  pthread_mutex_unlock (&tickets->lock);
  if (waits)
    return FALSE;
  if (early != NULL && status == ZM_DEFERRED) {
    apply (self, early);
    status = early->status;
  } else {
    zm_hosted_drop_reply (self);
    zm_hosted_set_failure (self, "bad-status",
                           status == ZM_DEFERRED
                               ? "the action returned ZM_DEFERRED without zm_call_defer"
                               : "the action called zm_call_defer and did not return ZM_DEFERRED");
    status = ZM_REJECT;
  }
  g_clear_pointer (&early, zm_hosted_call_free);
  zm_hosted_done (hosted, self, self->slot, status, took);
  return TRUE;
}

/* ---- completions, from any thread ---- */

/* What a plugin completes with is checked as its replies are: it is code of somebody else. */
static gboolean
good_outcome (const zm_outcome *outcome)
{
  ZmKey key;

  if (outcome == NULL || outcome->struct_size < OUTCOME_1_0 ||
      (outcome->body_size > 0 && outcome->body == NULL))
    return FALSE;
  if (outcome->next != NULL &&
      (!zm_key_parse (zm_span_text (outcome->next), &key, NULL, NULL) || zm_key_reserved (&key)))
    return FALSE;
  return outcome->status == ZM_OK || outcome->status == ZM_RETRY || outcome->status == ZM_REJECT;
}

/* Copied before the lock is taken, as a body may have megabytes. NULL: it is too large. */
static ZmHostedCall *
outcome_copy (const zm_outcome *from)
{
  ZmHostedCall *copy;

  if (from->body_size > ZM_RECORD_MOST - ((gsize) 1 << 20))
    return NULL;
  copy = zm_hosted_call_new ();
  copy->status = from->status;
  if (from->body != NULL)
    zm_hosted_text_set (&copy->body, from->body, from->body_size);
  if (from->body != NULL && from->content_type != NULL)
    zm_hosted_text_set (&copy->type, from->content_type, strlen (from->content_type));
  if (from->next != NULL)
    zm_hosted_text_set (&copy->follow, from->next, strlen (from->next));
  if (from->code != NULL || from->text != NULL)
    zm_hosted_set_failure (copy, from->code, from->text);
  return copy;
}

/* Under the lock. *over: the call that ends by it, which is then the caller's. */
static int
complete_locked (ZmHostedPlugin *plugin, zm_ticket ticket, ZmHostedCall **said, ZmHostedCall **over)
{
  Slot *slot = slot_find (plugin->hosted->tickets, ticket);

  if (slot != NULL && slot->call->plugin != plugin)
    return ZM_E_DENIED;
  if (slot == NULL || slot->state == EARLY)
    return ZM_E_LATE;
  if (slot->state == RUNNING) {
    slot->state = EARLY;
    slot->early = g_steal_pointer (said);
  } else {
    *over = slot_release (plugin->hosted->tickets, slot);
  }
  return ZM_OK;
}

static int
host_complete (const zm_host *host, zm_ticket ticket, const zm_outcome *outcome)
{
  ZmHostedPlugin *plugin = zm_hosted_plugin_of (host);
  ZmHostedCall *said, *over = NULL;
  int status;

  if (!good_outcome (outcome))
    return ZM_E_INVALID;
  said = outcome_copy (outcome);
  if (said == NULL)
    return ZM_E_MEMORY;
  pthread_mutex_lock (&plugin->hosted->tickets->lock);
  status = complete_locked (plugin, ticket, &said, &over);
  pthread_mutex_unlock (&plugin->hosted->tickets->lock);
  if (over != NULL) {
    apply (over, said);
    zm_hosted_done (plugin->hosted, over, ZM_WORK_DEFERRED, said->status, 0);
    zm_hosted_call_free (over);
  }
  g_clear_pointer (&said, zm_hosted_call_free);
  if (status == ZM_E_LATE)
    zm_hosted_warn (plugin, "it completed a call that is over already");
  return status;
}

/* Also true of a ticket that is over: in both cases nobody waits for the completion. */
static int
host_ticket_cancelled (const zm_host *host, zm_ticket ticket)
{
  ZmHosted *hosted = zm_hosted_plugin_of (host)->hosted;
  int cancelled;
  Slot *slot;

  pthread_mutex_lock (&hosted->tickets->lock);
  slot = slot_find (hosted->tickets, ticket);
  cancelled = slot == NULL;
  pthread_mutex_unlock (&hosted->tickets->lock);
  return cancelled;
}

void
zm_hosted_fill_deferred (zm_host *host)
{
  host->complete = host_complete;
  host->ticket_cancelled = host_ticket_cancelled;
}

/* ---- given up ---- */

/* Not there: its completion was first, and is on the way. What the call holds of the plugin's is given back by the plugin's
 * code, so that a thread of its crew does that, not the reader. */
void
zm_hosted_cancel (ZmHosted *hosted, guint64 serial)
{
  ZmHostedTickets *tickets = hosted->tickets;
  ZmHostedCall *call = NULL;
  guint index;

  pthread_mutex_lock (&tickets->lock);
  index = GPOINTER_TO_UINT (g_hash_table_lookup (tickets->serials, &serial));
  if (index != 0)
    call = slot_release (tickets, slot_at (tickets, index - 1));
  pthread_mutex_unlock (&tickets->lock);
  if (call != NULL) {
    call->kind = ZM_HOSTED_DROP;
    zm_hosted_crew_push (call->plugin->crew, call);
  }
}

/* Outside of the lock each is freed: what it holds of the plugin's is given back by the plugin's code. */
void
zm_hosted_tickets_drop (ZmHosted *hosted, const ZmHostedPlugin *plugin)
{
  ZmHostedTickets *tickets = hosted->tickets;
  g_autoptr (GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) zm_hosted_call_free);

  pthread_mutex_lock (&tickets->lock);
  for (guint i = 0; i < tickets->chunks->len * CHUNK; i++) {
    Slot *slot = slot_at (tickets, i);

    if (slot->state == DEFERRED && slot->call->plugin == plugin)
      g_ptr_array_add (calls, slot_release (tickets, slot));
  }
  pthread_mutex_unlock (&tickets->lock);
}
