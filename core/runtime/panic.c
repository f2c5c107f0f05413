/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The panic report. The handler takes no lock and allocates nothing: whatever it needs is made before, and text blocks are
 * exchanged by an atomic pointer. It runs on a stack of its own (base/thread.c), as the fault may be the end of the stack.
 */
#include "config.h"

#include "runtime/panic.h"

#include "base/zm-thread.h"
#include "plugin/zm-carrier.h"
#include "runtime/panic-text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define FILES_KEPT   9 /* beside the one that may come */
#define PLUGINS_MOST (256 * 1024)

typedef struct Panic {
  pid_t process; /* a child that was forked and has not called exec yet is none of ours */
  gboolean json;
  char file_prefix[512];
  _Atomic (ZmPool *) pool;
  _Atomic (const char *) plugins; /* lines, each with its line feed */
  const char *before;             /* the last text but one: a handler may be at it for a moment */
  atomic_bool exit_expected;
  atomic_flag begun;    /* the first thread tells; others that fault meanwhile wait for the end */
  _Atomic pid_t teller; /* its thread id */
  int number;           /* of the signal that it tells of */
} Panic;

/* A handler gets nothing but the number of its signal. Set once, before the handlers are installed. */
static _Atomic (Panic *) the_panic;

static const struct {
  int number;
  const char *name;
} signals[] = { { SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" },   { SIGILL, "SIGILL" }, { SIGFPE, "SIGFPE" },
                { SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" }, { SIGSYS, "SIGSYS" } };

/* ---- lines ---- */

/* Where the report goes. */
typedef struct Report {
  const Panic *panic;
  int file; /* or -1 */
  gint64 now;
  gint64 now_us;
} Report;

/* Adds to a buffer that has room for it. */
static gsize
append (char *out, gsize used, const char *bytes, gsize size)
{
  memcpy (out + used, bytes, size);
  return used + size;
}

/* To the file as it is; to the log in the log's form, so that who reads JSON lines reads this one too. In one write, as other
 * threads go on logging. */
static void
say (const Report *report, const ZmPanicLine *text)
{
  static const char begin[] = "{\"time\":\"",
                    middle[] = "\",\"level\":\"error\",\"room\":\"panic\",\"text\":\"",
                    plain[] = "zmanagerd: panic: ";
  char out[ZM_PANIC_LINE_MOST + 256];
  ZmPanicLine time = { .used = 0 };
  gsize used = 0, from;

  zm_panic_put_time (&time, report->now, FALSE);
  if (report->panic->json) {
    used = append (out, used, begin, sizeof begin - 1);
    used = append (out, used, time.bytes, time.used);
    used = append (out, used, middle, sizeof middle - 1);
  } else {
    used = append (out, used, plain, sizeof plain - 1);
  }
  from = used;
  used = append (out, used, text->bytes, text->used);
  used = append (out, used, report->panic->json ? "\"}\n" : "\n", report->panic->json ? 3 : 1);
  zm_panic_write (STDERR_FILENO, out, used);
  out[from + text->used] = '\n';
  zm_panic_write (report->file, out + from, text->used + 1);
}

/* One running action, with the generation that it is of: that may be an old one, which the table does not have any more. */
static void
say_action (const Report *report, const ZmAction *action, gint64 since_us, gboolean here)
{
  ZmPanicLine line = { .used = 0 };
  const ZmManifest *manifest = zm_generation_manifest (action->generation);

  zm_panic_put_text (&line, here ? "running here: " : "running in another thread: ");
  zm_panic_put_text (&line, action->plugin);
  zm_panic_put_text (&line, ".");
  zm_panic_put_text (&line, action->symbol);
  zm_panic_put_text (&line, ", version ");
  zm_panic_put_text (&line, manifest != NULL ? manifest->version : NULL);
  zm_panic_put_text (&line, ", generation ");
  zm_panic_put_number (&line, zm_generation_number (action->generation));
  if (since_us > 0 && report->now_us > since_us) {
    zm_panic_put_text (&line, ", for ");
    zm_panic_put_number (&line, (guint64) (report->now_us - since_us) / 1000);
    zm_panic_put_text (&line, " ms");
  }
  say (report, &line);
}

static void
say_here (const ZmAction *action, gint64 since_us, gboolean here, void *user)
{
  if (here)
    say_action (user, action, since_us, TRUE);
}

static void
say_other (const ZmAction *action, gint64 since_us, gboolean here, void *user)
{
  if (!here)
    say_action (user, action, since_us, FALSE);
}

static void
say_plugins (const Report *report)
{
  const char *at = atomic_load (&report->panic->plugins);

  while (at != NULL && *at != '\0') {
    ZmPanicLine line = { .used = 0 };
    const char *end = strchr (at, '\n');
    gsize size = end != NULL ? (gsize) (end - at) : strlen (at);

    line.used = MIN (size, sizeof line.bytes);
    memcpy (line.bytes, at, line.used);
    say (report, &line);
    at += size + (end != NULL ? 1 : 0);
  }
}

/* -1: there is none; the log has it all the same. O_EXCL: nobody can have put a link there. */
static int
open_file (const Panic *panic, gint64 now)
{
  ZmPanicLine path = { .used = 0 };

  /* Two in a second, each in a process of its own, have two names. */
  memcpy (path.bytes, panic->file_prefix, strlen (panic->file_prefix));
  path.used = strlen (panic->file_prefix);
  zm_panic_put_time (&path, now, TRUE);
  zm_panic_put_text (&path, "-");
  zm_panic_put_number (&path, (guint64) panic->process);
  zm_panic_put_text (&path, ".txt");
  path.bytes[MIN (path.used, sizeof path.bytes - 1)] = '\0';
  return open (path.bytes, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* A thread that a plugin started has its name from it. */
static void
put_where (ZmPanicLine *line, const Panic *panic)
{
  char name[16] = "";

  prctl (PR_GET_NAME, name);
  name[sizeof name - 1] = '\0';
  zm_panic_put_text (line, " in thread ");
  zm_panic_put_text (line, name);
  zm_panic_put_text (line, " of process ");
  zm_panic_put_number (line, (guint64) panic->process);
}

/* What this thread does with a plugin outside of any call. */
static void
say_step (const Report *report)
{
  ZmPanicLine line = { .used = 0 };
  const char *plugin;
  guint number;
  const char *what = zm_plugins_step_raw (&plugin, &number);

  if (what == NULL)
    return;
  zm_panic_put_text (&line, "running here: ");
  zm_panic_put_text (&line, what);
  zm_panic_put_text (&line, " of plugin ");
  zm_panic_put_text (&line, plugin);
  zm_panic_put_text (&line, ", generation ");
  zm_panic_put_number (&line, number);
  say (report, &line);
}

/* What is surest comes first: what other threads do may change while it is read. */
static void
tell (const Panic *panic, const ZmPanicLine *first)
{
  struct timespec now, clock;
  Report report = { .panic = panic };
  ZmPool *pool = atomic_load (&panic->pool);

  clock_gettime (CLOCK_REALTIME, &now);
  clock_gettime (CLOCK_MONOTONIC, &clock);
  report.now = now.tv_sec;
  report.now_us = (gint64) clock.tv_sec * G_USEC_PER_SEC + clock.tv_nsec / 1000;
  report.file = open_file (panic, report.now);
  say (&report, first);
  say_step (&report);
  if (pool != NULL)
    zm_pool_running_raw (pool, say_here, &report);
  say_plugins (&report);
  if (pool != NULL)
    zm_pool_running_raw (pool, say_other, &report);
}

/* ---- signals ---- */

static const char *
signal_name (int number)
{
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    if (signals[i].number == number)
      return signals[i].name;
  return "a signal";
}

/* As the process would have died without us: the core shows the place, and who started us sees the signal. A fault of the
 * processor comes again by itself where it was, with its own registers; what was sent is sent again. */
static void
die_of (int number, const siginfo_t *info)
{
  sigset_t set;

  signal (number, SIG_DFL);
  sigemptyset (&set);
  sigaddset (&set, number);
  pthread_sigmask (SIG_UNBLOCK, &set, NULL);
  if (info->si_code <= 0 || number == SIGSYS || number == SIGTRAP)
    raise (number);
}

/* A second fault in this thread is one of the report itself: it stays as it is, and the process goes by the first. */
static void
on_fault (int number, siginfo_t *info, void *context)
{
  Panic *panic = atomic_load (&the_panic);
  ZmPanicLine line = { .used = 0 };

  (void) context;
  if (panic == NULL || getpid () != panic->process) {
    die_of (number, info);
    return;
  }
  if (atomic_load (&panic->teller) == gettid ()) {
    signal (panic->number, SIG_DFL);
    raise (panic->number);
  }
  /* The first one ends the process in a moment; its report is not to be cut off by ours. */
  while (atomic_flag_test_and_set (&panic->begun))
    pause ();
  panic->number = number;
  atomic_store (&panic->teller, gettid ());
  zm_panic_put_text (&line, "zmanagerd dies of ");
  zm_panic_put_text (&line, signal_name (number));
  put_where (&line, panic);
  if (info->si_code > 0 && number != SIGSYS) {
    zm_panic_put_text (&line, ", address ");
    zm_panic_put_hex (&line, (guint64) (gsize) info->si_addr);
  } else if (info->si_code <= 0) {
    zm_panic_put_text (&line, ", sent by process ");
    zm_panic_put_number (&line, (guint64) info->si_pid);
  }
  tell (panic, &line);
  die_of (number, info);
}

/* exit () of a plugin ends the daemon as if it had meant to: that is at least said. */
static void
on_exit_called (void)
{
  Panic *panic = atomic_load (&the_panic);
  ZmPanicLine line = { .used = 0 };

  if (panic == NULL || atomic_load (&panic->exit_expected) || getpid () != panic->process)
    return;
  zm_panic_put_text (&line, "exit was called, which ends zmanagerd without a drain,");
  put_where (&line, panic);
  tell (panic, &line);
}

/* ---- before ---- */

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Their names begin with the time, so the oldest is the first. */
static void
remove_old (const char *state_dir)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) directory = g_dir_open (state_dir, 0, NULL);
  const char *name;

  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    if (g_str_has_prefix (name, "panic-") && g_str_has_suffix (name, ".txt"))
      g_ptr_array_add (names, g_build_filename (state_dir, name, NULL));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i + FILES_KEPT < names->len; i++)
    unlink (names->pdata[i]);
}

void
zm_panic_install (const char *state_dir, gboolean json)
{
  Panic *panic = atomic_load (&the_panic);
  struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

  if (panic != NULL)
    return;
  panic = g_new0 (Panic, 1); /* the process's own, until its end */
  panic->process = getpid ();
  panic->json = json;
  g_snprintf (panic->file_prefix, sizeof panic->file_prefix, "%s/panic-", state_dir);
  remove_old (state_dir);
  zm_thread_signal_stack ();
  atomic_store (&the_panic, panic);
  atexit (on_exit_called);
  sigemptyset (&action.sa_mask);
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++) {
    struct sigaction old;

    if (sigaction (signals[i].number, NULL, &old) == 0 && (old.sa_flags & SA_SIGINFO) == 0 &&
        old.sa_handler == SIG_DFL)
      sigaction (signals[i].number, &action, NULL);
  }
}

void
zm_panic_set_pool (ZmPool *pool)
{
  Panic *panic = atomic_load (&the_panic);

  if (panic != NULL)
    atomic_store (&panic->pool, pool);
}

/* One line a plugin. Texts of notes are a stranger's: made printable, and what JSON would escape is taken out. */
static char *
plugins_text (ZmPluginSet *set)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; set != NULL && i < zm_plugin_set_size (set) && out->len < PLUGINS_MOST; i++) {
    const ZmGeneration *generation = zm_plugin_set_nth (set, i);
    const ZmManifest *manifest = zm_generation_manifest (generation);
    g_autofree char *version = zm_printable (zm_span_text (manifest->version), 64);

    g_strdelimit (version, "\"\\", '?');
    g_string_append_printf (out, "plugin %s, version %s, generation %u, isolation %s, build %s\n",
                            zm_generation_name (generation), version, zm_generation_number (generation),
                            zm_isolation_name (zm_generation_placement (generation)->isolation),
                            manifest->build_id != NULL ? manifest->build_id : "unknown");
  }
  return g_string_free (out, FALSE);
}

void
zm_panic_set_plugins (ZmPluginSet *set)
{
  Panic *panic = atomic_load (&the_panic);
  const char *old;

  if (panic == NULL)
    return;
  old = atomic_exchange (&panic->plugins, plugins_text (set));
  g_free ((char *) panic->before);
  panic->before = old;
}

void
zm_panic_expect_exit (void)
{
  Panic *panic = atomic_load (&the_panic);

  if (panic != NULL)
    atomic_store (&panic->exit_expected, TRUE);
}
