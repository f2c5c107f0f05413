/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What holds for a queue: [queue NAME], [zaqar], and the reserved keys of its metadata, the later above the earlier. */
#include "config.h"

#include "queue/registry-private.h"

#include <string.h>

#define MS_PER_S 1000
/* Somebody has to look at dead letters: they outlive a weekend, also where they go into a queue that nobody has set up. */
#define LETTER_TTL_S (14 * 86400)

const char *
zm_queue_standard_project (const ZmConfig *config)
{
  const char *project = zm_config_text (config, "zaqar", "project");

  return project != NULL && *project != '\0' ? project : "default";
}

static gboolean
is_configured (const ZmConfig *config, const char *section, const char *project, const char *name)
{
  g_auto (GStrv) names = zm_config_names (config, "queue");
  const char *own;

  if (!g_strv_contains ((const char *const *) names, name))
    return FALSE;
  own = zm_config_text (config, section, "project");
  return g_str_equal (own != NULL ? own : zm_queue_standard_project (config), project);
}

/* Rounded up: a time that is given is never cut. */
static gint64
seconds_of (const ZmConfig *config, const char *section, const char *key)
{
  return (zm_config_integer (config, section, key) + MS_PER_S - 1) / MS_PER_S;
}

static gboolean
from_section (ZmQueueOptions *options, const ZmConfig *config, const char *section, GError **error)
{
  const char *key = zm_config_text (config, section, "encrypt");

  options->kind = (ZmQueueKind) zm_config_integer (config, section, "kind");
  options->ttl_s = seconds_of (config, section, "ttl");
  options->delay_s = seconds_of (config, section, "delay");
  options->max_messages = (guint64) zm_config_integer (config, section, "max-messages");
  options->max_bytes = (guint64) zm_config_integer (config, section, "max-bytes");
  options->full = (ZmQueueFull) zm_config_integer (config, section, "on-full");
  options->retain = (ZmQueueRetain) zm_config_integer (config, section, "retain");
  options->durability = (ZmQueueDurability) zm_config_integer (config, section, "durability");
  options->dead_letter = g_strdup (zm_config_text (config, section, "dead-letter"));
  options->topics = g_strdupv ((char **) zm_config_list (config, section, "topics"));
  if (key == NULL)
    return TRUE;
  options->cipher = zm_cipher_new (key, error);
  if (options->cipher == NULL)
    g_prefix_error (error, "[%s] encrypt: ", section);
  return options->cipher != NULL;
}

gboolean
zm_queue_json_number (ZmSpan object, const char *name, gint64 least, gint64 most, gint64 *value,
                      GError **error)
{
  g_autofree char *text = NULL;
  ZmSpan raw;

  if (!zm_json_member (object, name, &raw))
    return FALSE;
  text = zm_span_dup (raw);
  if (zm_parse_integer (text, least, most, value, error))
    return TRUE;
  g_prefix_error (error, "%s: ", name);
  return FALSE;
}

/* A number of the metadata over what is there already. FALSE: it is wrong. One that is stored was right once: a configuration that
 * allows less cuts it, and does not make the queue unusable. */
static gboolean
take_number (ZmSpan metadata, gboolean stored, const char *name, gint64 least, gint64 most, gint64 *value,
             GError **error)
{
  g_autoptr (GError) wrong = NULL;

  if (zm_queue_json_number (metadata, name, stored ? G_MININT64 : least, stored ? G_MAXINT64 : most, value,
                            &wrong)) {
    *value = CLAMP (*value, least, MAX (least, most));
    return TRUE;
  }
  if (wrong == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&wrong));
  return FALSE;
}

/* With the key that is there for queues which have none of their own. */
static gboolean
common_cipher (ZmQueueOptions *options, const ZmConfig *config, GError **error)
{
  const char *key = zm_config_text (config, "store", "key");

  if (key == NULL) {
    g_set_error_literal (
        error, ZM_ERROR, ZM_ERROR_REFUSED,
        "_enable_encrypt_messages: there is no key for this queue; set encrypt in its section "
        "[queue NAME], or key in [store] for all that ask for it");
    return FALSE;
  }
  options->cipher = zm_cipher_new (key, error);
  if (options->cipher == NULL)
    g_prefix_error (error, "[store] key: ");
  return options->cipher != NULL;
}

static gboolean
from_metadata (ZmQueueOptions *options, const ZmConfig *config, ZmSpan metadata, gboolean stored,
               GError **error)
{
  gint64 claims = options->max_claim_count;
  ZmSpan raw;

  if (!take_number (metadata, stored, "_default_message_ttl", 1,
                    zm_config_integer (config, "zaqar", "max_message_ttl"), &options->ttl_s, error) ||
      !take_number (metadata, stored, "_default_message_delay", 0,
                    zm_config_integer (config, "zaqar", "max_message_delay"), &options->delay_s, error) ||
      !take_number (metadata, stored, "_dead_letter_queue_messages_ttl", 0, G_MAXINT32,
                    &options->dead_letter_ttl_s, error) ||
      !take_number (metadata, stored, "_max_claim_count", 0, G_MAXINT32, &claims, error))
    return FALSE;
  options->max_claim_count = (guint) claims;
  if (zm_json_member (metadata, "_dead_letter_queue", &raw) && raw.size > 2 && raw.data[0] == '"') {
    g_free (options->dead_letter);
    options->dead_letter = zm_json_text (raw);
    if (options->dead_letter != NULL &&
        options->dead_letter[0] == '^') { /* what stands in those is carried out */
      g_set_error_literal (error, ZM_ERROR, ZM_ERROR_INVALID,
                           "_dead_letter_queue: names that begin with ^ belong to the daemon");
      return FALSE;
    }
  }
  return !zm_json_member (metadata, "_enable_encrypt_messages", &raw) || !zm_span_is (raw, "true") ||
         options->cipher != NULL || common_cipher (options, config, error);
}

/* What the runtime has accepted it carries out, however long its retries take: its own queues (^) know no end of messages. */
static void
set_lives (ZmQueueOptions *options, const char *name, ZmSpan metadata)
{
  ZmSpan raw;

  options->letter_ttl_s = LETTER_TTL_S;
  if (options->configured || zm_json_member (metadata, "_default_message_ttl", &raw))
    options->letter_ttl_s = options->ttl_s;
  if (name[0] == '^')
    options->ttl_s = options->letter_ttl_s = -1;
}

gboolean
zm_queue_options_read (ZmQueueOptions *options, const ZmConfig *config, const char *project, const char *name,
                       ZmSpan metadata, gboolean stored, GError **error)
{
  g_autofree char *section = g_strconcat ("queue ", name, NULL);

  memset (options, 0, sizeof *options);
  options->dead_letter_ttl_s = -1;
  options->ttl_s = zm_config_integer (config, "zaqar", "default_message_ttl");
  options->delay_s = zm_config_integer (config, "zaqar", "default_message_delay");
  options->claim_ttl_s = zm_config_integer (config, "zaqar", "default_claim_ttl");
  options->claim_grace_s = zm_config_integer (config, "zaqar", "default_claim_grace");
  options->sums = zm_config_boolean (config, "zaqar", "enable_checksum");
  options->configured = is_configured (config, section, project, name);
  if ((options->configured && !from_section (options, config, section, error)) ||
      !from_metadata (options, config, metadata, stored, error)) {
    zm_queue_options_clear (options);
    return FALSE;
  }
  set_lives (options, name, metadata);
  return TRUE;
}

void
zm_queue_options_clear (ZmQueueOptions *options)
{
  zm_cipher_unref (options->cipher);
  g_free (options->dead_letter);
  g_strfreev (options->topics);
  memset (options, 0, sizeof *options);
}

void
zm_queue_set_options (ZmQueue *queue, ZmQueueOptions *options)
{
  ZmQueueOptions before = queue->options;

  pthread_mutex_lock (&queue->queues->p->lock);
  queue->options = *options;
  queue->configured = options->configured;
  pthread_mutex_unlock (&queue->queues->p->lock);
  zm_queue_options_clear (&before);
}

char *
zm_queue_swap_metadata (ZmQueue *queue, char *metadata)
{
  char *before;

  pthread_mutex_lock (&queue->queues->p->lock);
  before = queue->metadata;
  queue->metadata = metadata;
  pthread_mutex_unlock (&queue->queues->p->lock);
  return before;
}

ZmCipher *
zm_queue_cipher (ZmQueue *queue)
{
  ZmCipher *cipher;

  pthread_mutex_lock (&queue->queues->p->lock);
  cipher = queue->options.cipher != NULL ? zm_cipher_ref (queue->options.cipher) : NULL;
  pthread_mutex_unlock (&queue->queues->p->lock);
  return cipher;
}
