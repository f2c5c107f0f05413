/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * runtime: start, reload, drain, stop. It wires the rooms together and is the only one that knows them all. One thread owns a
 * ZmRuntime (the one that made it): it runs the main loop with signals, control socket and watched directories. Everything
 * else happens in threads of the rooms below.
 */
#pragma once

#include "base/zm-base.h"
#include "base/zm-log.h"
#include "runtime/zm-instance.h"

G_BEGIN_DECLS

/* Bytes of a request on the control socket; who sends more is disconnected. */
#define ZM_REQUEST_MOST (1024 * 1024)

typedef struct ZmRuntime ZmRuntime;

/* What the command line says. Everything is borrowed until the function that takes it returns. */
typedef struct ZmRuntimeOptions {
  const char *dir;             /* NULL: $ZM_DIR, else the system's places */
  const char *config_file;     /* in place of zmanager.conf; must be there; or NULL */
  const char *const *settings; /* of --set, NULL-terminated; may be NULL */
  const char *log_format;      /* of --log-format, or NULL */
  const char *log_level;       /* of --log-level, or NULL */
  gboolean dev;                /* human-readable log, plugins rebuilt in place are replaced at once */
  gboolean
      panic_report; /* tell of faults that end the process; once a process, which must be the daemon's own */
} ZmRuntimeOptions;

/* Starts everything, in an order in which nothing is lost: sockets are bound first (senders wait in them), plugins are
 * loaded and the table built, then the Subject begins to read, last the sources and the control socket. Plugins that fail do
 * not stop the others: status says `degraded` with the reason. NULL: error says why; where configuration, mappings or flows
 * are wrong, problems holds every one of them. */
ZmRuntime *zm_runtime_new (const ZmRuntimeOptions *options, ZmProblems *problems, GError **error);

/* Runs until SIGTERM, SIGINT or the command drain, then drains: the Subject stops reading, sources end, what is inside is
 * finished (at most [workers] drain), what was published is sent. SIGHUP reloads. Returns the process's exit status. */
int zm_runtime_run (ZmRuntime *runtime);

/* Ends what still runs and frees it. FALSE: a thread could not be ended, so memory that it may use was left alone; the process
 * should go by _exit. */
gboolean zm_runtime_free (ZmRuntime *runtime);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmRuntime, zm_runtime_free)

/* With panic_report: the process is about to exit because it means to, and not because a plugin called exit. */
void zm_runtime_expect_exit (void);

/* Reads everything without starting anything: configuration, mappings, flows, plugins' notes and the symbols that they name.
 * No code of a plugin runs. Everything found is in problems. FALSE: error says why nothing could be read (no such
 * directory). */
gboolean zm_check_run (const ZmRuntimeOptions *options, ZmProblems *problems, GError **error);
/* The findings for people, one a line and a closing line, or one JSON object. The caller frees. */
char *zm_check_text (const ZmProblems *problems);
char *zm_check_json (const ZmProblems *problems);

/* One value of the files, also of files that are wrong elsewhere; NULL: not set. The caller frees. */
char *zm_runtime_setting (const ZmRuntimeOptions *options, const char *section, const char *key);

/* The effective configuration with each value's origin. NULL: error, or problems. The caller frees. */
char *zm_runtime_dump (const ZmRuntimeOptions *options, gboolean json, ZmProblems *problems, GError **error);

G_END_DECLS
