/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that show: status, metrics, configuration, routing, what runs and who is there. */
#include "config.h"

#include "runtime/private.h"

#include "base/version.h"
#include "runtime/commands.h"

#include <unistd.h>

/* ---- status ---- */

static void
append_endpoints (ZmRuntime *runtime, GString *out)
{
  g_autofree char *control = zm_instance_endpoint (runtime->instance, "control");

  g_string_append_c (out, '{');
  zm_reply_member_list (out, "subject", zm_subject_endpoints (runtime->subject), -1);
  zm_reply_member_list (out, "call", zm_subject_call_endpoints (runtime->subject), -1);
  zm_reply_member_list (out, "topics", zm_integration_endpoints (runtime->integration), -1);
  zm_reply_member_text (out, "control", control);
  zm_reply_member_list (out, "http", zm_web_endpoints (runtime), -1);
  g_string_append_c (out, '}');
}

/* Counters only, labels in the name as Prometheus writes them; gauges stand in the objects of their rooms. */
static void
append_counter (const char *name, const char *label_name, const char *label, gboolean gauge, gint64 value,
                const char *help, gpointer user)
{
  GString *out = user;
  g_autofree char *full =
      label_name != NULL ? g_strdup_printf ("%s{%s=\"%s\"}", name, label_name, label) : g_strdup (name);

  (void) help;
  if (!gauge)
    zm_reply_member_integer (out, full, value);
}

/* held: replaced generations that somebody still holds, with who it is. */
static void
append_plugins (ZmRuntime *runtime, GString *out)
{
  g_autoptr (ZmPluginSet) set = zm_plugins_current (runtime->plugins);
  g_auto (GStrv) held = zm_plugins_held (runtime->plugins);

  g_string_append_c (out, '{');
  zm_reply_member_integer (out, "loaded", set != NULL ? zm_plugin_set_size (set) : 0);
  zm_reply_member_list (out, "held", (const char *const *) held, -1);
  g_string_append_c (out, '}');
}

static void
append_table (ZmRuntime *runtime, GString *out)
{
  g_autoptr (ZmTable) table = zm_table_slot_get (runtime->tables);

  g_string_append_c (out, '{');
  zm_reply_member_integer (out, "serial", (gint64) zm_table_serial (table));
  zm_reply_member_integer (out, "routes", zm_table_n_routes (table));
  zm_reply_member_integer (out, "flows", zm_table_n_flows (table));
  g_string_append_c (out, '}');
}

/* null: there is no store. */
static char *
delivery_json (ZmRuntime *runtime)
{
  ZmDeliveryFigures figures;
  GString *out;

  if (runtime->delivery == NULL)
    return g_strdup ("null");
  zm_delivery_figures (runtime->delivery, &figures);
  out = g_string_new ("{");
  zm_reply_member_integer (out, "in_flight", (gint64) figures.in_flight);
  zm_reply_member_integer (out, "waiting", (gint64) figures.waiting);
  zm_reply_member_integer (out, "delivered", (gint64) figures.delivered);
  zm_reply_member_integer (out, "retried", (gint64) figures.retried);
  zm_reply_member_integer (out, "dead", (gint64) figures.dead);
  zm_reply_member_integer (out, "gone", (gint64) figures.gone);
  zm_reply_member_take (out, "consumers", zm_delivery_status_json (runtime->delivery));
  g_string_append_c (out, '}');
  return g_string_free (out, FALSE);
}

/* Each room gives its own object, made from atomics and short locks: a status never stops the traffic. Numbers of
 * different rooms are of slightly different moments. */
gboolean
zm_command_status (ZmCommandCall *call, GError **error)
{
  ZmRuntime *runtime = call->runtime;
  GString *out = call->out;
  g_autoptr (GPtrArray) reasons = zm_runtime_reasons (runtime);
  g_autoptr (GString) part = g_string_new (NULL);

  (void) error;
  g_string_append_c (out, '{');
  zm_reply_member_text (out, "node", runtime->node);
  zm_reply_member_text (out, "version", zm_version ());
  zm_reply_member_integer (out, "pid", getpid ());
  zm_reply_member_text (out, "directory", runtime->instance->dir);
  zm_reply_member_text (out, "state", zm_runtime_state_name (runtime));
  zm_reply_member_integer (out, "uptime_s", (zm_now_us () - runtime->started_us) / G_USEC_PER_SEC);
  zm_reply_member_list (out, "reasons", (const char *const *) reasons->pdata, reasons->len);
  append_endpoints (runtime, part);
  zm_reply_member_json (out, "endpoints", part->str);
  zm_reply_member_take (out, "connections", zm_gates_json (runtime->gates));
  zm_reply_member_take (out, "subject", zm_subject_status_json (runtime->subject));
  zm_reply_member_take (out, "workers", zm_pool_status_json (runtime->pool));
  zm_reply_member_take (out, "hosts", zm_hosts_status_json (runtime->hosts));
  zm_reply_member_take (out, "integration", zm_integration_status_json (runtime->integration));
  zm_reply_member_take (out, "http", zm_web_status_json (runtime));
  g_string_truncate (part, 0);
  append_plugins (runtime, part);
  zm_reply_member_json (out, "plugins", part->str);
  g_string_truncate (part, 0);
  append_table (runtime, part);
  zm_reply_member_json (out, "table", part->str);
  zm_reply_member_take (out, "sources", zm_sources_json (runtime->sources));
  zm_reply_member_take (out, "store", zm_durable_status_json (runtime));
  zm_reply_member_take (out, "delivery", delivery_json (runtime));
  g_string_assign (part, "{");
  zm_metrics_each (runtime->metrics, append_counter, part);
  g_string_append_c (part, '}');
  zm_reply_member_json (out, "counters", part->str);
  g_string_append_c (out, '}');
  return TRUE;
}

static void
append_metric (const char *name, const char *label_name, const char *label, gboolean gauge, gint64 value,
               const char *help, gpointer user)
{
  GString *out = user;

  g_string_append (out, out->str[out->len - 1] == '[' ? "{" : ",{");
  zm_reply_member_text (out, "name", name);
  zm_reply_member_text (out, "label_name", label_name);
  zm_reply_member_text (out, "label", label);
  zm_reply_member_integer (out, "value", value);
  zm_reply_member_text (out, "type", gauge ? "gauge" : "counter");
  zm_reply_member_text (out, "help", help);
  g_string_append_c (out, '}');
}

gboolean
zm_command_metrics (ZmCommandCall *call, GError **error)
{
  (void) error;
  g_string_append (call->out, "{\"metrics\":[");
  zm_metrics_each (call->runtime->metrics, append_metric, call->out);
  g_string_append (call->out, "]}");
  return TRUE;
}

gboolean
zm_command_config (ZmCommandCall *call, GError **error)
{
  g_autofree char *json = zm_runtime_config_dump (call->runtime->instance, call->runtime->config, TRUE);

  (void) error;
  g_string_append (call->out, json);
  return TRUE;
}

/* ---- routing ---- */

/* The table of this moment; a reload between two commands may give two answers. */
gboolean
zm_command_explain (ZmCommandCall *call, GError **error)
{
  g_autoptr (ZmTable) table = zm_table_slot_get (call->runtime->tables);
  g_autofree char *text = NULL;
  g_autofree char *shown = NULL;
  gboolean as_text;
  ZmKey key;

  if (!zm_command_text (call->request, "key", TRUE, &text, error) ||
      !zm_command_flag (call->request, "text", &as_text, error) ||
      !zm_key_parse (zm_span_text (text), &key, NULL, error))
    return FALSE;
  shown = zm_table_explain (table, &key, !as_text);
  if (!as_text) {
    g_string_append (call->out, shown);
    return TRUE;
  }
  g_string_append_c (call->out, '{');
  zm_reply_member_text (call->out, "text", shown);
  g_string_append_c (call->out, '}');
  return TRUE;
}

gboolean
zm_command_flows (ZmCommandCall *call, GError **error)
{
  g_autoptr (ZmTable) table = zm_table_slot_get (call->runtime->tables);

  (void) error;
  g_string_append (call->out, "{\"flows\":[");
  for (guint i = 0; i < zm_table_n_flows (table); i++) {
    g_autofree char *json = zm_flow_show (table, zm_table_flow_nth (table, i), FALSE);

    g_string_append_printf (call->out, "%s%s", i > 0 ? "," : "", json);
  }
  g_string_append (call->out, "]}");
  return TRUE;
}

gboolean
zm_command_flow (ZmCommandCall *call, GError **error)
{
  g_autoptr (ZmTable) table = zm_table_slot_get (call->runtime->tables);
  g_autofree char *name = NULL;
  g_autofree char *shown = NULL;
  gboolean dot;
  ZmFlow *flow;

  if (!zm_command_text (call->request, "name", TRUE, &name, error) ||
      !zm_command_flag (call->request, "dot", &dot, error))
    return FALSE;
  flow = zm_table_flow (table, zm_span_text (name));
  if (flow == NULL) {
    g_autofree char *printable = zm_printable (zm_span_text (name), 64);
    const char *near = zm_table_flow_near (table, printable);

    if (near != NULL)
      g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no flow \"%s\"; did you mean \"%s\"?",
                   printable, near);
    else
      g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "there is no flow \"%s\"; see zmanagerctl flow ls",
                   printable);
    return FALSE;
  }
  shown = zm_flow_show (table, flow, dot);
  g_string_append_c (call->out, '{');
  if (dot)
    zm_reply_member_text (call->out, "dot", shown);
  else
    zm_reply_member_json (call->out, "flow", shown);
  g_string_append_c (call->out, '}');
  return TRUE;
}

/* ---- one list each ---- */

/* {name: json}; takes json. */
static gboolean
reply_list (ZmCommandCall *call, const char *name, char *json)
{
  g_string_append_c (call->out, '{');
  zm_reply_member_take (call->out, name, json);
  g_string_append_c (call->out, '}');
  return TRUE;
}

gboolean
zm_command_instances (ZmCommandCall *call, GError **error)
{
  (void) error;
  return reply_list (call, "instances", zm_pool_waiting_json (call->runtime->pool));
}

gboolean
zm_command_routes (ZmCommandCall *call, GError **error)
{
  (void) error;
  return reply_list (call, "routes", zm_pool_routes_json (call->runtime->pool));
}

gboolean
zm_command_sources (ZmCommandCall *call, GError **error)
{
  (void) error;
  return reply_list (call, "sources", zm_sources_json (call->runtime->sources));
}

gboolean
zm_command_services (ZmCommandCall *call, GError **error)
{
  gboolean all;

  /* Every tail of every terminal registers; who asks for services does not mean those. */
  return zm_command_flag (call->request, "all", &all, error) &&
         reply_list (call, "services", zm_subject_services_json (call->runtime->subject, all));
}

gboolean
zm_command_workers (ZmCommandCall *call, GError **error)
{
  (void) error;
  return reply_list (call, "workers", zm_externals_json (call->runtime->externals));
}

gboolean
zm_command_log_recent (ZmCommandCall *call, GError **error)
{
  (void) error;
  return reply_list (call, "lines", zm_log_recent (call->runtime->log));
}
