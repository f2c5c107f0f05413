/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What survives the daemon: the store of [store] driver, opened where something of the configuration needs it. The runtime's thread,
 * unless said otherwise.
 */
#pragma once

#include "config/zm-config.h"
#include "plugin/zm-plugins.h"
#include "runtime/zm-instance.h"
#include "store/zm-store.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmDurable ZmDurable;

/* ---- of a configuration ---- */

/* Does something of it need a store? [store], [queue NAME], queue= of a source and [http] listen do, unless [store] driver is `none`. */
gboolean zm_durable_wanted (const ZmConfig *config);
/* The plugin, whether it is wanted or not; NULL: `none`. Borrowed from config. */
const char *zm_durable_driver (const ZmConfig *config);
/* Where it keeps its data: [store] uri, else store.db in the state directory. One that begins with ./ or ../ counts from the instance's
 * directory. The caller frees. */
char *zm_durable_uri (const ZmConfig *config, const ZmInstance *instance);
/* The driver is a store, runs in the daemon, and knows the keys of [store]; each of a loaded set, and by the notes alone. Problems stand
 * at [store] driver. */
void
zm_durable_check_set (const ZmConfig *config, ZmPlugins *plugins, ZmPluginSet *set, ZmProblems *problems);
void zm_durable_check_file (const ZmConfig *config, ZmPlugins *plugins, const ZmDescription *description,
                            ZmProblems *problems);

/* ---- opening a store, in the daemon or without one ---- */

/* What the plugin's functions get as their host: the generation's, with `config` reading [store]. */
typedef struct ZmDurableHost {
  zm_host table; /* first, so that the table that comes back is ours */
  ZmGeneration *generation;
  const ZmConfig *config;
} ZmDurableHost;
void zm_durable_host_init (ZmDurableHost *host, ZmGeneration *generation, const ZmConfig *config);
/* The plugin of the current set, held as "store"; NULL: why there is none that could be opened. */
ZmGeneration *zm_durable_find (ZmPlugins *plugins, const char *driver, GError **error);

/* ---- in the daemon ---- */

/* Opens the store where it is wanted and not open yet; after a commit of plugins. TRUE as well where none is wanted. */
gboolean zm_durable_open (struct ZmRuntime *runtime, GError **error);
/* NULL: there is none. Any thread, while the workers run. */
ZmStore *zm_durable_store (struct ZmRuntime *runtime);
/* Writes what waits and closes. When nothing asks for it any more, and before the plugins go. */
void zm_durable_close (struct ZmRuntime *runtime);
/* Why nothing, or not all, is taken: adds char* to out. */
void zm_durable_reasons (struct ZmRuntime *runtime, GPtrArray *out);
/* The store's status with its place, or "null". The caller frees. */
char *zm_durable_status_json (struct ZmRuntime *runtime);
/* Is the plugin of this name the store's, and in use? */
gboolean zm_durable_uses (struct ZmRuntime *runtime, const char *plugin);

G_END_DECLS
