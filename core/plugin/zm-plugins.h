/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins: finding, loading, generations, letting go.
 *
 * A generation is one loaded copy of one .so: {handle, descriptor, host table, references}. A set is an immutable snapshot
 * name -> generation; a routing table holds the set that it was built with. Replacing: zm_plugins_prepare makes a new set
 * (loads, inits and starts what is new); zm_plugins_commit makes it current and stops what it replaced; zm_plugins_discard
 * throws it away and nothing has changed. prepare/commit/discard/scan: the runtime's thread only. References: any thread.
 * A generation without references is finalised (fini, dlclose) on the reaper thread.
 */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"
#include "config/zm-config.h"
#include "plugin/zm-note.h"
#include "zmanager/plugin.h"

G_BEGIN_DECLS

typedef struct ZmPlugins ZmPlugins;
typedef struct ZmPluginSet ZmPluginSet;
typedef struct ZmGeneration ZmGeneration;

/* An action of a generation: lives as long as the generation. */
typedef struct ZmAction {
  ZmGeneration *generation;
  zm_action_fn fn;
  const char *plugin; /* "acme.net.link" */
  const char *symbol;
  gboolean threadsafe;
  guint place; /* in the list of those that its library told, where it runs in another process */
} ZmAction;

/* Runs plugins in other processes (zm-carrier.h). */
typedef struct ZmCarrier ZmCarrier;

/* What the runtime gives. */
typedef struct ZmPluginsConfig {
  const char *const *path;    /* directories, first hit wins; NULL-terminated */
  const char *copy_directory; /* private directory for the copies that are opened */
  const char *probe_program;  /* zmanager-probe, or NULL: no probing */
  zm_host host;        /* the services table: copied for every generation, ctx set to the ZmGeneration */
  gboolean no_dlclose; /* ZM_NO_DLCLOSE */
  guint drain_ms;      /* 30,000: after that an old generation is reported with who holds it */
  ZmLog *log;
  ZmMetrics *metrics;
  /* In zm_plugins_commit, _prepare, _discard and _free, in their thread: the generation has left the current set, or never
   * came into it (a load that failed or was discarded); its stop has not begun. End its timers and new calls here. */
  void (*retired) (ZmGeneration *generation, gpointer user);
  gpointer user;
  guint call_ms; /* what loading, init and start of one plugin, and its probe, may take; 0: 10,000 */
  const ZmCarrier *carrier;     /* borrowed; NULL: a plugin that is to run elsewhere is not loaded */
  const char *system_directory; /* plugins below it are no third party; NULL: where make install puts them */
} ZmPluginsConfig;

ZmPlugins *zm_plugins_new (const ZmPluginsConfig *config);
/* Stops and finalises all; waits for the reaper at most drain_ms, and 2 s for what a hung call or a buffer still holds. */
void zm_plugins_free (ZmPlugins *plugins);

/* A library found on the path. Owned by the list. */
typedef struct ZmPluginFile {
  char *name; /* "acme.net.link" for acme/net/link.so below a path directory */
  char *path;
  ZmManifest *manifest; /* NULL: refused, see error */
  char *error;          /* why it is refused, for people */
  char *shadowed_by;    /* path of the one that wins, or NULL */
  char *actions_file;   /* NAME.actions.ini beside it, or NULL */
  char *flow_file;      /* NAME.flow beside it, or NULL */
} ZmPluginFile;
/* Reads the path again: notes only, no code runs. Problems: refused files (a warning each), shadowing, unsafe modes,
 * duplicate names. GPtrArray of ZmPluginFile, owned by plugins, valid until the next scan. */
const GPtrArray *zm_plugins_scan (ZmPlugins *plugins, ZmProblems *problems);
const ZmPluginFile *zm_plugins_file (ZmPlugins *plugins, const char *name);
/* The same also of a variant, "hello@private". */
const ZmPluginFile *zm_plugins_file_of (ZmPlugins *plugins, const char *name);
/* Which of these would have to be left out because of what they need (missing, or in a circle), by their notes alone: an
 * error each, ZM_CODE_DEPENDENCY_MISSING or _CYCLE. After a scan. */
void zm_plugins_check_needs (ZmPlugins *plugins, const char *const *wanted, ZmProblems *problems);

/* What loading would say of a plugin, and of an action of it, by the notes of the last scan: the same errors in the same words
 * as zm_plugin_set_action. */
gboolean zm_plugins_check_name (ZmPlugins *plugins, const char *plugin, GError **error);
gboolean zm_plugins_check_action (ZmPlugins *plugins, const char *plugin, const char *symbol, GError **error);

/* zmanager-probe: beside the running program (a build tree), else where it is installed; NULL: nowhere. The caller frees. */
char *zm_plugins_find_probe (void);
/* zmanager-host, in the same way. The caller frees. */
char *zm_plugins_find_host (void);
/* What a library's descriptor lists, for whoever checks or shows it without loading it. */
typedef struct ZmDescription {
  zm_option_desc *options; /* ends in {NULL}, never NULL */
  const char **actions;    /* those of the descriptor, which need no note; NULL-terminated */
  guint32 flags;           /* ZM_PLUGIN_* */
  gboolean threadsafe;     /* one of those actions is, or all by the flags */
  gboolean hooks, source;  /* it has such functions */
  GStringChunk *texts;     /* all names and texts, which live as long as the description */
} ZmDescription;
/* "string", "integer", … of a ZM_OPTION_*; a type of a later ABI is a string. A literal. */
const char *zm_option_type_name (guint32 type);
/* Asks the library at path in a process of its own, program being zmanager-probe: its constructors and its query function run
 * there, nothing else of it. Waits at most timeout_ms. NULL: ZM_ERROR_REFUSED with what the library did, ZM_ERROR_IO where
 * the program cannot be run. Any thread. */
ZmDescription *zm_description_ask (const char *program, const char *path, guint timeout_ms, GError **error);
void zm_description_free (ZmDescription *description);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmDescription, zm_description_free)

/* Makes the set that has every plugin named in `wanted` (and their dependencies, in order). A name may be
 * that of a variant, which shares the section, and is the plugin itself where it runs so anyway. Generations of the current set
 * whose file did not change are kept, unless named in `again` (NULL, or list). config: [plugin NAME] sections are checked
 * against each schema and handed out. Failures of one plugin are problems (the others go on): the set then has no such
 * plugin, or, where an older generation runs, still that one. */
ZmPluginSet *zm_plugins_prepare (ZmPlugins *plugins, ZmConfig *config, const char *const *wanted,
                                 const char *const *again, ZmProblems *problems);
void zm_plugins_commit (ZmPlugins *plugins, ZmPluginSet *set);
void zm_plugins_discard (ZmPlugins *plugins, ZmPluginSet *set);
ZmPluginSet *zm_plugins_current (ZmPlugins *plugins); /* a new reference; NULL before the first commit */

ZmPluginSet *zm_plugin_set_ref (ZmPluginSet *set);
void zm_plugin_set_unref (ZmPluginSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmPluginSet, zm_plugin_set_unref)

/* Generations that the set kept although their [plugin NAME] section changed, because they have `reload`. From the commit on
 * zm_generation_config gives the new values; the caller then calls reload, as one call of the plugin. Borrowed. */
const GPtrArray *zm_plugin_set_reloads (ZmPluginSet *set);

/* The action, for a mapping's value "plugin.symbol" already split. The symbol must belong to that very object and be
 * marked. Errors: ZM_ERROR_NOT_FOUND (with "did you mean"), ZM_ERROR_UNAVAILABLE (known, but not loaded: why). Borrowed
 * from the set. */
const ZmAction *
zm_plugin_set_action (ZmPluginSet *set, const char *plugin, const char *symbol, GError **error);
/* The same for a mapping with an isolation (NULL: none): of the generation that runs so. ZM_ERROR_REFUSED: the plugin cannot
 * run in two places. */
const ZmAction *zm_plugin_set_action_at (ZmPluginSet *set, const char *plugin, const char *isolation,
                                         const char *symbol, GError **error);
ZmGeneration *zm_plugin_set_find (ZmPluginSet *set, const char *name); /* borrowed, or NULL */
/* Is any generation of it there, variants included? */
gboolean zm_plugin_set_has (ZmPluginSet *set, const char *plugin);
/* What a wanted variant is called: "hello@private". The caller frees. */
char *zm_plugin_variant_name (const char *plugin, const char *isolation);
guint zm_plugin_set_size (ZmPluginSet *set);
ZmGeneration *zm_plugin_set_nth (ZmPluginSet *set, guint index); /* in dependency order */

/* stevedore's ways to choose from a set, beyond _find (driver) and _nth (extension). */
/* Named ones in the given order; missing (user) is called for each that is not there. GPtrArray of borrowed generations. */
typedef void (*ZmPluginMissing) (const char *name, gpointer user);
GPtrArray *
zm_plugin_set_named (ZmPluginSet *set, const char *const *names, ZmPluginMissing missing, gpointer user);
typedef gboolean (*ZmPluginPredicate) (ZmGeneration *generation, gpointer user);
GPtrArray *zm_plugin_set_enabled (ZmPluginSet *set, ZmPluginPredicate predicate, gpointer user);
/* Those with zm_hook_ops, by [plugin NAME] priority (lower first), then name. */
GPtrArray *zm_plugin_set_hooks (ZmPluginSet *set);

/* ---- generations ---- */

ZmGeneration *zm_generation_ref (ZmGeneration *generation, const char *holder);
/* holder: a literal such as "deferred call", "timer", "message buffer", "table": who holds an old generation is counted by
 * it and told. */
void zm_generation_unref (ZmGeneration *generation, const char *holder);
const char *zm_generation_name (const ZmGeneration *generation);
/* Whose it is. That is its name, too, but for the variant that a mapping's isolation makes: "hello" of "hello@private". */
const char *zm_generation_plugin (const ZmGeneration *generation);
guint zm_generation_number (const ZmGeneration *generation); /* 1 is the first of that name */
guint zm_generation_flags (const ZmGeneration *generation);  /* ZM_PLUGIN_* */
const ZmManifest *zm_generation_manifest (const ZmGeneration *generation);
const zm_plugin_desc *zm_generation_descriptor (const ZmGeneration *generation);
/* What a store does (zmanager/store.h), as long as this host's, with NULL where the plugin has nothing; NULL: it is no store. */
const struct zm_store_ops *zm_generation_store (const ZmGeneration *generation);
const zm_host *zm_generation_host (const ZmGeneration *generation); /* its own table */
ZmGeneration *zm_generation_of_host (const zm_host *host);          /* ctx back to the generation */
void *zm_generation_state (const ZmGeneration *generation);         /* what init gave */
/* Does it take a new configuration while it runs? */
gboolean zm_generation_reloads (const ZmGeneration *generation);
gboolean zm_generation_retired (const ZmGeneration *generation);
/* Its calls hung too often, and fail at once until it is replaced: said in listings and by explain. Any thread. */
void zm_generation_set_stuck (ZmGeneration *generation);
const char *zm_generation_stuck (const ZmGeneration *generation); /* that in words, or NULL */
gpointer zm_generation_owner (
    const ZmGeneration *generation); /* `user` of ZmPluginsConfig: how services find the runtime */
gint64 zm_generation_priority (const ZmGeneration *generation);
/* A value of its [plugin NAME] section or its schema's default: what host->config answers. */
const char *zm_generation_config (const ZmGeneration *generation, const char *key, guint index);
/* One attachment for the room above (strand, per-worker states): made by make (once, under a lock), freed on the reaper
 * thread before fini. */
gpointer zm_generation_attachment (ZmGeneration *generation,
                                   gpointer (*make) (ZmGeneration *generation, gpointer user),
                                   GDestroyNotify free_func, gpointer user);
/* Threads started by host->thread_start. */
int zm_generation_thread_start (ZmGeneration *generation, const char *name, void (*run) (void *),
                                void (*wake) (void *), void *user);

/* One line per plugin, and per variant of it, for `zmanagerctl plugin ls` and inspect: a JSON array: name, version, kind, state (loaded, available,
 * refused, failed, stuck, retired), generation, path, reason, line that would use it, isolation and its reason, what its carrier tells
 * of its processes, holders {who: n}, actions, options. Runtime's thread. The caller frees. */
char *zm_plugins_json (ZmPlugins *plugins, const char *name);
/* Old generations still loaded: "hello generation 3: held by deferred call (2)". NULL-terminated, g_strfreev. Any thread. */
char **zm_plugins_held (ZmPlugins *plugins);

/* What the calling thread does with a plugin outside of any call: "loading", "stop" …, and the plugin's name and generation.
 * NULL: nothing. For a signal handler: nothing is locked and no memory taken. */
const char *zm_plugins_step_raw (const char **plugin, guint *number);

/* Is it a directory that only root and this user may write? Any thread. */
gboolean zm_safe_directory (const char *path, GError **error);

G_END_DECLS
