/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks of what plugins hand in: it is code of somebody else. */
#include "config.h"

#include "plugin/zm-event.h"

#include "message/zm-key.h"
#include "message/zm-message.h"

#include <string.h>

#define NAME_MOST 64 /* bytes of an id, and of a metric's name */

gboolean
zm_event_read (const zm_event *event, zm_event *out)
{
  memset (out, 0, sizeof *out);
  if (event == NULL || event->struct_size < G_STRUCT_OFFSET (zm_event, body_size) + sizeof event->body_size)
    return FALSE;
  memcpy (out, event, MIN (event->struct_size, sizeof *out));
  return out->body != NULL || out->body_size == 0;
}

static gboolean
is_made_of (const char *text, const char *allowed)
{
  gsize length = strlen (text);

  return length <= NAME_MOST && strspn (text, allowed) == length;
}

/* What a topic takes as its last field. */
static gboolean
id_is_good (const char *id)
{
  return is_made_of (id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-");
}

/* They are copied into the message as they are, so they must be an object now. */
static gboolean
headers_are_good (ZmSpan headers)
{
  return headers.size <= ZM_HEADERS_MOST && headers.data[0] == '{' && zm_json_valid (headers);
}

gboolean
zm_event_check (const zm_event *event)
{
  ZmSpan flow = zm_span_text (event->flow), headers = zm_span_text (event->headers);

  return (flow.size == 0 || zm_name_check (flow, NULL, NULL)) &&
         (event->id == NULL || id_is_good (event->id)) && (headers.size == 0 || headers_are_good (headers));
}

gboolean
zm_put_read (const zm_put *put, zm_put *out)
{
  memset (out, 0, sizeof *out);
  if (put == NULL || put->struct_size < G_STRUCT_OFFSET (zm_put, delay_ms) + sizeof put->delay_ms)
    return FALSE;
  memcpy (out, put, MIN (put->struct_size, sizeof *out));
  return out->body != NULL || out->body_size == 0;
}

gboolean
zm_queue_name_check (const char *name)
{
  return name != NULL && *name != '\0' &&
         is_made_of (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
}

gboolean
zm_put_check (const zm_put *put)
{
  ZmSpan key = zm_span_text (put->key), headers = zm_span_text (put->headers);

  return put->how <= ZM_PUT_REPLACE && zm_queue_name_check (put->queue) && key.size <= ZM_PUT_KEY_MOST &&
         g_utf8_validate_len (key.size > 0 ? key.data : "", key.size, NULL) &&
         (put->id == NULL || (*put->id != '\0' && id_is_good (put->id))) &&
         (headers.size == 0 || headers_are_good (headers)) && put->ttl_ms >= 0 && put->delay_ms >= 0;
}

gboolean
zm_kept_check (const char *name)
{
  gsize length = name != NULL ? strnlen (name, ZM_KEPT_NAME_MOST + 1) : 0;

  for (gsize i = 0; i < length; i++)
    if ((guchar) name[i] < ' ' || name[i] == 0x7f)
      return FALSE;
  return length > 0 && length <= ZM_KEPT_NAME_MOST;
}

/* Prometheus takes more in a name; this is what needs no escaping anywhere. */
gboolean
zm_metric_check (int kind, const char *name, double value)
{
  if (name == NULL || *name == '\0' || !is_made_of (name, "abcdefghijklmnopqrstuvwxyz0123456789_") ||
      (kind != ZM_METRIC_COUNTER && kind != ZM_METRIC_GAUGE))
    return FALSE;
  return value >= -9.0e18 && value <= 9.0e18 && (kind == ZM_METRIC_GAUGE || value >= 0);
}

char *
zm_status_text (int status)
{
  static const char *const names[] = { "ZM_E_INVALID", "ZM_E_AGAIN",     "ZM_E_LATE",        "ZM_E_MEMORY",
                                       "ZM_E_DENIED",  "ZM_E_NOT_FOUND", "ZM_E_UNSUPPORTED", "ZM_E_FAILED",
                                       "ZM_E_TIMEOUT", "ZM_E_EXISTS" };

  /* They count down from -1. */
  if (status >= 0 || status < -(int) G_N_ELEMENTS (names))
    return g_strdup_printf ("%d", status);
  return g_strdup_printf ("%d (%s)", status, names[-1 - status]);
}
