/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Door: one plugin loaded here without a registry, for the process that runs plugins of a daemon elsewhere. Whoever made the
 * generation leads it through its life, in one thread that bears its mark, and closes it; nobody else may hold it then.
 */
#pragma once

#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

typedef struct ZmLoadedConfig {
  const char *name;
  guint number;        /* of its name */
  guint serial;        /* of all generations, for the mark of its threads */
  const char *copy;    /* opened where it is and left there */
  const zm_host *host; /* the services table; copied, ctx set to the generation */
  gboolean no_dlclose;
  gpointer owner; /* zm_generation_owner */
  void (*began) (
      gpointer
          owner); /* in each thread that it starts through the host, before the plugin's function; or NULL */
} ZmLoadedConfig;

/* Reads the note of the copy; none of its code runs. NULL with error. */
ZmGeneration *zm_loaded_new (const ZmLoadedConfig *config, GError **error);
/* dlopen, the query function, its descriptor. After a failure only zm_loaded_close may follow. */
gboolean zm_loaded_open (ZmGeneration *generation, GError **error);
gboolean zm_loaded_init (ZmGeneration *generation, GError **error);
gboolean zm_loaded_start (ZmGeneration *generation, GError **error);
/* FALSE: a thread of it did not end. */
gboolean zm_loaded_stop (ZmGeneration *generation, guint deadline_ms);
/* fini, dlclose, and the generation is gone; unless a thread of it still runs, started through the host or behind its back.
 * Where its library stays in the process: why, a sentence that the caller frees; else NULL. */
char *zm_loaded_close (ZmGeneration *generation);

/* ZmAction, in the order in which the plugin lists them; borrowed. */
const GPtrArray *zm_loaded_actions (const ZmGeneration *generation);
/* How many threads it has now of those that it started through the host. Any thread. */
guint zm_loaded_threads (ZmGeneration *generation);
/* Name of the thread that leads its life: a thread that is started behind the host's back inherits it. */
const char *zm_loaded_mark (const ZmGeneration *generation);
/* Why it is never closed, a literal; or NULL. */
const char *zm_loaded_stays (const ZmGeneration *generation);

G_END_DECLS
