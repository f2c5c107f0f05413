/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread from the host that ends when it is woken. */
#include <zmanager/plugin.h>

#include <stdlib.h>
#include <unistd.h>

typedef struct State {
  const zm_host *host;
  int pipe[2];
} State;

static void
run (void *user)
{
  State *state = (State *) user;
  char byte;

  zm_metric (state->host, ZM_METRIC_COUNTER, "running", 1);
  while (read (state->pipe[0], &byte, 1) < 0)
    ;
  zm_metric (state->host, ZM_METRIC_COUNTER, "ended", 1);
}

static void
wake (void *user)
{
  State *state = (State *) user;

  while (write (state->pipe[1], "", 1) < 0)
    ;
}

static int
init (const zm_host *host, void **out)
{
  State *state = (State *) calloc (1, sizeof *state);

  if (state == NULL || pipe (state->pipe) != 0) {
    free (state);
    return ZM_E_FAILED;
  }
  state->host = host;
  *out = state;
  return ZM_OK;
}

static int
start (void *user)
{
  return zm_thread_start (((State *) user)->host, "reader", run, wake, user);
}

static void
fini (void *user)
{
  State *state = (State *) user;

  close (state->pipe[0]);
  close (state->pipe[1]);
  free (state);
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "threaded",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Has a thread",
  .init = init,
  .start = start,
  .fini = fini,
};

ZM_PLUGIN_FULL ("threaded", "1.0", "LGPL-2.1-or-later", "Has a thread", "", &descriptor);
