/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread of it crashes once it was told to, while no call of it runs. */
#include <zmanager/plugin.h>

#include <poll.h>
#include <signal.h>

static void
run (void *user)
{
  (void) user;
  poll (NULL, 0, 50);
  raise (SIGSEGV);
}

static void
wake (void *user)
{
  (void) user;
}

ZM_ACTION (light)
{
  return zm_thread_start (call->host, "fuse", run, wake, NULL) == ZM_OK ? zm_reply_text (call, "lit")
                                                                        : ZM_RETRY;
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

ZM_PLUGIN ("thread-crash", "1.0", "LGPL-2.1-or-later", "A thread of it crashes");
