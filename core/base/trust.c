/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owners and modes of files that decide what code runs, and of the directories that lead to them. */
#include "config.h"

#include "base/zm-trust.h"

#include "base/zm-base.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* From the file's own directory up to the root. One that cannot be looked at cannot be changed by means of it either. */
gboolean
zm_trust_replaceable (const char *real_path, char **why)
{
  g_autofree char *directory = g_path_get_dirname (real_path);
  struct stat info;

  *why = NULL;
  for (;;) {
    g_autofree char *above = NULL;

    if (stat (directory, &info) == 0 && (info.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH) {
      *why = g_strdup_printf ("anybody may exchange %s, as %s (mode %04o) is everybody's; chmod o-w it",
                              real_path, directory, (guint) (info.st_mode & 07777));
      return TRUE;
    }
    above = g_path_get_dirname (directory);
    if (g_str_equal (above, directory))
      return FALSE;
    g_free (directory);
    directory = g_steal_pointer (&above);
  }
}

/* A group of others is as bad as anybody; one's own is what umask 002 makes of every file. */
static ZmTrust
judge (const char *path, const struct stat *info, uid_t owner, char **why)
{
  guint mode = (guint) (info->st_mode & 07777);

  if (info->st_uid != 0 && info->st_uid != owner)
    *why = g_strdup_printf ("%s belongs to user %u, not to root or user %u; chown it", path,
                            (guint) info->st_uid, (guint) owner);
  else if ((info->st_mode & S_IWOTH) != 0)
    *why = g_strdup_printf ("anybody may write %s (mode %04o); chmod o-w it", path, mode);
  else if ((info->st_mode & S_IWGRP) != 0 && info->st_gid != 0 && info->st_gid != getegid ())
    *why =
        g_strdup_printf ("group %u may write %s (mode %04o); chmod g-w it", (guint) info->st_gid, path, mode);
  else
    return (info->st_mode & S_IWGRP) != 0 ? ZM_TRUST_GROUP : ZM_TRUST_GOOD;
  return ZM_TRUST_BAD;
}

/* What counts of a symbolic link is where it leads, and that nobody can turn it elsewhere. */
ZmTrust
zm_trust_path (const char *path, uid_t owner, char **why)
{
  char *real = realpath (path, NULL);
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);
  struct stat info;
  ZmTrust trust;

  *why = NULL;
  if (real == NULL || stat (real, &info) != 0) {
    free (real);
    return ZM_TRUST_NONE;
  }
  trust = judge (path, &info, owner, why);
  if (trust != ZM_TRUST_BAD && (zm_trust_replaceable (real, why) || zm_trust_replaceable (absolute, why)))
    trust = ZM_TRUST_BAD;
  free (real);
  return trust;
}

gboolean
zm_trust_program (const char *path, GError **error)
{
  g_autofree char *why = NULL;

  if (zm_trust_path (path, geteuid (), &why) != ZM_TRUST_BAD)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "%s", why);
  return FALSE;
}
