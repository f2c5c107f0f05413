/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of commands, their arguments and the form of their replies. */
#include "config.h"

#include "runtime/commands.h"
#include "runtime/later.h"

#include <string.h>

static const ZmCommand commands[] = {
  { "cancel", NULL, ZM_REPLY_CANCEL },
  { "config", zm_command_config, ZM_REPLY_OK },
  { "dead", zm_command_dead, ZM_REPLY_OK },
  { "dead-replay", zm_command_dead_replay, ZM_REPLY_ASYNC },
  { "dead-rm", zm_command_dead_rm, ZM_REPLY_OK },
  { "drain", zm_command_drain, ZM_REPLY_LATER },
  { "explain", zm_command_explain, ZM_REPLY_OK },
  { "flow", zm_command_flow, ZM_REPLY_OK },
  { "flows", zm_command_flows, ZM_REPLY_OK },
  { "hosts", zm_command_hosts, ZM_REPLY_OK },
  { "instances", zm_command_instances, ZM_REPLY_OK },
  { "log", NULL, ZM_REPLY_STREAM },
  { "log-level", zm_command_log_level, ZM_REPLY_OK },
  { "log-recent", zm_command_log_recent, ZM_REPLY_OK },
  { "metrics", zm_command_metrics, ZM_REPLY_OK },
  { "plugin-load", zm_command_plugin_load, ZM_REPLY_OK },
  { "plugin-reload", zm_command_plugin_reload, ZM_REPLY_OK },
  { "plugin-unload", zm_command_plugin_unload, ZM_REPLY_OK },
  { "plugins", zm_command_plugins, ZM_REPLY_OK },
  { "queue", zm_command_queue, ZM_REPLY_ASYNC },
  { "queue-ack", zm_command_queue_ack, ZM_REPLY_ASYNC },
  { "queue-create", zm_command_queue_create, ZM_REPLY_ASYNC },
  { "queue-get", zm_command_queue_get, ZM_REPLY_ASYNC },
  { "queue-peek", zm_command_queue_peek, ZM_REPLY_ASYNC },
  { "queue-purge", zm_command_queue_purge, ZM_REPLY_ASYNC },
  { "queue-put", zm_command_queue_put, ZM_REPLY_ASYNC },
  { "queue-release", zm_command_queue_release, ZM_REPLY_ASYNC },
  { "queue-rm", zm_command_queue_rm, ZM_REPLY_ASYNC },
  { "queues", zm_command_queues, ZM_REPLY_OK },
  { "reload", zm_command_reload, ZM_REPLY_OK },
  { "routes", zm_command_routes, ZM_REPLY_OK },
  { "running", zm_command_running, ZM_REPLY_OK },
  { "service-command", zm_command_service_command, ZM_REPLY_OK },
  { "services", zm_command_services, ZM_REPLY_OK },
  { "sources", zm_command_sources, ZM_REPLY_OK },
  { "status", zm_command_status, ZM_REPLY_OK },
  { "store-backup", zm_command_store_backup, ZM_REPLY_OK },
  { "store-check", zm_command_store_check, ZM_REPLY_OK },
  { "store-status", zm_command_store_status, ZM_REPLY_OK },
  { "top", NULL, ZM_REPLY_STREAM },
  { "trace", NULL, ZM_REPLY_STREAM },
  { "workers", zm_command_workers, ZM_REPLY_OK },
};

static const ZmCommand *
find_command (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (commands[i].name, name) == 0)
      return &commands[i];
  return NULL;
}

/* With the nearest known name, as people type these by hand into scripts. */
static void
unknown_command (const char *name, GError **error)
{
  const char *names[G_N_ELEMENTS (commands) + 1] = { NULL };
  const char *near;
  g_autofree char *shown = zm_printable (zm_span_text (name), 64);

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    names[i] = commands[i].name;
  near = zm_suggest (name, names);
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "unknown command \"%s\"%s%s%s", shown,
               near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* The request as an object that may be looked into. It is judged before anything reads it, so depth and size are
 * bounded. */
static gboolean
check_request (ZmSpan *request, GError **error)
{
  while (request->size > 0 && strchr (" \t\r\n", request->data[0]) != NULL && request->data[0] != '\0')
    *request = zm_span (request->data + 1, request->size - 1);
  if (request->size > ZM_REQUEST_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
                 "the request has %" G_GSIZE_FORMAT " bytes; at most %d are taken", request->size,
                 ZM_REQUEST_MOST);
    return FALSE;
  }
  if (request->size == 0 || request->data[0] != '{' || !zm_json_valid (*request)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "the request is no JSON object: send {\"command\": \"NAME\", …}");
    return FALSE;
  }
  return TRUE;
}

/* Which command; NULL: error, and nothing was done. */
static const ZmCommand *
read_request (ZmSpan *request, GError **error)
{
  g_autofree char *name = NULL;
  const ZmCommand *command;

  if (!check_request (request, error) || !zm_command_text (*request, "command", TRUE, &name, error))
    return NULL;
  command = find_command (name);
  if (command == NULL)
    unknown_command (name, error);
  return command;
}

/* What a command had written before it failed is cut off again, so that a reply is one object in any case. */
ZmReplyKind
zm_command_run (struct ZmRuntime *runtime, ZmSpan request, GString *out, const ZmCommand **command,
                ZmLater **later)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  const ZmCommand *found = read_request (&request, &error);
  ZmCommandCall call = { runtime, request, out, problems, NULL };
  gsize begin = out->len;

  if (command != NULL)
    *command = found;
  if (found != NULL && (found->run == NULL || found->run (&call, &error))) {
    if (later != NULL)
      *later = call.later;
    return call.later != NULL ? ZM_REPLY_ASYNC : found->kind;
  }
  g_clear_pointer (&call.later, zm_later_free);
  g_string_truncate (out, begin);
  zm_reply_error (out, error, problems);
  return ZM_REPLY_ERROR;
}

/* ---- arguments ---- */

/* The raw value; FALSE where it is not given (null counts as not given). */
static gboolean
member (ZmSpan request, const char *name, ZmSpan *value)
{
  return zm_json_member (request, name, value) && !zm_span_is (*value, "null");
}

/* The raw value is judged by its first byte, as the whole request is known to be valid JSON. */
gboolean
zm_command_text (ZmSpan request, const char *name, gboolean required, char **value, GError **error)
{
  ZmSpan raw;

  *value = NULL;
  if (!member (request, name, &raw)) {
    if (required)
      g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"%s\" is missing: give it as a string", name);
    return !required;
  }
  if (raw.data[0] != '"') {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"%s\" must be a string", name);
    return FALSE;
  }
  if (raw.size > ZM_REQUEST_TEXT_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "\"%s\" is longer than %d bytes", name,
                 ZM_REQUEST_TEXT_MOST);
    return FALSE;
  }
  *value = zm_json_text (raw);
  if (*value != NULL && (**value != '\0' || !required))
    return TRUE;
  g_clear_pointer (value, g_free);
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"%s\" must be a string that is not empty", name);
  return FALSE;
}

/* A number beyond the bounds is an error and not cut to them: who asks for 10^9 lines should hear that there is a
 * limit. */
gboolean
zm_command_integer (ZmSpan request, const char *name, gint64 standard, gint64 least, gint64 most,
                    gint64 *value, GError **error)
{
  ZmSpan raw;
  g_autofree char *text = NULL;

  *value = standard;
  if (!member (request, name, &raw))
    return TRUE;
  text = zm_span_dup (raw);
  if (raw.size <= 20 && zm_parse_integer (text, least, most, value, NULL))
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "\"%s\" must be a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, name, least,
               most);
  return FALSE;
}

gboolean
zm_command_flag (ZmSpan request, const char *name, gboolean *value, GError **error)
{
  ZmSpan raw;

  *value = FALSE;
  if (!member (request, name, &raw))
    return TRUE;
  *value = zm_span_is (raw, "true");
  if (*value || zm_span_is (raw, "false"))
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"%s\" must be true or false", name);
  return FALSE;
}

/* ---- replies ---- */

/* The comma belongs to who comes second, so members can be left out without a thought. */
static void
begin_member (GString *out, const char *name)
{
  if (out->len > 0 && out->str[out->len - 1] != '{')
    g_string_append_c (out, ',');
  zm_json_append_string (out, zm_span_text (name));
  g_string_append_c (out, ':');
}

static void
append_text (GString *out, const char *text)
{
  if (text == NULL)
    g_string_append (out, "null");
  else
    zm_json_append_string (out, zm_span_text (text));
}

void
zm_reply_member_text (GString *out, const char *name, const char *text)
{
  begin_member (out, name);
  append_text (out, text);
}

void
zm_reply_member_integer (GString *out, const char *name, gint64 value)
{
  begin_member (out, name);
  g_string_append_printf (out, "%" G_GINT64_FORMAT, value);
}

void
zm_reply_member_boolean (GString *out, const char *name, gboolean value)
{
  begin_member (out, name);
  g_string_append (out, value ? "true" : "false");
}

void
zm_reply_member_json (GString *out, const char *name, const char *json)
{
  begin_member (out, name);
  g_string_append (out, json != NULL ? json : "null");
}

void
zm_reply_member_take (GString *out, const char *name, char *json)
{
  zm_reply_member_json (out, name, json);
  g_free (json);
}

void
zm_reply_member_list (GString *out, const char *name, const char *const *texts, gssize n)
{
  begin_member (out, name);
  g_string_append_c (out, '[');
  for (gssize i = 0; texts != NULL && (n < 0 ? texts[i] != NULL : i < n); i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    append_text (out, texts[i]);
  }
  g_string_append_c (out, ']');
}

void
zm_reply_member_problems (GString *out, const char *name, const ZmProblems *problems)
{
  begin_member (out, name);
  g_string_append_c (out, '[');
  for (guint i = 0; i < zm_problems_count (problems); i++) {
    const ZmProblem *problem = zm_problems_get (problems, i);
    g_autofree char *text = problem ? zm_problem_format (problem) : NULL;

    if (problem == NULL)
      break;
    g_string_append (out, i > 0 ? ",{" : "{");
    zm_reply_member_text (out, "text", text);
    zm_reply_member_text (out, "severity", problem->severity == ZM_PROBLEM_ERROR ? "error" : "warning");
    g_string_append_printf (out, ",\"code\":\"ZM%04u\"", problem->code);
    zm_reply_member_text (out, "file", problem->file);
    zm_reply_member_integer (out, "line", problem->line);
    zm_reply_member_integer (out, "column", problem->column);
    zm_reply_member_text (out, "what", problem->what);
    zm_reply_member_text (out, "expected", problem->expected);
    zm_reply_member_text (out, "todo", problem->todo);
    g_string_append_c (out, '}');
  }
  g_string_append_c (out, ']');
}

/* Codes of the control socket are few and stay: clients decide by them what to do. Texts are for people and change. */
static const char *
code_name (const GError *error)
{
  if (error->domain != ZM_ERROR)
    return "failed";
  switch ((ZmErrorCode) error->code) {
  case ZM_ERROR_NOT_FOUND: return "not-found";
  case ZM_ERROR_UNGUARDED:
  case ZM_ERROR_REFUSED: return "refused";
  case ZM_ERROR_INVALID:
  case ZM_ERROR_EXISTS:
  case ZM_ERROR_LIMIT: return "invalid";
  case ZM_ERROR_UNAVAILABLE:
  case ZM_ERROR_UNREACHABLE: return "unavailable";
  case ZM_ERROR_IO:
  case ZM_ERROR_ABI:
  case ZM_ERROR_PLUGIN: break;
  }
  return "failed";
}

/* problems: findings of a reload that was refused, each with its place; only where there are some. */
void
zm_reply_error (GString *out, const GError *error, const ZmProblems *problems)
{
  g_string_append_c (out, '{');
  zm_reply_member_text (out, "code", error != NULL ? code_name (error) : "failed");
  zm_reply_member_text (out, "text",
                        error != NULL ? error->message : "the command failed without saying why");
  if (problems != NULL && zm_problems_count (problems) > 0)
    zm_reply_member_problems (out, "problems", problems);
  g_string_append_c (out, '}');
}
