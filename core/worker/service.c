/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plugin may do while it is called: reply, name keys, fail, read headers. In the thread of the call. */
#include "worker/internal.h"

#include <string.h>

/* The call that a plugin sees is a part of its run. */
static ZmRun *
run_of (const zm_call *call)
{
  return (ZmRun *) ((char *) call - G_STRUCT_OFFSET (ZmRun, call));
}

/* Sizes beyond this are a mistake of the plugin rather than a message. */
static gboolean
over_limit (size_t size)
{
  return size > G_MAXINT32;
}

/* Copied, so that the plugin may let go of its data at once. Replaces an earlier reply; after an error the earlier
 * one stays. */
static int
service_reply (zm_call *call, const void *data, size_t size, const char *content_type)
{
  ZmRun *run = run_of (call);
  if (!data && size)
    return ZM_E_INVALID;
  zmq_msg_t body;
  if (over_limit (size) || zmq_msg_init_size (&body, size) != 0)
    return ZM_E_MEMORY;
  if (size)
    memcpy (zmq_msg_data (&body), data, size);
  if (!run->reply.given)
    zmq_msg_init (&run->reply.body);
  zmq_msg_move (&run->reply.body, &body);
  zmq_msg_close (&body);
  run->reply.given = TRUE;
  if (run->reply.content_type || content_type) {
    g_free (run->reply.content_type);
    run->reply.content_type = g_strdup (content_type);
  }
  return ZM_OK;
}

/* A buffer of the plugin's that went into a message: libzmq calls our function, never the plugin's, because the plugin may
 * only be closed after the last of its buffers is free. */
typedef struct Buffer {
  ZmGeneration *generation;
  zm_free_fn free_fn;
  void *hint;
} Buffer;

static void
buffer_free (void *data, void *user)
{
  Buffer *buffer = user;
  if (buffer->free_fn)
    buffer->free_fn (data, buffer->hint);
  zm_generation_unref (buffer->generation, "message buffer");
  g_free (buffer);
}

/* Below 64 KiB a copy costs less than the bookkeeping. In every case free_fn is called once, also where this fails. */
static int
service_reply_take (zm_call *call, void *data, size_t size, zm_free_fn free_fn, void *hint,
                    const char *content_type)
{
  ZmRun *run = run_of (call);
  if (size < 65536 || !data || over_limit (size) || !run->action) {
    int status = service_reply (call, data, size, content_type);
    if (free_fn)
      free_fn (data, hint);
    return status;
  }
  Buffer *buffer = g_new (Buffer, 1);
  buffer->generation = zm_generation_ref (run->action->generation, "message buffer");
  buffer->free_fn = free_fn;
  buffer->hint = hint;
  zmq_msg_t body;
  if (zmq_msg_init_data (&body, data, size, buffer_free, buffer) != 0) {
    buffer_free (data, buffer);
    return ZM_E_MEMORY;
  }
  if (!run->reply.given)
    zmq_msg_init (&run->reply.body);
  zmq_msg_move (&run->reply.body, &body);
  zmq_msg_close (&body);
  run->reply.given = TRUE;
  g_free (run->reply.content_type);
  run->reply.content_type = g_strdup (content_type);
  return ZM_OK;
}

/* A key from a plugin: well formed, and none of the runtime's names. */
static int
check_key (const ZmRun *run, const char *text)
{
  ZmKey key;
  if (!text || !zm_key_parse (zm_span_text (text), &key, NULL, NULL))
    return ZM_E_INVALID;
  if (!zm_key_reserved (&key))
    return ZM_OK;
  zm_counter_add (run->pool->c_denied, 1);
  zm_log_limited (
      run->pool->config.log, ZM_LEVEL_WARNING, "worker", "reserved-key",
      "%s.%s gave a key that belongs to the runtime (done, error, names that begin with ^); it was "
      "refused",
      run->action ? run->action->plugin : "a plugin", run->action ? run->action->symbol : "");
  return ZM_E_DENIED;
}

static int
service_reply_key (zm_call *call, const char *key)
{
  int status = check_key (run_of (call), key);
  if (status != ZM_OK)
    return status;
  g_free (run_of (call)->reply.key);
  run_of (call)->reply.key = g_strdup (key);
  return ZM_OK;
}

static int
service_next (zm_call *call, const char *key)
{
  int status = check_key (run_of (call), key);
  if (status != ZM_OK)
    return status;
  g_free (run_of (call)->reply.next);
  run_of (call)->reply.next = g_strdup (key);
  return ZM_OK;
}

/* The last one counts, as the plugin knows best; a failure of the host's own (no room to defer) is replaced too. */
static int
service_fail (zm_call *call, const char *code, const char *text)
{
  ZmRun *run = run_of (call);
  g_clear_pointer (&run->code, g_free);
  g_clear_pointer (&run->text, g_free);
  zm_run_set_failure (run, code, text);
  return ZM_OK;
}

/* Returns the length as snprintf does, so that a buffer that was too small can be noticed. */
static int
service_header (const zm_call *call, const char *name, char *buffer, size_t size)
{
  const ZmRun *run = run_of (call);
  if (!name)
    return ZM_E_NOT_FOUND;
  /* In a flow the body is the step's before it, and so is its type. */
  g_autofree char *value =
      strcmp (name, "content-type") == 0 ? zm_run_content_type (run) : zm_message_header (run->message, name);
  if (!value)
    return ZM_E_NOT_FOUND;
  if (size)
    g_strlcpy (buffer, value, size);
  return (int) strlen (value);
}

/* Asked in loops, so it costs no more than a load. */
static int
service_cancelled (const zm_call *call)
{
  return atomic_load_explicit (&run_of (call)->cancelled, memory_order_relaxed);
}

/* Services that need no lock and no look-up: the call itself leads to all they need. The runtime adds those that find
 * their plugin first. */
void
zm_pool_fill_host (zm_host *host)
{
  host->reply = service_reply;
  host->reply_take = service_reply_take;
  host->reply_key = service_reply_key;
  host->next = service_next;
  host->fail = service_fail;
  host->header = service_header;
  host->cancelled = service_cancelled;
  host->defer = zm_call_service_defer;
}
