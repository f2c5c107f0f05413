/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of a store: a store at NAME has others beside it, NAME-… and NAME.…, which go where it goes. */
#include "config.h"

#include "runtime/store-files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((gsize) 1 << 20)
/* Stores that were replaced and are kept, of one name. */
#define KEPT_MOST 100

static gboolean
io_error (GError **error, const char *what, const char *path)
{
  int code = errno;

  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "cannot %s %s: %s", what, path, g_strerror (code));
  return FALSE;
}

/* ---- copying ---- */

static gboolean
write_all (int fd, const char *data, gsize size)
{
  while (size > 0) {
    gssize n = write (fd, data, size);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return FALSE;
    data += n;
    size -= (gsize) n;
  }
  return TRUE;
}

static gboolean
copy_bytes (int from, int to, guint64 total, zm_store_report_fn report, gpointer user)
{
  g_autofree char *chunk = g_malloc (CHUNK);
  guint64 done = 0;
  gssize n;

  while ((n = read (from, chunk, CHUNK)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 || !write_all (to, chunk, (gsize) n))
      return FALSE;
    done += (guint64) n;
    if (report (user, ZM_LOG_INFO, "bytes copied", done, total) != 0) {
      errno = ECANCELED;
      return FALSE;
    }
  }
  return fsync (to) == 0;
}

gboolean
zm_store_files_copy (int from, const char *path, zm_store_report_fn report, gpointer user, GError **error)
{
  struct stat info;
  int to = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  gboolean good = to >= 0 && fstat (from, &info) == 0 &&
                  copy_bytes (from, to, (guint64) MAX (info.st_size, 0), report, user);

  if (!good)
    io_error (error, "make the copy", path);
  if (to >= 0)
    close (to);
  close (from);
  if (!good && to >= 0)
    unlink (path);
  return good;
}

/* ---- what is beside a store ---- */

/* Its lock stays where it is, as it guards the place and not the content; what was kept of earlier stores, or waits to take its place, is
 * not its own. */
static gboolean
is_beside (const char *entry, const char *name)
{
  gsize length = strlen (name);
  const char *rest = entry + length;

  return strncmp (entry, name, length) == 0 && (rest[0] == '-' || rest[0] == '.') &&
         strcmp (rest, ".lock") != 0 && !g_str_has_prefix (rest, ".old") &&
         !g_str_has_prefix (rest, ".restore");
}

/* Calls func for the end of each such file's name: "-wal". */
static gboolean
each_beside (const char *path, gboolean (*func) (const char *rest, gpointer user), gpointer user)
{
  g_autofree char *directory = g_path_get_dirname (path), *name = g_path_get_basename (path);
  GDir *dir = g_dir_open (directory, 0, NULL);
  const char *entry;
  gboolean good = TRUE;

  while (dir != NULL && good && (entry = g_dir_read_name (dir)) != NULL)
    if (is_beside (entry, name))
      good = func (entry + strlen (name), user);
  if (dir != NULL)
    g_dir_close (dir);
  return good;
}

static gboolean
remove_one (const char *rest, gpointer path)
{
  g_autofree char *whole = g_strconcat (path, rest, NULL);

  unlink (whole);
  return TRUE;
}

void
zm_store_files_remove (const char *path)
{
  g_autofree char *lock = g_strconcat (path, ".lock", NULL);

  each_beside (path, remove_one, (gpointer) path);
  unlink (lock);
  unlink (path);
}

/* ---- exchanging ---- */

typedef struct Move {
  const char *from, *to;
} Move;

static gboolean
move_one (const char *rest, gpointer user)
{
  const Move *move = user;
  g_autofree char *from = g_strconcat (move->from, rest, NULL), *to = g_strconcat (move->to, rest, NULL);

  return rename (from, to) == 0;
}

/* NAME.old, or the first of NAME.old.1 … that is free. NULL: none is. */
static char *
free_name (const char *path)
{
  for (guint i = 0; i < KEPT_MOST; i++) {
    char *name = i == 0 ? g_strconcat (path, ".old", NULL) : g_strdup_printf ("%s.old.%u", path, i);

    if (!g_file_test (name, G_FILE_TEST_EXISTS))
      return name;
    g_free (name);
  }
  return NULL;
}

static gboolean
sync_directory (const char *path)
{
  g_autofree char *directory = g_path_get_dirname (path);
  int fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean good = fd >= 0 && fsync (fd) == 0;

  if (fd >= 0)
    close (fd);
  return good;
}

/* A second name for the old one, so that its own is never without a store. */
static gboolean
keep (const char *path, const char *kept, GError **error)
{
  Move move = { path, kept };

  if (!each_beside (path, move_one, &move))
    return io_error (error, "move what is beside", path);
  if (link (path, kept) != 0)
    return io_error (error, "keep the old store as", kept);
  return TRUE;
}

gboolean
zm_store_files_exchange (const char *fresh, const char *path, char **kept, GError **error)
{
  *kept = NULL;
  if (g_file_test (path, G_FILE_TEST_EXISTS)) {
    *kept = free_name (path);
    if (*kept == NULL) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "%d old stores are kept beside %s already; remove some",
                   KEPT_MOST, path);
      return FALSE;
    }
    if (!keep (path, *kept, error))
      return FALSE;
  }
  if (rename (fresh, path) != 0)
    return io_error (error, "put the new store in place at", path);
  if (!sync_directory (path))
    return io_error (error, "make safe the directory of", path);
  return TRUE;
}
