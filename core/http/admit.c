/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is decided when a request's head is there, before its body is read: target, route, who asks, and how much it may send. */
#include "config.h"

#include "http/server.h"

#include <string.h>

/* ---- who asks ---- */

/* "localhost", 127.x or [::1], with or without port: a name that leads here by a forged answer of a name server is none of these. */
static gboolean
local_host (const char *host)
{
  gsize size = host[0] == '[' ? strcspn (host, "]") + 1 : strcspn (host, ":");
  g_autofree char *name = g_strndup (host, size);

  return g_ascii_strcasecmp (name, "localhost") == 0 || strcmp (name, "[::1]") == 0 ||
         (g_str_has_prefix (name, "127.") && g_hostname_is_ip_address (name));
}

static gboolean
same_origin (const char *origin, const char *host)
{
  const char *rest = g_str_has_prefix (origin, "https://")  ? origin + strlen ("https://")
                     : g_str_has_prefix (origin, "http://") ? origin + strlen ("http://")
                                                            : NULL;

  return rest != NULL && host != NULL && g_ascii_strcasecmp (rest, host) == 0;
}

/* Without tokens the only thing that tells a web page in the operator's browser from the operator is what the browser says of it. */
static gboolean
admit_open (ZmExchange *exchange)
{
  ZmRequest *request = &exchange->request;
  const char *host = zm_request_header (request, "Host"), *origin = zm_request_header (request, "Origin");
  const char *site = zm_request_header (request, "Sec-Fetch-Site");

  if (host != NULL && !exchange->conn->local && !local_host (host)) {
    zm_request_fail (
        request, 403, "foreign-host", "Host",
        "without tokens only localhost and loopback addresses are answered; set [http] auth = token");
    return FALSE;
  }
  if ((origin != NULL && !same_origin (origin, host)) || (site != NULL && strcmp (site, "cross-site") == 0)) {
    zm_request_fail (request, 403, "foreign-origin", origin != NULL ? "Origin" : "Sec-Fetch-Site",
                     "a page of another site asks; without tokens that is refused");
    return FALSE;
  }
  request->roles = ZM_ROLE_ADMIN | ZM_ROLE_PUBLISH | ZM_ROLE_CONSUME | ZM_ROLE_SUBSCRIBE;
  return TRUE;
}

/* "Bearer TOKEN", or X-Auth-Token, which clients of Zaqar send. */
static const char *
secret_of (ZmRequest *request)
{
  const char *text = zm_request_header (request, "Authorization");

  if (text != NULL && g_ascii_strncasecmp (text, "Bearer ", 7) == 0)
    return text + 7 + strspn (text + 7, " ");
  return zm_request_header (request, "X-Auth-Token");
}

static gboolean
unauthorized (ZmRequest *request, const char *why)
{
  zm_request_add_header (request, "WWW-Authenticate", "Bearer realm=\"zmanager\"");
  zm_request_fail (request, 401, NULL, NULL, "%s", why);
  return FALSE;
}

static gboolean
admit_token (ZmExchange *exchange)
{
  ZmRequest *request = &exchange->request;
  const char *secret = secret_of (request);

  if ((request->route->flags & ZM_ROUTE_OPEN) != 0 ||
      ((request->route->flags & ZM_ROUTE_ZAQAR) != 0 && zm_zaqar_signed (request)))
    return TRUE;
  /* A wrong signature: Zaqar's rules, which are asked in their turn, answer 404 as Zaqar does. */
  if (secret == NULL && (request->route->flags & ZM_ROUTE_ZAQAR) != 0 &&
      zm_request_header (request, "URL-Signature") != NULL)
    return TRUE;
  if (secret == NULL)
    return unauthorized (request, "a token is needed: send Authorization: Bearer TOKEN");
  exchange->token = zm_tokens_find (exchange->tokens, zm_span_text (secret));
  if (exchange->token == NULL)
    return unauthorized (request, "the token is not known here");
  request->roles = exchange->token->roles;
  if (request->route->roles == 0 || (request->roles & (request->route->roles | ZM_ROLE_ADMIN)) != 0)
    return TRUE;
  {
    g_autofree char *needed = zm_roles_text (request->route->roles);

    zm_request_fail (request, 403, NULL, NULL, "the token %s has none of the roles that this needs: %s",
                     exchange->token->name, needed);
  }
  return FALSE;
}

/* That of the token stands; another one in the header is refused and not ignored, or messages would land where nobody looks. Zaqar's own
 * rules say in their turn what is wrong with a project. */
static gboolean
set_project (ZmExchange *exchange)
{
  ZmRequest *request = &exchange->request;
  const char *asked = zm_request_header (request, "X-Project-ID");
  const char *own = exchange->token != NULL ? exchange->token->project : NULL;

  if (request->project.size > 0)
    return TRUE;
  if (own != NULL && asked != NULL && *asked != '\0' && strcmp (own, asked) != 0) {
    zm_request_fail (request, 403, NULL, "X-Project-ID", "the token %s is of another project",
                     exchange->token->name);
    return FALSE;
  }
  if (asked != NULL && strlen (asked) > ZM_QUEUE_PROJECT_MOST &&
      (request->route->flags & ZM_ROUTE_ZAQAR) == 0) {
    zm_request_fail (request, 400, NULL, "X-Project-ID", "a project has at most %d bytes",
                     ZM_QUEUE_PROJECT_MOST);
    return FALSE;
  }
  if (own == NULL && asked != NULL && *asked != '\0')
    own = exchange->project = g_strdup (asked);
  if (own == NULL)
    own = zm_config_text (exchange->config, "zaqar", "project");
  request->project = zm_span_text (own);
  return TRUE;
}

/* ---- what for ---- */

static gboolean
set_target (ZmExchange *exchange)
{
  ZmRequest *request = &exchange->request;
  const char *target = exchange->raw, *why = "the target begins with no /";
  g_autofree char *decoded = NULL;

  /* The absolute form, as proxies send it. */
  if (g_str_has_prefix (target, "http://") || g_str_has_prefix (target, "https://")) {
    target = strchr (target + strlen ("https://"), '/');
    target = target != NULL ? target : "/";
  }
  exchange->target = g_strdup (target);
  request->target = exchange->target;
  if (exchange->too_long) {
    zm_request_fail (request, 414, NULL, NULL, "the target has more than %d bytes", ZM_HTTP_TARGET_MOST);
    return FALSE;
  }
  if (target[0] == '/' && zm_target_check (target, &why)) {
    decoded = zm_target_decode (zm_span_text (target), FALSE);
    why = "the target has an encoded control byte, or is no UTF-8";
  }
  if (decoded == NULL)
    zm_request_fail (request, 400, NULL, NULL, "%s", why);
  return decoded != NULL;
}

/* A method that is none of ours, at a path that is, is told what there is. */
static gboolean
set_route (ZmExchange *exchange, const char *method)
{
  ZmRequest *request = &exchange->request;
  ZmRouted routed;

  request->method = zm_method_of (method);
  routed = zm_route_find (zm_route_tables (), exchange->target, request->method);
  if (routed.route != NULL) {
    request->route = routed.route;
    for (guint i = 0; i < routed.n_parts; i++) {
      exchange->parts[i] = zm_target_decode (routed.raw[i], FALSE);
      request->part[i] = zm_span_text (exchange->parts[i]);
    }
    return TRUE;
  }
  if (routed.allowed != 0) {
    g_autofree char *allowed = zm_methods_text (routed.allowed);

    zm_request_add_header (request, "Allow", allowed);
    zm_request_fail (request, 405, NULL, NULL, "this takes %s", allowed);
  } else {
    zm_request_fail (request, 404, NULL, NULL, "there is nothing here; /v1/openapi.json lists what there is");
  }
  return FALSE;
}

/* 0: none is announced. FALSE: answered. libmicrohttpd has judged its form. */
static gboolean
check_body (ZmExchange *exchange)
{
  ZmRequest *request = &exchange->request;
  const char *length = zm_request_header (request, "Content-Length");
  guint64 size = length != NULL ? g_ascii_strtoull (length, NULL, 10) : 0;
  const char *coding = zm_request_header (request, "Transfer-Encoding");

  /* Of any other one the end is not known, and libmicrohttpd would read until the client closes. */
  if (coding != NULL && g_ascii_strcasecmp (coding, "chunked") != 0) {
    zm_request_fail (request, 400, NULL, "Transfer-Encoding", "only chunked is understood");
    return FALSE;
  }
  exchange->body_most = MIN (request->route->body_most, exchange->limits.body_most);
  if (size <= exchange->body_most)
    return TRUE;
  zm_request_fail (request, 413, NULL, NULL,
                   "the body has %" G_GUINT64_FORMAT " bytes; at most %" G_GSIZE_FORMAT " are taken here",
                   size, exchange->body_most);
  return FALSE;
}

static gboolean
check_streams (ZmExchange *exchange)
{
  ZmHttp *http = exchange->request.http;
  gboolean full;

  if ((exchange->request.route->flags & ZM_ROUTE_STREAM) == 0)
    return TRUE;
  pthread_mutex_lock (&http->lock);
  full = g_hash_table_size (http->streams) >= exchange->limits.streams;
  pthread_mutex_unlock (&http->lock);
  if (full)
    zm_request_fail (&exchange->request, 503, "streams", NULL,
                     "as many event streams are open as [http] streams allows");
  return !full;
}

/* The order: what is said to anybody tells nothing that needs a token, but for which paths there are. */
gboolean
zm_admit (ZmExchange *exchange, const char *method)
{
  ZmRequest *request = &exchange->request;

  if (atomic_load (&request->http->paused)) {
    zm_request_fail (request, 503, NULL, NULL, "the daemon is stopping");
    return FALSE;
  }
  return set_target (exchange) && set_route (exchange, method) &&
         (exchange->limits.token ? admit_token (exchange) : admit_open (exchange)) &&
         set_project (exchange) && check_body (exchange) && check_streams (exchange) &&
         ((request->route->flags & ZM_ROUTE_ZAQAR) == 0 || zm_zaqar_admit (request));
}
