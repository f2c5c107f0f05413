/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starts a thread behind the host's back and leaves it running. */
#include <zmanager/plugin.h>

#include <pthread.h>
#include <unistd.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static void *
run (void *data)
{
  for (;;)
    pause ();
  return data;
}

static int
start (void *state)
{
  pthread_t thread;

  (void) state;
  return pthread_create (&thread, NULL, run, NULL) == 0 && pthread_detach (thread) == 0 ? ZM_OK : ZM_E_FAILED;
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "thread-left",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Leaves a thread running",
  .start = start,
};

ZM_PLUGIN_FULL ("thread-left", "1.0", "LGPL-2.1-or-later", "Leaves a thread running", "", &descriptor);
