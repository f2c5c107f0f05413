/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts its life in metrics: init, start, stop and fini as the test sees them. */
#include <zmanager/plugin.h>

static int
init (const zm_host *host, void **state)
{
  *state = (void *) host;
  return zm_metric (host, ZM_METRIC_COUNTER, "init", 1);
}

static int
start (void *state)
{
  return zm_metric ((const zm_host *) state, ZM_METRIC_COUNTER, "start", 1);
}

static void
stop (void *state, unsigned deadline_ms)
{
  (void) deadline_ms;
  zm_metric ((const zm_host *) state, ZM_METRIC_COUNTER, "stop", 1);
}

static void
fini (void *state)
{
  zm_metric ((const zm_host *) state, ZM_METRIC_COUNTER, "fini", 1);
}

ZM_ACTION_THREADSAFE (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_ACTION (serial)
{
  return zm_reply_text (call, "hello");
}

static int
quiet (zm_call *call)
{
  (void) call;
  return ZM_OK;
}

static const zm_action_desc actions[] = { { "quiet", quiet, ZM_ACTION_THREADSAFE_FLAG, "Does nothing" },
                                          { "greet", greet, ZM_ACTION_THREADSAFE_FLAG, "Says hello" },
                                          { NULL, NULL, 0, NULL } };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "swap",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Counts its life",
  .actions = actions,
  .init = init,
  .start = start,
  .stop = stop,
  .fini = fini,
};

ZM_PLUGIN_FULL ("swap", "1.0", "LGPL-2.1-or-later", "Counts its life", "", &descriptor);
