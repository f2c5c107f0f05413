/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the documents of Zaqar's API: any bytes give messages whose bodies are JSON inside the text and whose times are in range,
 * or an error that is text; metadata that was read and changed is JSON again. */
#include "config.h"

#include "http/zaqar-document.h"
#include "http/zaqar-sign.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Not g_assert: it must also stop where assertions are off. */
static void
must (gboolean truth)
{
  if (!truth)
    abort ();
}

static void
must_say (GError *error)
{
  must (error != NULL && g_utf8_validate (error->message, -1, NULL));
  g_error_free (error);
}

static void
check_post (ZmSpan text, const ZmZaqarLimits *limits)
{
  GError *error = NULL;
  GArray *puts = zm_zaqar_read_post (text, limits, zm_span (NULL, 0), &error);

  if (puts == NULL) {
    must_say (error);
    return;
  }
  must (error == NULL && puts->len > 0);
  for (guint i = 0; i < puts->len; i++) {
    const ZmPut *put = &g_array_index (puts, ZmPut, i);

    must (put->body.data >= text.data && zm_span_end (put->body) <= zm_span_end (text));
    must (zm_json_valid (put->body));
    must (put->ttl_s == -1 || (put->ttl_s >= 60 && put->ttl_s <= limits->message_ttl_most));
    must (put->delay_s >= -1 && put->delay_s <= limits->message_delay_most);
  }
  g_array_unref (puts);
}

static void
check_metadata (ZmSpan text, const ZmZaqarLimits *limits)
{
  g_autoptr (ZmMeta) meta = zm_meta_read (text, NULL);
  g_autoptr (ZmMeta) patched = zm_meta_read (ZM_SPAN_LITERAL ("{\"a\":1}"), NULL);
  g_autofree char *shown = NULL, *after = NULL;
  GError *error = NULL;

  if (meta != NULL) {
    zm_meta_fill (meta, limits);
    shown = zm_meta_text (meta);
    must (zm_json_valid (zm_span_text (shown)));
  }
  if (!zm_meta_patch (patched, text, &error))
    must_say (error);
  after = zm_meta_text (patched);
  must (zm_json_valid (zm_span_text (after)));
}

static void
check_others (ZmSpan text, const ZmZaqarLimits *limits)
{
  g_auto (ZmSigned) signed_url = { 0 };
  ZmZaqarClaim claim;
  gboolean messages, subscriptions;
  GError *error = NULL;

  if (!zm_zaqar_read_claim (text, limits, &claim, &error))
    must_say (g_steal_pointer (&error));
  if (!zm_zaqar_read_purge (text, &messages, &subscriptions, &error))
    must_say (g_steal_pointer (&error));
  if (!zm_signed_read_share (text, "/v2/queues/q", 1800000000, &signed_url, &error))
    must_say (g_steal_pointer (&error));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const ZmZaqarLimits limits = { .message_ttl = 3600,
                                 .message_ttl_most = 1209600,
                                 .message_delay_most = 900,
                                 .claim_ttl = 300,
                                 .claim_grace = 60,
                                 .claim_ttl_most = 43200,
                                 .claim_grace_most = 43200,
                                 .metadata_most = 65536,
                                 .post_most = 262144 };
  ZmSpan text = zm_span ((const char *) data, size);

  check_post (text, &limits);
  check_metadata (text, &limits);
  check_others (text, &limits);
  return 0;
}
