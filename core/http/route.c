/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which route takes a request. The tables are walked: some sixty rows, most of which differ in their first bytes. */
#include "config.h"

#include "http/server.h"

#include <string.h>

static const struct {
  ZmMethod method;
  const char *name;
} methods[] = { { ZM_GET, "GET" },   { ZM_HEAD, "HEAD" },   { ZM_PUT, "PUT" },
                { ZM_POST, "POST" }, { ZM_PATCH, "PATCH" }, { ZM_DELETE, "DELETE" } };

ZmMethod
zm_method_of (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    if (strcmp (methods[i].name, name) == 0)
      return methods[i].method;
  return 0;
}

const char *
zm_method_name (ZmMethod method)
{
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    if (methods[i].method == method)
      return methods[i].name;
  return "";
}

char *
zm_methods_text (guint set)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    if ((set & methods[i].method) != 0)
      g_string_append_printf (out, "%s%s", out->len > 0 ? ", " : "", methods[i].name);
  return g_string_free (out, FALSE);
}

/* Does the path have this form? A part is not empty and goes to the next "/"; {name*} takes all that is left, with its query. */
static gboolean
matches (const char *form, const char *target, ZmRouted *routed)
{
  routed->n_parts = 0;
  while (*form != '\0') {
    gsize size;

    if (*form != '{') {
      if (*form++ != *target++)
        return FALSE;
      continue;
    }
    form = strchr (form, '}') + 1;
    size = form[-2] == '*' ? strlen (target) : strcspn (target, "/?");
    if ((size == 0 && form[-2] != '*') || routed->n_parts == G_N_ELEMENTS (routed->raw))
      return FALSE;
    routed->raw[routed->n_parts++] = zm_span (target, size);
    target += size;
  }
  return *target == '\0' || *target == '?';
}

/* A form without parts wins over one with parts of the same path: rows stand in no order that matters. */
ZmRouted
zm_route_find (const ZmRoute *const *tables, const char *target, ZmMethod method)
{
  ZmRouted found = { 0 };

  for (; *tables != NULL; tables++)
    for (const ZmRoute *route = *tables; route->path != NULL; route++) {
      ZmRouted routed = { .route = route };
      guint takes = route->methods | ((route->methods & ZM_GET) != 0 ? ZM_HEAD : 0);

      if (!matches (route->path, target, &routed))
        continue;
      routed.allowed = found.allowed | takes;
      if ((takes & method) != 0 && (found.route == NULL || routed.n_parts < found.n_parts))
        found = routed;
      found.allowed = routed.allowed;
    }
  return found;
}

const ZmRoute *const *
zm_route_tables (void)
{
  static const ZmRoute *const tables[] = { zm_routes_observe, zm_routes_v1, zm_routes_zaqar, NULL };

  return tables;
}
