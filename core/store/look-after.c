/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking and copying, which the plugin does itself: what it reports is passed on, and the worst of it becomes the error. */
#include "config.h"

#include "base/zm-base.h"
#include "store/store-private.h"

typedef struct Listener {
  zm_store_report_fn report;
  gpointer user;
  char *worst; /* the first line of an error */
  gboolean stopped;
} Listener;

static int
on_report (void *user, int severity, const char *text, uint64_t done, uint64_t total)
{
  Listener *listener = user;

  if (severity == ZM_LOG_ERROR && listener->worst == NULL)
    listener->worst = g_strdup (text);
  if (listener->report != NULL && listener->report (listener->user, severity, text, done, total) != 0)
    listener->stopped = TRUE;
  return listener->stopped;
}

static gboolean
ended (int code, Listener *listener, const char *what, GError **error)
{
  g_autofree char *worst = g_steal_pointer (&listener->worst);

  if (code == ZM_OK)
    return TRUE;
  if (listener->stopped)
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "%s: it was ended before it was done", what);
  else
    zm_store_error (error, code, what, worst);
  return FALSE;
}

static void
unsupported (const ZmStore *store, const char *what, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "the store %s cannot be %s", store->driver, what);
}

gboolean
zm_store_check (ZmStore *store, gboolean repair, zm_store_report_fn report, gpointer user, GError **error)
{
  Listener listener = { report, user, NULL, FALSE };

  if (store->ops->check == NULL) {
    unsupported (store, "checked", error);
    return FALSE;
  }
  if (repair && (store->ops->flags & ZM_STORE_REPAIR) == 0) {
    unsupported (store, "repaired", error);
    return FALSE;
  }
  return ended (store->ops->check (store->plugin, repair, on_report, &listener), &listener,
                "something is wrong with the store", error);
}

gboolean
zm_store_backup (ZmStore *store, const char *path, zm_store_report_fn report, gpointer user, GError **error)
{
  Listener listener = { report, user, NULL, FALSE };
  g_autofree char *what = NULL;

  if (store->ops->backup == NULL || (store->ops->flags & ZM_STORE_BACKUP) == 0) {
    unsupported (store, "copied while it is in use", error);
    return FALSE;
  }
  what = g_strdup_printf ("the store cannot be copied to %s", path);
  return ended (store->ops->backup (store->plugin, path, on_report, &listener), &listener, what, error);
}
