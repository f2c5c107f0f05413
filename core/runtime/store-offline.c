/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store of an instance without its daemon: its plugin is loaded here, and its functions are called directly. */
#include "config.h"

#include "runtime/private.h"

#include "runtime/durable.h"
#include "runtime/store-files.h"
#include "runtime/zm-store-offline.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHY 512

typedef struct Offline {
  ZmInstance *instance;
  ZmConfig *config;
  ZmLog *log;
  ZmMetrics *metrics;
  ZmPlugins *plugins;
  ZmGeneration *generation;
  const zm_store_ops *ops;
  ZmDurableHost host;
  char *uri;
  int lock_fd;
} Offline;

/* ---- opening ---- */

static void
host_log (const zm_host *host, int level, const char *text)
{
  (void) host;
  if (level <= ZM_LOG_WARNING)
    g_printerr ("%s\n", text);
}

static const char *
host_config (const zm_host *host, const char *key, unsigned index)
{
  return zm_generation_config (zm_generation_of_host (host), key, index);
}

/* A store has no use for it here. */
static int
host_metric (const zm_host *host, int kind, const char *name, double value)
{
  (void) host;
  (void) kind;
  (void) name;
  (void) value;
  return ZM_OK;
}

/* What root makes the daemon could not use. Only for the rest of this process, which ends with what it was asked for. */
static gboolean
become_owner (const char *path, GError **error)
{
  struct stat info;

  if (geteuid () != 0 || stat (path, &info) != 0 || info.st_uid == 0)
    return TRUE;
  if (setegid (info.st_gid) == 0 && seteuid (info.st_uid) == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot act as the user that %s belongs to: %s", path,
               g_strerror (errno));
  return FALSE;
}

static gboolean
problems_error (const ZmProblems *problems, GError **error)
{
  g_autofree char *text = zm_problems_format (problems);

  if (zm_problems_errors (problems) == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s", g_strchomp (text));
  return FALSE;
}

static gboolean
open_instance (Offline *offline, const char *dir, GError **error)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  ZmRuntimeOptions options = { .dir = dir };

  offline->instance = zm_instance_new (dir, error);
  if (offline->instance == NULL)
    return FALSE;
  offline->config = zm_load_config (offline->instance, &options, problems);
  if (!problems_error (problems, error))
    return FALSE;
  if (zm_durable_driver (offline->config) == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "this instance has no store: [store] driver is none");
    return FALSE;
  }
  offline->uri = zm_durable_uri (offline->config, offline->instance);
  if (!become_owner (offline->instance->state_dir, error) || !zm_instance_prepare (offline->instance, error))
    return FALSE;
  offline->lock_fd = zm_instance_lock (offline->instance, error);
  return offline->lock_fd >= 0;
}

static void
make_plugins (Offline *offline)
{
  g_auto (GStrv) path =
      zm_instance_plugin_dirs (offline->instance, zm_config_list (offline->config, "zmanager", "plugin-path"),
                               zm_config_boolean (offline->config, "zmanager", "system-plugins"));
  g_autofree char *copies = zm_instance_copy_dir (offline->instance);
  ZmPluginsConfig config = {
    .path = (const char *const *) path,
    .copy_directory = copies,
    .drain_ms = 1000,
    .log = offline->log,
    .metrics = offline->metrics,
  };

  config.host.struct_size = sizeof config.host;
  config.host.abi_minor = ZM_ABI_MINOR;
  config.host.log = host_log;
  config.host.config = host_config;
  config.host.metric = host_metric;
  offline->plugins = zm_plugins_new (&config);
}

static gboolean
load_driver (Offline *offline, GError **error)
{
  g_autoptr (ZmProblems) problems = zm_problems_new (), ignored = zm_problems_new ();
  const char *driver = zm_durable_driver (offline->config);
  const char *const wanted[] = { driver, NULL };
  ZmPluginSet *set;

  make_plugins (offline);
  zm_plugins_scan (offline->plugins, ignored);
  set = zm_plugins_prepare (offline->plugins, offline->config, wanted, NULL, problems);
  if (set == NULL)
    return problems_error (problems, error);
  zm_plugins_commit (offline->plugins, set);
  if (!problems_error (problems, error))
    return FALSE;
  offline->generation = zm_durable_find (offline->plugins, driver, error);
  if (offline->generation == NULL)
    return FALSE;
  offline->ops = zm_generation_descriptor (offline->generation)->store;
  zm_durable_host_init (&offline->host, offline->generation, offline->config);
  return TRUE;
}

static void
offline_clear (Offline *offline)
{
  if (offline->generation != NULL)
    zm_generation_unref (offline->generation, "store");
  g_clear_pointer (&offline->plugins, zm_plugins_free);
  g_clear_pointer (&offline->metrics, zm_metrics_free);
  g_clear_pointer (&offline->log, zm_log_unref);
  g_clear_pointer (&offline->config, zm_config_unref);
  g_clear_pointer (&offline->instance, zm_instance_free);
  g_free (offline->uri);
  if (offline->lock_fd >= 0)
    close (offline->lock_fd);
}

static gboolean
offline_open (Offline *offline, const char *dir, GError **error)
{
  *offline = (Offline){ .lock_fd = -1 };
  offline->log = zm_log_new (STDERR_FILENO, ZM_LOG_FORMAT_HUMAN, ZM_LEVEL_WARNING);
  offline->metrics = zm_metrics_new ();
  return open_instance (offline, dir, error) && load_driver (offline, error);
}

/* ---- checking ---- */

static gboolean
open_at (Offline *offline, const char *uri, void **store, GError **error)
{
  char why[WHY] = "";
  int code = offline->ops->open (zm_generation_state (offline->generation), &offline->host.table, uri, store,
                                 why, sizeof why);

  why[sizeof why - 1] = '\0';
  if (code != ZM_OK)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s cannot be opened as a store: %s", uri != NULL ? uri : "it",
                 why);
  return code == ZM_OK;
}

static gboolean
check_at (Offline *offline, const char *uri, gboolean repair, zm_store_report_fn report, gpointer user,
          GError **error)
{
  void *store = NULL;
  int code;

  if (!open_at (offline, uri, &store, error))
    return FALSE;
  code = offline->ops->check != NULL ? offline->ops->check (store, repair, report, user) : ZM_E_UNSUPPORTED;
  offline->ops->close (store);
  if (code == ZM_E_UNSUPPORTED)
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND, "a store of this kind cannot be checked");
  else if (code != ZM_OK)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "something is wrong with the store %s",
                 uri != NULL ? uri : "");
  return code == ZM_OK;
}

gboolean
zm_store_offline_check (const char *dir, gboolean repair, zm_store_report_fn report, gpointer user,
                        GError **error)
{
  Offline offline;
  gboolean good =
      offline_open (&offline, dir, error) && check_at (&offline, offline.uri, repair, report, user, error);

  offline_clear (&offline);
  return good;
}

/* ---- restoring ---- */

/* Only a store that is one file can be exchanged by us. */
static gboolean
is_file (const Offline *offline, GError **error)
{
  if (offline->uri != NULL && g_path_is_absolute (offline->uri) &&
      (offline->ops->flags & (ZM_STORE_DURABLE | ZM_STORE_SHARED)) == ZM_STORE_DURABLE)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
               "the store %s is no file of this machine; restore it by its own means",
               zm_durable_driver (offline->config));
  return FALSE;
}

/* What is in its log comes into the file, so that the file alone is all of it. A damaged one is kept as it is. */
static void
settle (Offline *offline)
{
  void *store = NULL;

  if (g_file_test (offline->uri, G_FILE_TEST_EXISTS) && open_at (offline, offline->uri, &store, NULL))
    offline->ops->close (store);
}

static gboolean
restore (Offline *offline, int from, zm_store_report_fn report, gpointer user, char **kept, GError **error)
{
  g_autofree char *fresh = g_strconcat (offline->uri, ".restore", NULL);
  gboolean good;

  zm_store_files_remove (fresh);
  if (!zm_store_files_copy (from, fresh, report, user, error))
    return FALSE;
  good = check_at (offline, fresh, FALSE, report, user, error);
  if (!good)
    g_prefix_error (error, "what was given is no whole store, and the store stays as it was: ");
  if (good) {
    settle (offline);
    good = zm_store_files_exchange (fresh, offline->uri, kept, error);
  }
  zm_store_files_remove (fresh);
  return good;
}

/* To a store's plugin an empty file, or none, is a store to be made. */
static gboolean
has_content (int fd, const char *file, GError **error)
{
  struct stat info;

  if (fstat (fd, &info) == 0 && S_ISREG (info.st_mode) && info.st_size > 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "%s is empty or no file: it is no whole store, and the store stays as it was", file);
  return FALSE;
}

/* The file is opened before we act as the daemon's user, who may not be allowed to read it. */
gboolean
zm_store_offline_restore (const char *dir, const char *file, zm_store_report_fn report, gpointer user,
                          char **kept, GError **error)
{
  int from = open (file, O_RDONLY | O_CLOEXEC);
  Offline offline;
  gboolean good;

  *kept = NULL;
  if (from < 0) {
    g_set_error (error, ZM_ERROR, errno == ENOENT ? ZM_ERROR_NOT_FOUND : ZM_ERROR_IO, "cannot read %s: %s",
                 file, g_strerror (errno));
    return FALSE;
  }
  if (!has_content (from, file, error)) {
    close (from);
    return FALSE;
  }
  good = offline_open (&offline, dir, error) && is_file (&offline, error);
  if (good)
    good = restore (&offline, from, report, user, kept, error);
  else
    close (from);
  offline_clear (&offline);
  return good;
}
