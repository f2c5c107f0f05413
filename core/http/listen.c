/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The listening sockets. */
#include "config.h"

#include "http/server.h"

#include "base/zm-trust.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 512

/* Others could put a socket of their own in place of ours in a directory that they may write. */
static gboolean
check_parent (const char *path, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (path);
  g_autofree char *why = NULL;

  if (zm_trust_path (parent, geteuid (), &why) != ZM_TRUST_BAD)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "[http] listen: unix:%s: %s", path, why);
  return FALSE;
}

/* One that nobody answers at is left of a daemon that died; anything but a socket is not ours to remove. */
static gboolean
remove_stale (const ZmHttpAddress *address, const char *path, GError **error)
{
  struct stat info;
  int fd, status;

  if (lstat (path, &info) != 0)
    return TRUE;
  fd = S_ISSOCK (info.st_mode) ? socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
  status = fd >= 0 ? connect (fd, (const struct sockaddr *) &address->socket, address->size) : 0;
  if (fd >= 0)
    close (fd);
  if (status != 0 && unlink (path) == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS, "[http] listen: unix:%s: %s", path,
               fd < 0 ? "there is something that is no socket: remove it, or name another path"
                      : "another process listens there: end it, or name another path");
  return FALSE;
}

static int
open_local (const ZmHttpAddress *address, GError **error)
{
  const char *path = ((const struct sockaddr_un *) &address->socket)->sun_path;
  mode_t before;
  int fd, status;

  if (!check_parent (path, error) || !remove_stale (address, path, error))
    return -1;
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* Never for a moment open to others. The mask is the process's, but the daemon makes no files beside this. */
  before = umask (0117);
  status = fd >= 0 ? bind (fd, (const struct sockaddr *) &address->socket, address->size) : -1;
  umask (before);
  if (status == 0 && listen (fd, BACKLOG) == 0)
    return fd;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "[http] listen: unix:%s: %s", path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

static int
open_inet (const ZmHttpAddress *address, const char *text, GError **error)
{
  int fd = socket (address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;

  if (fd >= 0) {
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->socket.ss_family == AF_INET6)
      setsockopt (fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind (fd, (const struct sockaddr *) &address->socket, address->size) == 0 &&
        listen (fd, BACKLOG) == 0)
      return fd;
  }
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "[http] listen: %s: %s%s", text, g_strerror (errno),
               errno == EADDRINUSE ? ": another process listens there; end it, or take another port" : "");
  if (fd >= 0)
    close (fd);
  return -1;
}

static gboolean
open_one (ZmHttp *http, const char *text, gboolean secure, GError **error)
{
  ZmListener *listener = &http->listeners[http->n_listeners];

  if (!zm_http_address_parse (text, http->host.run_dir, &listener->address, error)) {
    g_prefix_error (error, "[http] listen: ");
    return FALSE;
  }
  listener->fd = listener->address.local ? open_local (&listener->address, error)
                                         : open_inet (&listener->address, text, error);
  if (listener->fd < 0)
    return FALSE;
  /* The port that the system chose. */
  if (!listener->address.local) {
    listener->address.size = sizeof listener->address.socket;
    getsockname (listener->fd, (struct sockaddr *) &listener->address.socket, &listener->address.size);
  }
  listener->endpoint = zm_http_address_text (&listener->address, secure);
  http->endpoints[http->n_listeners++] = listener->endpoint;
  return TRUE;
}

gboolean
zm_listen_open (ZmHttp *http, GError **error)
{
  const char *const *list = zm_config_list (http->config, "http", "listen");
  gboolean secure = zm_config_text (http->config, "http", "tls-certificate") != NULL;

  http->endpoints = g_new0 (char *, ZM_HTTP_LISTEN_MOST + 1);
  for (; *list != NULL; list++) {
    if (http->n_listeners == ZM_HTTP_LISTEN_MOST) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "[http] listen: more than %d places",
                   ZM_HTTP_LISTEN_MOST);
      return FALSE;
    }
    if (!open_one (http, *list, secure, error))
      return FALSE;
  }
  return TRUE;
}

void
zm_listen_close (ZmHttp *http)
{
  for (guint i = 0; i < http->n_listeners; i++) {
    ZmListener *listener = &http->listeners[i];

    if (listener->fd < 0)
      continue;
    if (listener->address.local)
      unlink (((const struct sockaddr_un *) &listener->address.socket)->sun_path);
    close (listener->fd);
    listener->fd = -1;
  }
}
