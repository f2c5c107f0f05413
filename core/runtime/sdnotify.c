/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The datagrams of sd_notify(3). */
#include "config.h"

#include "runtime/sdnotify.h"

#include "base/zm-base.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct ZmNotify {
  int fd; /* -1: nobody listens */
  struct sockaddr_un address;
  socklen_t size;    /* of address as it is used: abstract names may hold NULs */
  guint watchdog_ms; /* half of what the manager allows; 0: it does not watch */
};

/* A leading @ stands for the NUL of an abstract socket. */
static gboolean
set_address (ZmNotify *notify, const char *path)
{
  gsize length = strlen (path);

  if ((*path != '/' && *path != '@') || length >= sizeof notify->address.sun_path)
    return FALSE;
  notify->address.sun_family = AF_UNIX;
  memcpy (notify->address.sun_path, path, length);
  if (*path == '@')
    notify->address.sun_path[0] = '\0';
  notify->size = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length);
  return TRUE;
}

/* WATCHDOG_PID names who is to feed it: not us where a parent handed its environment down. */
static guint
read_watchdog_ms (void)
{
  const char *text = g_getenv ("WATCHDOG_USEC");
  const char *pid = g_getenv ("WATCHDOG_PID");
  gint64 usec = 0;

  if (text == NULL || !zm_parse_integer (text, 2000, G_MAXINT64, &usec, NULL))
    return 0;
  if (pid != NULL && g_ascii_strtoll (pid, NULL, 10) != (gint64) getpid ())
    return 0;
  return (guint) MIN (usec / 2000, G_MAXINT);
}

/* The variables are taken out of the environment, as workers in other languages would inherit them and speak for us. */
ZmNotify *
zm_notify_new (void)
{
  ZmNotify *notify = g_new0 (ZmNotify, 1);
  const char *path = g_getenv ("NOTIFY_SOCKET");

  notify->fd = -1;
  if (path != NULL && set_address (notify, path)) {
    notify->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    notify->watchdog_ms = read_watchdog_ms ();
  }
  g_unsetenv ("NOTIFY_SOCKET");
  g_unsetenv ("WATCHDOG_USEC");
  g_unsetenv ("WATCHDOG_PID");
  return notify;
}

void
zm_notify_free (ZmNotify *notify)
{
  if (notify == NULL)
    return;
  if (notify->fd >= 0)
    close (notify->fd);
  g_free (notify);
}

/* What the manager does not take is lost: it is told the state again at the next change. Never waits. */
static void
send_text (ZmNotify *notify, const char *text)
{
  if (notify->fd >= 0)
    (void) !sendto (notify->fd, text, strlen (text), MSG_NOSIGNAL | MSG_DONTWAIT,
                    (const struct sockaddr *) &notify->address, notify->size);
}

/* Status is one line for the manager: what would begin another assignment is escaped. */
static void
send_state (ZmNotify *notify, const char *state, const char *status)
{
  g_autofree char *line = zm_printable (zm_span_text (status), 512);
  g_autofree char *text = g_strdup_printf ("%s%sSTATUS=%s", state, *state ? "\n" : "", line);

  send_text (notify, text);
}

void
zm_notify_ready (ZmNotify *notify, const char *status)
{
  send_state (notify, "READY=1", status);
}

/* The moment goes along, so that the manager knows which of two reloads the READY after it belongs to. */
void
zm_notify_reloading (ZmNotify *notify)
{
  g_autofree char *text = g_strdup_printf ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, zm_now_us ());

  send_text (notify, text);
}

void
zm_notify_stopping (ZmNotify *notify, const char *status)
{
  send_state (notify, "STOPPING=1", status);
}

void
zm_notify_status (ZmNotify *notify, const char *status)
{
  send_state (notify, "", status);
}

void
zm_notify_watchdog (ZmNotify *notify)
{
  send_text (notify, "WATCHDOG=1");
}

guint
zm_notify_watchdog_ms (const ZmNotify *notify)
{
  return notify->watchdog_ms;
}
