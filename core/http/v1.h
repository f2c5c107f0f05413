/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of /v1 and of what is seen; inside the room. Each answers its request. */
#pragma once

#include "http/http-private.h"

G_BEGIN_DECLS

/* v1-actions.c */
void zm_v1_action (ZmRequest *request);

/* v1-queues.c, v1-messages.c */
void zm_v1_queues (ZmRequest *request);
void zm_v1_queue_create (ZmRequest *request);
void zm_v1_queue_remove (ZmRequest *request);
void zm_v1_queue_purge (ZmRequest *request);
void zm_v1_queue_stats (ZmRequest *request);
void zm_v1_queue_peek (ZmRequest *request);
void zm_v1_queue_replay (ZmRequest *request);
void zm_v1_put (ZmRequest *request);
void zm_v1_take (ZmRequest *request);
void zm_v1_acknowledge (ZmRequest *request);

/* v1-commands.c */
void zm_v1_flows (ZmRequest *request);
void zm_v1_flow (ZmRequest *request);
void zm_v1_instances (ZmRequest *request);
void zm_v1_plugins (ZmRequest *request);
void zm_v1_plugin (ZmRequest *request);
void zm_v1_plugin_load (ZmRequest *request);
void zm_v1_plugin_unload (ZmRequest *request);
void zm_v1_plugin_reload (ZmRequest *request);
void zm_v1_routes (ZmRequest *request);
void zm_v1_status (ZmRequest *request);
void zm_v1_reload (ZmRequest *request);
void zm_v1_drain (ZmRequest *request);
void zm_v1_log_level (ZmRequest *request);

/* live.c */
void zm_v1_topics (ZmRequest *request);
void zm_v1_live (ZmRequest *request);

/* observe.c */
void zm_observe_openapi (ZmRequest *request);

/* ---- what they share: v1-queues.c ---- */

/* The queue that the first part names, of the request's project. FALSE: it has been answered (no store, no such name). */
gboolean zm_v1_queue (ZmRequest *request, ZmQueueName *name);
/* A query parameter that is a whole number; standard where it is not given. FALSE: it has been answered. */
gboolean zm_v1_integer (ZmRequest *request, const char *name, gint64 standard, gint64 least, gint64 most,
                        gint64 *value);
/* JSON of one stored message. */
void zm_v1_append_message (GString *out, const ZmStored *stored);
/* What can be shown as it is stays text, JSON a value, the rest becomes base64: adds "body" or "base64". */
void zm_v1_append_body (GString *out, ZmSpan body, ZmSpan content_type);

G_END_DECLS
