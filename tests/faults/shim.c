/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a disk fail for one process: loaded before it (LD_PRELOAD), it stands between the process and the C library's write, pwrite,
 * fsync and fdatasync. What fails stands in the file that ZM_FAULTS names, which may change while the process runs; a line
 * each:
 *
 *   sync|write EIO|ENOSPC SKIP COUNT PATTERN
 *
 * of the calls on files whose path holds PATTERN, the first SKIP are let through, and the next COUNT fail (-1: all of them). The
 * counting starts again when the file changes. A file that is not there: nothing fails.
 *
 * Where ZM_RECORD names a file, what is done to files whose path ends in store.db or store.db-wal is written into it, in its order: a line
 * "w|t|s PATH PLACE SIZE" for each write, truncation (to PLACE) and sync that is over, after a write its SIZE bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define RULES_MOST 8
#define TEXT_MOST  1024

typedef struct Rule {
  char call[8], error[8], pattern[128];
  long skip, count, seen;
} Rule;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Rule rules[RULES_MOST];
static int n_rules;
static char known[TEXT_MOST]; /* the file's text that the rules are made of */

static void *
next (const char *name)
{
  return dlsym (RTLD_NEXT, name);
}

/* The file is small, and read again each time: how long a call takes does not matter here. */
static void
read_rules (void)
{
  const char *path = getenv ("ZM_FAULTS");
  char text[TEXT_MOST] = "", copy[TEXT_MOST];
  int fd = path != NULL ? open (path, O_RDONLY | O_CLOEXEC) : -1;
  ssize_t size = fd >= 0 ? read (fd, text, sizeof text - 1) : 0;
  char *rest = NULL;

  if (fd >= 0)
    close (fd);
  text[size > 0 ? size : 0] = '\0';
  if (strcmp (text, known) == 0)
    return;
  memcpy (known, text, sizeof known);
  memcpy (copy, text, sizeof copy);
  n_rules = 0;
  for (char *line = strtok_r (copy, "\n", &rest); line != NULL && n_rules < RULES_MOST;
       line = strtok_r (NULL, "\n", &rest)) {
    Rule rule = { .seen = 0 };

    if (sscanf (line, "%7s %7s %ld %ld %127s", rule.call, rule.error, &rule.skip, &rule.count,
                rule.pattern) == 5)
      rules[n_rules++] = rule;
  }
}

/* The errno to fail with; 0: none. */
static int
judge (const char *call, const char *path)
{
  for (int i = 0; i < n_rules; i++) {
    Rule *rule = &rules[i];

    if (strcmp (rule->call, call) != 0 || strstr (path, rule->pattern) == NULL)
      continue;
    rule->seen++;
    if (rule->seen > rule->skip && (rule->count < 0 || rule->seen <= rule->skip + rule->count))
      return strcmp (rule->error, "ENOSPC") == 0 ? ENOSPC : EIO;
  }
  return 0;
}

static int
fails (const char *call, int fd)
{
  char name[64], path[4096];
  ssize_t size;
  int code;

  snprintf (name, sizeof name, "/proc/self/fd/%d", fd);
  size = readlink (name, path, sizeof path - 1);
  if (size <= 0 || path[0] != '/')
    return 0;
  path[size] = '\0';
  pthread_mutex_lock (&lock);
  read_rules ();
  code = judge (call, path);
  pthread_mutex_unlock (&lock);
  if (code != 0)
    errno = code;
  return code != 0;
}

/* ---- recording ---- */

static pthread_mutex_t order =
    PTHREAD_MUTEX_INITIALIZER; /* what is done and what is recorded have one order */

static int
recorded (int fd, char *path, size_t room)
{
  char name[64];
  ssize_t size;

  if (getenv ("ZM_RECORD") == NULL)
    return 0;
  snprintf (name, sizeof name, "/proc/self/fd/%d", fd);
  size = readlink (name, path, room - 1);
  if (size <= 9)
    return 0;
  path[size] = '\0';
  return strcmp (path + size - 8, "store.db") == 0 || strcmp (path + size - 4, "-wal") == 0;
}

static void
record (char what, const char *path, long long at, const void *data, size_t size)
{
  ssize_t (*real) (int, const void *, size_t) = next ("write");
  char line[4400];
  int out = open (getenv ("ZM_RECORD"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  int n = snprintf (line, sizeof line, "%c %s %lld %zu\n", what, path, at, size);

  if (out < 0 || real (out, line, (size_t) n) != n || (size > 0 && real (out, data, size) != (ssize_t) size))
    abort ();
  close (out);
}

static ssize_t
record_pwrite (const char *name, int fd, const void *data, size_t size, off64_t at)
{
  ssize_t (*real) (int, const void *, size_t, off64_t) = next (name);
  char path[4096];
  int noted = recorded (fd, path, sizeof path);
  ssize_t done;

  if (!noted)
    return real (fd, data, size, at);
  pthread_mutex_lock (&order);
  done = real (fd, data, size, at);
  if (done > 0)
    record ('w', path, at, data, (size_t) done);
  pthread_mutex_unlock (&order);
  return done;
}

static int
record_sync (const char *name, int fd)
{
  int (*real) (int) = next (name);
  char path[4096];
  int noted = recorded (fd, path, sizeof path), done;

  if (!noted)
    return real (fd);
  pthread_mutex_lock (&order);
  done = real (fd);
  if (done == 0)
    record ('s', path, 0, NULL, 0);
  pthread_mutex_unlock (&order);
  return done;
}

static int
record_truncate (const char *name, int fd, off64_t size)
{
  int (*real) (int, off64_t) = next (name);
  char path[4096];
  int noted = recorded (fd, path, sizeof path), done;

  if (!noted)
    return real (fd, size);
  pthread_mutex_lock (&order);
  done = real (fd, size);
  if (done == 0)
    record ('t', path, size, NULL, 0);
  pthread_mutex_unlock (&order);
  return done;
}

int
ftruncate (int fd, off_t size)
{
  return record_truncate ("ftruncate", fd, size);
}

int
ftruncate64 (int fd, off64_t size)
{
  return record_truncate ("ftruncate64", fd, size);
}

/* ---- calls that fail ---- */

ssize_t
write (int fd, const void *data, size_t size)
{
  ssize_t (*real) (int, const void *, size_t) = next ("write");

  return fails ("write", fd) ? -1 : real (fd, data, size);
}

ssize_t
pwrite (int fd, const void *data, size_t size, off_t at)
{
  return fails ("write", fd) ? -1 : record_pwrite ("pwrite", fd, data, size, at);
}

ssize_t
pwrite64 (int fd, const void *data, size_t size, off64_t at)
{
  return fails ("write", fd) ? -1 : record_pwrite ("pwrite64", fd, data, size, at);
}

int
fsync (int fd)
{
  return fails ("sync", fd) ? -1 : record_sync ("fsync", fd);
}

int
fdatasync (int fd)
{
  return fails ("sync", fd) ? -1 : record_sync ("fdatasync", fd);
}
