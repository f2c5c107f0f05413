/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secrets that stand elsewhere: file:PATH, env:NAME, credential:NAME. What is read here is never shown. */
#include "config.h"

#include "config/config-private.h"

#include "base/zm-codes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MOST (64 * 1024)

gboolean
zm_config_secret_refers (const char *text)
{
  /* file://… is an address, which a plugin may want as it is. */
  if (g_str_has_prefix (text, "file:"))
    return !g_str_has_prefix (text, "file://");
  return g_str_has_prefix (text, "env:") || g_str_has_prefix (text, "credential:");
}

/* Always NULL, for the caller to return. The text tells where the secret should be, never what it is. */
static char *
fail (const ZmEntry *entry, const ZmValue *value, const char *expected, const char *todo, const char *what,
      ZmProblems *problems)
{
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_SECRET_NOT_READABLE, value->file, value->line,
                   value->column, expected, todo, "[%s] %s: %s", entry->section, entry->key, what);
  return NULL;
}

/* At most one byte over the bound; -1 with errno. Plain files only: a pipe would block. *mode: who may read and write it. */
static gssize
slurp (const char *path, char *buffer, gsize size, mode_t *mode)
{
  struct stat info;
  gsize used = 0;
  ssize_t got = 1;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

  if (fd < 0)
    return -1;
  if (fstat (fd, &info) != 0 || !S_ISREG (info.st_mode)) {
    close (fd);
    errno = EINVAL;
    return -1;
  }
  *mode = info.st_mode;
  while (used < size && (got = read (fd, buffer + used, size - used)) > 0)
    used += (gsize) got;
  close (fd);
  return got < 0 ? -1 : (gssize) used;
}

/* The permissions are those of the open file, so nobody can exchange it between the look and the reading. */
static char *
from_file (const ZmEntry *entry, const ZmValue *value, const char *path, ZmProblems *problems)
{
  g_autofree char *buffer = g_malloc (SECRET_MOST + 1);
  g_autofree char *what = NULL;
  mode_t mode = 0;
  gssize size = slurp (path, buffer, SECRET_MOST + 1, &mode);

  if (size < 0) {
    what = g_strdup_printf ("secret file %s cannot be read: %s", path, g_strerror (errno));
    return fail (entry, value, "a plain file that can be read", "check its path and permissions", what,
                 problems);
  }
  if (size > SECRET_MOST || memchr (buffer, '\0', (gsize) size) != NULL) {
    what = g_strdup_printf ("secret file %s holds no secret", path);
    return fail (entry, value, "text of at most 64 KiB", "check that it is the right file", what, problems);
  }
  /* A secret that anybody may choose keeps nobody out; one that anybody may read still works, and is told. */
  if ((mode & S_IWOTH) != 0) {
    what = g_strdup_printf ("anybody may write the secret file %s (mode %04o)", path, (guint) (mode & 07777));
    return fail (entry, value, "a file that its owner alone may write",
                 "chmod o= it, and choose another secret", what, problems);
  }
  if ((mode & S_IRWXO) != 0)
    zm_problems_add (problems, ZM_PROBLEM_WARNING, ZM_CODE_SECRET_TOO_OPEN, value->file, value->line,
                     value->column, "a file for its owner and group only", "chmod o= it",
                     "[%s] %s: everybody may read %s", entry->section, entry->key, path);
  /* Editors and echo end the last line. */
  while (size > 0 && (buffer[size - 1] == '\n' || buffer[size - 1] == '\r'))
    size--;
  return g_strndup (buffer, (gsize) size);
}

/* Counts from the file that names it; a setting of the command line counts from where the command runs. */
static char *
from_relative_file (const ZmEntry *entry, const ZmValue *value, const char *path, ZmProblems *problems)
{
  g_autofree char *directory = value->line > 0 ? g_path_get_dirname (value->file) : g_strdup (".");
  g_autofree char *full = g_build_filename (directory, path, NULL);

  return from_file (entry, value, g_path_is_absolute (path) ? path : full, problems);
}

/* Only for those who must: other processes of the user can read it, and children inherit it. */
static char *
from_environment (const ZmEntry *entry, const ZmValue *value, const char *name, ZmProblems *problems)
{
  const char *text = g_getenv (name);
  g_autofree char *what = NULL;

  if (text != NULL)
    return g_strdup (text);
  what = g_strdup_printf ("the environment has no %s", name);
  return fail (entry, value, "env:NAME of a variable that is set", "set it where zmanagerd is started", what,
               problems);
}

/* systemd's LoadCredential= puts each into a file of a directory that only this service reads. */
static char *
from_credential (const ZmEntry *entry, const ZmValue *value, const char *name, ZmProblems *problems)
{
  const char *directory = g_getenv ("CREDENTIALS_DIRECTORY");
  g_autofree char *path = NULL, *what = NULL;

  if (name[0] == '\0' || name[0] == '.' || strchr (name, '/') != NULL) {
    what = g_strdup_printf ("\"%s\" is no name of a credential", name);
    return fail (entry, value, "credential:NAME without '/'", "name it as LoadCredential= does", what,
                 problems);
  }
  if (directory == NULL)
    return fail (entry, value, "$CREDENTIALS_DIRECTORY, which the service manager sets",
                 "add LoadCredential= to the unit, or use file:PATH", "there are no credentials here",
                 problems);
  path = g_build_filename (directory, name, NULL);
  return from_file (entry, value, path, problems);
}

/* Only for texts that zm_config_secret_refers: the first letter then tells which of the three it is. */
char *
zm_config_secret_resolve (const ZmEntry *entry, const ZmValue *value, ZmProblems *problems)
{
  const char *rest = strchr (value->text, ':') + 1;

  switch (value->text[0]) {
  case 'f': return from_relative_file (entry, value, rest, problems);
  case 'e': return from_environment (entry, value, rest, problems);
  default: return from_credential (entry, value, rest, problems);
  }
}
