/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Completes a deferred call twice, or defers without saying so, or says so without deferring. */
#include <zmanager/plugin.h>

#include <stdio.h>

/* The second completion must be told that it is late. The answer is the first. */
ZM_ACTION (twice)
{
  zm_ticket ticket = zm_call_defer (call);
  const zm_host *host = call->host;
  int first = zm_complete_text (host, ticket, "first");
  int second = zm_complete_text (host, ticket, "second");

  zm_metric (host, ZM_METRIC_GAUGE, "first", first);
  zm_metric (host, ZM_METRIC_GAUGE, "second", second);
  return ZM_DEFERRED;
}

ZM_ACTION (deferred_without)
{
  (void) call;
  return ZM_DEFERRED;
}

ZM_ACTION (defer_and_return)
{
  zm_call_defer (call);
  return zm_reply_text (call, "both");
}

ZM_ACTION (strange_status)
{
  (void) call;
  return 4711;
}

/* A ticket that nobody gave out. */
ZM_ACTION (forged)
{
  char text[32];

  snprintf (text, sizeof text, "%d", zm_complete_text (call->host, UINT64_C (0xdeadbeef00000001), "forged"));
  return zm_reply_text (call, text);
}

ZM_PLUGIN ("complete-twice", "1.0", "LGPL-2.1-or-later", "Completes a call twice");
