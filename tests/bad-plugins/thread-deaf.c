/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has a thread that does not end when it is woken. (It does when the test takes a file away.) */
#include <zmanager/plugin.h>

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static void
run (void *user)
{
  const char *file = getenv ("ZM_TEST_HANG");

  (void) user;
  while (file == NULL || access (file, F_OK) == 0)
    poll (NULL, 0, 5);
}

static void
wake (void *user)
{
  (void) user;
}

static int
init (const zm_host *host, void **state)
{
  *state = (void *) host;
  return ZM_OK;
}

static int
start (void *state)
{
  return zm_thread_start (state, "deaf", run, wake, NULL);
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "thread-deaf",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Has a thread that does not listen",
  .init = init,
  .start = start,
};

ZM_PLUGIN_FULL ("thread-deaf", "1.0", "LGPL-2.1-or-later", "Has a thread that does not listen", "",
                &descriptor);
