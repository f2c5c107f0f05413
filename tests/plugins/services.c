/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uses each service of its host once, and says what came of it: the same wherever it runs. */
#include <zmanager/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct State {
  const zm_host *host;
  char greeting[64];
  zm_ticket timer;
} State;

typedef struct Asked {
  const zm_host *host;
  zm_ticket ticket;
} Asked;

static void
take_greeting (State *state)
{
  const char *greeting = zm_config (state->host, "greeting", 0);

  snprintf (state->greeting, sizeof state->greeting, "%s", greeting != NULL ? greeting : "");
}

static int
init (const zm_host *host, void **state)
{
  State *own = (State *) calloc (1, sizeof *own);

  if (own == NULL)
    return ZM_E_MEMORY;
  own->host = host;
  take_greeting (own);
  *state = own;
  return ZM_OK;
}

static int
reload (void *state)
{
  take_greeting ((State *) state);
  zm_log (((State *) state)->host, ZM_LOG_NOTICE, "took the new configuration");
  return ZM_OK;
}

static void
stop (void *state, unsigned deadline_ms)
{
  (void) deadline_ms;
  zm_log (((State *) state)->host, ZM_LOG_NOTICE, "stopped");
}

static void
fini (void *state)
{
  free (state);
}

/* Of each thread that makes calls: how many it has made. */
static void *
worker_start (void *state, unsigned worker_index)
{
  (void) worker_index;
  zm_log (((State *) state)->host, ZM_LOG_NOTICE, "worker started");
  return calloc (1, sizeof (int));
}

static void
worker_stop (void *state, void *worker_state)
{
  zm_log (((State *) state)->host, ZM_LOG_NOTICE, "worker stopped");
  free (worker_state);
}

ZM_ACTION (greeting)
{
  return zm_reply_text (call, ((State *) call->state)->greeting);
}

ZM_ACTION (process)
{
  char text[16];

  snprintf (text, sizeof text, "%d", (int) getpid ());
  return zm_reply_text (call, text);
}

ZM_ACTION (count)
{
  int *calls = (int *) call->worker_state;

  if (calls == NULL)
    return zm_fail (call, "no-state", "worker_start was not called");
  return ++*calls > 0 ? zm_reply_text (call, "counted") : ZM_OK;
}

/* All that it is told of the call. */
ZM_ACTION (told)
{
  char text[512], header[64] = "";

  zm_header (call, "colour", header, sizeof header);
  snprintf (text, sizeof text, "%.*s|%.*s|%.*s|%.*s|%s|%u|%.*s", (int) call->sender.size,
            call->sender.size > 0 ? call->sender.data : "", (int) call->context.size, call->context.data,
            (int) call->action.size, call->action.data, (int) call->id.size, call->id.data, header,
            call->attempt, (int) call->body_size, call->body_size > 0 ? (const char *) call->body : "");
  return zm_reply_text (call, text);
}

ZM_ACTION (emit)
{
  int status = zm_emit_text (call->host, "?Services?Emitted", "emitted in a call");

  return status == ZM_OK ? zm_reply_text (call, "emitted") : zm_fail (call, "emit", "it was not taken");
}

/* Its event calls it again, and so on until the host has had enough of it. */
ZM_ACTION (circle)
{
  zm_emit_text (call->host, "?Services?circle", "round");
  return ZM_OK;
}

static int
tick (zm_call *call)
{
  State *state = (State *) call->state;

  zm_metric (call->host, ZM_METRIC_COUNTER, "ticks", 1);
  zm_emit_text (state->host, "?Services?Ticked", "tick");
  return ZM_OK;
}

ZM_ACTION (start_timer)
{
  State *state = (State *) call->state;

  state->timer = zm_timer_start (call->host, "tick", tick, 1, 20);
  return zm_reply_text (call, state->timer != 0 ? "started" : "not started");
}

ZM_ACTION (stop_timer)
{
  State *state = (State *) call->state;

  return zm_reply_text (call, zm_timer_stop (call->host, state->timer) == ZM_OK ? "ended" : "not there");
}

static void
answered (void *user, int status, const void *body, size_t body_size)
{
  Asked *asked = (Asked *) user;
  char text[256];

  snprintf (text, sizeof text, "%s %.*s", status == ZM_OK ? "answered" : "failed", (int) body_size,
            body_size > 0 ? (const char *) body : "");
  zm_complete_text (asked->host, asked->ticket, text);
  free (asked);
}

/* The key is the body. */
ZM_ACTION (ask)
{
  Asked *asked = (Asked *) malloc (sizeof *asked);
  char key[128];
  zm_event event;

  if (asked == NULL)
    return ZM_RETRY;
  memset (&event, 0, sizeof event);
  snprintf (key, sizeof key, "%.*s", (int) call->body_size, (const char *) call->body);
  event.struct_size = sizeof event;
  event.key = key;
  event.body = "question";
  event.body_size = 8;
  asked->host = call->host;
  asked->ticket = zm_call_defer (call);
  if (zm_call_action (call->host, &event, 5000, answered, asked) != ZM_OK)
    answered (asked, ZM_E_FAILED, "not asked", 9);
  return ZM_DEFERRED;
}

static const zm_option_desc options[] = {
  { "greeting", ZM_OPTION_STRING, 0, "hello", "What it says" },
  { NULL, 0, 0, NULL, NULL },
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "services",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Uses what its host has to offer",
  .options = options,
  .init = init,
  .reload = reload,
  .stop = stop,
  .fini = fini,
  .worker_start = worker_start,
  .worker_stop = worker_stop,
};

ZM_PLUGIN_FULL ("services", "1.0", "LGPL-2.1-or-later", "Uses what its host has to offer", "kind=component\n",
                &descriptor);
