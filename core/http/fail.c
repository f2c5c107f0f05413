/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors as answers. Zaqar's clients read title and description; ours read code, which stays, and text, which is for people. */
#include "config.h"

#include "http/server.h"

#include <stdarg.h>
#include <string.h>

static const struct {
  guint status;
  const char *code, *title;
} standard[] = {
  { 400, "bad-request", "Invalid API request" },
  { 401, "unauthorized", "Unauthorized" },
  { 403, "forbidden", "Not authorized" },
  { 404, "not-found", "Not found" },
  { 405, "method-not-allowed", "405 Method Not Allowed" },
  { 406, "not-acceptable", "Not acceptable" },
  { 409, "conflict", "Resource conflict" },
  { 413, "too-large", "Invalid request body" },
  { 414, "target-too-long", "Invalid API request" },
  { 415, "unsupported-media-type", "Unsupported media type" },
  { 422, "rejected", "Rejected" },
  { 500, "internal", "Internal server error" },
  { 503, "unavailable", "Service temporarily unavailable" },
  { 504, "timeout", "Timeout" },
  { 507, "full", "Service temporarily unavailable" },
};

static const char *
standard_code (guint status, gboolean zaqar)
{
  for (guint i = 0; i < G_N_ELEMENTS (standard); i++)
    if (standard[i].status == status)
      return zaqar ? standard[i].title : standard[i].code;
  return zaqar ? "Error" : "error";
}

static void
append_member (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "%c\"%s\":", out->len == 0 ? '{' : ',', name);
  zm_json_append_string (out, zm_span_text (text));
}

/* Also where no route was found: what lies below /v2 is Zaqar's. */
static gboolean
speaks_zaqar (const ZmRequest *request)
{
  if (request->route != NULL)
    return (request->route->flags & ZM_ROUTE_ZAQAR) != 0;
  return request->target != NULL && g_str_has_prefix (request->target, "/v2") &&
         strchr ("/?", request->target[3]) != NULL;
}

static GString *
error_text (const ZmRequest *request, guint status, const char *code, const char *member, const char *text)
{
  gboolean zaqar = speaks_zaqar (request);
  GString *out = g_string_new (NULL);

  append_member (out, zaqar ? "title" : "code", code != NULL ? code : standard_code (status, zaqar));
  append_member (out, zaqar ? "description" : "text", text);
  if (!zaqar && member != NULL)
    append_member (out, "member", member);
  g_string_append_c (out, '}');
  return out;
}

void
zm_request_fail (ZmRequest *request, guint status, const char *code, const char *member, const char *format,
                 ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  if (status == 503)
    zm_request_add_header (request, "Retry-After", "1");
  zm_request_answer_take (request, status, "application/json",
                          error_text (request, status, code, member, text));
}

void
zm_exchange_end (ZmExchange *exchange, guint status, const char *text)
{
  if (status == 503)
    zm_request_add_header (&exchange->request, "Retry-After", "1");
  zm_exchange_answer (exchange, TRUE, status, "application/json",
                      error_text (&exchange->request, status, NULL, NULL, text));
}

static guint
status_of (const GError *error)
{
  if (error->domain != ZM_ERROR)
    return 500;
  switch ((ZmErrorCode) error->code) {
  case ZM_ERROR_NOT_FOUND: return 404;
  case ZM_ERROR_INVALID: return 400;
  case ZM_ERROR_REFUSED: return 403;
  case ZM_ERROR_EXISTS: return 409;
  case ZM_ERROR_LIMIT: return 507;
  case ZM_ERROR_UNAVAILABLE:
  case ZM_ERROR_UNREACHABLE: return 503;
  case ZM_ERROR_IO:
  case ZM_ERROR_ABI:
  case ZM_ERROR_PLUGIN:
  case ZM_ERROR_UNGUARDED: break;
  }
  return 500;
}

static gboolean
store_is_full (ZmRequest *request)
{
  ZmStore *store = zm_http_host (request->http)->store;
  g_autofree char *trouble = store != NULL ? zm_store_trouble (store) : NULL;

  return trouble != NULL;
}

/* Zaqar's clients know 503 and not 507. */
void
zm_request_fail_error (ZmRequest *request, const GError *error)
{
  guint status = status_of (error);
  gboolean zaqar = speaks_zaqar (request);

  /* A full queue may stay so, a store without space waits for help: that is worth another try. */
  if (status == 507 && (zaqar || store_is_full (request)))
    status = 503;
  zm_request_fail (request, status, NULL, NULL, "%s%s", error->message,
                   zaqar && status == 503 ? " Please try again in a few seconds." : "");
}
