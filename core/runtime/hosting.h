/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host does for plugins: log, configuration, emit, call, timers, metrics, threads.
 * Any thread unless said otherwise.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "message/zm-message.h"
#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmHosting ZmHosting;

/* Names of metrics that a plugin may have. */
#define ZM_HOSTING_METRICS_MOST 64

ZmHosting *zm_hosting_new (struct ZmRuntime *runtime);
void zm_hosting_free (ZmHosting *hosting);
/* Fills all members of a host's table but ctx; the pool's own (reply … defer) too. */
void zm_hosting_fill (zm_host *host);
/* Until the table stands, and again from the drain on, emit and call_action answer AGAIN: nothing is taken that nobody would
 * run. What a waiting instance waits for is emitted all the same. */
void zm_hosting_accept (ZmHosting *hosting, gboolean on);
/* The drain has begun: what is answered AGAIN now is never taken. Any thread. */
gboolean zm_hosting_over (ZmHosting *hosting);
/* Metrics of plugins that `now` does not have are shown no more. Runtime's thread. */
void zm_hosting_forget (ZmHosting *hosting, ZmPluginSet *now);

/* What zm_emit does for this generation. key: stands in place of the event's own; or NULL. hops: of the call that it is made
 * in, 0 outside of one. */
int zm_hosting_emit (ZmGeneration *generation, const zm_event *event, const char *key, guint hops);
/* What zm_call_action does, likewise. */
int zm_hosting_call (ZmGeneration *generation, const zm_event *event, guint hops, int timeout_ms,
                     zm_result_fn done, void *user);
/* The store is about to be closed: from here on plugins hear that there is none. */
void zm_hosting_end_store (ZmHosting *hosting);
/* What zm_put_message, zm_wait_empty, zm_keep and zm_kept do; *value is a reference. */
int zm_hosting_put (ZmGeneration *generation, const zm_put *put, zm_done_fn done, void *user);
int zm_hosting_wait_empty (ZmGeneration *generation, const char *queue, const char *key, int timeout_ms,
                           zm_done_fn done, void *user);
int zm_hosting_keep (ZmGeneration *generation, const char *name, const void *data, gsize size,
                     zm_done_fn done, void *user);
int zm_hosting_kept (ZmGeneration *generation, const char *name, GBytes **value);
/* What zm_emit_durable does. key and hops: as for zm_hosting_emit. queue: of the section of a source, where its events go in place
 * of their actions; or NULL. */
int zm_hosting_emit_durable (ZmGeneration *generation, const zm_event *event, const char *key, guint hops,
                             const char *queue, zm_done_fn done, void *user);
/* Of the call that this thread makes now. */
guint zm_hosting_hops (ZmGeneration *generation);

/* What zm_metric does: adds to a counter or sets a gauge of this plugin; ZM_OK, ZM_E_INVALID or ZM_E_MEMORY. */
int zm_hosting_metric (ZmHosting *hosting, const char *plugin, int kind, const char *name, double value);

/* What zm_log does: a line of this plugin, at most 1,000 at once and 100 a second. */
void zm_hosting_log (ZmHosting *hosting, const char *plugin, ZmLevel level, const char *text);

G_END_DECLS
