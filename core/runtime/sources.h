/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sources: each [source NAME] is one thread that opens the plugin's source, runs it until it is woken, and closes it. One
 * that fails is opened again after a pause that grows to a minute. What it emits passes the Subject's rules. All functions:
 * the runtime's thread.
 */
#pragma once

#include "config/zm-config.h"
#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmSources ZmSources;

ZmSources *zm_sources_new (struct ZmRuntime *runtime);
/* Ends the sources that changed (another section, another generation of the plugin, or gone), then starts what is new. The
 * rest is not disturbed. */
void zm_sources_apply (ZmSources *sources, ZmConfig *config, ZmPluginSet *set);
/* Wakes all and waits for them, at most that long in all. Those that do not return are left behind with their memory, and
 * FALSE is returned. */
gboolean zm_sources_stop (ZmSources *sources, gint64 deadline_us);
void zm_sources_free (ZmSources *sources);
/* "source NAME: reason" of each that does not run: adds char* to out. */
void zm_sources_reasons (ZmSources *sources, GPtrArray *out);
/* JSON array: name, plugin, state (running, waiting, ended, stuck), events, restarts, error. The caller frees. */
char *zm_sources_json (ZmSources *sources);

G_END_DECLS
