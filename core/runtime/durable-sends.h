/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Durable messages: the queue ^sends, whose messages run actions until each is done or dead, and [queue NAME] action=, which does the
 * same with any queue. Both are consumers of the delivery room whose target is the worker pool.
 */
#pragma once

#include "config/zm-config.h"
#include "message/zm-message.h"
#include "worker/zm-pool.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmSends ZmSends;

#define ZM_SENDS_QUEUE "^sends"
#define ZM_SENDS_DEAD  "dead"

/* What is wrong in [queue NAME] action= and retry=, and in [action KEY] retries=; in what mapping files say of retries. */
void zm_sends_check (const ZmConfig *config, ZmProblems *problems);
void zm_sends_check_mappings (const GPtrArray *mappings, ZmProblems *problems);

/* The queues alone, before other plugins than the store's are loaded. */
gboolean zm_sends_open_queues (struct ZmRuntime *runtime, GError **error);
/* Queues and delivery, if there is a store. After store and pool, before messages come. */
gboolean zm_sends_open (struct ZmRuntime *runtime, GError **error);
/* The queues, and a consumer for each [queue NAME] with action=, as the configuration has it now. Runtime's thread. */
void zm_sends_configure (struct ZmRuntime *runtime);
/* In the drain: no new attempts; waits for those in flight, at most until the deadline. Any thread but the store's. */
void zm_sends_drain (struct ZmRuntime *runtime, gint64 deadline_us);
/* The same at once, and nothing is asked of the queues any more; after the pool's end, before the store's. */
void zm_sends_close (struct ZmRuntime *runtime);
/* After the store, when the publisher takes nothing any more. The queues stay until it has ended, as it looks at them. */
void zm_sends_free (struct ZmRuntime *runtime);

/* status: ZM_OK, positive (a duplicate), ZM_E_AGAIN (full), or another negative code; json: {"id"}, of several {"count"}, or
 * {"code", "text"}. Borrowed. */
typedef void (*ZmSent) (int status, const char *json, gpointer user);
/* Stores all or none; takes the messages, but not the list. sent is called once, when it is known, perhaps before this returns. FALSE:
 * there is no store, and nothing was taken. Any thread; does not wait. */
gboolean
zm_sends_put (struct ZmRuntime *runtime, ZmMessage *const *messages, guint n, ZmSent sent, gpointer user);

/* ---- doors ---- */

/* The publish tap's part: into the queues bound to each message's topic. The publisher's thread. */
void zm_sends_tap (ZmMessage *const *messages, guint n, struct ZmRuntime *runtime);

/* The Subject's `send`; user: the runtime. */
gboolean zm_sends_from_subject (ZmMessage *const *messages, guint n, guint64 ticket, gpointer user);
/* The pool's `durable_end`; user: the runtime. */
void zm_sends_ended (const ZmMessage *message, ZmEnd end, int asked, const char *code, const char *text,
                     ZmMessage *result, gpointer user);

G_END_DECLS
