/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Being a service: HELLO in two steps (ask what to subscribe; then, subscribed, say so with a nonce whose subscription the
 * daemon waits for), heartbeats, and the operator's commands.
 */
#include "config.h"

#include "client/client-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_TIMEOUT_MS 5000

/* A failure shows at the daemon: it then misses the nonce and refuses HELLO. */
static int
subscribe (zm_client *client, const char *prefix, int on)
{
  return zmq_setsockopt (client->input, on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, prefix, strlen (prefix));
}

static int
has (const zmc_list *list, const char *text)
{
  for (size_t i = 0; i < list->n; i++)
    if (strcmp (list->items[i], text) == 0)
      return 1;
  return 0;
}

/* Takes the new list; subscribes what is new and leaves what is gone. */
static void
change_prefixes (zm_client *client, zmc_list *prefixes)
{
  for (size_t i = 0; i < prefixes->n; i++)
    if (!has (&client->prefixes, prefixes->items[i]))
      subscribe (client, prefixes->items[i], 1);
  for (size_t i = 0; i < client->prefixes.n; i++)
    if (!has (prefixes, client->prefixes.items[i]))
      subscribe (client, client->prefixes.items[i], 0);
  zmc_list_clear (&client->prefixes);
  client->prefixes = *prefixes;
}

/* ---- HELLO ---- */

/* Memory that ran out on the way is in the buffer's `failed`, asked once at the end. */
static void
append_hello (zm_client *client, zmc_buffer *json, const char *nonce)
{
  char number[40];
  zmc_append_text (json, "{\"name\":");
  zmc_append_json (json, client->name);
  zmc_append_text (json, ",\"version\":");
  zmc_append_json (json, client->version);
  zmc_append_text (json, ",\"patterns\":[");
  for (size_t i = 0; i < client->n_patterns; i++) {
    zmc_append_text (json, i > 0 ? "," : "");
    zmc_append_json (json, client->patterns[i]);
  }
  snprintf (number, sizeof number, "],\"heartbeat_ms\":%d", client->heartbeat_ms);
  zmc_append_text (json, number);
  if (nonce != NULL) {
    zmc_append_text (json, ",\"nonce\":");
    zmc_append_json (json, nonce);
  }
  zmc_append_text (json, "}");
}

/* One HELLO; the prefixes of its answer are subscribed. */
static int
hello_once (zm_client *client, const char *nonce, int timeout_ms)
{
  zm_client_reply reply;
  zmc_buffer json = { 0 };
  zmc_list prefixes = { 0 };
  append_hello (client, &json, nonce);
  if (json.failed)
    return zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory");
  int rc = zmc_request (client, "HELLO", NULL, NULL, json.data, json.size, timeout_ms, &reply);
  if (rc == ZM_CLIENT_OK && zmc_json_list (reply.body, "prefixes", &prefixes) != ZM_CLIENT_OK) {
    rc = zmc_fail (client, ZM_CLIENT_E_FAILED, "HELLO: the daemon's answer has no list of prefixes");
    zmc_list_clear (&prefixes);
  }
  if (rc == ZM_CLIENT_OK)
    change_prefixes (client, &prefixes);
  zm_client_reply_clear (&reply);
  zmc_buffer_clear (&json);
  return rc;
}

static int
hello (zm_client *client, int timeout_ms)
{
  char nonce[64], greeting[80];
  int64_t end_us = zmc_now_us () + (int64_t) timeout_ms * 1000;
  int rc = hello_once (client, NULL, timeout_ms);
  if (rc != ZM_CLIENT_OK)
    return rc;
  snprintf (nonce, sizeof nonce, "%08" PRIx32 "%016" PRIx64, client->random,
            (uint64_t) zmc_now_us () ^ client->request);
  snprintf (greeting, sizeof greeting, "^hello~%s", nonce);
  /* The last of them: when the daemon sees it, it has seen all before it. */
  subscribe (client, greeting, 1);
  int left_ms = (int) ((end_us - zmc_now_us ()) / 1000);
  rc = hello_once (client, nonce, left_ms > 0 ? left_ms : 1);
  subscribe (client, greeting, 0);
  client->next_heartbeat_us = zmc_now_us () + (int64_t) client->heartbeat_ms * 1000;
  return rc;
}

static void
clear_patterns (zm_client *client)
{
  for (size_t i = 0; i < client->n_patterns; i++)
    free (client->patterns[i]);
  client->n_patterns = 0;
}

/* The daemon has the same bound; here it is said before anything is sent. */
static int
add_pattern (zm_client *client, const char *pattern)
{
  if (client->n_patterns == ZMC_PATTERNS_MOST)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "more than %d key patterns", ZMC_PATTERNS_MOST);
  char *copy = strdup (pattern);
  if (copy == NULL)
    return zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory");
  client->patterns[client->n_patterns++] = copy;
  return ZM_CLIENT_OK;
}

/* For closing; heartbeats end with the name. */
void
zmc_service_clear (zm_client *client)
{
  clear_patterns (client);
  zmc_list_clear (&client->prefixes);
  free (client->name);
  free (client->version);
  free (client->state);
  client->name = client->version = client->state = NULL;
}

/* Patterns of an earlier HELLO are forgotten: each HELLO says all. */
static int
set_service (zm_client *client, const char *name, const char *version, const char *const *patterns,
             int heartbeat_ms)
{
  free (client->name);
  free (client->version);
  free (client->state);
  client->name = strdup (name);
  client->version = strdup (version != NULL ? version : "");
  client->state = strdup ("RUNNING");
  client->heartbeat_ms = heartbeat_ms;
  if (client->name == NULL || client->version == NULL || client->state == NULL)
    return zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory");
  clear_patterns (client);
  for (int rc; patterns != NULL && *patterns != NULL; patterns++)
    if ((rc = add_pattern (client, *patterns)) != ZM_CLIENT_OK)
      return rc;
  return ZM_CLIENT_OK;
}

/* Commands are subscribed before the first question, so that one that comes at once is not missed. */
int
zm_client_hello (zm_client *client, const char *name, const char *version, const char *const *patterns,
                 int heartbeat_ms, int timeout_ms)
{
  char command[300];
  if (client->input == NULL || client->call == NULL)
    return zmc_fail (client, ZM_CLIENT_E_UNREACHABLE, "a service needs the call and the topics endpoint");
  if (name == NULL || *name == '\0' || strlen (name) > ZMC_PART_MOST || heartbeat_ms < 0)
    return zmc_fail (client, ZM_CLIENT_E_INVALID,
                     "a service needs a name, and a heartbeat of 0 or more milliseconds");
  int rc = set_service (client, name, version, patterns, heartbeat_ms);
  if (rc != ZM_CLIENT_OK)
    return rc;
  snprintf (command, sizeof command, "command_%s~", name);
  subscribe (client, command, 1);
  return hello (client, timeout_ms);
}

/* ---- heartbeats ---- */

/* Its reply is not waited for; zmc_tell reads it before the next one. */
static int
beat (zm_client *client)
{
  char counts[160];
  zmc_buffer json = { 0 };
  zmc_append_text (&json, "{\"name\":");
  zmc_append_json (&json, client->name);
  zmc_append_text (&json, ",\"state\":");
  zmc_append_json (&json, client->state);
  snprintf (counts, sizeof counts,
            ",\"received\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"busy_ms\":%" PRId64 "}", client->received,
            client->errors, client->busy_us / 1000);
  zmc_append_text (&json, counts);
  int rc = json.failed ? zmc_fail (client, ZM_CLIENT_E_MEMORY, "no memory")
                       : zmc_tell (client, "HEARTBEAT", json.data, json.size);
  zmc_buffer_clear (&json);
  client->next_heartbeat_us = zmc_now_us () + (int64_t) client->heartbeat_ms * 1000;
  return rc;
}

/* Called from receive, in the caller's thread: a service that hangs in its own work is seen as silent, as it
 * should be. */
void
zmc_beat_when_due (zm_client *client)
{
  if (client->heartbeat_ms <= 0 || client->name == NULL || zmc_now_us () < client->next_heartbeat_us)
    return;
  beat (client);
  /* The daemon was started anew and knows nobody: what it says of the prefixes now is what counts. Tried again with each
   * beat where it fails. */
  if (client->forgotten && hello_once (client, NULL, COMMAND_TIMEOUT_MS) == ZM_CLIENT_OK)
    client->forgotten = 0;
}

/* The state stays for all later heartbeats. */
int
zm_client_heartbeat (zm_client *client, const char *state)
{
  if (client->name == NULL)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "not registered; zm_client_hello comes first");
  char *copy = state != NULL ? strdup (state) : NULL;
  if (copy == NULL)
    return zmc_fail (client, ZM_CLIENT_E_INVALID, "no state; RUNNING, DEGRADED or STOPPED");
  free (client->state);
  client->state = copy;
  return beat (client);
}

void
zm_client_count_error (zm_client *client)
{
  client->errors++;
}

void
zm_client_on_command (zm_client *client, zm_client_command_fn func, void *user)
{
  client->command_func = func;
  client->command_user = user;
}

/* ---- commands ---- */

/* The argument of add_topic and remove_topic: a JSON string, or an object with "key". The caller frees. */
static char *
command_key (const char *argument)
{
  char *key = zmc_json_text (argument, "key");
  if (key != NULL || *argument != '"')
    return key;
  zmc_buffer object = { 0 };
  zmc_append_text (&object, "{\"key\":");
  zmc_append_text (&object, argument);
  zmc_append_text (&object, "}");
  key = object.failed ? NULL : zmc_json_text (object.data, "key");
  zmc_buffer_clear (&object);
  return key;
}

/* Removed first also where it is added: asked twice, it stands once. */
static void
change_pattern (zm_client *client, const char *argument, int add)
{
  char *key = command_key (argument);
  if (key == NULL)
    return;
  for (size_t i = 0; i < client->n_patterns; i++)
    if (strcmp (client->patterns[i], key) == 0) {
      free (client->patterns[i]);
      client->patterns[i--] = client->patterns[--client->n_patterns];
    }
  if (add)
    add_pattern (client, key);
  free (key);
  /* Says the new patterns and takes what they mean now. */
  hello_once (client, NULL, COMMAND_TIMEOUT_MS);
}

/* The daemon's whole list after a reload; one that cannot be read changes nothing. */
static void
changed_topics (zm_client *client, const char *argument)
{
  zmc_list prefixes = { 0 };
  if (zmc_json_list (argument, "prefixes", &prefixes) == ZM_CLIENT_OK)
    change_prefixes (client, &prefixes);
  else
    zmc_list_clear (&prefixes);
}

/* The library does its part before the service is told, so that the service may rely on it. */
int
zmc_take_command (zm_client *client, const zm_client_message *message)
{
  if (client->name == NULL || strncmp (message->flow, "command_", 8) != 0 ||
      strcmp (message->flow + 8, client->name) != 0)
    return 0;
  const char *command = message->action, *argument = message->body;
  int stop = strcmp (command, "stop_service") == 0;
  if (strcmp (command, "changed_topics") == 0)
    changed_topics (client, argument);
  else if (strcmp (command, "add_topic") == 0 || strcmp (command, "remove_topic") == 0)
    change_pattern (client, argument, *command == 'a');
  else if (strcmp (command, "get_topics") == 0)
    hello_once (client, NULL, COMMAND_TIMEOUT_MS);
  else if (stop)
    zm_client_heartbeat (client, "STOPPED");
  else
    beat (client);
  if (client->command_func != NULL)
    client->command_func (client->command_user, command, argument);
  return stop ? zmc_fail (client, ZM_CLIENT_E_STOPPED, "the operator asked this service to stop") : 1;
}
