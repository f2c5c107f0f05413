/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit log. Acts are rare, so the file is opened for each line and closed again: whoever rotates it needs no signal, and a
 * file that was removed comes back.
 */
#include "config.h"

#include "runtime/audit.h"

#include "runtime/private.h"

#include "base/zm-codes.h"
#include "runtime/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Commands that only read, and those that are about single messages: they are no more acts than a send is. One that stands
 * nowhere here is told of: better a line too many than an act in silence. */
static const char *const reading[] = {
  "config",     "dead",       "explain",       "flow",    "flows",   "hosts",     "instances",
  "log",        "log-recent", "metrics",       "plugins", "queue",   "queue-ack", "queue-get",
  "queue-peek", "queue-put",  "queue-release", "queues",  "routes",  "running",   "services",
  "sources",    "status",     "store-status",  "top",     "workers", NULL
};

/* Arguments that say what was done and hold no secret. Of others only the size is told: what is said to a service, for example,
 * may be a password. */
static const char *const shown[] = { "name", "queue",   "project", "level", "id",
                                     "path", "service", "verb",    NULL };
static const char *const counted[] = { "argument", "body", NULL };

#define SHOWN_MOST 256 /* bytes of an argument */

/* ---- who ---- */

/* Behind the last but two colons, as what stands before may be a path with colons in it. */
ZmAuditPeer
zm_audit_peer (const char *address)
{
  ZmAuditPeer peer = { FALSE, 0, 0 };
  const char *at = address != NULL ? address + strlen (address) : NULL;
  guint colons = 0, gid;
  int end = 0;

  while (at != NULL && at > address && colons < 3)
    colons += *--at == ':';
  if (colons == 3 && sscanf (at, ":%u:%u:%u%n", &peer.uid, &gid, &peer.pid, &end) == 3 && at[end] == '\0')
    peer.known = TRUE;
  return peer;
}

/* The name that the system has for it; the number where it has none. The caller frees. */
static char *
user_name (guint uid)
{
  char buffer[4096];
  struct passwd entry, *found = NULL;

  if (getpwuid_r (uid, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
    return g_strdup_printf ("%u", uid);
  return zm_printable (zm_span_text (found->pw_name), 64);
}

/* ---- the file ---- */

/* The configured path, counted from the instance's directory; NULL: none. The caller frees. */
static char *
audit_path (const ZmInstance *instance, const ZmConfig *config)
{
  const char *path = zm_config_text (config, "zmanager", "audit-log");

  return path != NULL && *path != '\0' ? g_canonicalize_filename (path, instance->dir) : NULL;
}

/* A plain file of ours that nobody else may write: a line in it is to be believed. -1 with error. O_NONBLOCK: a FIFO in its place
 * would hold the daemon. make: O_CREAT or 0. */
static int
open_audit (const char *path, uid_t owner, int make, GError **error)
{
  int fd = open (path, O_WRONLY | O_APPEND | make | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
  struct stat info;

  if (fd < 0 || fstat (fd, &info) != 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "the audit log %s cannot be opened: %s", path,
                 g_strerror (errno));
  else if (!S_ISREG (info.st_mode))
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "the audit log %s is not a plain file", path);
  else if (info.st_uid != owner || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "the audit log %s (mode %04o, of user %u) can be written by others; chown it to user %u and "
                 "chmod go-w it",
                 path, (guint) (info.st_mode & 07777), (guint) info.st_uid, (guint) owner);
  else
    return fd;
  if (fd >= 0)
    close (fd);
  return -1;
}

gboolean
zm_audit_check (ZmRuntime *runtime, GError **error)
{
  g_autofree char *path = audit_path (runtime->instance, runtime->config);
  int fd = path != NULL ? open_audit (path, geteuid (), O_CREAT, error) : -1;

  if (fd >= 0)
    close (fd);
  return path == NULL || fd >= 0;
}

/* One that is not there would be made: whether that can be is asked of its directory. */
static gboolean
can_be_made (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);

  if (access (folder, W_OK | X_OK) == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "the audit log %s cannot be opened: %s", path,
               g_strerror (errno));
  return FALSE;
}

gboolean
zm_audit_look (const ZmInstance *instance, const ZmConfig *config, uid_t owner, GError **error)
{
  g_autofree char *path = audit_path (instance, config);
  struct stat info;
  int fd;

  if (path == NULL)
    return TRUE;
  if (lstat (path, &info) != 0 && errno == ENOENT)
    return can_be_made (path, error);
  fd = open_audit (path, owner, 0, error);
  if (fd >= 0)
    close (fd);
  return fd >= 0;
}

void
zm_audit_tell (const ZmInstance *instance, const ZmConfig *config, uid_t owner, ZmSeverity severity,
               ZmProblems *problems)
{
  g_autoptr (GError) error = NULL;
  const char *file = NULL;
  guint line = 0, column = 0;

  if (zm_audit_look (instance, config, owner, &error))
    return;
  zm_config_place (config, "zmanager", "audit-log", &file, &line, &column);
  zm_problems_add (problems, severity, ZM_CODE_AUDIT_LOST, file, line, column, NULL, NULL, "%s",
                   error->message);
}

char *
zm_audit_lost (const ZmRuntime *runtime)
{
  g_autoptr (GError) error = NULL;

  /* What keeps it from being opened may have been mended since. */
  if (!zm_audit_look (runtime->instance, runtime->config, geteuid (), &error))
    return g_strdup (error->message);
  return g_strdup (runtime->audit_lost);
}

/* One write a line: O_APPEND puts it at the end as a whole, also where somebody else writes at the same time. */
static void
to_file (ZmRuntime *runtime, const char *text, const char *const *fields)
{
  g_autofree char *path = audit_path (runtime->instance, runtime->config);
  g_autoptr (GError) error = NULL;
  int fd = path != NULL ? open_audit (path, geteuid (), O_CREAT, &error) : -1;

  if (fd >= 0) {
    g_autofree char *json = zm_log_line_json (ZM_LEVEL_NOTICE, "audit", text, fields);
    g_autofree char *line = g_strconcat (json, "\n", NULL);
    gsize size = strlen (line);

    if (write (fd, line, size) != (gssize) size)
      g_set_error (&error, ZM_ERROR, ZM_ERROR_IO, "the audit log %s cannot be written: %s", path,
                   g_strerror (errno));
    close (fd);
    /* Until a line can be written again. */
    g_free (runtime->audit_lost);
    runtime->audit_lost = error != NULL ? g_strdup (error->message) : NULL;
  }
  if (error != NULL)
    zm_log_write (runtime->log, ZM_LEVEL_ERROR, "audit", "%s", error->message);
}

/* ---- lines ---- */

/* One act; each may be NULL but act, by and result. */
typedef struct Act {
  const char *act, *arguments, *by, *uid, *pid, *result, *why;
} Act;

static void
write_act (ZmRuntime *runtime, const Act *act)
{
  g_autofree char *text =
      g_strdup_printf ("%s%s%s by %s: %s%s%s", act->act, act->arguments != NULL ? " " : "",
                       act->arguments != NULL ? act->arguments : "", act->by, act->result,
                       act->why != NULL ? ": " : "", act->why != NULL ? act->why : "");
  const char *const fields[] = { "act",    act->act, "arguments", act->arguments, "by",        act->by, "uid",
                                 act->uid, "pid",    act->pid,    "result",       act->result, NULL };

  zm_log_always (runtime->log, ZM_LEVEL_NOTICE, "audit", text, fields);
  to_file (runtime, text, fields);
}

void
zm_audit_act (ZmRuntime *runtime, const char *act, const char *by, const char *result, const char *why)
{
  write_act (runtime, &(const Act){ .act = act, .by = by, .result = result, .why = why });
}

void
zm_audit_reload (ZmRuntime *runtime, const char *by, gboolean taken)
{
  g_autofree char *lacks = taken ? zm_runtime_incomplete (runtime) : NULL;

  if (!taken)
    zm_audit_act (runtime, "reload", by, ZM_AUDIT_REFUSED, runtime->refused);
  else
    zm_audit_act (runtime, "reload", by, lacks != NULL ? ZM_AUDIT_INCOMPLETE : ZM_AUDIT_OK, lacks);
}

/* "name=hello argument=(12 bytes)", or NULL. The caller frees. */
static char *
arguments_text (ZmSpan request)
{
  GString *out = g_string_new (NULL);
  ZmSpan raw;

  for (const char *const *name = shown; *name != NULL; name++) {
    g_autofree char *text = zm_json_member (request, *name, &raw) ? zm_json_text (raw) : NULL;
    g_autofree char *safe = text != NULL ? zm_printable (zm_span_text (text), SHOWN_MOST) : NULL;

    if (safe != NULL)
      g_string_append_printf (out, "%s%s=%s", out->len > 0 ? " " : "", *name, safe);
  }
  for (const char *const *name = counted; *name != NULL; name++) {
    g_autofree char *text = zm_json_member (request, *name, &raw) ? zm_json_text (raw) : NULL;

    if (text != NULL)
      g_string_append_printf (out, "%s%s=(%" G_GSIZE_FORMAT " bytes)", out->len > 0 ? " " : "", *name,
                              strlen (text));
  }
  return g_string_free (out, out->len == 0);
}

/* What is no request at all is counted by control and told to who sent it; it changed nothing and is no act. */
void
zm_audit_command (ZmRuntime *runtime, const ZmAuditPeer *peer, ZmSpan request, gboolean good,
                  const char *reply)
{
  ZmSpan raw = { NULL, 0 };
  gboolean is_object = zm_json_valid (request) && zm_json_member (request, "command", &raw);
  g_autofree char *command = is_object ? zm_json_text (raw) : NULL;
  g_autofree char *act = NULL, *arguments = NULL, *by = NULL, *uid = NULL, *pid = NULL, *why = NULL;
  const char *result = ZM_AUDIT_OK;

  if (command == NULL || g_strv_contains (reading, command) || strcmp (command, "cancel") == 0)
    return;
  act = zm_printable (zm_span_text (command), 64);
  arguments = arguments_text (request);
  by = peer->known ? user_name (peer->uid) : g_strdup ("a client that the system does not name");
  uid = peer->known ? g_strdup_printf ("%u", peer->uid) : NULL;
  pid = peer->known ? g_strdup_printf ("%u", peer->pid) : NULL;
  if (zm_json_member (zm_span_text (reply), good ? "incomplete" : "text", &raw))
    why = zm_json_text (raw);
  if (!good)
    result = ZM_AUDIT_REFUSED;
  else if (why != NULL)
    result = ZM_AUDIT_INCOMPLETE;
  write_act (runtime, &(const Act){ act, arguments, by, uid, pid, result, why });
}
