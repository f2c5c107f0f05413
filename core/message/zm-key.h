/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Action keys `Sender?Context@Decorator?Action` and topics `flow~decorator~sender~context~action~id`. Parsing borrows: the
 * parts point into the text. Any thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

#define ZM_PART_MOST 255  /* bytes in one part */
#define ZM_KEY_MOST  1024 /* bytes in a key or topic */

typedef struct ZmKey {
  ZmSpan sender;
  ZmSpan context;
  ZmSpan decorator;
  ZmSpan action;
} ZmKey;

/* Error text names the column (1 = first character): "column 7: …". *column (may be NULL) gets it too, in characters. */
gboolean zm_key_parse (ZmSpan text, ZmKey *key, guint *column, GError **error);
/* "Sender?Context@Decorator?Action"; the caller frees. */
char *zm_key_text (const ZmKey *key);
/* "decorator~sender~context~action": what the routing table is keyed by. Appends. */
void zm_key_append_slug (const ZmKey *key, GString *out);
gboolean zm_key_equal (const ZmKey *a, const ZmKey *b);
/* Does an empty part of pattern match anything, and every other part equal? */
gboolean zm_key_matches (const ZmKey *pattern, const ZmKey *key);
/* done, error (they belong to the runtime), or a part that begins with ^. */
gboolean zm_key_reserved (const ZmKey *key);
/* A name as flows, plugins' parts and services have: word characters, '-', '^'. Columns as above. */
gboolean zm_name_check (ZmSpan name, guint *column, GError **error);

typedef struct ZmTopic {
  ZmSpan flow;
  ZmKey key;
  ZmSpan id;
  ZmSpan slug; /* "decorator~sender~context~action" as it stands in the text */
} ZmTopic;

/* Splits and checks a topic's text (six fields; id any of [A-Za-z0-9_.:-], at most 64, may be empty). */
gboolean zm_topic_parse (ZmSpan text, ZmTopic *topic, GError **error);
/* The prefix for ZMQ_SUBSCRIBE: ends in ~ after the last given field. flow NULL/empty with an empty key: "". */
char *zm_topic_prefix (const char *flow, const ZmKey *key);

G_END_DECLS
