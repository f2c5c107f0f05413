/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the room share: the runtime itself, and the doors between load, reload, host services and control. */
#pragma once

#include "runtime/control.h"
#include "runtime/durable-sends.h"
#include "runtime/durable.h"
#include "runtime/flow-states.h"
#include "runtime/hosting.h"
#include "runtime/http.h"
#include "runtime/sdnotify.h"
#include "runtime/sources.h"
#include "runtime/zm-runtime.h"

#include "base/zm-metrics.h"
#include "base/zm-timers.h"
#include "config/zm-watch.h"
#include "delivery/zm-delivery.h"
#include "hosts/zm-hosts.h"
#include "integration/zm-integration.h"
#include "plugin/zm-plugins.h"
#include "routing/zm-keeper.h"
#include "routing/zm-table.h"
#include "subject/zm-subject.h"
#include "worker/zm-external.h"
#include "worker/zm-pool.h"

#include <pthread.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* Waiting flow instances at one time. */
#define ZM_RUNTIME_WAITING_MOST 100000
/* Messages of a worker in another language that wait for its process. */
#define ZM_RUNTIME_EXTERNAL_HIGH_WATER 1000
/* What load, init or start of a plugin in another process may take, milliseconds; as in this one. */
#define ZM_RUNTIME_LOAD_MS 10000

typedef struct ZmStoreWork ZmStoreWork;

typedef enum { ZM_STATE_STARTING, ZM_STATE_RUNNING, ZM_STATE_DRAINING, ZM_STATE_ENDED } ZmRuntimeState;

/* Members without a note belong to the runtime's thread. Those marked * are set before the first plugin is loaded and do not
 * change until all other threads have ended, so every thread may read them. */
struct ZmRuntime {
  ZmRuntimeState state;
  gint64 started_us;

  /* Options, copied: a reload reads the same layers again. */
  char *config_file;
  char **settings;
  char *log_format;
  char *log_level;
  gboolean dev;

  ZmInstance *instance; /* * */
  int lock_fd;
  GMainContext *context; /* * */
  GMainLoop *loop;
  GPtrArray *loop_sources; /* GSource: signals, watchdog */

  ZmLog *log;         /* * */
  ZmMetrics *metrics; /* * */
  ZmTimers *timers;   /* * */
  void *zmq;          /* * */
  ZmConfig *config;
  char *node;

  ZmGates *gates;                    /* * */
  ZmIntegration *integration;        /* * */
  ZmSubject *subject;                /* * */
  ZmExternals *externals;            /* * */
  ZmKeeper *keeper;                  /* * */
  ZmTableSlot *tables;               /* * */
  ZmHosts *hosts;                    /* * */
  ZmPool *pool;                      /* * */
  ZmStore *store; /* * */            /* NULL: there is none; then there are no queues, and no delivery */
  ZmQueues *queues;                  /* * */
  ZmDelivery *delivery;              /* * */
  ZmSends *sends;                    /* * */
  ZmFlowStates *flow_states; /* * */ /* of durable messages; NULL: there are none */
  ZmCheckpoints checkpoints; /* * */ /* the pool's door to it */
  ZmHosting *hosting;                /* * */
  ZmPlugins *plugins;                /* * */
  ZmDurable
      *durable; /* NULL: nothing needs a store. Set before the Subject starts, and gone after the workers */
  ZmWeb *web;       /* * */
  ZmStoreWork *store_work; /* the last check or backup; NULL: there was none */

  ZmSources *sources;
  ZmWatch *watch;
  ZmControl *control;
  guint n_later; /* commands that are answered later */
  ZmNotify *notify;

  GPtrArray *reasons;  /* char*: why the daemon is degraded; from the last load */
  char *refused;       /* why the last reload was refused; NULL: it was taken */
  char *audit_lost;    /* why the last line of the audit could not be written; NULL: it was */
  GPtrArray *asked;    /* char*: plugins loaded by command though nothing names them */
  GPtrArray *barred;   /* char*: plugins unloaded by command though something names them */
  GHashTable *revived; /* plugin name -> GUINT: copies started because a call hung */
  const char *copying; /* the plugin of which such a copy is being started */
  GHashTable *told;    /* plugin name -> zm_ticket*: the call that told it of its new configuration */
  gboolean can_wait;   /* something of the table may wait for an answer; set before the Subject is paused */
  /* The thread of the drain is there, and not joined yet. */
  gboolean drain_began;
  pthread_t drain_thread;
  guint left;     /* messages that the drain had to end */
  gboolean stuck; /* a thread could not be ended: memory that it may use is left alone */
};

/* ---- load.c ---- */

/* Everything that the files say, read and checked, not yet in use. */
typedef struct ZmLoad {
  ZmConfig *config;
  ZmPluginSet *set; /* prepared, not committed; NULL without plugins */
  ZmTable *table;
  GPtrArray *failures; /* char*: plugins that could not be loaded; the rest goes on without them */
} ZmLoad;

/* The configuration's layers, finished. Never NULL. */
ZmConfig *zm_load_config (const ZmInstance *instance, const ZmRuntimeOptions *options, ZmProblems *problems);
/* Reads configuration, mappings and flows, prepares plugins (again: names to load anew though their files did not change, or
 * NULL), builds the table. NULL: problems has at least one error and nothing has changed. */
ZmLoad *zm_load_new (ZmRuntime *runtime, const char *const *again, ZmProblems *problems);
/* Throws away what was not committed. */
void zm_load_free (ZmLoad *load);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmLoad, zm_load_free)
/* The mapping and flow files in rank order, those beside plugins first. files: ZmPluginFile*. */
void zm_load_read_files (const ZmInstance *instance, const GPtrArray *files, const GPtrArray *barred,
                         GPtrArray *mappings, GPtrArray *flows, ZmProblems *problems);
/* Names of the plugins that mappings, sources, the store, [plugin NAME] load=yes and `asked` ask for, without those in `barred` (both may
 * be NULL); NULL-terminated, g_strfreev. */
char **zm_load_wanted (const ZmConfig *config, const GPtrArray *mappings, const GPtrArray *asked,
                       const GPtrArray *barred);
/* Is the name among these? list may be NULL. */
gboolean zm_load_listed (const GPtrArray *list, const char *name);
/* The table of these; takes both arrays. set may be NULL: nothing is resolved to functions. */
ZmTable *zm_load_table (const ZmConfig *config, GPtrArray *mappings, GPtrArray *flows, ZmPluginSet *set,
                        ZmProblems *problems);
/* The options as the runtime copied them; borrowed. */
ZmRuntimeOptions zm_runtime_options (const ZmRuntime *runtime);

/* ---- trust.c ---- */

/* Adds an error for each file and directory of the configuration that somebody else than root and `owner` may write, and a warning
 * where a group may. config_file: in place of the instance's, or NULL. */
void zm_trust_check (const ZmInstance *instance, const char *config_file, uid_t owner, ZmProblems *problems);
/* For which user to ask where nothing is started. */
uid_t zm_trust_user (const ZmInstance *instance);

/* ---- load-sections.c ---- */

/* [action KEY] of the configuration stands above the mapping files' own. */
void zm_load_apply_actions (const ZmConfig *config, GPtrArray *mappings, ZmProblems *problems);
/* The plugin of [source NAME]. Borrowed from config or name. */
const char *zm_load_source_plugin (const ZmConfig *config, const char *name);
/* The options of plugins that stay loaded while their section changed. */
void zm_load_check_kept (const ZmConfig *config, ZmPluginSet *set, ZmProblems *problems);
/* Settings of hosts of plugins that run in the daemon. */
void zm_load_check_limits (const ZmConfig *config, const GPtrArray *mappings, ZmPlugins *plugins,
                           ZmProblems *problems);
/* key= of [source NAME], where it is given, is an action key. */
void zm_load_check_source_key (const ZmConfig *config, const char *name, ZmProblems *problems);
/* queue= of [source NAME], where it is given, is a queue's name. */
void zm_load_check_source_queue (const ZmConfig *config, const char *name, ZmProblems *problems);
/* Says that the plugin of [source NAME] takes no events in. placed: at its line, which refuses the whole load. */
void zm_load_wrong_kind (const ZmConfig *config, const char *name, const char *plugin, const char *kind,
                         gboolean placed, ZmProblems *problems);
/* Each [source NAME]: its plugin is a source, its options and its key are right. */
void zm_load_check_sources (const ZmConfig *config, ZmPluginSet *set, ZmProblems *problems);

/* ---- check.c ---- */

/* The effective configuration of this instance; the caller frees. */
char *zm_runtime_config_dump (const ZmInstance *instance, const ZmConfig *config, gboolean json);

/* ---- reload.c ---- */

/* Puts a load into use: table, sources, workers in other languages, plugins, in this order. Takes it. */
void zm_runtime_commit (ZmRuntime *runtime, ZmLoad *load);
/* Reads everything again: all or nothing. FALSE: problems has why; the running configuration stays. changes: char*, what is
 * different now. Logs one line. */
gboolean
zm_runtime_reload (ZmRuntime *runtime, const char *const *again, GPtrArray *changes, ZmProblems *problems);
/* What of the last reload that was taken did not come up, the audit log included: the first of the reasons, and how many more
 * there are. NULL: all is up. The caller frees. */
char *zm_runtime_incomplete (const ZmRuntime *runtime);
/* "+2 mappings, flow link changed"; the caller frees. */
char *zm_runtime_changes_text (const GPtrArray *changes);
/* What differs between two tables, in words: adds char* to out. before may be NULL. */
void zm_changes_tables (const ZmTable *before, const ZmTable *after, GPtrArray *out);
void zm_changes_plugins (ZmPluginSet *before, ZmPluginSet *after, GPtrArray *out);

/* ---- commands-store.c ---- */

/* Ends a check or a backup that is at work; it answers that it was ended. Before the store is closed. */
void zm_store_work_end (ZmRuntime *runtime);

/* ---- succeed.c: one generation after another ---- */

/* Before the table with `next` is put into use: where a plugin is replaced, calls wait for each other. */
void zm_succeed_prepare (ZmRuntime *runtime, ZmPluginSet *next);
/* After the commit: plugins that were kept, but whose section changed, are told so in a call of their own. set: the current
 * one; reloads: of zm_plugin_set_reloads. */
void zm_succeed_tell (ZmRuntime *runtime, ZmPluginSet *set);
/* The pool's door `hung`: a fresh copy is started, three times; then the plugin is stuck. Any thread; user: the runtime. */
void zm_succeed_hung (ZmGeneration *generation, gpointer user);
/* Adds "plugin NAME is stuck" to out. */
void zm_succeed_reasons (ZmRuntime *runtime, GPtrArray *out);

/* ---- start.c ---- */

/* Opens what the configuration asks for, from sockets to plugins. FALSE: error, or problems. */
gboolean zm_runtime_start (ZmRuntime *runtime, ZmProblems *problems, GError **error);
/* Watches the directories whose files a reload reads. */
gboolean zm_runtime_watch (ZmRuntime *runtime, GError **error);

/* ---- outside.c ---- */

/* Opens the room for plugins that run in other processes. Before the pool. */
gboolean zm_outside_open (ZmRuntime *runtime, GError **error);

/* ---- stop.c ---- */

/* Starts the drain in a thread of its own, once; the control socket goes on answering. */
void zm_runtime_drain (ZmRuntime *runtime);
/* The Subject's door `waits`: while draining, may an answer still come for what is inside? Any thread; user: the runtime. */
gboolean zm_runtime_waits (gpointer user);

/* ---- runtime.c ---- */

/* What a number's noun ends in: "1 error", "2 errors". */
const char *zm_runtime_plural (guint n);

/* "ready", "draining" or "degraded". */
const char *zm_runtime_state_name (ZmRuntime *runtime);
/* Why it is degraded: char*, owned by the caller; empty where it is not. */
GPtrArray *zm_runtime_reasons (ZmRuntime *runtime);

G_END_DECLS
