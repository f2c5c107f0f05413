/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the commands about queues share: one that is under way, and what answers hold of messages. */
#pragma once

#include "runtime/private.h"

#include "runtime/commands.h"

G_BEGIN_DECLS

#define ZM_QUERY_COUNT_MOST 100 /* messages of one command */

/* One command under way. */
typedef struct ZmQuery {
  ZmRuntime *runtime;
  ZmLater *later;
  char *project, *name;
  char *text;      /* of an answer that is a sentence, before the number of messages */
  gboolean single; /* put: one message, answered by its id */
} ZmQuery;

/* The arguments that all have, and the promise of an answer. NULL: error. */
ZmQuery *zm_query_new (ZmCommandCall *call, GError **error);
/* Borrowed from query. */
ZmQueueName zm_query_queue (const ZmQuery *query);
/* Ends a command: out, an object without its "}", is its answer, unless there is an error. Takes query and out. Any thread. */
void zm_query_answer (ZmQuery *query, GString *out, const GError *error);
/* Adds the member "body", or "base64" where it is no text. */
void zm_query_add_body (GString *out, ZmSpan body);
/* Adds the member "messages" to an object that is not closed. */
void zm_query_add_messages (GString *out, const ZmQueueAnswer *answer);

G_END_DECLS
