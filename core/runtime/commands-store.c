/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands about the store: store-status, store-check, store-backup. The last two read all of it: each runs in a thread of its own,
 * and is answered when that is done.
 */
#include "config.h"

#include "base/zm-thread.h"
#include "runtime/commands.h"
#include "runtime/durable.h"
#include "runtime/private.h"

#include <stdatomic.h>

/* How often progress is told; what is found is told at once. */
#define PROGRESS_US (G_USEC_PER_SEC / 2)
/* Lines that a check may tell: more are counted only. */
#define FOUND_MOST 10000

/* One of them at work. */
struct ZmStoreWork {
  ZmRuntime *runtime;
  ZmStore *store;
  ZmLater *later;
  pthread_t thread;
  gboolean progress; /* the client wants parts */
  gboolean repair;
  char *path;       /* of a backup; NULL: a check */
  atomic_bool done; /* it may be joined without a wait */
  atomic_bool end;  /* the daemon ends */
  gint64 told_us;
  guint found, errors;
};

static ZmStore *
the_store (ZmCommandCall *call, GError **error)
{
  ZmStore *store = zm_durable_store (call->runtime);

  if (store == NULL)
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
        "the daemon has no store open: nothing of its configuration needs one, or [store] driver is none");
  return store;
}

gboolean
zm_command_store_status (ZmCommandCall *call, GError **error)
{
  if (the_store (call, error) == NULL)
    return FALSE;
  g_string_append_c (call->out, '{');
  zm_reply_member_take (call->out, "store", zm_durable_status_json (call->runtime));
  g_string_append_c (call->out, '}');
  return TRUE;
}

/* ---- in the thread ---- */

static void
tell (ZmStoreWork *work, int severity, const char *text, guint64 done, guint64 total)
{
  static const char *const names[] = { "error", "warning", "notice", "info" };
  GString *out = g_string_new ("{");
  const char *name =
      severity >= ZM_LOG_ERROR && severity <= ZM_LOG_INFO ? names[severity - ZM_LOG_ERROR] : "info";

  zm_reply_member_text (out, "severity", name);
  zm_reply_member_text (out, "text", text);
  zm_reply_member_integer (out, "done", (gint64) done);
  zm_reply_member_integer (out, "total", (gint64) total);
  g_string_append_c (out, '}');
  zm_command_progress (work->later, g_string_free (out, FALSE));
}

/* What is found is in the log as well: who asked may be gone. */
static int
on_report (void *user, int severity, const char *text, uint64_t done, uint64_t total)
{
  ZmStoreWork *work = user;
  gboolean found = severity <= ZM_LOG_WARNING;
  gint64 now_us = zm_now_us ();

  if (found) {
    work->found++;
    work->errors += severity <= ZM_LOG_ERROR;
    zm_log_limited (work->runtime->log, severity <= ZM_LOG_ERROR ? ZM_LEVEL_ERROR : ZM_LEVEL_WARNING, "store",
                    "what a check of the store found", "%s of the store: %s",
                    work->path != NULL ? "copy" : "check", text != NULL ? text : "");
  }
  if (work->progress && (found ? work->found <= FOUND_MOST : now_us - work->told_us >= PROGRESS_US)) {
    work->told_us = found ? work->told_us : now_us;
    tell (work, severity, text, done, total);
  }
  return atomic_load (&work->end);
}

static void
answer (ZmStoreWork *work, gboolean good, const GError *error)
{
  g_autofree char *text = NULL;
  GString *out;

  if (!good) {
    zm_command_answer_error (work->later, error);
    return;
  }
  if (work->path != NULL)
    text = g_strdup_printf ("the store was copied to %s", work->path);
  else if (work->found > 0)
    text = g_strdup_printf ("%u thing%s found, and mended", work->found, zm_runtime_plural (work->found));
  else
    text = g_strdup ("nothing is wrong with the store");
  out = g_string_new ("{");
  zm_reply_member_text (out, "text", text);
  zm_reply_member_integer (out, "found", work->found);
  g_string_append_c (out, '}');
  zm_command_answer (work->later, TRUE, g_string_free (out, FALSE));
}

static void *
work_main (void *user)
{
  ZmStoreWork *work = user;
  g_autoptr (GError) error = NULL;
  gboolean good = work->path != NULL ? zm_store_backup (work->store, work->path, on_report, work, &error)
                                     : zm_store_check (work->store, work->repair, on_report, work, &error);

  answer (work, good, error);
  atomic_store (&work->done, TRUE);
  return NULL;
}

/* ---- in the runtime's thread ---- */

static void
work_free (ZmStoreWork *work)
{
  g_free (work->path);
  g_free (work);
}

void
zm_store_work_end (ZmRuntime *runtime)
{
  ZmStoreWork *work = runtime->store_work;

  if (work == NULL)
    return;
  atomic_store (&work->end, TRUE);
  pthread_join (work->thread, NULL);
  g_clear_pointer (&runtime->store_work, work_free);
}

/* One at a time: two would only be slower. */
static gboolean
is_busy (ZmRuntime *runtime, GError **error)
{
  if (runtime->store_work == NULL)
    return FALSE;
  if (atomic_load (&runtime->store_work->done)) {
    zm_store_work_end (runtime);
    return FALSE;
  }
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
               "the store is being checked or copied already; ask again when that is done");
  return TRUE;
}

/* Takes work. */
static gboolean
begin (ZmCommandCall *call, ZmStoreWork *work, GError **error)
{
  ZmRuntime *runtime = call->runtime;
  int failed;

  work->runtime = runtime;
  work->later = zm_command_later (call, error);
  if (work->later == NULL) {
    work_free (work);
    return FALSE;
  }
  failed = zm_thread_create (&work->thread, "zm-store-work", work_main, work);
  if (failed != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no thread can be had for it: %s", g_strerror (failed));
    work_free (work);
    return FALSE;
  }
  runtime->store_work = work;
  return TRUE;
}

gboolean
zm_command_store_check (ZmCommandCall *call, GError **error)
{
  ZmStore *store = the_store (call, error);
  gboolean repair, progress;
  ZmStoreWork *work;

  if (store == NULL || !zm_command_flag (call->request, "repair", &repair, error) ||
      !zm_command_flag (call->request, "progress", &progress, error) || is_busy (call->runtime, error))
    return FALSE;
  work = g_new0 (ZmStoreWork, 1);
  work->store = store;
  work->repair = repair;
  work->progress = progress;
  return begin (call, work, error);
}

/* The daemon writes the file, and its directory is not that of the client: only a whole path says where it is. */
gboolean
zm_command_store_backup (ZmCommandCall *call, GError **error)
{
  ZmStore *store = the_store (call, error);
  g_autofree char *path = NULL;
  gboolean progress;
  ZmStoreWork *work;

  if (store == NULL || !zm_command_text (call->request, "path", TRUE, &path, error) ||
      !zm_command_flag (call->request, "progress", &progress, error))
    return FALSE;
  if (!g_path_is_absolute (path)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"path\" must be a whole path, from / on");
    return FALSE;
  }
  if (g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS, "%s is there already; name a new file, or remove it",
                 path);
    return FALSE;
  }
  if (is_busy (call->runtime, error))
    return FALSE;
  work = g_new0 (ZmStoreWork, 1);
  work->store = store;
  work->path = g_steal_pointer (&path);
  work->progress = progress;
  return begin (call, work, error);
}
