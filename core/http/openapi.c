/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /v1/openapi.json: the tables that route requests, told in OpenAPI 3.1. What is not in a table is neither served nor told. */
#include "config.h"

#include "http/server.h"

#include "base/version.h"

#include <string.h>

static void
append_text (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "\"%s\":", name);
  zm_json_append_string (out, zm_span_text (text));
}

/* "{key*}" is told as "{key}". */
static char *
path_text (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "*", -1);

  return g_strjoinv ("", parts);
}

static void
append_param (GString *out, const char *name, const char *in, const char *type, const char *doc)
{
  g_string_append (out, out->str[out->len - 1] == '[' ? "{" : ",{");
  append_text (out, "name", name);
  g_string_append_printf (out, ",\"in\":\"%s\",\"required\":%s,\"schema\":{\"type\":\"%s\"}", in,
                          strcmp (in, "path") == 0 ? "true" : "false", type);
  if (doc != NULL) {
    g_string_append_c (out, ',');
    append_text (out, "description", doc);
  }
  g_string_append_c (out, '}');
}

static void
append_params (GString *out, const ZmRoute *route)
{
  g_string_append (out, ",\"parameters\":[");
  for (const char *at = strchr (route->path, '{'); at != NULL; at = strchr (at + 1, '{')) {
    g_autofree char *name = g_strndup (at + 1, strcspn (at + 1, "*}"));

    append_param (out, name, "path", "string", NULL);
  }
  for (const ZmParam *param = route->params; param != NULL && param->name != NULL; param++)
    append_param (out, param->name, "query", param->type, param->doc);
  g_string_append_c (out, ']');
}

/* "201 Created;204 It was there": a line of words each. What any request may be answered is added once. */
static void
append_answers (GString *out, const ZmRoute *route)
{
  g_auto (GStrv) answers = g_strsplit (route->answers, ";", -1);

  g_string_append (out, ",\"responses\":{");
  for (char **answer = answers; *answer != NULL; answer++) {
    const char *text = *answer + strspn (*answer, " "), *schema;

    if (!g_ascii_isdigit (*text))
      continue;
    g_string_append_printf (out, "%s\"%.3s\":{", out->str[out->len - 1] == '{' ? "" : ",", text);
    append_text (out, "description", strlen (text) > 4 ? text + 4 : "");
    schema = zm_openapi_schema (route, text);
    if (schema != NULL)
      g_string_append_printf (
          out, ",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}",
          schema);
    g_string_append_c (out, '}');
  }
  g_string_append_printf (out, ",\"default\":{\"$ref\":\"#/components/responses/%s\"}}",
                          (route->flags & ZM_ROUTE_ZAQAR) != 0 ? "ZaqarError" : "Error");
}

/* A row of several methods is as many operations: the first has the row's name, the others add their own. */
static void
append_operation (GString *out, const ZmRoute *route, ZmMethod bit)
{
  gboolean first = (route->methods & (bit - 1)) == 0;
  g_autofree char *method = g_ascii_strdown (zm_method_name (bit), -1);
  g_autofree char *id = first ? g_strdup (route->id) : g_strdup_printf ("%s_%s", route->id, method);
  g_autofree char *roles = zm_roles_text (route->roles);

  g_string_append_printf (out, "%s\"%s\":{", out->str[out->len - 1] == '{' ? "" : ",", method);
  append_text (out, "operationId", id);
  g_string_append_c (out, ',');
  append_text (out, "summary", route->doc);
  if (*roles != '\0') {
    g_string_append_c (out, ',');
    append_text (out, "x-roles", roles);
  }
  if ((route->flags & ZM_ROUTE_OPEN) != 0)
    g_string_append (out, ",\"security\":[]");
  append_params (out, route);
  if (route->body_most > 0)
    g_string_append (out, ",\"requestBody\":{\"required\":false,\"content\":{\"*/*\":{}}}");
  append_answers (out, route);
  g_string_append_c (out, '}');
}

/* All operations of one path stand together, at the first of its rows. */
static void
append_path (GString *out, const ZmRoute *rows, const ZmRoute *route)
{
  g_autofree char *path = path_text (route->path);

  for (const ZmRoute *before = rows; before != route; before++)
    if (strcmp (before->path, route->path) == 0)
      return;
  g_string_append_c (out, out->str[out->len - 1] == '{' ? '\n' : ',');
  g_string_append_printf (out, "\"%s\":{", path);
  for (const ZmRoute *row = route; row->path != NULL; row++)
    if (strcmp (row->path, route->path) == 0)
      for (guint bit = 1; bit <= ZM_DELETE; bit <<= 1)
        if ((row->methods & bit) != 0)
          append_operation (out, row, bit);
  g_string_append_c (out, '}');
}

char *
zm_openapi_json (void)
{
  GString *out = g_string_new ("{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"zmanager\",");

  append_text (out, "version", zm_version ());
  g_string_append (
      out,
      "},\"security\":[{\"token\":[]}],\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\","
      "\"scheme\":\"bearer\"}},\"responses\":{\"Error\":{\"description\":\"code (which stays), text (for "
      "people), "
      "member (what it is about).\",\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
      "\"#/components/schemas/Error\"}}}},\"ZaqarError\":{\"description\":\"As Zaqar says it.\",\"content\":{"
      "\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/ZaqarError\"}}}}},");
  zm_openapi_append_schemas (out);
  g_string_append (out, "},\"paths\":{");
  for (const ZmRoute *const *tables = zm_route_tables (); *tables != NULL; tables++)
    for (const ZmRoute *route = *tables; route->path != NULL; route++)
      append_path (out, *tables, route);
  g_string_append (out, "}}");
  return g_string_free (out, FALSE);
}
