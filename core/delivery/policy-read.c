/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads retry policies from JSON, in our words or in Zaqar's. They come from configuration, metadata of queues and options of
 * subscriptions, so what is wrong is said with the name of the member.
 */
#include "config.h"

#include "delivery/zm-delivery.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#define DELAY_MOST_MS     (G_GINT64_CONSTANT (15) * 24 * 3600 * 1000) /* as the longest delay of a message */
#define AGE_MOST_MS       (G_GINT64_CONSTANT (36500) * 24 * 3600 * 1000)
#define RETRIES_MOST      1000000
#define SCHEDULE_MOST     1000
#define ZAQAR_RANGE_LEAST 10 /* seconds between its two delays: two of its steps */

static const char *const functions[] = { "linear", "arithmetic", "geometric", "exponential", NULL };
static const char *const own_members[] = { "immediate", "pre",     "backoff",  "post",
                                           "jitter",    "max_age", "schedule", NULL };
static const char *const zaqar_members[] = { "retries_with_no_delay",
                                             "minimum_delay_retries",
                                             "minimum_delay",
                                             "maximum_delay",
                                             "maximum_delay_retries",
                                             "retry_backoff_function",
                                             "ignore_subscription_override",
                                             NULL };

static gboolean
wrong (GError **error, const char *where, const char *name, const char *expected)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "retry policy: %s%s%s: expected %s", where,
               *where != '\0' ? "." : "", name, expected);
  return FALSE;
}

/* ---- members ---- */

static JsonNode *
member (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && !JSON_NODE_HOLDS_NULL (node) ? node : NULL;
}

/* A member that is not there leaves *value alone. */
static gboolean
read_count (JsonObject *object, const char *where, const char *name, gint64 most, gint64 *value,
            GError **error)
{
  JsonNode *node = member (object, name);
  gint64 read;

  if (node == NULL)
    return TRUE;
  read = JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64
             ? json_node_get_int (node)
             : -1;
  if (read < 0 || read > most) {
    g_autofree char *expected = g_strdup_printf ("a whole number from 0 to %" G_GINT64_FORMAT, most);
    return wrong (error, where, name, expected);
  }
  *value = read;
  return TRUE;
}

static gboolean
node_duration (JsonNode *node, gint64 most, gint64 *ms)
{
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_INVALID;

  if (type == G_TYPE_STRING)
    return zm_parse_duration (json_node_get_string (node), ms, NULL) && *ms >= 0 && *ms <= most;
  if (type == G_TYPE_INT64 || type == G_TYPE_DOUBLE) {
    double seconds = json_node_get_double (node);

    if (isfinite (seconds) && seconds >= 0 && seconds * 1000 <= (double) most) {
      *ms = (gint64) (seconds * 1000 + 0.5);
      return TRUE;
    }
  }
  return FALSE;
}

static gboolean
read_duration (JsonObject *object, const char *where, const char *name, gint64 most, gint64 *ms,
               GError **error)
{
  JsonNode *node = member (object, name);

  if (node == NULL || node_duration (node, most, ms))
    return TRUE;
  return wrong (error, where, name, "seconds, or a duration such as \"500ms\"");
}

static gboolean
read_function (JsonObject *object, const char *where, const char *name, ZmBackoff *function, GError **error)
{
  JsonNode *node = member (object, name);
  const char *text = node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;

  if (node == NULL)
    return TRUE;
  for (guint i = 0; functions[i] != NULL && text != NULL; i++)
    if (strcmp (functions[i], text) == 0) {
      *function = (ZmBackoff) i;
      return TRUE;
    }
  return wrong (error, where, name, "linear, arithmetic, geometric or exponential");
}

/* A member that nobody reads is a misspelt one, or one of the other language. */
static gboolean
only (JsonObject *object, const char *where, const char *const *known, GError **error)
{
  g_autoptr (GList) names = json_object_get_members (object);

  for (GList *at = names; at != NULL; at = at->next)
    if (!g_strv_contains (known, at->data)) {
      g_autofree char *shown = zm_printable (zm_span_text (at->data), 64);
      g_autofree char *list = g_strjoinv (", ", (char **) known);

      return wrong (error, where, shown, list);
    }
  return TRUE;
}

/* ---- our words ---- */

/* {"n", "delay"}. */
static gboolean
read_phase (JsonObject *object, const char *name, guint *n, gint64 *ms, GError **error)
{
  static const char *const known[] = { "n", "delay", NULL };
  JsonNode *node = member (object, name);
  gint64 count = 1;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return wrong (error, "", name, "an object with n and delay");
  JsonObject *phase = json_node_get_object (node);
  if (!only (phase, name, known, error) || !read_count (phase, name, "n", RETRIES_MOST, &count, error) ||
      !read_duration (phase, name, "delay", DELAY_MOST_MS, ms, error))
    return FALSE;
  *n = (guint) count;
  return TRUE;
}

static gboolean
read_backoff (JsonObject *object, ZmRetryPolicy *policy, GError **error)
{
  static const char *const known[] = { "n", "function", "min", "max", NULL };
  JsonNode *node = member (object, "backoff");
  gint64 count = 1;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return wrong (error, "", "backoff", "an object with n, function, min and max");
  JsonObject *phase = json_node_get_object (node);
  if (!only (phase, "backoff", known, error) ||
      !read_count (phase, "backoff", "n", RETRIES_MOST, &count, error) ||
      !read_function (phase, "backoff", "function", &policy->function, error) ||
      !read_duration (phase, "backoff", "min", DELAY_MOST_MS, &policy->min_ms, error))
    return FALSE;
  policy->max_ms = policy->min_ms;
  if (!read_duration (phase, "backoff", "max", DELAY_MOST_MS, &policy->max_ms, error))
    return FALSE;
  if (policy->max_ms < policy->min_ms)
    return wrong (error, "backoff", "max", "not less than min");
  policy->backoff = (guint) count;
  return TRUE;
}

static gboolean
read_schedule (JsonObject *object, ZmRetryPolicy *policy, GError **error)
{
  JsonNode *node = member (object, "schedule");
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  guint n = array != NULL ? json_array_get_length (array) : 0;

  if (node == NULL)
    return TRUE;
  if (array == NULL || n > SCHEDULE_MOST)
    return wrong (error, "", "schedule", "a list of at most 1000 delays");
  policy->schedule = g_new0 (gint64, n + 1);
  policy->n_schedule = n;
  for (guint i = 0; i < n; i++)
    if (!node_duration (json_array_get_element (array, i), DELAY_MOST_MS, &policy->schedule[i])) {
      g_autofree char *name = g_strdup_printf ("schedule[%u]", i);
      return wrong (error, "", name, "seconds, or a duration such as \"500ms\"");
    }
  return TRUE;
}

/* "immediate" is a number, or {"n"} as the other phases are. */
static gboolean
read_immediate (JsonObject *object, ZmRetryPolicy *policy, GError **error)
{
  JsonNode *node = member (object, "immediate");
  gint64 none = 0, count = 0;

  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    return read_phase (object, "immediate", &policy->immediate, &none, error);
  if (!read_count (object, "", "immediate", RETRIES_MOST, &count, error))
    return FALSE;
  policy->immediate = (guint) count;
  return TRUE;
}

static gboolean
read_own (JsonObject *object, ZmRetryPolicy *policy, GError **error)
{
  gint64 jitter = 0;

  if (!only (object, "", own_members, error) || !read_immediate (object, policy, error) ||
      !read_phase (object, "pre", &policy->pre, &policy->pre_ms, error) ||
      !read_backoff (object, policy, error) ||
      !read_phase (object, "post", &policy->post, &policy->post_ms, error) ||
      !read_count (object, "", "jitter", 100, &jitter, error) ||
      !read_duration (object, "", "max_age", AGE_MOST_MS, &policy->max_age_ms, error))
    return FALSE;
  policy->jitter = (guint) jitter;
  return read_schedule (object, policy, error);
}

/* ---- Zaqar's ---- */

static gboolean
read_seconds (JsonObject *object, const char *name, gint64 *ms, GError **error)
{
  gint64 seconds = *ms / 1000;

  if (!read_count (object, "", name, DELAY_MOST_MS / 1000, &seconds, error))
    return FALSE;
  *ms = seconds * 1000;
  return TRUE;
}

static gboolean
read_ignore (JsonObject *object, ZmRetryPolicy *policy, GError **error)
{
  JsonNode *node = member (object, "ignore_subscription_override");

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return wrong (error, "", "ignore_subscription_override", "true or false");
  policy->ignore_override = json_node_get_boolean (node);
  return TRUE;
}

static gboolean
read_zaqar (JsonObject *object, ZmRetryPolicy *policy, GError **error)
{
  gint64 immediate, pre, post;

  zm_retry_policy_init (policy);
  immediate = policy->immediate;
  pre = policy->pre;
  post = policy->post;
  if (!only (object, "", zaqar_members, error) ||
      !read_count (object, "", "retries_with_no_delay", RETRIES_MOST, &immediate, error) ||
      !read_count (object, "", "minimum_delay_retries", RETRIES_MOST, &pre, error) ||
      !read_seconds (object, "minimum_delay", &policy->min_ms, error) ||
      !read_seconds (object, "maximum_delay", &policy->max_ms, error) ||
      !read_count (object, "", "maximum_delay_retries", RETRIES_MOST, &post, error) ||
      !read_function (object, "", "retry_backoff_function", &policy->function, error) ||
      !read_ignore (object, policy, error))
    return FALSE;
  if (policy->max_ms - policy->min_ms < ZAQAR_RANGE_LEAST * 1000)
    return wrong (error, "", "maximum_delay", "at least 10 s more than minimum_delay");
  policy->immediate = (guint) immediate;
  policy->pre = (guint) pre;
  policy->post = (guint) post;
  policy->pre_ms = policy->min_ms;
  policy->post_ms = policy->max_ms;
  return TRUE;
}

/* Is any member of theirs? An object without members is in our words, and has no retries. */
static gboolean
is_zaqar (JsonObject *object)
{
  for (guint i = 0; zaqar_members[i] != NULL; i++)
    if (json_object_has_member (object, zaqar_members[i]))
      return TRUE;
  return FALSE;
}

gboolean
zm_retry_policy_read (ZmRetryPolicy *policy, ZmSpan json, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  ZmRetryPolicy read = { .most = -1 };
  JsonNode *root = NULL;
  gboolean good;

  if (zm_json_valid (json) && json_parser_load_from_data (parser, json.data, (gssize) json.size, NULL))
    root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID, "retry policy: expected a JSON object");
    return FALSE;
  }
  good = is_zaqar (json_node_get_object (root)) ? read_zaqar (json_node_get_object (root), &read, error)
                                                : read_own (json_node_get_object (root), &read, error);
  if (!good) {
    zm_retry_policy_clear (&read);
    return FALSE;
  }
  zm_retry_policy_clear (policy);
  *policy = read;
  return TRUE;
}
