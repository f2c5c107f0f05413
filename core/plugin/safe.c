/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that nobody else may write. What is checked is the open file, not its name; so nobody can exchange it between the
 * check and the copy.
 */
#include "config.h"

#include "base/zm-trust.h"
#include "plugin/zm-plugin-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Size and time are part of it: a file that is written in place keeps its inode. */
gboolean
zm_identity_equal (const ZmIdentity *a, const ZmIdentity *b)
{
  return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

/* Of the open file, never of the name. */
static void
take_identity (const struct stat *st, ZmIdentity *identity)
{
  identity->device = st->st_dev;
  identity->inode = st->st_ino;
  identity->size = (guint64) st->st_size;
  identity->mtime_ns = (gint64) st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* Only root and we ourselves may write it. A directory that others write is no better with the sticky bit: they can add
 * files to it. */
static gboolean
check_owner (const struct stat *st, const char *path, GError **error)
{
  if (st->st_uid != 0 && st->st_uid != geteuid ())
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "%s belongs to user %u, not to root or to this user; chown it", path, (guint) st->st_uid);
  else if (st->st_mode & (S_IWGRP | S_IWOTH))
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "others may write %s (mode %04o); chmod go-w it", path,
                 (guint) (st->st_mode & 07777));
  else
    return TRUE;
  return FALSE;
}

/* A safe directory in one where anybody may rename it is no better than that. */
static gboolean
check_way (const char *path, GError **error)
{
  char *real = realpath (path, NULL);
  g_autofree char *why = NULL;

  if (real != NULL && zm_trust_replaceable (real, &why))
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "%s", why);
  free (real);
  return why == NULL;
}

gboolean
zm_safe_directory (const char *path, GError **error)
{
  struct stat st;

  if (stat (path, &st) != 0) {
    g_set_error (error, ZM_ERROR, errno == ENOENT ? ZM_ERROR_NOT_FOUND : ZM_ERROR_IO, "%s cannot be read: %s",
                 path, g_strerror (errno));
    return FALSE;
  }
  if (!S_ISDIR (st.st_mode)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s is not a directory", path);
    return FALSE;
  }
  return check_owner (&st, path, error) && check_way (path, error);
}

/* O_NONBLOCK: opening a FIFO would wait for its writer, and a device may do anything. */
static int
open_plain (const char *path, struct stat *st, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

  if (fd < 0 || fstat (fd, st) != 0) {
    g_set_error (error, ZM_ERROR, errno == ENOENT ? ZM_ERROR_NOT_FOUND : ZM_ERROR_IO, "%s cannot be read: %s",
                 path, g_strerror (errno));
  } else if (!S_ISREG (st->st_mode)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s is not a plain file", path);
  } else if (st->st_size > ZM_PLUGIN_FILE_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "%s is larger than 256 MiB", path);
  } else {
    return fd;
  }
  if (fd >= 0)
    close (fd);
  return -1;
}

int
zm_plain_open (const char *path, ZmIdentity *identity, GError **error)
{
  struct stat st = { 0 };
  int fd = open_plain (path, &st, error);

  take_identity (&st, identity);
  return fd;
}

/* A symbolic link is fine for packagers; then the target's directory counts as well. */
static gboolean
check_target_directory (const char *path, GError **error)
{
  char *target = realpath (path, NULL);
  g_autofree char *directory = target != NULL ? g_path_get_dirname (target) : NULL;

  free (target);
  if (directory == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s cannot be followed: %s", path, g_strerror (errno));
    return FALSE;
  }
  return zm_safe_directory (directory, error);
}

/* The file is open before it is judged, so what is judged is what will be read. */
int
zm_safe_open (const char *path, ZmIdentity *identity, GError **error)
{
  struct stat st = { 0 };
  int fd = open_plain (path, &st, error);

  take_identity (&st, identity);
  if (fd < 0 || (check_owner (&st, path, error) && check_target_directory (path, error)))
    return fd;
  close (fd);
  return -1;
}
