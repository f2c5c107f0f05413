/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks the host for all that needs its store. A call's body is words on a line each: what, and its arguments. It ends with "refused N"
 * where the service said so, else, when done is told, with "told N".
 */
#include <zmanager/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 4

/* Of a deferred call. */
struct waiting {
  const zm_host *host;
  zm_ticket ticket;
};

static void
told (void *user, int status)
{
  struct waiting *waiting = user;
  char text[32];

  snprintf (text, sizeof text, "told %d", status);
  zm_complete_text (waiting->host, waiting->ticket, text);
  free (waiting);
}

/* Missing ones are NULL. */
static void
split (const zm_call *call, char *text, size_t size, char *words[WORDS])
{
  size_t length = call->body_size < size - 1 ? call->body_size : size - 1;

  memset (words, 0, WORDS * sizeof *words);
  memcpy (text, call->body, length);
  text[length] = '\0';
  for (int i = 0; i < WORDS && text != NULL; i++) {
    char *end = strchr (text, '\n');

    if (end != NULL)
      *end++ = '\0';
    words[i] = *text != '\0' ? text : NULL;
    text = end;
  }
}

static int
send_event (const zm_host *host, char **words, struct waiting *waiting)
{
  zm_event event;

  memset (&event, 0, sizeof event);
  event.struct_size = sizeof event;
  event.key = words[1];
  event.id = words[2];
  event.body = words[3];
  event.body_size = words[3] != NULL ? strlen (words[3]) : 0;
  return zm_emit_durable (host, &event, told, waiting);
}

static int
act_on (const zm_host *host, char **words, struct waiting *waiting)
{
  const char *what = words[0] != NULL ? words[0] : "", *value = words[3];
  size_t size = value != NULL ? strlen (value) : 0;

  if (strcmp (what, "put") == 0)
    return zm_put_bytes (host, ZM_PUT_ALWAYS, words[1], words[2], value, size, told, waiting);
  if (strcmp (what, "if-empty") == 0)
    return zm_put_if_empty (host, words[1], words[2], value, size, told, waiting);
  if (strcmp (what, "replace") == 0)
    return zm_replace (host, words[1], words[2], value, size, told, waiting);
  if (strcmp (what, "wait") == 0)
    return zm_wait_empty (host, words[1], words[2], value != NULL ? atoi (value) : 0, told, waiting);
  if (strcmp (what, "send") == 0)
    return send_event (host, words, waiting);
  if (strcmp (what, "keep") == 0)
    return zm_keep (host, words[1], value, size, told, waiting);
  return ZM_E_INVALID;
}

ZM_ACTION_THREADSAFE (act)
{
  struct waiting *waiting = malloc (sizeof *waiting);
  char text[512], *words[WORDS];
  int status;

  split (call, text, sizeof text, words);
  waiting->host = call->host;
  waiting->ticket = zm_call_defer (call);
  status = act_on (call->host, words, waiting);
  if (status == ZM_OK)
    return ZM_DEFERRED;
  snprintf (text, sizeof text, "refused %d", status);
  zm_complete_text (call->host, waiting->ticket, text);
  free (waiting);
  return ZM_DEFERRED;
}

/* The value, or the status. */
ZM_ACTION_THREADSAFE (look)
{
  char text[512], *words[WORDS];
  char value[64];
  int length;

  split (call, text, sizeof text, words);
  length = zm_kept (call->host, words[0], value, sizeof value);
  if (length >= 0)
    return zm_reply (call, value, (size_t) length < sizeof value ? (size_t) length : sizeof value,
                     "text/plain");
  snprintf (text, sizeof text, "none %d", length);
  return zm_reply_text (call, text);
}

/* What it has kept it knows from the first moment: counts its own starts. */
static int
init (const zm_host *host, void **state)
{
  char starts[16] = "";
  int length = zm_kept (host, "starts", starts, sizeof starts - 1);

  (void) state;
  snprintf (starts, sizeof starts, "%d", (length > 0 ? atoi (starts) : 0) + 1);
  zm_keep (host, "starts", starts, strlen (starts), NULL, NULL);
  return ZM_OK;
}

static const zm_plugin_desc descriptor = { .struct_size = sizeof (zm_plugin_desc),
                                           .flags = ZM_PLUGIN_THREADSAFE,
                                           .name = "queue-services",
                                           .version = "1",
                                           .licence = "LGPL-2.1-or-later",
                                           .summary = "Asks for what needs a store",
                                           .init = init };

ZM_PLUGIN_FULL ("queue-services", "1", "LGPL-2.1-or-later", "Asks for what needs a store", "kind=component\n",
                &descriptor);
