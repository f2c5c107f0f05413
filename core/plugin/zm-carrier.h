/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Door: where a plugin's code runs that does not run in this process. A generation is placed by the configuration; one that
 * is placed outside has no library here: each step of its life is asked of the carrier, in the same order and in the same
 * threads as the plugin's own functions would be called, and its actions have no function (ZmAction.fn is NULL).
 */
#pragma once

#include "hostwire/zm-record.h"
#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

typedef enum { ZM_ISOLATION_THREAD, ZM_ISOLATION_PROCESS, ZM_ISOLATION_PRIVATE } ZmIsolation;

/* "thread", "process", "private". */
const char *zm_isolation_name (ZmIsolation isolation);
/* FALSE: it is none of the three words. */
gboolean zm_isolation_parse (const char *text, ZmIsolation *isolation);

/* What the configuration says of where and how a plugin runs. */
typedef struct ZmPlacement {
  ZmIsolation isolation;
  const char
      *reason; /* who chose it, a literal for people: "default", "[plugin] isolation", "third party", … */
  guint instances;   /* hosts that run it, at least 1; THREAD: 1 */
  guint threads;     /* calls that one host runs at a time, at least 1 */
  guint64 memory;    /* bytes of a host above which it is replaced; 0: no limit */
  guint descriptors; /* open files of a host at most; 0: as the daemon */
} ZmPlacement;

/* Where a plugin of the last scan runs by this configuration (NULL: defaults); mapped: what a mapping asks for, or NULL. The
 * file's note was read (ZmPluginFile.manifest). */
ZmPlacement zm_plugins_place (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                              const char *mapped);

/* May a plugin with or without hooks run there? FALSE with a sentence; ZM_ERROR_EXISTS where a mapping asked for the place. */
gboolean
zm_placement_allows (const ZmPlacement *placement, const char *plugin, gboolean hooks, GError **error);
/* May a plugin of this kind run there? A store runs in the daemon only: the thread that writes calls it directly. */
gboolean zm_placement_allows_kind (const ZmPlacement *placement, const char *plugin, const char *kind,
                                   GError **error);
/* May a second copy of it run in another place, for a mapping? FALSE with a sentence (ZM_ERROR_EXISTS). */
gboolean zm_placement_varies (const char *plugin, guint flags, gboolean source, GError **error);
/* The warning that "instances" or "threads" (key) of [plugin NAME] come down to 1, as no action of it is THREADSAFE. */
void
zm_placement_warn_one (const ZmConfig *config, const char *plugin, const char *key, ZmProblems *problems);
/* A warning for each setting of hosts that [plugin NAME] of this file has, where the plugin runs as thread. For those of which no
 * mapping wants a copy elsewhere, as that has them. */
void zm_placement_warn_limits (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                               ZmProblems *problems);

/* The same of a plugin that is not loaded, for who only checks: what loading it there would say. For a mapping with an
 * isolation it is FALSE with the sentence. */
gboolean
zm_placement_check_mapped (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                           const ZmDescription *description, const char *mapped, GError **error);
void zm_placement_check (const ZmPlugins *plugins, const ZmConfig *config, const ZmPluginFile *file,
                         const ZmDescription *description, ZmProblems *problems);

/* Each member is called in a guard (zm-plugins.h: the runtime waits no longer than call_ms and a little), never two at a time
 * for one generation but for describe. `carried` is what open gave. An error is said as the plugin's own would be. */
struct ZmCarrier {
  gpointer user;
  /* Loads the private copy (zm_generation_copy) where it is to run, which is kept until close, and hands what the plugin
   * says of itself to zm_generation_adopt_carried. NULL with error: nothing is left of it. An error ZM_ERROR_LIMIT of open,
   * init or start: it did not come back in time, and is not tried again by itself. */
  gpointer (*open) (gpointer user, ZmGeneration *generation, GError **error);
  gboolean (*init) (gpointer carried, GError **error);
  gboolean (*start) (gpointer carried, GError **error);
  /* The plugin's stop. FALSE: a thread of it did not end. */
  gboolean (*stop) (gpointer carried, guint deadline_ms);
  /* fini, dlclose, and the end of its processes where it was their last. Nobody holds the generation. *kept: why its library
   * stays where it ran (a sentence, the caller frees), or NULL. */
  void (*close) (gpointer carried, char **kept);
  /* New values of its section are in force (zm_generation_values): tell the plugin. The runtime's thread; does not wait. */
  void (*reload) (gpointer carried);
  /* Appends members of a JSON object, each after a comma: ,"hosts":[{"pid":1,…}]. Any thread. */
  void (*describe) (gpointer carried, GString *out);
  /* Why its calls are refused for now ("quarantined: …"), or NULL. The caller frees. Any thread. */
  char *(*trouble) (gpointer carried);
  /* Is it being started anew, so that its calls wait? Any thread; NULL: never. */
  gboolean (*starting) (gpointer carried);
  /* What a source of it is opened with in place of its own functions; `state` is carried. */
  zm_source_ops source;
};

/* What a carrier asks of a generation; any thread unless said otherwise. adopt_carried may bring instances down to 1, so
 * that they count only after it. */
const ZmPlacement *zm_generation_placement (const ZmGeneration *generation);
/* Path of its private copy. */
const char *zm_generation_copy (const ZmGeneration *generation);
/* Its section as records carry it: "key NUL value NUL". The caller frees. */
GByteArray *zm_generation_values (const ZmGeneration *generation);
/* Takes a PREPARED record over: flags, actions, options, features. In open. FALSE: what it says cannot be used. */
gboolean zm_generation_adopt_carried (ZmGeneration *generation, const ZmRecord *prepared, GError **error);
/* What open gave; NULL: it runs here. */
gpointer zm_generation_carried (const ZmGeneration *generation);
/* Why its calls are refused for now: "stuck: …", or what its carrier says ("quarantined: …"); NULL: they are not. The caller
 * frees. Not of a retired one. Any thread. */
char *zm_generation_trouble (const ZmGeneration *generation);
/* Its calls wait, as it is being started anew. */
gboolean zm_generation_starting (const ZmGeneration *generation);
/* Appends what its carrier tells of its processes, members of a JSON object, each after a comma. Not of a retired one. */
void zm_generation_describe (const ZmGeneration *generation, GString *out);
/* Has the carrier tell it that its values are new. FALSE: it runs here, and the caller tells it. The runtime's thread. */
gboolean zm_generation_reload_carried (ZmGeneration *generation);
/* Place of an action in PREPARED's list. */
guint zm_action_place (const ZmAction *action);
/* Values as records carry them, of any section: those given for plugins' own keys, and for all keys of [source NAME], which
 * a plugin reads too (uri). The caller frees. */
GByteArray *zm_config_values (const ZmConfig *config, const char *section);

G_END_DECLS
