/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One worker's process from its first start to its last end.
 *
 *   WAITING --due-----> RUNNING --ended--> WAITING  restart = yes: for 100 ms, 200 ms … 10 s
 *      ^                 |    |  --ended--> ENDED    restart = no
 *      +--cannot start---+    +---stop----> GONE     SIGTERM, two seconds, SIGKILL, one second
 *
 * A start that comes to no process (no such program, no memory) is a step from WAITING to WAITING with the reason kept. The
 * back-off begins anew once a process has run for ten seconds. `stop` is a wish that may come in any state; from all but
 * RUNNING it leads to GONE at once.
 */
#include "config.h"

#include "worker/external-life.h"

#include "base/zm-base.h"
#include "worker/external-exec.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define BACKOFF_MOST_US (10 * G_USEC_PER_SEC)
#define KILL_AFTER_US   (2 * G_USEC_PER_SEC)
#define LEAVE_AFTER_US  (1 * G_USEC_PER_SEC) /* after SIGKILL: stuck in the kernel */

/* Nothing is started here: the thread does that at its next step. */
ZmLife *
zm_life_new (const ZmProcessSpec *spec)
{
  ZmLife *life = g_new0 (ZmLife, 1);

  life->worker = g_strdup (spec->worker);
  life->name = g_strconcat ("worker ", spec->worker, NULL);
  life->exec = g_strdup (spec->exec);
  life->environment = g_strdupv ((char **) spec->environment);
  life->directory = g_strdup (spec->directory);
  life->restart = spec->restart;
  life->alone = spec->alone;
  life->backoff_us = ZM_LIFE_PAUSE_US;
  zm_child_init (&life->child);
  return life;
}

void
zm_life_free (ZmLife *life)
{
  zm_child_close (&life->child);
  g_free (life->worker);
  g_free (life->name);
  g_free (life->exec);
  g_strfreev (life->environment);
  g_free (life->directory);
  g_free (life->last_end);
  g_free (life);
}

/* ---- start ---- */

/* Twice as long each time, up to ten seconds: a worker that ends at once must not keep the machine busy. */
static void
wait_for_restart (ZmLife *life, gint64 now_us)
{
  life->state = ZM_LIFE_WAITING;
  life->due_us = now_us + life->backoff_us;
  life->backoff_us = MIN (life->backoff_us * 2, BACKOFF_MOST_US);
}

/* It is tried again for ever, whatever `restart` says, which is about a process that ran: the program may be installed at any
 * time, and no reload would touch a section that did not change. The log has one line for each new reason. */
static void
not_started (ZmLife *life, const ZmLifeWorld *world, const char *why, gint64 now_us)
{
  if (!life->failed || g_strcmp0 (life->last_end, why) != 0)
    zm_log_write (world->log, ZM_LEVEL_ERROR, "worker", "%s: cannot be started: %s", life->name, why);
  life->failed = TRUE;
  g_free (life->last_end);
  life->last_end = g_strdup (why);
  wait_for_restart (life, now_us);
}

/* The program is looked for each time: it may have come, or moved, since. */
static void
begin (ZmLife *life, const ZmLifeWorld *world, gint64 now_us)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = zm_exec_find (life->exec, life->directory, &error);
  const ZmChildStart start = {
    .argv = argv, .environment = life->environment, .directory = life->directory, .parent_ends = SIGTERM
  };

  if (argv == NULL || !zm_child_start (&life->child, &start, &error)) {
    not_started (life, world, error->message, now_us);
    return;
  }
  if (life->starts > 0)
    zm_counter_add (world->restarts, 1);
  life->starts++;
  life->started_us = now_us;
  life->failed = FALSE;
  life->state = ZM_LIFE_RUNNING;
  zm_log_write (world->log, ZM_LEVEL_INFO, "worker", "%s: started, process %d", life->name,
                (int) life->child.pid);
}

void
zm_life_read (ZmLife *life, const ZmLifeWorld *world)
{
  const ZmChildLog log = {
    .log = world->log, .room = "worker", .name = life->name, .suppressed = world->suppressed
  };

  zm_child_read (&life->child, &log);
}

/* ---- end ---- */

/* The next of its name starts ZM_LIFE_PAUSE_US from now at the soonest: what was sent before that went to this one, also
 * where libzmq had not yet seen that it is gone. */
static void
tell_end (const ZmLife *life, const ZmLifeWorld *world, const char *how, gint64 now_us)
{
  if (life->alone && world->ended != NULL)
    world->ended (life->worker, how, now_us + ZM_LIFE_PAUSE_US, world->user);
}

/* What becomes of it now: gone where that was the wish, ended for good without restart, else it waits. */
static void
after_end (ZmLife *life, const ZmLifeWorld *world, gboolean well, gint64 now_us)
{
  ZmLevel level = well ? ZM_LEVEL_NOTICE : ZM_LEVEL_WARNING;

  if (life->stop) {
    zm_log_write (world->log, ZM_LEVEL_INFO, "worker", "%s: ended, %s", life->name, life->last_end);
    life->state = ZM_LIFE_GONE;
    return;
  }
  if (!life->restart) {
    zm_log_write (world->log, level, "worker",
                  "%s: ended, %s; restart = no, so it stays ended until a reload names it anew", life->name,
                  life->last_end);
    life->state = ZM_LIFE_ENDED;
    return;
  }
  if (now_us - life->started_us > BACKOFF_MOST_US)
    life->backoff_us = ZM_LIFE_PAUSE_US;
  zm_log_write (world->log, level, "worker", "%s: ended, %s; started again in %" G_GINT64_FORMAT " ms",
                life->name, life->last_end, life->backoff_us / 1000);
  wait_for_restart (life, now_us);
}

/* What it still wrote is read before its pipes are closed. */
static void
ended (ZmLife *life, const ZmLifeWorld *world, int status, gint64 now_us)
{
  zm_life_read (life, world);
  zm_child_close (&life->child);
  g_free (life->last_end);
  life->last_end = zm_child_describe_end (status);
  tell_end (life, world, life->last_end, now_us);
  after_end (life, world, WIFEXITED (status) && WEXITSTATUS (status) == 0, now_us);
}

/* SIGTERM, SIGKILL, and at last it is left behind. */
static void
press (ZmLife *life, const ZmLifeWorld *world, gint64 now_us)
{
  if (!life->asked) {
    life->asked = TRUE;
    life->due_us = now_us + KILL_AFTER_US;
    zm_child_signal (&life->child, SIGTERM);
  } else if (now_us >= life->due_us && !life->killed) {
    life->killed = TRUE;
    life->due_us = now_us + LEAVE_AFTER_US;
    zm_log_write (world->log, ZM_LEVEL_NOTICE, "worker", "%s: did not end within 2 s after SIGTERM: SIGKILL",
                  life->name);
    zm_child_signal (&life->child, SIGKILL);
  } else if (now_us >= life->due_us) {
    zm_log_write (world->log, ZM_LEVEL_ERROR, "worker",
                  "%s: process %d does not end even after SIGKILL: left behind", life->name,
                  (int) life->child.pid);
    tell_end (life, world, "left behind, as it did not end after SIGKILL", now_us);
    life->state = ZM_LIFE_GONE;
  }
}

/* ---- steps ---- */

/* In the thread, under its lock; does not wait. An end is looked for first, so that a process which ended by itself is
 * not pressed any more. */
void
zm_life_step (ZmLife *life, const ZmLifeWorld *world, gboolean blocked, gint64 now_us)
{
  int status = 0;

  if (life->state == ZM_LIFE_RUNNING && zm_child_reap (&life->child, &status))
    ended (life, world, status, now_us);
  if (life->stop && life->state != ZM_LIFE_RUNNING)
    life->state = ZM_LIFE_GONE;
  else if (life->stop)
    press (life, world, now_us);
  else if (life->state == ZM_LIFE_WAITING && blocked)
    life->due_us = now_us + ZM_LIFE_PAUSE_US;
  else if (life->state == ZM_LIFE_WAITING && now_us >= life->due_us)
    begin (life, world, now_us);
}

/* A process that runs in peace has no time of its own: its end and its output wake the thread. */
gint64
zm_life_due (const ZmLife *life)
{
  if (life->state == ZM_LIFE_WAITING || (life->state == ZM_LIFE_RUNNING && life->asked))
    return life->due_us;
  return -1;
}

/* ---- what is shown ---- */

char *
zm_life_absence (const ZmLife *life, gboolean wanted_only)
{
  if (life->state == ZM_LIFE_WAITING && life->failed)
    return g_strdup (life->last_end);
  if (life->state == ZM_LIFE_WAITING && life->last_end != NULL)
    return g_strdup_printf ("its process ended (%s) and is started again", life->last_end);
  if (life->state == ZM_LIFE_ENDED && !wanted_only)
    return g_strdup_printf ("its process ended (%s), and restart = no", life->last_end);
  return NULL;
}

/* Under the lock of the thread, for who shows it. */
void
zm_life_append_json (const ZmLife *life, GString *out)
{
  static const char *const states[] = { "waiting", "running", "ended", "ended" };
  gboolean failed = life->state == ZM_LIFE_WAITING && life->failed;

  g_string_append_printf (out, "\"state\":\"%s\",\"pid\":%d,\"starts\":%" G_GUINT64_FORMAT ",\"last_end\":",
                          failed ? "failed" : states[life->state],
                          life->state == ZM_LIFE_RUNNING ? (int) life->child.pid : 0, life->starts);
  if (life->last_end != NULL)
    zm_json_append_string (out, zm_span_text (life->last_end));
  else
    g_string_append (out, "null");
}
