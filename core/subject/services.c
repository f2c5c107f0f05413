/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry of services: their state by heartbeat, commands to them, and what `zmanagerctl services` shows. Counts and
 * times are those that a service reports with its heartbeat: measuring them here would cost every message.
 */
#include "config.h"

#include "subject/services.h"

#include <string.h>

#define MISSED_MOST 3

static const char *const state_names[] = { "RUNNING", "DEGRADED", "STOPPED", "UNKNOWN" };
static const char *const command_names[] = { "get_health", "stop_service", "get_topics",
                                             "add_topic",  "remove_topic", NULL };

void
zm_service_free (ZmService *service)
{
  if (service == NULL)
    return;
  g_free (service->name);
  g_free (service->version);
  g_strfreev (service->patterns);
  g_strfreev (service->topics);
  g_strfreev (service->prefixes);
  g_free (service);
}

void
zm_service_leave (ZmServices *services, ZmService *service)
{
  zm_service_set_prefixes (services, service, NULL);
}

/* A gauge and a counter for all services, none for each: names come from outside, and metrics live for ever. */
ZmServices *
zm_services_new (ZmTableSlot *tables, ZmIntegration *integration, ZmLog *log, ZmMetrics *metrics)
{
  ZmServices *services = g_new0 (ZmServices, 1);
  services->tables = tables;
  services->integration = integration;
  services->log = log;
  services->count = zm_metrics_gauge (metrics, "zmanager_services", "Registered services", NULL, NULL);
  services->commands = zm_metrics_counter (metrics, "zmanager_service_commands_total",
                                           "Commands sent to services", NULL, NULL);
  pthread_mutex_init (&services->mutex, NULL);
  services->by_name = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) zm_service_free);
  zm_uuid_maker_init (&services->ids);
  return services;
}

void
zm_services_free (ZmServices *services)
{
  if (services == NULL)
    return;
  g_hash_table_unref (services->by_name);
  pthread_mutex_destroy (&services->mutex);
  g_free (services);
}

/* ---- heartbeats ---- */

/* A whole number of a heartbeat, kept as it was where it is absent or wrong: a count that cannot be read harms nobody. */
static void
read_count (ZmSpan json, const char *name, gint64 *count)
{
  ZmSpan raw;
  gint64 value;
  if (!zm_json_member (json, name, &raw))
    return;
  g_autofree char *text = zm_json_text (raw);
  if (text != NULL && zm_parse_integer (text, 0, G_MAXINT64, &value, NULL))
    *count = value;
}

static char *
read_text (ZmSpan json, const char *name)
{
  ZmSpan raw;
  return zm_json_member (json, name, &raw) ? zm_json_text (raw) : NULL;
}

static gboolean
parse_state (const char *text, ZmServiceState *state)
{
  for (guint i = 0; text != NULL && i < ZM_SERVICE_UNKNOWN; i++)
    if (strcmp (text, state_names[i]) == 0) {
      *state = (ZmServiceState) i;
      return TRUE;
    }
  return FALSE;
}

/* How loudly a change of state is told. That one ends of its own will is no fault, and tools come and go. */
static ZmLevel
state_level (const ZmService *service, ZmServiceState state)
{
  if (service->transient)
    return ZM_LEVEL_DEBUG;
  if (state == ZM_SERVICE_DEGRADED)
    return ZM_LEVEL_WARNING;
  return state == ZM_SERVICE_STOPPED ? ZM_LEVEL_INFO : ZM_LEVEL_NOTICE;
}

/* Under the mutex. A tool that says STOPPED is gone at once; a service stays listed for a while, so that who looks sees
 * that it was there. */
static gboolean
beat (ZmServices *services, const char *name, ZmServiceState state, ZmSpan json, gint64 now_us,
      GError **error)
{
  ZmService *service = g_hash_table_lookup (services->by_name, name);
  if (service == NULL) {
    g_autofree char *shown = zm_printable (zm_span_text (name), 100);
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "no service \"%s\" is registered; send HELLO first",
                 shown);
    return FALSE;
  }
  if (service->state != state)
    zm_log_write (services->log, state_level (service, state), "subject", "service %s: %s, was %s", name,
                  state_names[state], state_names[service->state]);
  service->state = state;
  service->last_seen_us = now_us;
  read_count (json, "received", &service->received);
  read_count (json, "errors", &service->errors);
  read_count (json, "busy_ms", &service->busy_ms);
  if (state == ZM_SERVICE_STOPPED && service->transient) {
    zm_service_leave (services, service);
    g_hash_table_remove (services->by_name, name);
    zm_counter_set (services->count, g_hash_table_size (services->by_name));
  }
  return TRUE;
}

/* In the Subject's thread. A heartbeat that cannot be read changes nothing, not even when the service was last seen. */
gboolean
zm_services_heartbeat (ZmServices *services, ZmSpan json, gint64 now_us, GError **error)
{
  ZmServiceState state = ZM_SERVICE_RUNNING;
  if (!zm_json_valid (json) || json.data[strspn (json.data, " \t\r\n")] != '{') {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "HEARTBEAT: not a JSON object");
    return FALSE;
  }
  g_autofree char *name = read_text (json, "name");
  g_autofree char *text = read_text (json, "state");
  if (name == NULL) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "HEARTBEAT: name: missing, or no string");
    return FALSE;
  }
  if (!parse_state (text, &state)) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                         "HEARTBEAT: state: missing, or not one of RUNNING, DEGRADED, STOPPED");
    return FALSE;
  }
  pthread_mutex_lock (&services->mutex);
  gboolean known = beat (services, name, state, json, now_us, error);
  pthread_mutex_unlock (&services->mutex);
  return known;
}

/* Looks at one. *due_us: when to look again, G_MAXINT64: only after it has said something. FALSE: it is to be forgotten. */
static gboolean
watch_one (ZmServices *services, ZmService *service, gint64 now_us, gint64 *due_us)
{
  *due_us = G_MAXINT64;
  if (service->state == ZM_SERVICE_STOPPED) {
    *due_us = service->last_seen_us + ZM_SERVICE_STOPPED_US;
    return *due_us > now_us;
  }
  if (service->heartbeat_us == 0 || service->state == ZM_SERVICE_UNKNOWN)
    return TRUE;
  *due_us = service->last_seen_us + MISSED_MOST * service->heartbeat_us;
  if (*due_us > now_us)
    return TRUE;
  *due_us = G_MAXINT64;
  service->state = ZM_SERVICE_UNKNOWN;
  zm_log_write (services->log, service->transient ? ZM_LEVEL_INFO : ZM_LEVEL_WARNING, "subject",
                "service %s: UNKNOWN, %d heartbeats are missing", service->name, MISSED_MOST);
  return !service->transient;
}

/* Called when the time it gave last has come, and after each HELLO and heartbeat, so nothing polls. One that is silent
 * is only marked: its subscriptions, if it still lives, are libzmq's affair. */
gint64
zm_services_watch (ZmServices *services, gint64 now_us)
{
  GHashTableIter iter;
  gpointer value;
  gint64 next_us = G_MAXINT64, due_us;
  pthread_mutex_lock (&services->mutex);
  g_hash_table_iter_init (&iter, services->by_name);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    if (watch_one (services, value, now_us, &due_us)) {
      next_us = MIN (next_us, due_us);
      continue;
    }
    zm_service_leave (services, value);
    g_hash_table_iter_remove (&iter);
  }
  zm_counter_set (services->count, g_hash_table_size (services->by_name));
  pthread_mutex_unlock (&services->mutex);
  return next_us;
}

/* ---- commands ---- */

/* A command is a publication like any other, on the topic of the flow command_NAME. The caller owns it. */
ZmMessage *
zm_service_message (ZmServices *services, const char *name, const char *command, const char *body)
{
  char id[ZM_UUID_SIZE];
  g_autofree char *flow = g_strdup_printf ("command_%s", name);
  ZmKey key = {
    ZM_SPAN_LITERAL ("zmanager"), ZM_SPAN_LITERAL ("service"), { NULL, 0 }, zm_span_text (command)
  };
  zm_uuid_make (&services->ids, zm_wall_us (), id);
  return zm_message_new (zm_span_text (flow), &key, zm_span (id, sizeof id), zm_span (NULL, 0),
                         zm_span_text (body));
}

/* An argument that is JSON goes as it is, any other text as a JSON string. */
static char *
argument_json (const char *argument)
{
  if (argument == NULL || zm_json_valid (zm_span_text (argument)))
    return g_strdup (argument != NULL ? argument : "");
  g_autoptr (GString) json = g_string_new (NULL);
  zm_json_append_string (json, zm_span_text (argument));
  return g_string_free (g_steal_pointer (&json), FALSE);
}

/* The message is made under the mutex and published without it: publishing may wait for room. */
gboolean
zm_services_command (ZmServices *services, const char *service, const char *command, const char *argument,
                     GError **error)
{
  ZmMessage *message = NULL;
  if (!g_strv_contains (command_names, command)) {
    const char *near = zm_suggest (command, command_names);
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_INVALID,
        "\"%s\" is no command of services%s%s%s; there are get_health, stop_service, get_topics, add_topic, "
        "remove_topic",
        command, near != NULL ? ", did you mean \"" : "", near != NULL ? near : "",
        near != NULL ? "\"?" : "");
    return FALSE;
  }
  g_autofree char *body = argument_json (argument);
  pthread_mutex_lock (&services->mutex);
  if (g_hash_table_contains (services->by_name, service))
    message = zm_service_message (services, service, command, body);
  pthread_mutex_unlock (&services->mutex);
  if (message == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "no service \"%s\" is registered; `zmanagerctl services` lists them", service);
    return FALSE;
  }
  zm_counter_add (services->commands, 1);
  if (zm_integration_publish (services->integration, &message, 1))
    return TRUE;
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                       "the daemon is ending; the command was not sent");
  return FALSE;
}

/* ---- JSON ---- */

/* Ratio and mean are left out where the service does not count: a zero would say that all is well. */
static void
append_service (GString *json, const ZmService *service, gint64 now_us)
{
  g_string_append (json, "{\"name\":");
  zm_json_append_string (json, zm_span_text (service->name));
  g_string_append (json, ",\"version\":");
  zm_json_append_string (json, zm_span_text (service->version));
  g_string_append_printf (json, ",\"state\":\"%s\",\"patterns\":", state_names[service->state]);
  zm_service_append_list (json, service->patterns);
  g_string_append (json, ",\"prefixes\":");
  zm_service_append_list (json, service->prefixes);
  g_string_append_printf (json, ",\"last_seen_ms\":%" G_GINT64_FORMAT,
                          (now_us - service->last_seen_us) / 1000);
  if (service->transient)
    g_string_append (json, ",\"transient\":true");
  if (service->received >= 0)
    g_string_append_printf (json, ",\"received\":%" G_GINT64_FORMAT, service->received);
  if (service->errors >= 0)
    g_string_append_printf (json, ",\"errors\":%" G_GINT64_FORMAT, service->errors);
  if (service->received > 0 && service->errors >= 0)
    g_string_append_printf (json, ",\"ratio\":%.4f", (double) service->errors / (double) service->received);
  if (service->received > 0 && service->busy_ms >= 0)
    g_string_append_printf (json, ",\"mean_ms\":%.3f",
                            (double) service->busy_ms / (double) service->received);
  g_string_append_c (json, '}');
}

static gint
compare_services (gconstpointer a, gconstpointer b)
{
  return strcmp (((const ZmService *) a)->name, ((const ZmService *) b)->name);
}

/* Sorted by name, so that two lists can be compared. */
char *
zm_services_json (ZmServices *services, gboolean transient, gint64 now_us)
{
  g_autoptr (GString) json = g_string_new ("[");
  pthread_mutex_lock (&services->mutex);
  g_autoptr (GList) list = g_list_sort (g_hash_table_get_values (services->by_name), compare_services);
  for (GList *item = list; item != NULL; item = item->next) {
    const ZmService *service = item->data;
    if (service->transient && !transient)
      continue;
    if (json->len > 1)
      g_string_append_c (json, ',');
    append_service (json, service, now_us);
  }
  pthread_mutex_unlock (&services->mutex);
  g_string_append_c (json, ']');
  return g_string_free (g_steal_pointer (&json), FALSE);
}
