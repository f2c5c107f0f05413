/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a tail missed. A subscriber that reads slower than is published loses messages at its high-water mark, and ZeroMQ does
 * not say so. The daemon numbers the topics of who registered, each on its own from 1, so a gap is a loss.
 *
 * A loss is seen only when a later message of the same topic arrives. At a full queue the newest ones are lost, so the end of a
 * burst can be missing unseen; for that the tail looks at the daemon's count of stalls too (tell_stalls in cmd-tail.c).
 */
#include "config.h"

#include "ctl/tail.h"

/* As many as the daemon numbers. */
#define TOPICS_MOST 65536

struct ZmTailGaps {
  GHashTable *last; /* topic (char *) -> gint64: its last number */
};

/* Empty: the first number of each topic is only where its count begins. */
ZmTailGaps *
zm_tail_gaps_new (void)
{
  ZmTailGaps *gaps = g_new0 (ZmTailGaps, 1);

  gaps->last = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return gaps;
}

/* Takes NULL: a tail without a registration has none. */
void
zm_tail_gaps_free (ZmTailGaps *gaps)
{
  if (gaps == NULL)
    return;
  g_hash_table_unref (gaps->last);
  g_free (gaps);
}

/* The number in the headers; 0: there is none. */
static gint64
sequence_of (ZmSpan headers)
{
  ZmSpan raw;
  g_autofree char *text =
      headers.size > 0 && zm_json_member (headers, "sequence", &raw) ? zm_span_dup (raw) : NULL;

  return text != NULL ? g_ascii_strtoll (text, NULL, 10) : 0;
}

gint64
zm_tail_gaps_take (ZmTailGaps *gaps, ZmSpan topic, ZmSpan headers)
{
  gint64 number = sequence_of (headers);
  g_autofree char *name = number > 0 ? zm_span_dup (topic) : NULL;
  gint64 *last = name != NULL ? g_hash_table_lookup (gaps->last, name) : NULL;
  gint64 missed;

  if (number <= 0)
    return 0;
  if (last == NULL) {
    if (g_hash_table_size (gaps->last) < TOPICS_MOST)
      g_hash_table_insert (gaps->last, g_steal_pointer (&name), g_memdup2 (&number, sizeof number));
    return 0;
  }
  /* A lower one is a daemon that was started again. */
  missed = number > *last ? number - *last - 1 : 0;
  *last = number;
  return missed;
}
