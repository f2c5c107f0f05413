/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queues made, and their metadata: a JSON object kept as the text that it came as. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

typedef struct Metadata Metadata;
struct Metadata {
  ZmRequest request;   /* first */
  char *expect, *text; /* NULL: not given */
  char *before;        /* what was there */
  gboolean changed;
  Metadata *earlier; /* changed it before in this batch, and its end is not known yet; NULL: none */
};

static Metadata *
metadata_of (ZmRequest *request)
{
  return (Metadata *) (void *) request;
}

/* The new text into memory and the document. Sets the error where its reserved keys are wrong. */
static void
change (Metadata *metadata, ZmStoreWriter *writer)
{
  ZmRequest *request = &metadata->request;
  ZmQueue *queue = request->queue;
  ZmQueueKind kind = queue->options.kind;
  ZmQueueDurability durability = queue->options.durability;
  ZmQueueOptions options;

  if (!zm_queue_options_read (&options, request->queues->p->settings, queue->project, queue->name,
                              zm_span_text (metadata->text), FALSE, &request->error))
    return;
  options.kind = kind;
  options.durability = durability;
  zm_queue_set_options (queue, &options);
  metadata->before = zm_queue_swap_metadata (queue, g_strdup (metadata->text));
  metadata->changed = TRUE;
  metadata->earlier = queue->changing;
  queue->changing = metadata;
  zm_queue_document_in (queue, writer);
}

/* Its end is known. Returns the one of the same batch that changed it next; NULL: none. */
static Metadata *
ended (Metadata *metadata)
{
  ZmQueue *queue = metadata->request.queue;
  Metadata *later = NULL;

  for (Metadata *at = queue->changing; at != metadata; at = at->earlier)
    later = at;
  if (later != NULL)
    later->earlier = metadata->earlier;
  else
    queue->changing = metadata->earlier;
  return later;
}

/* Back to what was there. Where a later unit of the same batch changed it again, that is what this one would go back to. */
static void
undo (ZmRequest *request)
{
  Metadata *metadata = metadata_of (request), *later;
  ZmQueue *queue = request->queue;
  ZmQueueKind kind = queue->options.kind;
  ZmQueueDurability durability = queue->options.durability;
  ZmQueueOptions options;

  if (!metadata->changed)
    return;
  later = ended (metadata);
  if (later != NULL) {
    g_free (later->before);
    later->before = g_steal_pointer (&metadata->before);
    return;
  }
  g_free (zm_queue_swap_metadata (queue, g_steal_pointer (&metadata->before)));
  if (zm_queue_options_read (&options, request->queues->p->settings, queue->project, queue->name,
                             zm_span_text (queue->metadata), TRUE, NULL)) {
    options.kind = kind;
    options.durability = durability;
    zm_queue_set_options (queue, &options);
  }
}

static void
free_metadata (ZmRequest *request)
{
  Metadata *metadata = metadata_of (request);

  g_free (metadata->expect);
  g_free (metadata->text);
  g_free (metadata->before);
}

/* ---- create ---- */

static void
decide_create (ZmRequest *request, ZmStoreWriter *writer)
{
  Metadata *metadata = metadata_of (request);

  request->answer.created = request->created;
  if (request->created && metadata->text != NULL)
    change (metadata, writer);
}

static void
commit_create (ZmRequest *request)
{
  Metadata *metadata = metadata_of (request);

  if (metadata->changed)
    (void) ended (metadata);
  request->answer.metadata = request->queue->metadata;
}

static const ZmRequestOps create_ops = { .size = sizeof (Metadata),
                                         .make = TRUE,
                                         .adds = TRUE,
                                         .decide = decide_create,
                                         .commit = commit_create,
                                         .undo = undo,
                                         .free = free_metadata };

static void
check_object (ZmRequest *request, ZmSpan metadata)
{
  ZmSpan trimmed = metadata;

  while (trimmed.size > 0 && g_ascii_isspace (trimmed.data[0]))
    trimmed = (ZmSpan){ trimmed.data + 1, trimmed.size - 1 };
  if (trimmed.size == 0 || trimmed.data[0] != '{' || memchr (metadata.data, '\0', metadata.size) != NULL ||
      !zm_json_valid (metadata))
    zm_queue_request_fail (request, ZM_ERROR_INVALID, "the metadata is no JSON object");
}

void
zm_queue_create (ZmQueues *queues, ZmQueueName queue, ZmSpan metadata, ZmQueueDone done, gpointer user)
{
  Metadata *create = zm_queue_request_new (queues, queue, &create_ops, done, user);

  if (metadata.size > 0) {
    create->text = zm_span_dup (metadata);
    check_object (&create->request, metadata);
  }
  zm_queue_request_submit (create, metadata.size + 64);
}

/* ---- set ---- */

static void
decide_set (ZmRequest *request, ZmStoreWriter *writer)
{
  Metadata *metadata = metadata_of (request);

  if (request->queue == NULL)
    zm_queue_request_fail (request, ZM_ERROR_NOT_FOUND, "there is no queue of this name");
  else if (metadata->expect != NULL && strcmp (metadata->expect, request->queue->metadata) != 0)
    zm_queue_request_fail (request, ZM_ERROR_EXISTS,
                           "the queue's metadata was changed meanwhile: read it again");
  else
    change (metadata, writer);
}

static const ZmRequestOps set_ops = { .size = sizeof (Metadata),
                                      .adds = TRUE,
                                      .decide = decide_set,
                                      .commit = commit_create,
                                      .undo = undo,
                                      .free = free_metadata };

void
zm_queue_set_metadata (ZmQueues *queues, ZmQueueName queue, ZmSpan expect, ZmSpan metadata, ZmQueueDone done,
                       gpointer user)
{
  Metadata *set = zm_queue_request_new (queues, queue, &set_ops, done, user);

  set->text = metadata.size > 0 ? zm_span_dup (metadata) : g_strdup ("{}");
  check_object (&set->request, metadata.size > 0 ? metadata : zm_span_text (set->text));
  if (expect.size > 0)
    set->expect = zm_span_dup (expect);
  zm_queue_request_submit (set, metadata.size + 64);
}

/* ---- get ---- */

static void
decide_get (ZmRequest *request, ZmStoreWriter *writer)
{
  (void) writer;
  request->answer.created = request->queue != NULL;
}

static void
commit_get (ZmRequest *request)
{
  request->answer.metadata = request->queue != NULL ? request->queue->metadata : "{}";
}

static const ZmRequestOps get_ops = { .size = sizeof (ZmRequest),
                                      .decide = decide_get,
                                      .commit = commit_get };

void
zm_queue_get_metadata (ZmQueues *queues, ZmQueueName queue, ZmQueueDone done, gpointer user)
{
  zm_queue_request_submit (zm_queue_request_new (queues, queue, &get_ops, done, user), 0);
}

char *
zm_queue_peek_metadata (ZmQueues *queues, ZmQueueName name)
{
  gsize size;
  g_autofree char *key = zm_queues_key (queues, name, &size, NULL);
  const ZmQueue *queue;
  char *metadata = NULL;

  if (key == NULL)
    return NULL;
  pthread_mutex_lock (&queues->p->lock);
  queue = g_hash_table_lookup (queues->p->by_key, key);
  if (queue != NULL && strcmp (queue->metadata, "{}") != 0)
    metadata = g_strdup (queue->metadata);
  pthread_mutex_unlock (&queues->p->lock);
  return metadata;
}
