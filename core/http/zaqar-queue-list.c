/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of a project's queues, by name, with filters: by part of the name, and by what members of the metadata are. */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

/* Queues that one request looks at at most: a filter that matches little gets a page with little, and a link to go on. */
#define LOOKED_AT_MOST 10000

typedef struct Listing {
  ZmRequest *request;
  guint limit;
  gboolean detailed, filtered;
  const char *name; /* part of it, or NULL */
  GString *out;
  guint n, looked;
  char *last; /* name of the last one that was looked at */
} Listing;

/* Parameters that mean something else. */
static gboolean
is_filter (const char *name)
{
  static const char *const others[] = { "marker", "limit", "detailed", "name", "with_count", NULL };

  return !g_strv_contains (others, name);
}

/* Is the member this text, or JSON of the same text? */
static gboolean
member_is (const char *metadata, const char *name, const char *text)
{
  ZmSpan raw;
  g_autofree char *value = NULL;

  if (!zm_json_member (zm_span_text (metadata), name, &raw))
    return FALSE;
  value = zm_json_text (raw);
  return zm_span_is (raw, text) || g_strcmp0 (value, text) == 0;
}

static gboolean
matches (const Listing *listing, const ZmQueueShown *shown)
{
  const char *const *names = zm_request_query_names (listing->request);

  if (listing->name != NULL && strstr (shown->name, listing->name) == NULL)
    return FALSE;
  for (; *names != NULL; names++)
    if (is_filter (*names) &&
        !member_is (shown->metadata, *names, zm_request_query (listing->request, *names)))
      return FALSE;
  return TRUE;
}

static void
append_metadata (GString *out, const char *text, const ZmZaqarLimits *limits)
{
  g_autoptr (ZmMeta) meta = zm_meta_read (zm_span_text (text), NULL);
  g_autofree char *full = NULL;

  if (meta == NULL)
    meta = zm_meta_read (ZM_SPAN_LITERAL ("{}"), NULL);
  zm_meta_fill (meta, limits);
  full = zm_meta_text (meta);
  g_string_append (out, ", \"metadata\": ");
  g_string_append (out, full);
}

static void
on_queue (const ZmQueueShown *shown, gpointer user)
{
  Listing *listing = user;

  if (listing->n == listing->limit)
    return;
  listing->looked++;
  g_free (listing->last);
  listing->last = g_strdup (shown->name);
  if (listing->filtered && !matches (listing, shown))
    return;
  g_string_append_printf (listing->out, "%s{\"name\": \"%s\", \"href\": \"/v2/queues/%s\"",
                          listing->n > 0 ? ", " : "", shown->name, shown->name);
  if (listing->detailed)
    append_metadata (listing->out, shown->metadata, &zm_zaqar_of (listing->request)->limits);
  g_string_append_c (listing->out, '}');
  listing->n++;
}

/* Without a filter one look is enough; with one, as many as it takes. TRUE: there may be more. */
static gboolean
look (Listing *listing)
{
  const ZmZaqar *zaqar = zm_zaqar_of (listing->request);
  guint most = listing->filtered ? 256 : listing->limit;
  guint got;

  do {
    g_autofree char *after = g_strdup (listing->last);

    got = zm_queues_each (zaqar->queues, zaqar->project, after, most, FALSE, on_queue, listing);
  } while (listing->filtered && got == most && listing->n < listing->limit &&
           listing->looked < LOOKED_AT_MOST);
  return listing->n > 0 || got == most;
}

static gboolean
read_query (Listing *listing, gboolean *with_count)
{
  ZmRequest *request = listing->request;
  const char *const *names;

  if (!zm_zaqar_query_limit (request, zm_zaqar_of (request)->limits.queues_page, &listing->limit) ||
      !zm_zaqar_query_boolean (request, "detailed", &listing->detailed, NULL) ||
      !zm_zaqar_query_boolean (request, "with_count", with_count, NULL))
    return FALSE;
  listing->name = zm_request_query (request, "name");
  listing->filtered = listing->name != NULL;
  for (names = zm_request_query_names (request); *names != NULL; names++)
    listing->filtered = listing->filtered || is_filter (*names);
  return TRUE;
}

void
zm_zaqar_queue_list (ZmRequest *request)
{
  const ZmZaqar *zaqar = zm_zaqar_of (request);
  Listing listing = { .request = request };
  gboolean with_count = FALSE, more;

  if (!read_query (&listing, &with_count))
    return;
  listing.last = g_strdup (zm_request_query (request, "marker"));
  listing.out = g_string_new ("{\"queues\": [");
  more = look (&listing);
  g_string_append (listing.out, "], ");
  zm_zaqar_append_links (listing.out, request, "/v2/queues", more ? listing.last : NULL);
  if (with_count)
    g_string_append_printf (listing.out, ", \"count\": %u", zm_queues_count (zaqar->queues, zaqar->project));
  g_string_append_c (listing.out, '}');
  g_free (listing.last);
  zm_request_answer_take (request, 200, "application/json", listing.out);
}
