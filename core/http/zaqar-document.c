/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Posts, claims and purges as clients send them: cut, checked, and said what is wrong with them in Zaqar's words, with the member's place. */
#include "config.h"

#include "http/zaqar-document.h"

#include <string.h>

G_DEFINE_QUARK (zm - zaqar - error - quark, zm_zaqar_error)

void
zm_zaqar_limits (const ZmConfig *config, ZmZaqarLimits *limits)
{
  limits->message_ttl = zm_config_integer (config, "zaqar", "default_message_ttl");
  limits->message_delay = zm_config_integer (config, "zaqar", "default_message_delay");
  limits->claim_ttl = zm_config_integer (config, "zaqar", "default_claim_ttl");
  limits->claim_grace = zm_config_integer (config, "zaqar", "default_claim_grace");
  limits->message_ttl_most = zm_config_integer (config, "zaqar", "max_message_ttl");
  limits->message_delay_most = zm_config_integer (config, "zaqar", "max_message_delay");
  limits->claim_ttl_most = zm_config_integer (config, "zaqar", "max_claim_ttl");
  limits->claim_grace_most = zm_config_integer (config, "zaqar", "max_claim_grace");
  limits->queues_page = zm_config_integer (config, "zaqar", "max_queues_per_page");
  limits->messages_page = zm_config_integer (config, "zaqar", "max_messages_per_page");
  limits->claim_or_pop = zm_config_integer (config, "zaqar", "max_messages_per_claim_or_pop");
  limits->metadata_most = zm_config_integer (config, "zaqar", "max_queue_metadata");
  limits->post_most = zm_config_integer (config, "zaqar", "max_messages_post_size");
}

gboolean
zm_zaqar_cut (ZmSpan body, guint depth, ZmCutFunc func, gpointer user, GError **error)
{
  g_autoptr (GError) wrong = NULL;

  if (zm_json_cut (body, depth, func, user, &wrong))
    return TRUE;
  if (wrong != NULL)
    g_set_error_literal (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_BODY, wrong->message);
  return FALSE;
}

static void
not_supported (GError **error, const char *place)
{
  g_set_error (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_BODY, "Document type not supported. Member: %s.", place);
}

/* Is this member an integer? */
static gboolean
must_be_integer (const ZmCut *cut, const char *name, const char *place, GError **error)
{
  if (cut->kind == ZM_CUT_INTEGER)
    return TRUE;
  g_set_error (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_BODY,
               "The value of the \"%s\" field must be a int. Member: %s.", name, place);
  return FALSE;
}

/* ---- posts ---- */

typedef struct Post {
  const ZmZaqarLimits *limits;
  GArray *puts;
  ZmPut put; /* that is being read */
  gboolean found, has_body;
  gboolean inside; /* the member "messages", not one beside it */
  GError **error;
} Post;

static gboolean
in_range (gint64 value, gint64 least, gint64 most, const char *what, const char *place, GError **error)
{
  if (value >= least && value <= most)
    return TRUE;
  g_set_error (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API,
               "%s may not exceed %" G_GINT64_FORMAT " seconds, and must be at least %" G_GINT64_FORMAT
               " seconds long. Member: %s.",
               what, most, least, place);
  return FALSE;
}

/* ttl or delay of a message. */
static gboolean
post_seconds (Post *post, const ZmCut *cut, gboolean delay)
{
  const char *name = delay ? "delay" : "ttl";
  g_autofree char *place = g_strdup_printf ("messages[%u].%s", post->puts->len, name);

  if (!must_be_integer (cut, name, place, post->error))
    return FALSE;
  *(delay ? &post->put.delay_s : &post->put.ttl_s) = cut->integer;
  return delay ? in_range (cut->integer, 0, post->limits->message_delay_most, "The Delay TTL for a message",
                           place, post->error)
               : in_range (cut->integer, ZM_ZAQAR_TTL_LEAST, post->limits->message_ttl_most,
                           "The TTL for a message", place, post->error);
}

/* Members that the API does not know are left out. */
static gboolean
post_member (Post *post, const ZmCut *cut)
{
  if (zm_span_is (cut->name, "body")) {
    post->put.body = cut->raw;
    post->has_body = TRUE;
  } else if (zm_span_is (cut->name, "ttl"))
    return post_seconds (post, cut, FALSE);
  else if (zm_span_is (cut->name, "delay"))
    return post_seconds (post, cut, TRUE);
  return TRUE;
}

/* An element of "messages". */
static gboolean
post_message (Post *post, const ZmCut *cut)
{
  g_autofree char *place = NULL;

  if (cut->opens && cut->kind == ZM_CUT_OBJECT) {
    post->put.body = zm_span (NULL, 0);
    post->put.ttl_s = post->put.delay_s = -1;
    post->has_body = FALSE;
    return TRUE;
  }
  place = g_strdup_printf ("messages[%u]", post->puts->len);
  if (cut->kind != ZM_CUT_OBJECT) {
    not_supported (post->error, place);
    return FALSE;
  }
  if (!post->has_body) {
    g_set_error (post->error, ZM_ZAQAR_ERROR, ZM_ZAQAR_BODY, "Missing \"body\" field. Member: %s.", place);
    return FALSE;
  }
  g_array_append_val (post->puts, post->put);
  return TRUE;
}

/* A member of the document: of two of one name, the last one counts. */
static gboolean
post_top (Post *post, const ZmCut *cut)
{
  if (cut->name.data == NULL || !zm_span_is (cut->name, "messages")) {
    post->inside = FALSE;
    return TRUE;
  }
  if (cut->kind != ZM_CUT_ARRAY) {
    not_supported (post->error, "messages");
    return FALSE;
  }
  post->inside = post->found = TRUE;
  if (cut->opens)
    g_array_set_size (post->puts, 0);
  return TRUE;
}

static gboolean
on_post (const ZmCut *cut, gpointer user)
{
  Post *post = user;

  if (cut->depth == 1)
    return post_top (post, cut);
  if (cut->depth == 0 || !post->inside)
    return TRUE;
  return cut->depth == 2 ? post_message (post, cut) : cut->opens || post_member (post, cut);
}

GArray *
zm_zaqar_read_post (ZmSpan body, const ZmZaqarLimits *limits, ZmSpan client, GError **error)
{
  g_autoptr (GArray) puts = g_array_new (FALSE, TRUE, sizeof (ZmPut));
  Post post = { .limits = limits, .puts = puts, .put.client = client, .error = error };

  if (!zm_zaqar_cut (body, 3, on_post, &post, error))
    return NULL;
  if (!post.found) {
    g_set_error_literal (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API,
                         "No messages were found in the request body. Member: messages.");
    return NULL;
  }
  if (puts->len == 0) {
    g_set_error_literal (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API, "No messages to enqueue. Member: messages.");
    return NULL;
  }
  return g_steal_pointer (&puts);
}

/* ---- claims ---- */

typedef struct Claim {
  ZmZaqarClaim *claim;
  GError **error;
} Claim;

static gboolean
on_claim (const ZmCut *cut, gpointer user)
{
  Claim *claim = user;
  gboolean ttl = zm_span_is (cut->name, "ttl");

  if (cut->depth == 0) {
    if (cut->kind != ZM_CUT_OBJECT)
      g_set_error_literal (claim->error, ZM_ZAQAR_ERROR, ZM_ZAQAR_BODY, "Document type not supported.");
    return cut->kind == ZM_CUT_OBJECT;
  }
  if (!ttl && !zm_span_is (cut->name, "grace"))
    return TRUE;
  if (!must_be_integer (cut, ttl ? "ttl" : "grace", ttl ? "ttl" : "grace", claim->error))
    return FALSE;
  *(ttl ? &claim->claim->ttl_s : &claim->claim->grace_s) = cut->integer;
  return TRUE;
}

gboolean
zm_zaqar_read_claim (ZmSpan body, const ZmZaqarLimits *limits, ZmZaqarClaim *claim, GError **error)
{
  Claim reading = { claim, error };

  claim->ttl_s = limits->claim_ttl;
  claim->grace_s = limits->claim_grace;
  return (body.size == 0 || zm_zaqar_cut (body, 1, on_claim, &reading, error)) &&
         in_range (claim->ttl_s, ZM_ZAQAR_TTL_LEAST, limits->claim_ttl_most, "The TTL for a claim", "ttl",
                   error) &&
         in_range (claim->grace_s, ZM_ZAQAR_TTL_LEAST, limits->claim_grace_most, "The grace for a claim",
                   "grace", error);
}

/* ---- purges ---- */

typedef struct Purge {
  gboolean found, inside, *messages, *subscriptions;
  GError **error;
} Purge;

static gboolean
purge_type (Purge *purge, const ZmCut *cut)
{
  g_autofree char *type = cut->kind == ZM_CUT_STRING ? zm_json_text (cut->raw) : NULL;

  if (g_strcmp0 (type, "messages") == 0)
    *purge->messages = TRUE;
  else if (g_strcmp0 (type, "subscriptions") == 0)
    *purge->subscriptions = TRUE;
  else {
    g_set_error_literal (purge->error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API,
                         "Resource types must be a sub set of {'messages', 'subscriptions'}. "
                         "Member: resource_types.");
    return FALSE;
  }
  return TRUE;
}

static gboolean
on_purge (const ZmCut *cut, gpointer user)
{
  Purge *purge = user;

  if (cut->depth == 2)
    return !purge->inside || purge_type (purge, cut);
  if (cut->depth == 0)
    return TRUE;
  purge->inside = cut->opens && zm_span_is (cut->name, "resource_types");
  if (!zm_span_is (cut->name, "resource_types"))
    return TRUE;
  purge->found = TRUE;
  if (cut->kind != ZM_CUT_ARRAY)
    not_supported (purge->error, "resource_types");
  return cut->kind == ZM_CUT_ARRAY;
}

gboolean
zm_zaqar_read_purge (ZmSpan body, gboolean *messages, gboolean *subscriptions, GError **error)
{
  Purge purge = { .messages = messages, .subscriptions = subscriptions, .error = error };

  *messages = *subscriptions = body.size == 0;
  if (body.size == 0)
    return TRUE;
  if (!zm_zaqar_cut (body, 2, on_purge, &purge, error))
    return FALSE;
  if (!purge.found)
    g_set_error_literal (error, ZM_ZAQAR_ERROR, ZM_ZAQAR_API,
                         "Post body must contain key \"resource_types\".");
  return purge.found;
}

/* ---- names and values ---- */

gboolean
zm_zaqar_queue_name_ok (ZmSpan name)
{
  for (gsize i = 0; i < name.size; i++)
    if (!g_ascii_isalnum (name.data[i]) && name.data[i] != '_' && name.data[i] != '.' && name.data[i] != '-')
      return FALSE;
  return name.size > 0 && name.size <= ZM_QUEUE_NAME_MOST;
}

/* What Python's uuid.UUID takes, since that is what Zaqar asks: dashes do not count wherever they are. */
gboolean
zm_zaqar_uuid_read (const char *text, guint8 out[16])
{
  guint digits = 0;

  if (g_ascii_strncasecmp (text, "urn:", 4) == 0)
    text += 4;
  if (g_ascii_strncasecmp (text, "uuid:", 5) == 0)
    text += 5;
  for (; *text != '\0'; text++) {
    if (strchr ("{}-", *text) != NULL)
      continue;
    if (digits == 32 || !g_ascii_isxdigit (*text))
      return FALSE;
    out[digits / 2] = (guint8) ((digits % 2 == 0 ? 0 : out[digits / 2] << 4) | g_ascii_xdigit_value (*text));
    digits++;
  }
  return digits == 32;
}

gboolean
zm_zaqar_boolean_read (const char *text, gboolean *value)
{
  static const char *const yes[] = { "true", "True", "t", "yes", "y", "1", "on", NULL };
  static const char *const no[] = { "false", "False", "f", "no", "n", "0", "off", NULL };

  *value = g_strv_contains (yes, text);
  return *value || g_strv_contains (no, text);
}
