/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is seen without the API: metrics for Prometheus, is it alive, is it ready, and the page. */
#include "config.h"

#include "http/server.h"
#include "http/v1.h"

#include "page-data.h"

#include <string.h>

/* ---- /metrics ---- */

typedef struct Metrics {
  GString *out;
  char *last; /* name of the row before: a family's head stands once */
} Metrics;

static void
append_label (GString *out, const char *label)
{
  for (; *label != '\0'; label++)
    if (*label == '\n')
      g_string_append (out, "\\n");
    else if (*label == '"' || *label == '\\')
      g_string_append_printf (out, "\\%c", *label);
    else
      g_string_append_c (out, *label);
}

static void
append_metric (const char *name, const char *label_name, const char *label, gboolean gauge, gint64 value,
               const char *help, gpointer user)
{
  Metrics *metrics = user;
  GString *out = metrics->out;

  if (g_strcmp0 (metrics->last, name) != 0) {
    if (help != NULL)
      g_string_append_printf (out, "# HELP %s %s\n", name, help);
    g_string_append_printf (out, "# TYPE %s %s\n", name, gauge ? "gauge" : "counter");
    g_free (metrics->last);
    metrics->last = g_strdup (name);
  }
  g_string_append (out, name);
  if (label_name != NULL) {
    g_string_append_printf (out, "{%s=\"", label_name);
    append_label (out, label);
    g_string_append (out, "\"}");
  }
  g_string_append_printf (out, " %" G_GINT64_FORMAT "\n", value);
}

static void
on_metrics (ZmRequest *request)
{
  Metrics metrics = { g_string_new (NULL), NULL };

  zm_metrics_each (zm_http_host (request->http)->metrics, append_metric, &metrics);
  g_free (metrics.last);
  zm_request_answer_take (request, 200, "text/plain; version=0.0.4; charset=utf-8", metrics.out);
}

/* ---- health ---- */

static void
on_alive (ZmRequest *request)
{
  zm_request_answer_json (request, 200, "{\"alive\":true}");
}

static void
on_ready (ZmRequest *request)
{
  const ZmHttpHost *host = zm_http_host (request->http);
  g_autofree char *reasons = NULL;
  gboolean degraded = FALSE;
  gboolean ready = host->ready == NULL || host->ready (&degraded, &reasons, host->user);
  g_autofree char *json =
      g_strdup_printf ("{\"ready\":%s,\"degraded\":%s,\"reasons\":%s}", ready ? "true" : "false",
                       degraded ? "true" : "false", reasons != NULL ? reasons : "[]");

  if (!ready)
    zm_request_add_header (request, "Retry-After", "1");
  zm_request_answer_json (request, ready ? 200 : 503, json);
}

/* ---- the page ---- */

/* It has all it needs in itself, and nobody may frame it. */
#define POLICY                                                                                          \
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " \
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void
answer_page (ZmRequest *request, const char *content_type, const char *text)
{
  zm_request_add_header (request, "Content-Security-Policy", POLICY);
  zm_request_add_header (request, "Referrer-Policy", "no-referrer");
  zm_request_add_header (request, "X-Frame-Options", "DENY");
  zm_request_add_header (request, "Cross-Origin-Opener-Policy", "same-origin");
  zm_request_add_header (request, "Cross-Origin-Resource-Policy", "same-origin");
  zm_request_answer (request, 200, content_type, text, strlen (text));
}

/* Zaqar's clients ask for the list of versions at the same place. */
static void
on_root (ZmRequest *request)
{
  const char *accept = zm_request_header (request, "Accept");

  zm_request_add_header (request, "Vary", "Accept");
  if (accept != NULL && strstr (accept, "text/html") != NULL)
    answer_page (request, "text/html; charset=utf-8", page_index_html);
  else
    zm_zaqar_versions (request);
}

static void
on_script (ZmRequest *request)
{
  answer_page (request, "text/javascript; charset=utf-8", page_page_js);
}

static void
on_style (ZmRequest *request)
{
  answer_page (request, "text/css; charset=utf-8", page_page_css);
}

void
zm_observe_openapi (ZmRequest *request)
{
  g_autofree char *json = zm_openapi_json ();

  zm_request_answer_json (request, 200, json);
}

const ZmRoute zm_routes_observe[] = {
  { ZM_GET, "/", on_root, 0, ZM_ROUTE_BROWSER | ZM_ROUTE_OPEN, 0, "root",
    "The live page where Accept names text/html, else the versions of the API.",
    "200 The page.;300 The versions.", NULL },
  { ZM_GET, "/page.js", on_script, 0, ZM_ROUTE_BROWSER | ZM_ROUTE_OPEN, 0, "page_script",
    "The page's script.", "200 JavaScript.", NULL },
  { ZM_GET, "/page.css", on_style, 0, ZM_ROUTE_BROWSER | ZM_ROUTE_OPEN, 0, "page_style", "The page's style.",
    "200 CSS.", NULL },
  { ZM_GET, "/metrics", on_metrics, 0, 0, 0, "metrics", "Counters and gauges in Prometheus' text format.",
    "200 The figures.", NULL },
  { ZM_GET, "/healthz", on_alive, 0, ZM_ROUTE_OPEN, 0, "alive", "Is the daemon alive?", "200 It is.", NULL },
  { ZM_GET, "/readyz", on_ready, 0, ZM_ROUTE_OPEN, 0, "ready", "Is it ready to take messages?",
    "200 It is. Where degraded is true, reasons says what does not work.;503 It is not: it drains, or the "
    "store takes nothing. reasons says why.",
    NULL },
  { .path = NULL },
};
