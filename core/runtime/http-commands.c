/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that HTTP asks for: run in the runtime's thread, in their order, and audited as those of the control socket. */
#include "config.h"

#include "runtime/http-private.h"

#include "runtime/audit.h"
#include "runtime/commands.h"
#include "runtime/later.h"

#include <string.h>

typedef struct WebCommand {
  char *request;
  void (*done) (gboolean ok, const char *reply, gpointer user);
  gpointer user;
} WebCommand;

static void
command_free (WebCommand *command)
{
  g_free (command->request);
  g_free (command);
}

static void
refuse (const WebCommand *command, const char *code, const char *text)
{
  g_autoptr (GString) json = g_string_new ("{");

  zm_reply_member_text (json, "code", code);
  zm_reply_member_text (json, "text", text);
  g_string_append_c (json, '}');
  command->done (FALSE, json->str, command->user);
}

/* ---- the runtime's thread ---- */

/* The drain pauses the server: who asked for it is answered before. */
static gboolean
is_drain (ZmSpan request)
{
  ZmSpan name;

  return zm_json_member (request, "command", &name) && zm_span_is (name, "\"drain\"");
}

static void
run (ZmRuntime *runtime, WebCommand *command)
{
  const ZmAuditPeer nobody = { 0 };
  ZmSpan request = zm_span_text (command->request);
  g_autoptr (GString) out = g_string_new (NULL);
  ZmLater *later = NULL;
  ZmReplyKind kind;

  if (is_drain (request))
    command->done (TRUE, "{}", command->user);
  kind = zm_command_run (runtime, request, out, NULL, &later);
  if (kind == ZM_REPLY_ASYNC) {
    zm_later_tell (later, &nobody, request, command->done, command->user);
    return;
  }
  if (kind == ZM_REPLY_OK || kind == ZM_REPLY_ERROR)
    command->done (kind == ZM_REPLY_OK, out->str, command->user);
  else if (kind != ZM_REPLY_LATER)
    refuse (command, "invalid", "a stream is not answered here");
  zm_audit_command (runtime, &nobody, request, kind != ZM_REPLY_ERROR, out->str);
}

static WebCommand *
take (ZmWeb *web)
{
  WebCommand *command;

  pthread_mutex_lock (&web->commands_lock);
  command = g_queue_pop_head (&web->commands);
  pthread_mutex_unlock (&web->commands_lock);
  return command;
}

/* One a turn, so that the control socket has its turns too. */
static gboolean
on_command (gpointer user)
{
  ZmWeb *web = user;
  WebCommand *command = take (web);

  if (command == NULL)
    return G_SOURCE_REMOVE;
  run (web->runtime, command);
  command_free (command);
  return G_SOURCE_REMOVE;
}

void
zm_web_commands_end (ZmWeb *web)
{
  WebCommand *command;

  while ((command = take (web)) != NULL) {
    refuse (command, "unavailable", "the daemon is stopping");
    command_free (command);
  }
}

/* ---- any thread ---- */

void
zm_web_command (const char *request, void (*done) (gboolean ok, const char *reply, gpointer done_user),
                gpointer done_user, gpointer user)
{
  ZmWeb *web = user;
  WebCommand *command = g_new (WebCommand, 1);
  gboolean taken;

  *command = (WebCommand){ g_strdup (request), done, done_user };
  pthread_mutex_lock (&web->commands_lock);
  taken = !atomic_load (&web->closed) && web->commands.length < ZM_WEB_COMMANDS_MOST;
  if (taken) {
    g_autoptr (GSource) source = g_idle_source_new ();

    g_queue_push_tail (&web->commands, command);
    g_source_set_priority (source, G_PRIORITY_DEFAULT);
    g_source_set_callback (source, on_command, web, NULL);
    g_source_attach (source, web->runtime->context);
  }
  pthread_mutex_unlock (&web->commands_lock);
  if (taken)
    return;
  refuse (command, "unavailable", "too many commands wait, or the daemon is stopping");
  command_free (command);
}
