/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that a plugin can see of the contract, in one plugin: all macros, all wrappers, all structs. Compiled in each
 * language and by each compiler that the header promises; and what abidiff compares with plugin-1.abi.
 */
#include <zmanager/store.h>

static void
done (void *user, int status, const void *body, size_t body_size)
{
  (void) user;
  (void) status;
  (void) body;
  (void) body_size;
}

static void
nothing (void *user)
{
  (void) user;
}

static void
free_body (void *data, void *hint)
{
  (void) data;
  (void) hint;
}

static int
in_an_action (zm_call *call)
{
  char buffer[16];
  zm_ticket ticket;

  zm_reply (call, "x", 1, NULL);
  zm_reply_text (call, "x");
  zm_reply_json (call, "{}");
  zm_reply_take (call, NULL, 0, free_body, NULL, NULL);
  zm_reply_key (call, "?a?b");
  zm_next (call, "?a?b");
  zm_header (call, "name", buffer, sizeof buffer);
  if (zm_cancelled (call))
    return zm_fail (call, "cancelled", "given up");
  ticket = zm_call_defer (call);
  return ticket != 0 && !zm_ticket_cancelled (call->host, ticket) ? ZM_DEFERRED : ZM_RETRY;
}

static int
anywhere (const zm_host *host)
{
  zm_event event;
  zm_outcome outcome;
  zm_put put;

  memset (&put, 0, sizeof put);
  put.struct_size = (uint32_t) sizeof put;
  if (ZM_HAS (host, put))
    host->put (host, &put, NULL, NULL);
  memset (&event, 0, sizeof event);
  memset (&outcome, 0, sizeof outcome);
  event.struct_size = (uint32_t) sizeof event;
  outcome.struct_size = (uint32_t) sizeof outcome;
  zm_log (host, ZM_LOG_INFO, "text");
  zm_emit (host, &event);
  zm_emit_text (host, "?a?b", zm_config (host, "key", 0));
  zm_call_action (host, &event, 1000, done, NULL);
  zm_complete (host, 1, &outcome);
  zm_complete_text (host, 1, "text");
  zm_metric (host, ZM_METRIC_COUNTER, "name", 1);
  zm_timer_stop (host, zm_timer_start (host, "name", in_an_action, 1, 0));
  return zm_thread_start (host, "name", nothing, nothing, NULL);
}

ZM_ACTION (serial)
{
  return in_an_action (call);
}

ZM_ACTION_THREADSAFE (threadsafe)
{
  return anywhere (zm_plugin_host != NULL ? zm_plugin_host : call->host);
}

ZM_ACTION (ignores_its_call)
{
  return ZM_OK;
}

#ifdef TEST_PLAIN
ZM_PLUGIN ("surface", "1.0", "LGPL-2.1-or-later", "All of the contract");
#else
static int
authorise (void *state, const zm_request *request)
{
  (void) state;
  return request->peer.size > 0 ? ZM_OK : ZM_E_DENIED;
}

static const zm_hook_ops hooks = { (uint32_t) sizeof (zm_hook_ops), 0, NULL, NULL, authorise };
static const zm_source_ops source = { (uint32_t) sizeof (zm_source_ops), 0, NULL, NULL, NULL, NULL };
static const zm_store_ops store = { (uint32_t) sizeof (zm_store_ops),
                                    ZM_STORE_DURABLE,
                                    1,
                                    0,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL };
static const zm_action_desc actions[] = { { "serial", serial, ZM_ACTION_SERIAL, "One" },
                                          { NULL, NULL, 0, NULL } };
static const zm_option_desc options[] = { { "key", ZM_OPTION_STRING, ZM_OPTION_REQUIRED, NULL, "One" },
                                          { NULL, 0, 0, NULL, NULL } };

ZM_EXPORT const zm_plugin_desc zm_surface;
const zm_plugin_desc zm_surface = { (uint32_t) sizeof (zm_plugin_desc),
                                    ZM_PLUGIN_THREADSAFE,
                                    "surface",
                                    "1.0",
                                    "LGPL-2.1-or-later",
                                    "All of the contract",
                                    actions,
                                    options,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    NULL,
                                    &source,
                                    &hooks,
                                    &store };

ZM_PLUGIN_FULL ("surface", "1.0", "LGPL-2.1-or-later", "All of the contract", "kind=component\n",
                &zm_surface);
#endif
