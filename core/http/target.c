/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Targets of requests: libmicrohttpd hands them up as they came, and they are decoded after they were cut. */
#include "config.h"

#include "http/server.h"

#include <string.h>

gboolean
zm_target_check (const char *target, const char **why)
{
  for (const char *at = target; *at != '\0'; at++) {
    guchar c = (guchar) *at;

    if (c <= ' ' || c == 0x7f) {
      *why = "the target has a blank or control byte";
      return FALSE;
    }
    if (c == '%' && (!g_ascii_isxdigit (at[1]) || !g_ascii_isxdigit (at[2]))) {
      *why = "the target has a % without two hexadecimal digits: write a % as %25";
      return FALSE;
    }
  }
  return TRUE;
}

char *
zm_target_decode (ZmSpan raw, gboolean plus)
{
  GString *out = g_string_sized_new (raw.size);
  gboolean good = TRUE;

  for (gsize i = 0; good && i < raw.size; i++) {
    guchar c = (guchar) raw.data[i];

    if (c == '%') {
      good = i + 2 < raw.size && g_ascii_isxdigit (raw.data[i + 1]) && g_ascii_isxdigit (raw.data[i + 2]);
      c = good ? (guchar) (g_ascii_xdigit_value (raw.data[i + 1]) << 4 |
                           g_ascii_xdigit_value (raw.data[i + 2]))
               : 0;
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    good = good && c >= ' ' && c != 0x7f;
    g_string_append_c (out, (char) c);
  }
  good = good && g_utf8_validate_len (out->str, out->len, NULL);
  return g_string_free (out, !good);
}

/* ---- query ---- */

static void
add_pair (ZmExchange *exchange, ZmSpan pair)
{
  const char *equals = pair.size > 0 ? memchr (pair.data, '=', pair.size) : NULL;
  ZmSpan name = zm_span (pair.data, equals != NULL ? (gsize) (equals - pair.data) : pair.size);
  ZmSpan value = equals != NULL ? zm_span (equals + 1, pair.size - name.size - 1) : zm_span ("", 0);
  char *decoded_name = zm_target_decode (name, TRUE), *decoded = zm_target_decode (value, TRUE);

  if (name.size > 0 && decoded_name != NULL && decoded != NULL) {
    g_ptr_array_add (exchange->query, g_steal_pointer (&decoded_name));
    g_ptr_array_add (exchange->query, g_steal_pointer (&decoded));
    g_ptr_array_add (exchange->raws, zm_span_dup (value));
  }
  g_free (decoded_name);
  g_free (decoded);
}

/* At first use: most requests have none. What does not decode was refused when the request came, so nothing is left out. */
static void
read_query (ZmExchange *exchange)
{
  const char *at = strchr (exchange->target, '?');

  if (exchange->query != NULL)
    return;
  exchange->query = g_ptr_array_new_with_free_func (g_free);
  exchange->raws = g_ptr_array_new_with_free_func (g_free);
  for (at = at != NULL ? at + 1 : ""; *at != '\0';) {
    gsize size = strcspn (at, "&");

    add_pair (exchange, zm_span (at, size));
    at += size + (at[size] == '&');
  }
}

const char *
zm_request_query (ZmRequest *request, const char *name)
{
  ZmExchange *exchange = zm_exchange_of (request);

  read_query (exchange);
  for (guint i = 0; i < exchange->query->len; i += 2)
    if (strcmp (exchange->query->pdata[i], name) == 0)
      return exchange->query->pdata[i + 1];
  return NULL;
}

const GPtrArray *
zm_request_query_list (ZmRequest *request, const char *name)
{
  ZmExchange *exchange = zm_exchange_of (request);
  GPtrArray *list = g_ptr_array_new_with_free_func (g_free);

  read_query (exchange);
  for (guint i = 0; i < exchange->query->len; i += 2) {
    g_auto (GStrv) values = NULL;

    if (strcmp (exchange->query->pdata[i], name) != 0)
      continue;
    values = g_strsplit (exchange->raws->pdata[i / 2], ",", -1);
    for (char **value = values; *value != NULL; value++)
      g_ptr_array_add (list, zm_target_decode (zm_span_text (*value), TRUE));
  }
  if (exchange->lists == NULL)
    exchange->lists = g_ptr_array_new_with_free_func ((GDestroyNotify) g_ptr_array_unref);
  g_ptr_array_add (exchange->lists, list);
  return list;
}

const char *const *
zm_request_query_names (ZmRequest *request)
{
  ZmExchange *exchange = zm_exchange_of (request);
  GPtrArray *names;

  read_query (exchange);
  if (exchange->names != NULL)
    return (const char *const *) exchange->names;
  names = g_ptr_array_new ();
  for (guint i = 0; i < exchange->query->len; i += 2)
    if (!g_ptr_array_find_with_equal_func (names, exchange->query->pdata[i], g_str_equal, NULL))
      g_ptr_array_add (names, exchange->query->pdata[i]);
  g_ptr_array_add (names, NULL);
  exchange->names = (char **) g_ptr_array_free (names, FALSE);
  return (const char *const *) exchange->names;
}
