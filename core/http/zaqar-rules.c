/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zaqar's common rules, which every request but `GET /` has to keep, in the order in which Zaqar asks for them. */
#include "config.h"

#include "http/zaqar-private.h"
#include "http/zaqar-sign.h"

#include <string.h>

#define FORM "application/x-www-form-urlencoded"

/* ---- pre-signed URLs ---- */

static const char *
method_name (ZmMethod method)
{
  switch (method) {
  case ZM_GET: return "GET";
  case ZM_HEAD: return "HEAD";
  case ZM_PUT: return "PUT";
  case ZM_POST: return "POST";
  case ZM_PATCH: return "PATCH";
  case ZM_DELETE: return "DELETE";
  }
  return "";
}

gboolean
zm_zaqar_signed (ZmRequest *request)
{
  g_autofree char *path = g_strndup (request->target, strcspn (request->target, "?"));
  const ZmSignedUse use = {
    .method = method_name (request->method),
    .path = path,
    .project = zm_request_header (request, "X-Project-ID"),
    .signature = zm_request_header (request, "URL-Signature"),
    .expires = zm_request_header (request, "URL-Expires"),
    .methods = zm_request_header (request, "URL-Methods"),
    .paths = zm_request_header (request, "URL-Paths"),
  };
  const char *key = zm_config_text (zm_request_config (request), "zaqar", "secret_key");

  if (!zm_signed_verify (&use, key, zm_wall_us () / G_USEC_PER_SEC))
    return FALSE;
  request->project = zm_span_text (use.project);
  return TRUE;
}

/* ---- what a client takes ---- */

/* Is this range, perhaps with a quality behind it, one of JSON, and not refused with q=0? */
static gboolean
range_takes_json (const char *range)
{
  static const char *const takes[] = { "*/*", "application/*", "application/json", NULL };
  g_auto (GStrv) parts = g_strsplit (range, ";", -1);

  if (parts[0] == NULL || !g_strv_contains (takes, g_strstrip (parts[0])))
    return FALSE;
  for (guint i = 1; parts[i] != NULL; i++) {
    const char *part = g_strstrip (parts[i]);

    if (g_ascii_strncasecmp (part, "q=", 2) == 0 && g_ascii_strtod (part + 2, NULL) <= 0)
      return FALSE;
  }
  return TRUE;
}

static gboolean
takes_json (const char *accept)
{
  g_autofree char *lower = NULL;
  g_auto (GStrv) ranges = NULL;

  if (accept == NULL || accept[strspn (accept, " \t")] == '\0')
    return TRUE;
  lower = g_ascii_strdown (accept, -1);
  ranges = g_strsplit (lower, ",", -1);
  for (guint i = 0; ranges[i] != NULL; i++)
    if (range_takes_json (ranges[i]))
      return TRUE;
  return FALSE;
}

/* ---- the rules ---- */

/* Forms are refused, also with an empty body that says so; other types are not looked at. */
static gboolean
check_type (ZmRequest *request)
{
  const char *type = zm_request_header (request, "Content-Type");

  if (type == NULL || g_ascii_strcasecmp (type, FORM) != 0 ||
      (zm_request_header (request, "Content-Length") == NULL &&
       zm_request_header (request, "Transfer-Encoding") == NULL))
    return TRUE;
  zm_request_fail (
      request, 400, "Invalid Content-Type", "Content-Type",
      "Endpoint does not accept `" FORM "` content; currently supported media type is "
      "`application/json`; specify proper client-side media type with the \"Content-Type\" header.");
  return FALSE;
}

static gboolean
check_accept (ZmRequest *request)
{
  if (takes_json (zm_request_header (request, "Accept")))
    return TRUE;
  zm_request_fail (request, 406, "Media type not acceptable", "Accept",
                   "Endpoint only serves `application/json`; specify client-side media type support with the "
                   "\"Accept\" header.");
  return FALSE;
}

/* A text that is no UUID becomes 16 bytes by its MD5: it only has to be told from others. */
static gboolean
check_free_client (ZmRequest *request, const char *text, guint8 out[16])
{
  const ZmConfig *config = zm_request_config (request);
  gint64 least = zm_config_integer (config, "zaqar", "min_length_client_id");
  gint64 most = zm_config_integer (config, "zaqar", "max_length_client_id");
  gint64 size = (gint64) strlen (text);
  gsize sum_size = 16;
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_MD5);

  if (size < least || size > most) {
    zm_request_fail (request, 400, "Invalid API request", "Client-ID",
                     "Length of client id must be at least %" G_GINT64_FORMAT
                     " and no greater than %" G_GINT64_FORMAT ".",
                     least, most);
    return FALSE;
  }
  g_checksum_update (sum, (const guchar *) text, size);
  g_checksum_get_digest (sum, out, &sum_size);
  return TRUE;
}

static gboolean
check_client (ZmRequest *request, guint8 out[16])
{
  const char *text = zm_request_header (request, "Client-ID");

  if (text == NULL) {
    zm_request_fail (request, 400, "Missing header value", "Client-ID", "The Client-ID header is required.");
    return FALSE;
  }
  if (!zm_config_boolean (zm_request_config (request), "zaqar", "client_id_uuid_safe"))
    return check_free_client (request, text, out);
  if (zm_zaqar_uuid_read (text, out))
    return TRUE;
  zm_request_fail (request, 400, "Wrong UUID value", "Client-ID", "Malformed hexadecimal UUID.");
  return FALSE;
}

/* A token's project stands above the header; without one the header is asked for. NULL: it has answered. */
static char *
check_project (ZmRequest *request)
{
  const char *text = zm_request_header (request, "X-Project-ID");
  const char *auth = zm_config_text (zm_request_config (request), "http", "auth");

  if (g_strcmp0 (auth, "token") == 0 && request->project.size > 0)
    return zm_span_dup (request->project);
  if (text != NULL && text[0] != '\0')
    return g_strdup (text);
  if (text == NULL)
    zm_request_fail (request, 400, "Project-Id Missing", "X-Project-ID",
                     "The header X-PROJECT-ID was missing");
  else
    zm_request_fail (
        request, 400, "Empty project header not allowed", "X-Project-ID",
        "X-PROJECT-ID cannot be an empty string. Specify the right header X-PROJECT-ID and retry.");
  return NULL;
}

static gboolean
project_ok (const char *project)
{
  for (const char *at = project; *at != '\0'; at++)
    if ((guchar) *at < ' ' || *at == 0x7f)
      return FALSE;
  return strlen (project) <= ZM_QUEUE_PROJECT_MOST;
}

/* The first part of a path is the queue's name, where there is one. */
static gboolean
check_queue (ZmRequest *request, const char *project)
{
  if (project_ok (project) &&
      (strstr (request->route->path, "{queue}") == NULL || zm_zaqar_queue_name_ok (request->part[0])))
    return TRUE;
  zm_request_fail (request, 400, "Invalid queue identification", NULL,
                   "The format of the submitted queue name or project id is not valid.");
  return FALSE;
}

static void
zaqar_free (gpointer data)
{
  ZmZaqar *zaqar = data;

  if (zaqar->more_free != NULL)
    zaqar->more_free (zaqar->more);
  g_free (zaqar->project);
  g_free (zaqar);
}

/* Without a store there are no queues: everything but the documents is unavailable then. */
static gboolean
check_store (ZmRequest *request, const ZmZaqar *zaqar)
{
  if (zaqar->queues != NULL || strstr (request->route->path, "queues") == NULL)
    return TRUE;
  zm_request_fail (
      request, 503, NULL, NULL,
      "There are no queues: the daemon runs without a store, see [store] driver. Please try again "
      "in a few seconds.");
  return FALSE;
}

gboolean
zm_zaqar_admit (ZmRequest *request)
{
  g_autofree char *project = NULL;
  ZmZaqar *zaqar;
  guint8 client[16] = { 0 };

  if (zm_request_header (request, "URL-Signature") != NULL && !zm_zaqar_signed (request)) {
    zm_request_fail (request, 404, "404 Not Found", NULL, "There is nothing for this signature.");
    return FALSE;
  }
  if (!check_type (request) || !check_accept (request) || !check_client (request, client))
    return FALSE;
  project = check_project (request);
  if (project == NULL || !check_queue (request, project))
    return FALSE;
  zaqar = g_new0 (ZmZaqar, 1);
  request->data = zaqar;
  request->data_free = zaqar_free;
  zaqar->request = request;
  zaqar->queues = zm_http_host (request->http)->queues;
  zaqar->project = g_steal_pointer (&project);
  memcpy (zaqar->client, client, sizeof client);
  zm_zaqar_limits (zm_request_config (request), &zaqar->limits);
  request->project = zm_span_text (zaqar->project);
  request->client = zm_span ((const char *) zaqar->client, sizeof zaqar->client);
  zaqar->queue.project = request->project;
  zaqar->queue.name = request->part[0];
  return check_store (request, zaqar);
}
