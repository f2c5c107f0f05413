/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths, sockets and the lock of one instance. */
#include "config.h"

#include "runtime/zm-instance.h"

#include "plugin/zm-plugins.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE_PLUGIN_DIR "/usr/local/lib/zmanager/plugins-1"

/* errno is saved before anything else can change it. Always FALSE, to be returned. */
static gboolean
io_error (GError **error, const char *what, const char *path)
{
  int code = errno;

  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot %s %s: %s", what, path, g_strerror (code));
  return FALSE;
}

/* The user's runtime directory with a name made of the owner and the path: the same for the daemon and its clients, whoever
 * runs them, as the owner of DIR counts and not who asks. */
static char *
make_short_dir (const char *dir)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, dir, -1);
  struct stat info;
  guint uid = stat (dir, &info) == 0 ? (guint) info.st_uid : (guint) geteuid ();

  if (runtime == NULL || !g_path_is_absolute (runtime) || strlen (runtime) > 60)
    runtime = "/tmp";
  return g_strdup_printf ("%s/zmanager-%u-%.12s", runtime, uid, hash);
}

/* What is missing is said with what to do about it: the first error that a new user meets is this one. */
static gboolean
check_directory (const char *dir, gboolean system, GError **error)
{
  if (g_file_test (dir, G_FILE_TEST_IS_DIR))
    return TRUE;
  if (g_file_test (dir, G_FILE_TEST_EXISTS))
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "%s is not a directory; give the instance's directory with --dir", dir);
  else if (system)
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "the configuration directory %s does not exist; make it, or run an instance of your own "
                 "with --dir DIR",
                 dir);
  else
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "the directory %s does not exist; make it with: mkdir -p %s", dir, dir);
  return FALSE;
}

/* Paths are resolved once, so that links in DIR may change without two daemons taking the same directory for two. */
ZmInstance *
zm_instance_new (const char *dir, GError **error)
{
  g_autoptr (ZmInstance) instance = g_new0 (ZmInstance, 1);
  g_autofree char *real = NULL;

  if (dir == NULL || *dir == '\0')
    dir = g_getenv ("ZM_DIR");
  instance->system = dir == NULL || *dir == '\0';
  if (instance->system)
    dir = ZM_SYSCONFDIR;
  if (!check_directory (dir, instance->system, error))
    return NULL;
  real = realpath (dir, NULL);
  if (real == NULL) {
    io_error (error, "resolve", dir);
    return NULL;
  }
  instance->dir = g_strdup (real);
  instance->config_file = g_build_filename (real, "zmanager.conf", NULL);
  instance->config_dir = g_build_filename (real, "conf.d", NULL);
  instance->actions_dir = g_build_filename (real, "actions.d", NULL);
  instance->flows_dir = g_build_filename (real, "flows.d", NULL);
  instance->state_dir = instance->system ? g_strdup (ZM_STATEDIR) : g_build_filename (real, "state", NULL);
  instance->run_dir = instance->system ? g_strdup (ZM_RUNDIR) : g_build_filename (real, "run", NULL);
  instance->short_dir = make_short_dir (real);
  return g_steal_pointer (&instance);
}

void
zm_instance_free (ZmInstance *instance)
{
  if (instance == NULL)
    return;
  g_free (instance->dir);
  g_free (instance->config_file);
  g_free (instance->config_dir);
  g_free (instance->actions_dir);
  g_free (instance->flows_dir);
  g_free (instance->state_dir);
  g_free (instance->run_dir);
  g_free (instance->short_dir);
  g_free (instance);
}

char *
zm_instance_copy_dir (const ZmInstance *instance)
{
  /* Not below run: /run is commonly mounted noexec, and the copies are mapped to be run. */
  return g_build_filename (instance->state_dir, "plugins", NULL);
}

/* The mode is for what is made now; what is there keeps its own. */
static gboolean
make_directory (const char *path, mode_t mode, GError **error)
{
  if (g_mkdir_with_parents (path, (int) mode) != 0)
    return io_error (error, "make the directory", path);
  return TRUE;
}

/* Who may write the directory of the sockets may put sockets of its own in their place; and code, who may write that of the state,
 * where copies of plugins are opened. */
gboolean
zm_instance_private (const char *what, const char *path, GError **error)
{
  if (zm_safe_directory (path, error))
    return TRUE;
  g_prefix_error (error, ZM_INSTANCE_NOT_PRIVATE, what);
  return FALSE;
}

gboolean
zm_instance_prepare (const ZmInstance *instance, GError **error)
{
  g_autofree char *copies = zm_instance_copy_dir (instance);

  return make_directory (instance->run_dir, 0750, error) &&
         zm_instance_private (ZM_INSTANCE_RUN, instance->run_dir, error) &&
         make_directory (instance->state_dir, 0700, error) &&
         zm_instance_private (ZM_INSTANCE_STATE, instance->state_dir, error) &&
         make_directory (copies, 0700, error);
}

/* The process id that a lock file tells, for the message only. */
static char *
lock_holder (int fd)
{
  char text[32] = "";
  gssize size = pread (fd, text, sizeof text - 1, 0);

  while (size > 0 && !g_ascii_isdigit (text[size - 1]))
    size--;
  text[MAX (size, 0)] = '\0';
  return zm_printable (zm_span_text (text), sizeof text);
}

/* flock, which ends with the process however that ends; the number in the file is only for people. O_NOFOLLOW: a link
 * in its place could make us write elsewhere. */
int
zm_instance_lock (const ZmInstance *instance, GError **error)
{
  g_autofree char *path = g_build_filename (instance->run_dir, "zmanagerd.pid", NULL);
  g_autofree char *text = g_strdup_printf ("%ld\n", (long) getpid ());
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

  if (fd < 0) {
    io_error (error, "open the lock", path);
    return -1;
  }
  if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
    g_autofree char *holder = lock_holder (fd);

    g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS,
                 "a zmanagerd (process %s) already runs in %s; stop it first, or give another --dir",
                 *holder ? holder : "unknown", instance->dir);
    close (fd);
    return -1;
  }
  if (ftruncate (fd, 0) != 0 || pwrite (fd, text, strlen (text), 0) != (gssize) strlen (text)) {
    io_error (error, "write", path);
    close (fd);
    return -1;
  }
  return fd;
}

/* For clients: nothing is made, and nothing need be there. */
char *
zm_instance_endpoint (const ZmInstance *instance, const char *name)
{
  g_autofree char *path = g_build_filename (instance->run_dir, name, NULL);
  g_autofree char *link = NULL;

  if (strlen (path) <= ZM_INSTANCE_SOCKET_MOST)
    return g_strconcat ("ipc://", path, NULL);
  /* The daemon may have had another XDG_RUNTIME_DIR than who asks: its link tells. */
  link = g_file_read_link (path, NULL);
  if (link != NULL && g_path_is_absolute (link) && strlen (link) <= ZM_INSTANCE_SOCKET_MOST)
    return g_strconcat ("ipc://", link, NULL);
  return g_strconcat ("ipc://", instance->short_dir, "/", name, NULL);
}

/* Makes the short directory private. /tmp is everybody's: somebody else's directory of that name is refused. */
static gboolean
make_short_private (const char *path, GError **error)
{
  struct stat info;

  if (mkdir (path, 0700) != 0 && errno != EEXIST)
    return io_error (error, "make the directory", path);
  if (lstat (path, &info) != 0)
    return io_error (error, "look at", path);
  if (!S_ISDIR (info.st_mode) || info.st_uid != geteuid () || (info.st_mode & 0077) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "%s, needed for sockets because the instance's path is long, is not a private directory of "
                 "this user; "
                 "remove it, or use a shorter --dir",
                 path);
    return FALSE;
  }
  return TRUE;
}

/* A path that is too long for a socket is bound in the short directory; a link in run leads there, which is how clients
 * find it whatever their environment is. */
char *
zm_instance_bind_endpoint (const ZmInstance *instance, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (instance->run_dir, name, NULL);
  g_autofree char *target = g_build_filename (instance->short_dir, name, NULL);

  if (strlen (path) <= ZM_INSTANCE_SOCKET_MOST)
    return g_strconcat ("ipc://", path, NULL);
  if (strlen (target) > ZM_INSTANCE_SOCKET_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
                 "the socket path %s is longer than %d bytes; use a shorter name", target,
                 ZM_INSTANCE_SOCKET_MOST);
    return NULL;
  }
  if (!make_short_private (instance->short_dir, error))
    return NULL;
  if ((unlink (path) != 0 && errno != ENOENT) || symlink (target, path) != 0) {
    io_error (error, "make the link", path);
    return NULL;
  }
  return g_strconcat ("ipc://", target, NULL);
}

/* Appends directories separated by colons, each once. */
static void
add_directories (GPtrArray *out, const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text ? text : "", ":", 256);

  for (char **part = parts; *part != NULL; part++)
    if (**part != '\0' && !g_ptr_array_find_with_equal_func (out, *part, g_str_equal, NULL))
      g_ptr_array_add (out, g_strdup (*part));
}

/* First hit wins, so the order is that of who is nearer to the operator: environment, configuration, the instance's
 * own, the site's, the system's. */
char **
zm_instance_plugin_dirs (const ZmInstance *instance, const char *const *configured, gboolean system)
{
  GPtrArray *out = g_ptr_array_new ();
  g_autofree char *own = g_build_filename (instance->dir, "plugins", NULL);

  add_directories (out, g_getenv ("ZM_PLUGIN_PATH"));
  for (; configured != NULL && *configured != NULL; configured++) {
    g_autofree char *absolute = g_canonicalize_filename (*configured, instance->dir);

    add_directories (out, absolute);
  }
  add_directories (out, own);
  if (system && g_strcmp0 (g_getenv ("ZM_SYSTEM_PLUGINS"), "no") != 0) {
    add_directories (out, SITE_PLUGIN_DIR);
    add_directories (out, ZM_PLUGINDIR);
  }
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_free (out, FALSE);
}
