/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an action may say of its call, with the checks and the meaning that it has in the daemon; and how that is told. */
#include "config.h"

#include "hosted/hosted-private.h"
#include "message/zm-key.h"

#include <string.h>

#define CODE_MOST 64                 /* bytes of an error code kept */
#define TEXT_MOST 4096               /* bytes of an error text kept */
#define TAKE_FROM ((gsize) 64 << 10) /* below that a copy costs less than the bookkeeping */

/* Sizes beyond this are a mistake of the plugin rather than a message; what goes with it fits into a record too. */
static gboolean
over_limit (gsize size)
{
  return size > ZM_RECORD_MOST - ((gsize) 1 << 20);
}

static ZmHostedCall *
call_of (const zm_call *call)
{
  return (ZmHostedCall *) call;
}

/* ---- texts ---- */

void
zm_hosted_text_set (ZmHostedText *text, const void *data, gsize size)
{
  if (text->capacity < size + 1) {
    g_free (text->data);
    text->capacity = MAX (size + 1, 64);
    text->data = g_malloc (text->capacity);
  }
  if (size > 0)
    memcpy (text->data, data, size);
  text->size = size;
  text->given = TRUE;
}

/* What is large is not kept for a use that may never come. */
void
zm_hosted_text_clear (ZmHostedText *text)
{
  text->given = FALSE;
  if (text->capacity > TAKE_FROM) {
    g_clear_pointer (&text->data, g_free);
    text->capacity = 0;
  }
}

static void
set_or_clear (ZmHostedText *text, const char *value)
{
  if (value != NULL)
    zm_hosted_text_set (text, value, strlen (value));
  else
    zm_hosted_text_clear (text);
}

static ZmSpan
span_of (const ZmHostedText *text)
{
  return text->given ? zm_span (text->data, text->size) : zm_span (NULL, 0);
}

/* ---- services of a call ---- */

static void
drop_taken (ZmHostedCall *self)
{
  void *taken = g_steal_pointer (&self->taken);

  if (taken != NULL && self->taken_free != NULL)
    self->taken_free (taken, self->taken_hint);
}

void
zm_hosted_drop_body (ZmHostedCall *self)
{
  drop_taken (self);
  zm_hosted_text_clear (&self->body);
  zm_hosted_text_clear (&self->type);
}

void
zm_hosted_drop_reply (ZmHostedCall *self)
{
  zm_hosted_drop_body (self);
  zm_hosted_text_clear (&self->key);
  zm_hosted_text_clear (&self->follow);
}

/* Copied, so that the plugin may let go of its data at once. Replaces an earlier reply; after an error the earlier
 * one stays. */
static int
service_reply (zm_call *call, const void *data, size_t size, const char *content_type)
{
  ZmHostedCall *self = call_of (call);

  if (data == NULL && size > 0)
    return ZM_E_INVALID;
  if (over_limit (size))
    return ZM_E_MEMORY;
  zm_hosted_text_set (&self->body, data, size);
  drop_taken (self);
  set_or_clear (&self->type, content_type);
  return ZM_OK;
}

/* It stays the plugin's memory until it was said; in every case free_fn is called once, also where this fails. */
static int
service_reply_take (zm_call *call, void *data, size_t size, zm_free_fn free_fn, void *hint,
                    const char *content_type)
{
  ZmHostedCall *self = call_of (call);

  if (size < TAKE_FROM || data == NULL || over_limit (size)) {
    int status = service_reply (call, data, size, content_type);

    if (free_fn != NULL)
      free_fn (data, hint);
    return status;
  }
  drop_taken (self);
  zm_hosted_text_clear (&self->body);
  self->taken = data;
  self->taken_size = size;
  self->taken_free = free_fn;
  self->taken_hint = hint;
  set_or_clear (&self->type, content_type);
  return ZM_OK;
}

/* A key from a plugin: well formed, and none of the runtime's names. */
int
zm_hosted_check_key (ZmHostedPlugin *plugin, const char *text)
{
  ZmKey key;

  if (text == NULL || !zm_key_parse (zm_span_text (text), &key, NULL, NULL))
    return ZM_E_INVALID;
  if (!zm_key_reserved (&key))
    return ZM_OK;
  zm_hosted_warn (plugin,
                  "it gave a key that belongs to the runtime (done, error, names that begin with ^); it was "
                  "refused");
  return ZM_E_DENIED;
}

static int
take_key (ZmHostedCall *self, ZmHostedText *to, const char *key)
{
  int status = zm_hosted_check_key (self->plugin, key);

  if (status == ZM_OK)
    zm_hosted_text_set (to, key, strlen (key));
  return status;
}

static int
service_reply_key (zm_call *call, const char *key)
{
  return take_key (call_of (call), &call_of (call)->key, key);
}

static int
service_next (zm_call *call, const char *key)
{
  return take_key (call_of (call), &call_of (call)->follow, key);
}

/* At most so many bytes of valid UTF-8, as both go into JSON. */
static void
set_valid (ZmHostedText *to, const char *text, gsize most)
{
  g_autofree char *cut = g_strndup (text, most);
  g_autofree char *valid = g_utf8_make_valid (cut, -1);

  zm_hosted_text_set (to, valid, strlen (valid));
}

void
zm_hosted_set_failure (ZmHostedCall *self, const char *code, const char *text)
{
  set_valid (&self->code, code != NULL && code[0] != '\0' ? code : "failed", CODE_MOST);
  set_valid (&self->text, text != NULL ? text : "", TEXT_MOST);
}

/* The last one counts, as the plugin knows best. */
static int
service_fail (zm_call *call, const char *code, const char *text)
{
  zm_hosted_set_failure (call_of (call), code, text);
  return ZM_OK;
}

/* In a flow the body is the step's before it, and so is its type. NULL: there is none; the caller frees. */
static char *
header_text (const zm_call *call, const char *name)
{
  zm_str type = call_of (call)->type_in;
  ZmSpan raw;

  if (type.data != NULL && strcmp (name, "content-type") == 0)
    return type.size > 0 ? g_strndup (type.data, type.size) : NULL;
  if (call->headers.size == 0 ||
      !zm_json_member (zm_span (call->headers.data, call->headers.size), name, &raw))
    return NULL;
  return zm_json_text (raw);
}

/* Returns the length as snprintf does, so that a buffer that was too small can be noticed. */
static int
service_header (const zm_call *call, const char *name, char *buffer, size_t size)
{
  g_autofree char *value = name != NULL ? header_text (call, name) : NULL;

  if (value == NULL)
    return ZM_E_NOT_FOUND;
  if (size > 0)
    g_strlcpy (buffer, value, size);
  return (int) strlen (value);
}

/* While its action runs the slot is the call's, and the daemon says it there; later it says so by a record. */
static int
service_cancelled (const zm_call *call)
{
  ZmHostedCall *self = call_of (call);
  ZmPageSlot *slot = &self->plugin->hosted->page->slots[self->slot];
  unsigned long long word = zm_page_word (self->serial, ZM_SLOT_IS_STARTED);

  if (atomic_load_explicit (&self->cancelled, memory_order_relaxed))
    return 1;
  return atomic_load_explicit (&slot->cancelled, memory_order_relaxed) != 0 &&
         atomic_load_explicit (&slot->word, memory_order_relaxed) == word;
}

void
zm_hosted_fill_call_services (zm_host *host)
{
  host->reply = service_reply;
  host->reply_take = service_reply_take;
  host->reply_key = service_reply_key;
  host->next = service_next;
  host->fail = service_fail;
  host->header = service_header;
  host->cancelled = service_cancelled;
  host->defer = zm_hosted_defer;
}

/* ---- telling it ---- */

void
zm_hosted_done (ZmHosted *hosted, ZmHostedCall *self, guint slot, int status, guint64 took)
{
  ZmRecord record;

  record.kind = ZM_RECORD_DONE;
  record.id = self->serial;
  record.n_numbers = ZM_DONE_NUMBERS;
  record.numbers[ZM_DONE_SLOT] = slot;
  record.numbers[ZM_DONE_STATUS] = (guint64) (gint64) status;
  record.numbers[ZM_DONE_TOOK] = took;
  record.n_parts = ZM_DONE_PARTS;
  record.parts[ZM_DONE_TYPE] = span_of (&self->type);
  record.parts[ZM_DONE_KEY] = span_of (&self->key);
  record.parts[ZM_DONE_NEXT] = span_of (&self->follow);
  record.parts[ZM_DONE_CODE] = span_of (&self->code);
  record.parts[ZM_DONE_TEXT] = span_of (&self->text);
  record.parts[ZM_DONE_BODY] =
      self->taken != NULL ? zm_span (self->taken, self->taken_size) : span_of (&self->body);
  zm_hosted_say_result (hosted, &record);
  zm_hosted_drop_reply (self);
}
