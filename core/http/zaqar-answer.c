/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors with Zaqar's titles, and the parameters of queries with what Zaqar says about wrong ones. */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

static const struct {
  guint status;
  const char *title;
} faults[] = {
  [ZM_ZAQAR_API] = { 400, "Invalid API request" },
  [ZM_ZAQAR_BODY] = { 400, "Invalid request body" },
  [ZM_ZAQAR_PARAMETER] = { 400, "Invalid parameter" },
  [ZM_ZAQAR_CONFLICT] = { 409, "Resource conflict" },
};

/* What the rooms say is kept for the operator's eyes too: it tells more than what could not be done. */
static void
room_failed (ZmRequest *request, const GError *error, const char *what)
{
  gboolean later =
      error->domain == ZM_ERROR && (error->code == ZM_ERROR_UNAVAILABLE || error->code == ZM_ERROR_LIMIT);

  if (later)
    zm_request_fail (request, 503, NULL, NULL, "%s %s Please try again in a few seconds.", what,
                     error->message);
  else
    zm_request_fail_error (request, error);
}

void
zm_zaqar_fail (ZmRequest *request, const GError *error, const char *what)
{
  if (error->domain == ZM_ZAQAR_ERROR)
    zm_request_fail (request, faults[error->code].status, faults[error->code].title, NULL, "%s",
                     error->message);
  else
    room_failed (request, error, what);
}

void
zm_zaqar_bad_request (ZmRequest *request, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  zm_request_fail (request, 400, "Invalid API request", NULL, "%s", text);
}

void
zm_zaqar_not_found (ZmRequest *request, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  zm_request_fail (request, 404, "Not found", NULL, "%s", text);
}

void
zm_zaqar_no_content (ZmRequest *request)
{
  zm_request_answer (request, 204, NULL, NULL, 0);
}

/* ---- parameters ---- */

static gboolean
bad_parameter (ZmRequest *request, const char *name, const char *expected)
{
  zm_request_fail (request, 400, "Invalid parameter", name, "The \"%s\" parameter is invalid. %s", name,
                   expected);
  return FALSE;
}

gboolean
zm_zaqar_query_integer (ZmRequest *request, const char *name, gint64 *value, gboolean *given)
{
  const char *text = zm_request_query (request, name);

  if (given != NULL)
    *given = text != NULL;
  return text == NULL || zm_parse_integer (text, G_MININT64, G_MAXINT64, value, NULL) ||
         bad_parameter (request, name, "The value must be an integer.");
}

gboolean
zm_zaqar_query_boolean (ZmRequest *request, const char *name, gboolean *value, gboolean *given)
{
  const char *text = zm_request_query (request, name);

  if (given != NULL)
    *given = text != NULL;
  return text == NULL || zm_zaqar_boolean_read (text, value) ||
         bad_parameter (request, name, "The value of the parameter must be \"true\" or \"false\".");
}

gboolean
zm_zaqar_query_limit (ZmRequest *request, gint64 most, guint *limit)
{
  gint64 value = MIN (ZM_ZAQAR_PAGE, most);

  if (!zm_zaqar_query_integer (request, "limit", &value, NULL))
    return FALSE;
  if (value < 1 || value > most) {
    zm_zaqar_bad_request (request,
                          "Limit must be at least 1 and may not be greater than %" G_GINT64_FORMAT ".", most);
    return FALSE;
  }
  *limit = (guint) value;
  return TRUE;
}

gboolean
zm_zaqar_query_wait (ZmRequest *request, guint *wait)
{
  gint64 value = 0;

  if (!zm_zaqar_query_integer (request, "wait", &value, NULL))
    return FALSE;
  if (value < 0 || value > ZM_ZAQAR_WAIT_MOST) {
    zm_zaqar_bad_request (request, "wait must be at least 0 and may not be greater than %d seconds.",
                          ZM_ZAQAR_WAIT_MOST);
    return FALSE;
  }
  *wait = (guint) value;
  return TRUE;
}
