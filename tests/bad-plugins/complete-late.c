/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Completes its calls from a thread, after a delay that the body gives in milliseconds. */
#include <zmanager/plugin.h>

#include <poll.h>
#include <stdlib.h>

typedef struct Late {
  const zm_host *host;
  zm_ticket ticket;
  int delay_ms;
} Late;

static void
run (void *user)
{
  Late *late = (Late *) user;

  poll (NULL, 0, late->delay_ms);
  zm_metric (late->host, ZM_METRIC_GAUGE, "status", zm_complete_text (late->host, late->ticket, "late"));
  free (late);
}

static void
wake (void *user)
{
  (void) user;
}

ZM_ACTION (late)
{
  Late *late = (Late *) malloc (sizeof *late);
  char text[16] = "";

  if (late == NULL)
    return ZM_RETRY;
  memcpy (text, call->body, call->body_size < sizeof text ? call->body_size : sizeof text - 1);
  late->host = call->host;
  late->delay_ms = atoi (text);
  late->ticket = zm_call_defer (call);
  if (zm_thread_start (call->host, "late", run, wake, late) == ZM_OK)
    return ZM_DEFERRED;
  free (late);
  return ZM_DEFERRED;
}

/* Never completes: the host does, at the deadline. */
ZM_ACTION (never)
{
  zm_call_defer (call);
  return ZM_DEFERRED;
}

ZM_PLUGIN ("complete-late", "1.0", "LGPL-2.1-or-later", "Completes its calls late");
