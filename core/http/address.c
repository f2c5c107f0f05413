/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of [http] listen: no names are looked up, as the daemon must start without a network. */
#include "config.h"

#include "http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static gboolean
parse_local (const char *path, const char *run_dir, ZmHttpAddress *address, GError **error)
{
  struct sockaddr_un *local = (struct sockaddr_un *) &address->socket;
  g_autofree char *whole = NULL;

  if (path[0] != '/' && (run_dir == NULL || path[0] == '\0')) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "\"unix:%s\" names no absolute path", path);
    return FALSE;
  }
  whole = path[0] == '/' ? g_strdup (path) : g_build_filename (run_dir, path, NULL);
  if (strlen (whole) >= sizeof local->sun_path) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
                 "the path \"%s\" is longer than the %" G_GSIZE_FORMAT " bytes that a socket's path may have",
                 whole, sizeof local->sun_path - 1);
    return FALSE;
  }
  local->sun_family = AF_UNIX;
  strcpy (local->sun_path, whole);
  address->size = sizeof *local;
  address->local = address->loopback = TRUE;
  return TRUE;
}

/* The host's part of "HOST:PORT", without brackets. FALSE: no such form. */
static gboolean
split (const char *text, char **host, gint64 *port)
{
  const char *colon = strrchr (text, ':');
  gsize size = colon != NULL ? (gsize) (colon - text) : 0;

  if (size == 0 || !zm_parse_integer (colon + 1, 0, 65535, port, NULL))
    return FALSE;
  if (text[0] == '[' && text[size - 1] == ']')
    *host = g_strndup (text + 1, size - 2);
  else if (memchr (text, ':', size) == NULL)
    *host = g_strndup (text, size);
  return *host != NULL;
}

static gboolean
parse_inet (const char *text, ZmHttpAddress *address)
{
  struct sockaddr_in *four = (struct sockaddr_in *) &address->socket;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *) &address->socket;
  g_autofree char *host = NULL;
  gint64 port = 0;

  if (!split (text, &host, &port))
    return FALSE;
  if (text[0] == '[' && inet_pton (AF_INET6, host, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons ((guint16) port);
    address->size = sizeof *six;
    address->loopback = IN6_IS_ADDR_LOOPBACK (&six->sin6_addr);
    return TRUE;
  }
  if (text[0] == '[' ||
      inet_pton (AF_INET, strcmp (host, "localhost") == 0 ? "127.0.0.1" : host, &four->sin_addr) != 1)
    return FALSE;
  four->sin_family = AF_INET;
  four->sin_port = htons ((guint16) port);
  address->size = sizeof *four;
  address->loopback = ntohl (four->sin_addr.s_addr) >> 24 == 127;
  return TRUE;
}

gboolean
zm_http_address_parse (const char *text, const char *run_dir, ZmHttpAddress *address, GError **error)
{
  g_autofree char *shown = NULL;

  memset (address, 0, sizeof *address);
  if (g_str_has_prefix (text, "unix:"))
    return parse_local (text + strlen ("unix:"), run_dir, address, error);
  if (parse_inet (text, address))
    return TRUE;
  shown = zm_printable (zm_span_text (text), 100);
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "\"%s\" is no address to listen at: write 127.0.0.1:PORT, [::1]:PORT or unix:PATH", shown);
  return FALSE;
}

char *
zm_http_address_text (const ZmHttpAddress *address, gboolean secure)
{
  const struct sockaddr_in *four = (const struct sockaddr_in *) &address->socket;
  const struct sockaddr_in6 *six = (const struct sockaddr_in6 *) &address->socket;
  const char *scheme = secure ? "https" : "http";
  char host[INET6_ADDRSTRLEN] = "";

  if (address->local)
    return g_strdup_printf ("unix:%s", ((const struct sockaddr_un *) &address->socket)->sun_path);
  if (address->socket.ss_family == AF_INET6) {
    inet_ntop (AF_INET6, &six->sin6_addr, host, sizeof host);
    return g_strdup_printf ("%s://[%s]:%u", scheme, host, ntohs (six->sin6_port));
  }
  inet_ntop (AF_INET, &four->sin_addr, host, sizeof host);
  return g_strdup_printf ("%s://%s:%u", scheme, host, ntohs (four->sin_port));
}
