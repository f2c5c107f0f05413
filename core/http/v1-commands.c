/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the control socket can do as well: the same commands, run in the runtime's thread, with the same answers. */
#include "config.h"

#include "http/v1.h"

#include <string.h>

/* Codes of the control socket. */
static guint
status_of (const char *code)
{
  static const struct {
    const char *code;
    guint status;
  } table[] = { { "not-found", 404 }, { "refused", 403 }, { "invalid", 400 }, { "unavailable", 503 } };

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (strcmp (table[i].code, code) == 0)
      return table[i].status;
  return 500;
}

static void
answer_failed (ZmRequest *request, const char *reply)
{
  ZmSpan raw, whole = zm_span_text (reply);
  g_autofree char *code = zm_json_member (whole, "code", &raw) ? zm_json_text (raw) : NULL;
  guint status = status_of (code != NULL ? code : "failed");

  if (status == 503)
    zm_request_add_header (request, "Retry-After", "1");
  zm_request_answer_json (request, status, reply);
}

static void
on_reply (gboolean ok, const char *reply, gpointer user)
{
  if (ok)
    zm_request_answer_json (user, 200, reply);
  else
    answer_failed (user, reply);
}

/* argument NULL: none. done answers. */
static void
run (ZmRequest *request, const char *command, const char *name, ZmSpan argument,
     void (*done) (gboolean ok, const char *reply, gpointer user))
{
  const ZmHttpHost *host = zm_http_host (request->http);
  g_autoptr (GString) json = g_string_new ("{\"command\":");

  zm_json_append_string (json, zm_span_text (command));
  if (name != NULL) {
    g_string_append_printf (json, ",\"%s\":", name);
    zm_json_append_string (json, argument);
  }
  g_string_append_c (json, '}');
  host->command (json->str, done, request, host->user);
}

#define NOTHING zm_span (NULL, 0)

/* ---- flows ---- */

void
zm_v1_flows (ZmRequest *request)
{
  run (request, "flows", NULL, NOTHING, on_reply);
}

void
zm_v1_flow (ZmRequest *request)
{
  run (request, "flow", "name", request->part[0], on_reply);
}

void
zm_v1_instances (ZmRequest *request)
{
  run (request, "instances", NULL, NOTHING, on_reply);
}

/* ---- plugins and routes ---- */

void
zm_v1_plugins (ZmRequest *request)
{
  run (request, "plugins", NULL, NOTHING, on_reply);
}

void
zm_v1_plugin (ZmRequest *request)
{
  run (request, "plugins", "name", request->part[0], on_reply);
}

void
zm_v1_plugin_load (ZmRequest *request)
{
  run (request, "plugin-load", "name", request->part[0], on_reply);
}

void
zm_v1_plugin_unload (ZmRequest *request)
{
  run (request, "plugin-unload", "name", request->part[0], on_reply);
}

void
zm_v1_plugin_reload (ZmRequest *request)
{
  run (request, "plugin-reload", "name", request->part[0], on_reply);
}

void
zm_v1_routes (ZmRequest *request)
{
  const char *key = zm_request_query (request, "key");

  if (key != NULL)
    run (request, "explain", "key", zm_span_text (key), on_reply);
  else
    run (request, "routes", NULL, NOTHING, on_reply);
}

/* ---- the daemon ---- */

void
zm_v1_status (ZmRequest *request)
{
  run (request, "status", NULL, NOTHING, on_reply);
}

void
zm_v1_reload (ZmRequest *request)
{
  run (request, "reload", NULL, NOTHING, on_reply);
}

/* The answer goes out before the server is paused, as both are done in this order in the runtime's thread. */
static void
on_draining (gboolean ok, const char *reply, gpointer user)
{
  if (ok)
    zm_request_answer_json (user, 202, "{\"text\":\"draining\"}");
  else
    answer_failed (user, reply);
}

void
zm_v1_drain (ZmRequest *request)
{
  run (request, "drain", NULL, NOTHING, on_draining);
}

/* {"level": "debug"} */
void
zm_v1_log_level (ZmRequest *request)
{
  ZmSpan raw;
  g_autofree char *level = NULL;

  if (zm_json_valid (request->body) && zm_json_member (request->body, "level", &raw) && raw.data[0] == '"')
    level = zm_json_text (raw);
  if (level == NULL)
    zm_request_fail (request, 400, NULL, "level", "send {\"level\": \"error|warning|notice|info|debug\"}");
  else
    run (request, "log-level", "level", zm_span_text (level), on_reply);
}

/* ---- dead letters ---- */

/* All of the queue, or {"ids": [...]}; with the project, as another may have a queue of that name. */
void
zm_v1_queue_replay (ZmRequest *request)
{
  const ZmHttpHost *host = zm_http_host (request->http);
  g_autoptr (GString) json = g_string_new ("{\"command\":\"dead-replay\",\"queue\":");
  ZmQueueName name;
  ZmSpan ids = { NULL, 0 };

  if (!zm_v1_queue (request, &name))
    return;
  if (request->body.size > 0 && (!zm_json_valid (request->body) ||
                                 !zm_json_member (request->body, "ids", &ids) || ids.data[0] != '[')) {
    zm_request_fail (request, 400, NULL, "ids", "send no body for all, or {\"ids\": [\"...\"]}");
    return;
  }
  zm_json_append_string (json, name.name);
  g_string_append (json, ",\"project\":");
  zm_json_append_string (json, name.project);
  if (ids.size > 0) {
    g_string_append (json, ",\"ids\":");
    g_string_append_len (json, ids.data, (gssize) ids.size);
  }
  g_string_append_c (json, '}');
  host->command (json->str, on_reply, request, host->user);
}
