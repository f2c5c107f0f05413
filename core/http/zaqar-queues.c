/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues: made, shown, changed, removed, counted, emptied, shared. They are there by being used: one that is not there looks like an empty one. */
#include "config.h"

#include "http/zaqar-private.h"
#include "http/zaqar-sign.h"

#include <string.h>

/* A change of metadata is begun anew where somebody else's came in between. */
#define PATCH_TRIES 10

/* ---- making ---- */

static void
on_created (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  g_autofree char *path = NULL;

  if (error != NULL) {
    zm_zaqar_fail (request, error, "Queue could not be created.");
    return;
  }
  path = zm_zaqar_queue_path (zm_zaqar_of (request));
  zm_request_add_header (request, "Location", path);
  zm_request_answer (request, answer->created ? 201 : 204, NULL, NULL, 0);
}

/* FALSE: it has answered. */
static gboolean
metadata_size_ok (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  if ((gint64) request->body.size <= zaqar->limits.metadata_most)
    return TRUE;
  zm_zaqar_bad_request (request, "Queue metadata is too large. Max size: %" G_GINT64_FORMAT,
                        zaqar->limits.metadata_most);
  return FALSE;
}

void
zm_zaqar_queue_put (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  g_autoptr (ZmMeta) meta = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  if (!metadata_size_ok (request))
    return;
  if (request->body.size > 0) {
    meta = zm_meta_read (request->body, &error);
    if (meta == NULL || !zm_meta_check (meta, zaqar->queue.name, &zaqar->limits, &error)) {
      zm_zaqar_fail (request, error, "Queue could not be created.");
      return;
    }
    text = zm_meta_text (meta);
  }
  zm_queue_create (zaqar->queues, zaqar->queue, zm_span_text (text), on_created, request);
}

/* ---- showing ---- */

static ZmMeta *
stored_metadata (const char *text)
{
  ZmMeta *meta = zm_meta_read (zm_span_text (text), NULL);

  return meta != NULL ? meta : zm_meta_read (ZM_SPAN_LITERAL ("{}"), NULL);
}

/* With the reserved keys. */
static void
answer_metadata (ZmRequest *request, ZmMeta *meta)
{
  g_autofree char *text = NULL;

  zm_meta_fill (meta, &zm_zaqar_of (request)->limits);
  text = zm_meta_text (meta);
  zm_request_answer_json (request, 200, text);
}

static void
on_metadata (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  g_autoptr (ZmMeta) meta = NULL;

  if (error != NULL) {
    zm_zaqar_fail (request, error, "Queue metadata could not be retrieved.");
    return;
  }
  meta = stored_metadata (answer->metadata);
  answer_metadata (request, meta);
}

void
zm_zaqar_queue_get (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_get_metadata (zaqar->queues, zaqar->queue, on_metadata, request);
}

/* ---- changing ---- */

/* In zaqar->more: the change that is being written. */
typedef struct Patching {
  ZmMeta *meta;
  guint tries;
} Patching;

static void
patching_free (gpointer data)
{
  Patching *patching = data;

  zm_meta_free (patching->meta);
  g_free (patching);
}

static void on_to_patch (const ZmQueueAnswer *answer, const GError *error, gpointer user);

static void
on_patched (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  Patching *patching = zaqar->more;

  (void) answer;
  if (error == NULL)
    answer_metadata (request, patching->meta);
  else if (g_error_matches (error, ZM_ERROR, ZM_ERROR_EXISTS) && patching->tries < PATCH_TRIES)
    zm_queue_get_metadata (zaqar->queues, zaqar->queue, on_to_patch, request);
  else if (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_not_found (request, "Queue %.*s does not exist for project %s", (int) zaqar->queue.name.size,
                        zaqar->queue.name.data, zaqar->project);
  else
    zm_zaqar_fail (request, error, "Metadata could not be updated.");
}

static void
on_to_patch (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  Patching *patching = zaqar->more;
  g_autoptr (GError) wrong = NULL;
  g_autofree char *text = NULL;

  if (error != NULL) {
    zm_zaqar_fail (request, error, "Metadata could not be updated.");
    return;
  }
  if (!answer->created) {
    zm_zaqar_not_found (request, "Queue %.*s does not exist for project %s", (int) zaqar->queue.name.size,
                        zaqar->queue.name.data, zaqar->project);
    return;
  }
  zm_meta_free (patching->meta);
  patching->meta = stored_metadata (answer->metadata);
  patching->tries++;
  if (!zm_meta_patch (patching->meta, request->body, &wrong) ||
      !zm_meta_check (patching->meta, zaqar->queue.name, &zaqar->limits, &wrong)) {
    zm_zaqar_fail (request, wrong, "Metadata could not be updated.");
    return;
  }
  text = zm_meta_text (patching->meta);
  zm_queue_set_metadata (zaqar->queues, zaqar->queue, zm_span_text (answer->metadata), zm_span_text (text),
                         on_patched, request);
}

static gboolean
is_patch_type (const char *type)
{
  static const char patch[] = "application/openstack-messaging-v2.0-json-patch";
  gsize size = type != NULL ? strcspn (type, "; \t") : 0;

  return size == sizeof patch - 1 && g_ascii_strncasecmp (type, patch, size) == 0;
}

void
zm_zaqar_queue_patch (ZmRequest *request)
{
  ZmZaqar *zaqar = zm_zaqar_of (request);

  if (!is_patch_type (zm_request_header (request, "Content-Type"))) {
    zm_request_fail (request, 415, "Unsupported media type", "Content-Type",
                     "Accepted media type for PATCH: application/openstack-messaging-v2.0-json-patch.");
    return;
  }
  if (request->body.size == 0) {
    zm_request_fail (request, 400, "Invalid request body", NULL, "PATCH body could not be empty for update.");
    return;
  }
  if (!metadata_size_ok (request))
    return;
  zaqar->more = g_new0 (Patching, 1);
  zaqar->more_free = patching_free;
  zm_queue_get_metadata (zaqar->queues, zaqar->queue, on_to_patch, request);
}

/* ---- removing and emptying ---- */

static void
on_gone (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (error != NULL && !g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_fail (user, error, "Queue could not be deleted.");
  else
    zm_zaqar_no_content (user);
}

void
zm_zaqar_queue_delete (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_remove (zaqar->queues, zaqar->queue, on_gone, request);
}

static void
on_purged (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  (void) answer;
  if (error != NULL && !g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND))
    zm_zaqar_fail (user, error, "Queue could not be purged.");
  else
    zm_zaqar_no_content (user);
}

void
zm_zaqar_queue_purge (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  gboolean messages, subscriptions;
  g_autoptr (GError) error = NULL;

  if (!zm_zaqar_read_purge (request->body, &messages, &subscriptions, &error))
    zm_zaqar_fail (request, error, "Queue could not be purged.");
  else if (messages)
    zm_queue_purge (zaqar->queues, zaqar->queue, on_purged, request);
  else
    zm_zaqar_no_content (request);
}

/* ---- counting ---- */

static void
append_end (GString *out, const char *name, const char *queue, const ZmStored *stored)
{
  g_autofree char *created = zm_signed_expires_text (stored->created_us / G_USEC_PER_SEC);

  g_string_append_printf (
      out, ", \"%s\": {\"href\": \"%s/messages/%s\", \"age\": %" G_GINT64_FORMAT ", \"created\": \"%sZ\"}",
      name, queue, stored->id, zm_zaqar_age (stored->created_us, zm_wall_us ()), created);
}

/* As in Zaqar, what is not claimed is free, whether it is due or not. */
static void
on_stats (const ZmQueueAnswer *answer, const GError *error, gpointer user)
{
  ZmRequest *request = user;
  g_autofree char *queue = zm_zaqar_queue_path (zm_zaqar_of (request));
  const ZmQueueStats *stats;
  GString *out;

  if (error != NULL && !g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND)) {
    zm_zaqar_fail (request, error, "Queue stats could not be read.");
    return;
  }
  if (error != NULL) {
    zm_request_answer_json (request, 200, "{\"messages\": {\"claimed\": 0, \"free\": 0, \"total\": 0}}");
    return;
  }
  stats = &answer->stats;
  out = g_string_new (NULL);
  g_string_append_printf (out,
                          "{\"messages\": {\"claimed\": %" G_GUINT64_FORMAT ", \"free\": %" G_GUINT64_FORMAT
                          ", \"total\": %" G_GUINT64_FORMAT,
                          stats->claimed, stats->total - MIN (stats->claimed, stats->total), stats->total);
  if (stats->has_oldest && stats->total > 0) {
    append_end (out, "oldest", queue, &stats->oldest);
    append_end (out, "newest", queue, &stats->newest);
  }
  g_string_append (out, "}}");
  zm_request_answer_take (request, 200, "application/json", out);
}

void
zm_zaqar_queue_stats (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);

  zm_queue_stats (zaqar->queues, zaqar->queue, on_stats, request);
}
