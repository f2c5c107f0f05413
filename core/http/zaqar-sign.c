/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signatures of pre-signed URLs: HMAC-SHA256 over paths, methods, project and expiry. What parts them is a backslash and an n,
 * two characters, as Zaqar has it; therefore no part may contain a backslash, or one signature could be read in two ways.
 */
#include "config.h"

#include "http/zaqar-document.h"
#include "http/zaqar-sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S          86400
#define SIGNATURE_SIZE 32

static const char *const methods_known[] = { "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", NULL };
static const char *const paths_known[] = { "messages", "subscriptions", "claims", NULL };

void
zm_signed_clear (ZmSigned *signed_url)
{
  g_clear_pointer (&signed_url->paths, g_strfreev);
  g_clear_pointer (&signed_url->methods, g_strfreev);
  g_clear_pointer (&signed_url->project, g_free);
  g_clear_pointer (&signed_url->expires, g_free);
}

static int
compare (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Sorted, with commas between them; the caller frees. */
static char *
joined (char **list)
{
  qsort (list, g_strv_length (list), sizeof *list, compare);
  return g_strjoinv (",", list);
}

char *
zm_signed_signature (ZmSigned *signed_url, const char *key)
{
  g_autofree char *paths = joined (signed_url->paths);
  g_autofree char *methods = joined (signed_url->methods);
  g_autofree char *parts = g_strconcat (paths, methods, signed_url->project, signed_url->expires, NULL);
  g_autofree char *text = g_strjoin ("\\n", paths, methods, signed_url->project, signed_url->expires, NULL);
  guint8 sum[SIGNATURE_SIZE];
  unsigned int size = sizeof sum;
  GString *out;

  if (strchr (parts, '\\') != NULL ||
      HMAC (EVP_sha256 (), key, (int) strlen (key), (const guint8 *) text, strlen (text), sum, &size) == NULL)
    return NULL;
  out = g_string_sized_new (2 * (gsize) size);
  for (guint i = 0; i < size; i++)
    g_string_append_printf (out, "%02x", sum[i]);
  return g_string_free (out, FALSE);
}

/* ---- times ---- */

gboolean
zm_signed_expires_read (const char *text, gint64 *seconds)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = strchr (text, '-') != NULL ? g_date_time_new_from_iso8601 (text, utc) : NULL;

  if (time == NULL)
    return FALSE;
  *seconds = g_date_time_to_unix (time);
  return TRUE;
}

char *
zm_signed_expires_text (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time != NULL ? g_date_time_format (time, "%Y-%m-%dT%H:%M:%S") : NULL;
}

/* ---- using one ---- */

/* Is the path one of those, or below one? */
static gboolean
path_allowed (const char *path, char **paths)
{
  for (; *paths != NULL; paths++) {
    gsize size = strlen (*paths);

    if (size > 0 && strncmp (path, *paths, size) == 0 && (path[size] == '\0' || path[size] == '/'))
      return TRUE;
  }
  return FALSE;
}

/* Takes as long wherever they differ. */
static gboolean
same (const char *a, const char *b)
{
  gsize size = strlen (a);

  return size == strlen (b) && CRYPTO_memcmp (a, b, size) == 0;
}

gboolean
zm_signed_verify (const ZmSignedUse *use, const char *key, gint64 now_s)
{
  g_auto (ZmSigned) signed_url = { 0 };
  g_autofree char *signature = NULL;
  gint64 expires;

  if (key == NULL || key[0] == '\0' || use->project == NULL || use->signature == NULL ||
      use->expires == NULL || use->methods == NULL || use->paths == NULL)
    return FALSE;
  if (!zm_signed_expires_read (use->expires, &expires) || expires <= now_s)
    return FALSE;
  signed_url.paths = g_strsplit (use->paths, ",", -1);
  signed_url.methods = g_strsplit (use->methods, ",", -1);
  signed_url.project = g_strdup (use->project);
  signed_url.expires = zm_signed_expires_text (expires);
  signature = signed_url.expires != NULL ? zm_signed_signature (&signed_url, key) : NULL;
  return signature != NULL && same (use->signature, signature) &&
         g_strv_contains ((const char *const *) signed_url.methods, use->method) &&
         path_allowed (use->path, signed_url.paths);
}

/* ---- sharing ---- */

typedef struct Share {
  const char *base;
  GPtrArray *paths, *methods, *list; /* list: which of both is being read */
  char *expires;
  GError **error;
} Share;

static gboolean wrong (const Share *share, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
wrong (const Share *share, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (share->error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API, text);
  return FALSE;
}

/* An element of paths or methods. */
static gboolean
share_element (Share *share, const ZmCut *cut)
{
  gboolean path = share->list == share->paths;
  g_autofree char *text = cut->kind == ZM_CUT_STRING ? zm_json_text (cut->raw) : NULL;

  if (text == NULL || !g_strv_contains (path ? paths_known : methods_known, text))
    return wrong (share, "Invalid %s: {'%s'}", path ? "paths" : "methods", text != NULL ? text : "?");
  g_ptr_array_add (share->list, path ? g_strconcat (share->base, "/", text, NULL) : g_steal_pointer (&text));
  return TRUE;
}

static gboolean
share_member (Share *share, const ZmCut *cut)
{
  g_autofree char *name = zm_span_dup (cut->name);

  share->list = strcmp (name, "paths") == 0     ? share->paths
                : strcmp (name, "methods") == 0 ? share->methods
                                                : NULL;
  if (share->list != NULL) {
    if (cut->kind != ZM_CUT_ARRAY)
      return wrong (share, "`%s` should be a list", name);
    if (cut->opens)
      g_ptr_array_set_size (share->list, 0);
    return TRUE;
  }
  if (strcmp (name, "expires") != 0)
    return wrong (share, "Unknown keys: {'%s'}", name);
  if (cut->kind != ZM_CUT_STRING)
    return wrong (share, "`%s` should be a date: YYYY-MM-DDThh:mm:ss", name);
  g_free (share->expires);
  share->expires = zm_json_text (cut->raw);
  return TRUE;
}

static gboolean
on_share (const ZmCut *cut, gpointer user)
{
  Share *share = user;

  if (cut->depth == 0)
    return cut->kind == ZM_CUT_OBJECT || wrong (share, "Document type not supported.");
  return cut->depth == 1 ? share_member (share, cut) : share->list == NULL || share_element (share, cut);
}

static gboolean
share_expires (const Share *share, gint64 now_s, ZmSigned *signed_url)
{
  gint64 expires = now_s + DAY_S;

  if (share->expires != NULL && !zm_signed_expires_read (share->expires, &expires))
    return wrong (share, "`%s` should be a date: YYYY-MM-DDThh:mm:ss", "expires");
  if (expires <= now_s)
    return wrong (share, "`%s` is lower than the current time", "expires");
  signed_url->expires = zm_signed_expires_text (expires);
  return signed_url->expires != NULL || wrong (share, "`%s` is too far away", "expires");
}

static char **
list_of (GPtrArray *list)
{
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_steal (list, NULL);
}

gboolean
zm_signed_read_share (ZmSpan body, const char *base, gint64 now_s, ZmSigned *signed_url, GError **error)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) methods = g_ptr_array_new_with_free_func (g_free);
  Share share = { .base = base, .paths = paths, .methods = methods, .error = error };
  gboolean good = (body.size == 0 || zm_zaqar_cut (body, 2, on_share, &share, error)) &&
                  share_expires (&share, now_s, signed_url);

  g_free (share.expires);
  if (!good)
    return FALSE;
  if (paths->len == 0)
    g_ptr_array_add (paths, g_strconcat (base, "/messages", NULL));
  if (methods->len == 0)
    g_ptr_array_add (methods, g_strdup ("GET"));
  signed_url->paths = list_of (paths);
  signed_url->methods = list_of (methods);
  return TRUE;
}
