/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of a queue's metadata: Zaqar's kind of JSON patch, whose paths are /metadata/KEY. */
#include "config.h"

#include "http/zaqar-document.h"

#include <string.h>

/* The operation that is being read. */
typedef struct Change {
  char *op, *path;
  ZmSpan value;
  ZmCutKind kind;
  gint64 integer;
  gboolean has_value;
} Change;

typedef struct Patching {
  ZmMeta *meta;
  Change change;
  guint n;
  GError **error;
} Patching;

static gboolean
wrong (const Patching *patching, ZmZaqarCode code, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
wrong (const Patching *patching, ZmZaqarCode code, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (patching->error, ZM_ZAQAR_ERROR, (int) code, "%s Member: [%u].", text, patching->n);
  return FALSE;
}

/* "~1" is "/", "~0" is "~"; the caller frees. NULL: another use of "~". */
static char *
unescape (const char *part)
{
  GString *out = g_string_new (NULL);

  for (; *part != '\0'; part++) {
    if (*part != '~') {
      g_string_append_c (out, *part);
      continue;
    }
    part++;
    if (*part != '0' && *part != '1') {
      g_string_free (out, TRUE);
      return NULL;
    }
    g_string_append_c (out, *part == '0' ? '~' : '/');
  }
  return g_string_free (out, FALSE);
}

/* The key of "/metadata/KEY"; the caller frees. NULL: error is set. */
static char *
path_key (const Patching *patching, const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  char *key;

  if (path[0] != '/')
    wrong (patching, ZM_ZAQAR_BODY, "Pointer `%s` does not start with \"/\".", path);
  else if (g_strv_length (parts) != 3 || parts[2][0] == '\0')
    wrong (patching, ZM_ZAQAR_BODY, "Invalid JSON pointer for this resource: '%s', e.g /metadata/key", path);
  else if (g_ascii_strcasecmp (parts[1], "metadata") != 0)
    wrong (patching, ZM_ZAQAR_BODY, "The root of path must be metadata, e.g /metadata/key.");
  else {
    key = unescape (parts[2]);
    if (key == NULL)
      wrong (patching, ZM_ZAQAR_BODY, "Pointer `%s` contains \"~\" not part of a recognized escape sequence.",
             path);
    return key;
  }
  return NULL;
}

/* What is not there can neither be replaced nor removed, but for reserved keys: those are always there. */
static gboolean
apply (Patching *patching, const char *key)
{
  const Change *change = &patching->change;
  gboolean known = zm_meta_reserved (key);
  ZmCutKind kind;
  ZmSpan raw;
  gint64 integer;

  known = known || zm_meta_get (patching->meta, key, &kind, &raw, &integer);
  if (strcmp (change->op, "remove") == 0) {
    zm_meta_remove (patching->meta, key);
    return known || wrong (patching, ZM_ZAQAR_CONFLICT, "Can't remove non-existent object %s.", key);
  }
  if (strcmp (change->op, "replace") == 0 && !known)
    return wrong (patching, ZM_ZAQAR_CONFLICT, "Can't replace non-existent object %s.", key);
  zm_meta_set (patching->meta, key, change->kind, change->value, change->integer);
  return TRUE;
}

/* An operation is complete. */
static gboolean
finish (Patching *patching)
{
  static const char *const ops[] = { "add", "remove", "replace", NULL };
  const Change *change = &patching->change;
  g_autofree char *key = NULL;

  if (change->op == NULL)
    return wrong (patching, ZM_ZAQAR_BODY,
                  "Unable to find `op` in JSON Schema change. It must be one of the following: add, remove, "
                  "replace.");
  if (!g_strv_contains (ops, change->op))
    return wrong (patching, ZM_ZAQAR_BODY,
                  "Invalid operation: `%s`. It must be one of the following: add, remove, replace.",
                  change->op);
  if (change->path == NULL)
    return wrong (patching, ZM_ZAQAR_BODY, "Unable to find 'path' in JSON Schema change");
  key = path_key (patching, change->path);
  if (key == NULL)
    return FALSE;
  if (!change->has_value && strcmp (change->op, "remove") != 0)
    return wrong (patching, ZM_ZAQAR_BODY, "Operation \"%s\" requires a member named \"value\".", change->op);
  return apply (patching, key);
}

static void
clear (Change *change)
{
  g_free (change->op);
  g_free (change->path);
  memset (change, 0, sizeof *change);
}

/* op and path are text; what else stands there is as if they were not there. */
static void
take (char **place, const ZmCut *cut)
{
  g_free (*place);
  *place = cut->kind == ZM_CUT_STRING ? zm_json_text (cut->raw) : NULL;
}

static gboolean
on_patch (const ZmCut *cut, gpointer user)
{
  Patching *patching = user;
  Change *change = &patching->change;
  gboolean good;

  if (cut->depth == 0)
    return cut->kind == ZM_CUT_ARRAY ||
           wrong (patching, ZM_ZAQAR_BODY, "Request body must be a JSON array of operation objects.");
  if (cut->depth == 1) {
    if (cut->kind != ZM_CUT_OBJECT)
      return wrong (patching, ZM_ZAQAR_BODY, "Operations must be JSON objects.");
    good = cut->opens || finish (patching);
    clear (change);
    patching->n += cut->opens ? 0 : 1;
    return good;
  }
  if (zm_span_is (cut->name, "op"))
    take (&change->op, cut);
  else if (zm_span_is (cut->name, "path"))
    take (&change->path, cut);
  else if (zm_span_is (cut->name, "value")) {
    change->value = cut->raw;
    change->kind = cut->kind;
    change->integer = cut->integer;
    change->has_value = TRUE;
  }
  return TRUE;
}

gboolean
zm_meta_patch (ZmMeta *meta, ZmSpan patch, GError **error)
{
  Patching patching = { .meta = meta, .error = error };
  gboolean good = zm_zaqar_cut (patch, 2, on_patch, &patching, error);

  clear (&patching.change);
  return good;
}
