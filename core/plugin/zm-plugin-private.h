/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the room plugin share with each other; nobody else includes this. */
#pragma once

#include "base/zm-codes.h"
#include "base/zm-thread.h"
#include "plugin/threads.h"
#include "plugin/zm-carrier.h"
#include "plugin/zm-plugins.h"
#include "zmanager/store.h"

#include <link.h>
#include <stdatomic.h>

G_BEGIN_DECLS

#define ZM_PLUGIN_CALL_MS   10000 /* what loading, init and start of one plugin may take together */
#define ZM_PLUGIN_FILE_MOST ((goffset) 256 << 20)

/* ---- notes (note.c) ---- */

/* An ELF file to read from: a descriptor, or bytes in memory where fd is -1. */
typedef struct ZmImage {
  int fd;
  const guint8 *data;
  guint64 size;
} ZmImage;

typedef struct ZmNote {
  const char *owner; /* owner_size bytes, the last one NUL */
  gsize owner_size;
  guint32 type;
  const guint8 *text;
  gsize size;
} ZmNote;

/* FALSE ends the walk with the error that it set. */
typedef gboolean (*ZmNoteFunc) (const ZmNote *note, gpointer user, GError **error);
/* Reads exactly size bytes at offset; what: for the error. */
gboolean zm_image_read (const ZmImage *image, guint64 offset, void *buffer, gsize size, const char *what,
                        GError **error);
gboolean zm_image_each_note (const ZmImage *image, ZmNoteFunc func, gpointer user, GError **error);

/* ---- segments.c ---- */

/* Are these program headers such that the dynamic loader touches nothing but what is the library's? Those of the file as a whole;
 * that they lie within the file is for the caller to know. */
gboolean zm_segments_check (const ElfW (Phdr) * headers, guint n, GError **error);

/* ---- dynamic.c ---- */

/* Does all that its dynamic section says lead to the library itself? After zm_segments_check. */
gboolean zm_dynamic_check (const ZmImage *image, const ElfW (Phdr) * headers, guint n, GError **error);

/* ---- manifest.c ---- */

ZmManifest *zm_manifest_read_image (const ZmImage *image, GError **error);
/* An action's name: a C identifier that neither libc nor the contract has taken. */
gboolean zm_manifest_check_action (const char *name, GError **error);

/* ---- safe.c: files that nobody else may write ---- */

/* What tells one version of a file from the next. */
typedef struct ZmIdentity {
  guint64 device, inode, size;
  gint64 mtime_ns;
} ZmIdentity;

gboolean zm_identity_equal (const ZmIdentity *a, const ZmIdentity *b);
/* Opens a plain file for reading, whoever may write it; never waits (a FIFO). -1 with error. */
int zm_plain_open (const char *path, ZmIdentity *identity, GError **error);
/* Opens a plain file that only root and we may write, below directories of the same kind. -1 with error. */
int zm_safe_open (const char *path, ZmIdentity *identity, GError **error);

/* ---- loader.c: copies, dlopen, symbols ---- */

typedef struct ZmLibrary {
  char *copy; /* path of the private copy, unlinked already once it is loaded */
  gboolean lent; /* the copy is somebody else's, who unlinks it */
  void *handle;
  struct link_map *map;
} ZmLibrary;

#define ZM_COPY_MARK ".copy." /* in the name of every copy */

/* Copies the open file into directory; the path, or NULL. */
char *zm_library_copy (int fd, const char *directory, const char *name, GError **error);
/* Opens the copy at library->copy and unlinks it, unless it is lent. Runs its constructors. */
gboolean zm_library_open (ZmLibrary *library, GError **error);
/* TRUE: the library is gone from the process. FALSE: something keeps it mapped. */
gboolean zm_library_close (ZmLibrary *library);
void zm_library_clear (ZmLibrary *library);
/* A function that this very object defines, by name. */
void *zm_library_symbol (const ZmLibrary *library, const char *name, GError **error);
gboolean zm_library_owns (const ZmLibrary *library, const void *address);
/* Why it can never be unloaded safely although it does not say so: a literal, or NULL. */
const char *zm_library_stays (const ZmLibrary *library);

/* ---- guard.c: foreign code with a time limit ---- */

typedef void (*ZmGuardFunc) (gpointer user);

/* Runs func (user) in a thread called name (at most 15 bytes) and waits. FALSE: it did not end in time, and goes on; `late`
 * is then called in that thread should it ever end, else `late` never is. */
gboolean
zm_guard_call (const char *name, ZmGuardFunc func, ZmGuardFunc late, gpointer user, guint timeout_ms);
/* The same without waiting: done (user) comes in that thread. */
void zm_guard_start (const char *name, ZmGuardFunc func, ZmGuardFunc done, gpointer user);

/* ---- probe.c ---- */

/* Runs the helper and appends what it says to answer, at most about `most` bytes. FALSE: it did not come to its end; the
 * error says what the library did (ZM_ERROR_REFUSED), or that no helper could be run (ZM_ERROR_IO). */
gboolean
zm_probe_ask (const char *const *argv, gsize most, guint timeout_ms, GString *answer, GError **error);

/* The memory of what was probed: build id, size and time of a file to the reason why it is refused. */
typedef struct ZmProbes ZmProbes;
ZmProbes *zm_probes_new (void);
void zm_probes_free (ZmProbes *probes);
/* Probes the copy where a file of these bytes is not known yet. */
gboolean zm_probes_check (ZmProbes *probes, const char *program, const char *copy, const ZmManifest *manifest,
                          guint timeout_ms, gboolean *unloads, GError **error);

/* ---- reaper.c ---- */

typedef struct ZmReaper ZmReaper;

ZmReaper *zm_reaper_new (guint drain_ms, ZmLog *log, ZmMetrics *metrics);
ZmReaper *zm_reaper_ref (ZmReaper *reaper);
void zm_reaper_unref (ZmReaper *reaper);
/* Hands a generation over: stop, wait for its references, fini, dlclose. */
void zm_reaper_take (ZmReaper *reaper, ZmGeneration *generation);
/* Keeps one loaded for good whose init or start did not come back; why is a sentence. */
void zm_reaper_keep (ZmReaper *reaper, ZmGeneration *generation, const char *why);
/* Waits until one that was handed over is gone, at most timeout_ms. */
void zm_reaper_settle (ZmReaper *reaper, const ZmGeneration *generation, guint timeout_ms);
void zm_reaper_wake (ZmReaper *reaper);
/* Waits until all is gone, at most timeout_ms, and 2 s for what is only referenced; then the thread ends. FALSE: something
 * is left, on purpose. */
gboolean zm_reaper_close (ZmReaper *reaper, guint timeout_ms);
char **zm_reaper_held (ZmReaper *reaper);
/* func is called for each retired generation with the reaper's lock held. */
void zm_reaper_each (ZmReaper *reaper, void (*func) (ZmGeneration *generation, gpointer user), gpointer user);

/* ---- generation.c ---- */

struct ZmGeneration {
  guint32 magic;
  char *name;   /* in listings; of a variant "hello@private" */
  char *plugin; /* whose it is: "hello" */
  char *path;   /* the installed file that it was copied from */
  guint number;
  char mark
      [12]; /* name of the threads that run its code at load and stop: who starts a thread there passes it on */
  ZmManifest *manifest;
  ZmIdentity identity;
  ZmLibrary library;
  zm_plugin_desc descriptor; /* of this host's size, what the plugin does not have is zero */
  zm_source_ops source;
  zm_hook_ops hooks;
  zm_store_ops store;
  zm_host host;
  void *state;
  guint flags;
  const char *stays; /* why it is resident, a literal; or NULL */
  gint64 priority;
  GPtrArray *actions;       /* ZmAction */
  GHashTable *action_names; /* symbol -> ZmAction */
  ZmConfig *config;         /* under lock; what it is made with, or got at its last reload */
  ZmConfig *old_config;     /* under lock; kept one reload longer: plugins hold values from it */
  ZmThreads *threads;
  ZmReaper *reaper; /* NULL: whoever made it lets it go (loaded.c) */
  gboolean no_dlclose;
  ZmPlacement asked;        /* as it is configured */
  ZmPlacement placement;    /* as it runs */
  const ZmCarrier *carrier; /* NULL: it runs here */
  gpointer carried;         /* what the carrier's open gave */
  guint features;           /* ZM_HOSTED_*, of a carried one */
  ZmDescription *told;      /* its options and actions, of a carried one; owns the texts of the descriptor */
  GArray *listed;           /* zm_action_desc, what the descriptor of a carried one lists */
  gpointer owner;           /* the runtime */
  gboolean initialised;     /* init succeeded: fini is owed */
  gboolean started;         /* start succeeded: stop is owed */
  atomic_uint references;
  atomic_bool retired;
  atomic_bool stuck;
  pthread_mutex_t lock; /* holders, attachment, configurations */
  struct {
    const char *who;
    guint count;
  } holders[16];
  guint n_holders;
  gpointer attachment;
  GDestroyNotify attachment_free;
};

typedef struct ZmGenerationConfig {
  const char *name;
  const char *path;
  guint number;
  guint serial;     /* of all generations of the process */
  const char *copy; /* the private copy to open */
  const ZmManifest *manifest;
  const ZmIdentity *identity;
  const zm_host *host;
  ZmConfig *config;
  ZmReaper *reaper;
  gboolean no_dlclose;
  const ZmPlacement *placement;
  const ZmCarrier *carrier;
  gpointer owner;
} ZmGenerationConfig;

/* Empty, with one reference (holder "table"); takes a copy of what it is given. */
ZmGeneration *zm_generation_new (const ZmGenerationConfig *config);
/* Frees what has been closed; the last that is done to it. */
void zm_generation_free (ZmGeneration *generation);

/* ---- step.c ---- */

/* From here on this thread, which is a guard's, does this with the plugin: a literal such as "loading". Until the thread ends. */
void zm_step_enter (const ZmGeneration *generation, const char *what);

/* ---- life.c ---- */

/* dlopen, query, actions. In a guard. */
gboolean zm_generation_open (ZmGeneration *generation, GError **error);
gboolean zm_generation_init (ZmGeneration *generation, GError **error);
gboolean zm_generation_start (ZmGeneration *generation, GError **error);
/* stop, then its threads. In a guard. FALSE: a thread did not end. */
gboolean zm_generation_stop (ZmGeneration *generation, guint deadline_ms);
/* Attachment, fini, dlclose, free. In a guard; nobody holds a reference. What keeps it loaded on purpose is told in
 * *kept (a sentence, or NULL): then it is not freed. */
void zm_generation_finalise (ZmGeneration *generation, char **kept);
/* ---- generation.c again: references, configuration ---- */

/* "deferred call (2), thread pump"; empty: nobody. */
char *zm_generation_holders (ZmGeneration *generation);
/* From now on it answers from this one. The runtime's thread. */
void zm_generation_set_config (ZmGeneration *generation, ZmConfig *config);
/* A new reference to the current one, or NULL. Any thread. */
ZmConfig *zm_generation_config_ref (const ZmGeneration *generation);
const ZmAction *zm_generation_action (ZmGeneration *generation, const char *symbol);

/* ---- placement.c ---- */

/* The same in all that a running one cannot change. */
gboolean zm_placement_equal (const ZmPlacement *a, const ZmPlacement *b);

/* variants.c: "hello@private" -> "hello"; any other name -> a copy. The caller frees. *isolation: a literal, or NULL. */
char *zm_variant_plugin (const char *name, const char **isolation);
gboolean zm_is_variant (const char *name);
/* The same names, without those that the plugin's own placement serves. g_strfreev. */
char **zm_variants_needed (ZmPlugins *plugins, const ZmConfig *config, const char *const *wanted);

/* ---- carried.c: the same steps, by the carrier ---- */

gboolean zm_carried_open (ZmGeneration *generation, GError **error);
/* What the carrier was asked to keep is gone; *kept as in zm_generation_finalise. */
void zm_carried_close (ZmGeneration *generation, char **kept);
void zm_carried_clear (ZmGeneration *generation);

/* ---- describe.c: reading a descriptor that may be older or newer than ours ---- */

gboolean zm_descriptor_adopt (ZmGeneration *generation, const zm_plugin_desc *theirs, GError **error);

/* ---- registry.c, set.c, prepare.c, choose.c, json.c ---- */

/* One file of a scan, with what only this room knows of it. */
typedef struct ZmScanned {
  ZmPluginFile file; /* first: the door hands this out */
  ZmIdentity identity;
} ZmScanned;

/* A load that did not come back. Each costs the runtime's thread the whole limit and leaves a generation loaded for good,
 * so that the same file with the same section is not tried again by itself. */
typedef struct ZmHang {
  ZmIdentity identity;
  ZmPlacement placement;
  ZmConfig *config; /* what it was loaded with, a reference; or NULL */
  char *what;
} ZmHang;

struct ZmPluginSet {
  atomic_uint references;
  GPtrArray *order;    /* ZmGeneration, each with a reference "table" */
  GHashTable *by_name; /* name -> ZmGeneration */
  GHashTable *reasons; /* name of a plugin that is known but not here -> why */
  GHashTable *single;  /* name of a variant that its plugin cannot have -> why */
  GPtrArray *fresh;    /* those made by this prepare, borrowed */
  GPtrArray *paused;   /* EXCLUSIVE ones of the current set that were stopped for it, borrowed */
  GPtrArray *reloads;  /* kept ones whose section changed, borrowed */
  ZmConfig *config;
};

struct ZmPlugins {
  char **path;
  char *copy_directory;
  char *probe_program;
  zm_host host;
  gboolean no_dlclose;
  guint drain_ms;
  guint call_ms;
  const ZmCarrier *carrier;
  char *system_directory;
  ZmLog *log;
  ZmMetrics *metrics;
  void (*retired) (ZmGeneration *generation, gpointer user);
  gpointer user;
  GPtrArray *files;     /* ZmScanned, sorted by name, shadowed ones after the one that wins */
  GHashTable *by_name;  /* name -> ZmScanned that wins */
  GHashTable *numbers;  /* name -> number of its last generation */
  GHashTable *failures; /* name -> why its last load failed */
  GHashTable *hangs;    /* name -> ZmHang: the last load that did not come back */
  guint serial;
  ZmPluginSet *current;
  ZmReaper *reaper;
  ZmProbes *probes;
};

/* set.c: a set while it is prepared. */
/* Empty, with one reference; config may be NULL. */
ZmPluginSet *zm_set_new (ZmConfig *config);
/* Takes the reference. */
void zm_set_add (ZmPluginSet *set, ZmGeneration *generation);
/* Keeps the running one of `current`, and what it depends on. */
void zm_set_keep (ZmPluginSet *set, ZmPluginSet *current, ZmGeneration *old);

/* scan.c: reads the path into plugins->files. */
void zm_scan_path (ZmPlugins *plugins, ZmProblems *problems);
/* One generation that is to be in a set. */
typedef struct ZmWish {
  const char *name; /* the file's, or of a variant of it */
  const ZmScanned *scanned;
  ZmPlacement placement;
} ZmWish;

/* bring.c: a new generation of this file: copied, probed, opened, configured, initialised, started. Where it is EXCLUSIVE
 * `old` (or NULL) is stopped in between, and *paused tells so, also where this fails. */
ZmGeneration *zm_bring_up (ZmPlugins *plugins, const ZmWish *wish, ZmGeneration *old, ZmConfig *config,
                           gboolean *paused, ZmProblems *problems, GError **error);
/* For ZmPlugins.hangs. */
void zm_hang_free (gpointer hang);
/* Starts one again that was stopped for an EXCLUSIVE one. */
gboolean zm_bring_back (ZmPlugins *plugins, ZmGeneration *old, GError **error);
/* Lets one go that was never in a current set; waits for its stop. */
void zm_bring_down (ZmPlugins *plugins, ZmGeneration *generation);

/* order.c: the wanted plugins and what they need, each after what it needs. Names, which the list owns; those with a missing
 * or circular dependency are problems and left out. reasons: name -> why. */
GPtrArray *
zm_order_plugins (ZmPlugins *plugins, const char *const *wanted, GHashTable *reasons, ZmProblems *problems);

void zm_plugins_count (ZmPlugins *plugins, const char *name, const char *help);

G_END_DECLS
