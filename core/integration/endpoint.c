/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Endpoints: what may be bound or connected, and the bounds of every socket. Without CURVE plain tcp stays on loopback: one
 * unauthenticated peer with an endless multipart takes as much memory as it likes inside libzmq.
 */
#include "config.h"

#include "integration/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <zmq.h>

#define HIGH_WATER_STANDARD   1000
#define HEARTBEAT_INTERVAL_MS 10000
#define HEARTBEAT_TIMEOUT_MS  30000
#define HANDSHAKE_MS          10000
#define RECONNECT_MOST_MS     2000

/* Gives NULL, so that a refusal is one line where it is found; every text begins with the socket's name. */
G_GNUC_PRINTF (4, 5)
static char *
refuse (GError **error, int code, const ZmSocketRules *rules, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, ZM_ERROR, code, "%s: %s", rules->name, why);
  return NULL;
}

/* By address, and the interface itself: a name that resolves to loopback today may not tomorrow. */
static gboolean
is_loopback (const char *host)
{
  struct in_addr four;
  struct in6_addr six;
  if (strcmp (host, "lo") == 0)
    return TRUE;
  if (inet_pton (AF_INET, host, &four) == 1)
    return (ntohl (four.s_addr) >> 24) == 127;
  return inet_pton (AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK (&six);
}

static gboolean
is_port (const char *text)
{
  gint64 port;
  /* *, ! and 0: the system chooses. */
  return strcmp (text, "*") == 0 || strcmp (text, "!") == 0 || strcmp (text, "0") == 0 ||
         zm_parse_integer (text, 1, 65535, &port, NULL);
}

/* address: HOST:PORT, an IPv6 host in brackets. */
static char *
tcp_normal (const char *text, const char *address, const ZmSocketRules *rules, GError **error)
{
  const char *colon = strrchr (address, ':');
  if (colon == NULL || colon == address || !is_port (colon + 1))
    return refuse (error, ZM_ERROR_INVALID, rules,
                   "\"%s\" has no port; write tcp://127.0.0.1:PORT, PORT 1 to 65535 or *", text);
  g_autofree char *host = g_strndup (address, (gsize) (colon - address));
  gsize size = strlen (host);
  if (strcmp (host, "localhost") == 0)
    return g_strdup_printf ("tcp://127.0.0.1%s", colon);
  if (size > 2 && host[0] == '[' && host[size - 1] == ']') {
    g_autofree char *inside = g_strndup (host + 1, size - 2);
    if (is_loopback (inside))
      return g_strdup (text);
  } else if (is_loopback (host)) {
    return g_strdup (text);
  }
  return refuse (
      error, ZM_ERROR_REFUSED, rules,
      "\"%s\" is tcp beyond loopback, which needs CURVE, and this version has none; use an ipc endpoint or "
      "tcp://127.0.0.1:PORT",
      text);
}

/* The kernel cuts longer paths or refuses them, and libzmq's message of that names no cause. */
static char *
ipc_normal (const char *text, const char *path, const ZmSocketRules *rules, GError **error)
{
  gsize most = sizeof (((struct sockaddr_un *) NULL)->sun_path) - 1;
  if (*path == '\0')
    return refuse (error, ZM_ERROR_INVALID, rules, "\"%s\" has no path; write ipc:///path/of/the/socket",
                   text);
  if (strlen (path) > most)
    return refuse (error, ZM_ERROR_LIMIT, rules,
                   "the path of \"%s\" has %zu bytes, and the system allows %zu; use a shorter directory",
                   text, strlen (path), most);
  return g_strdup (text);
}

/* Said here, because libzmq's own answer to either names no cause. */
static char *
multicast_normal (const char *text, const ZmSocketRules *rules, GError **error)
{
  if (!rules->multicast)
    return refuse (
        error, ZM_ERROR_REFUSED, rules,
        "\"%s\" is multicast, on which no CURVE and no subscriptions travel; it is for topics only, where "
        "[security] allow-multicast=yes says so",
        text);
  if (!zmq_has ("pgm"))
    return refuse (
        error, ZM_ERROR_UNAVAILABLE, rules,
        "\"%s\" is multicast, and the libzmq of this machine was built without pgm; install one that has it, "
        "or use ipc or tcp",
        text);
  return g_strdup (text);
}

gboolean
zm_endpoint_multicast (const char *text)
{
  return g_str_has_prefix (text, "epgm://") || g_str_has_prefix (text, "pgm://");
}

/* A list of what is allowed, never of what is not: new transports of libzmq stay out by themselves. */
char *
zm_endpoint_normal (const char *text, const ZmSocketRules *rules, GError **error)
{
  if (g_str_has_prefix (text, "ipc://"))
    return ipc_normal (text, text + strlen ("ipc://"), rules, error);
  if (g_str_has_prefix (text, "tcp://"))
    return tcp_normal (text, text + strlen ("tcp://"), rules, error);
  if (zm_endpoint_multicast (text))
    return multicast_normal (text, rules, error);
  g_autofree char *shown = zm_printable (zm_span_text (text), 100);
  return refuse (error, ZM_ERROR_INVALID, rules,
                 "\"%s\" is no endpoint that can be used; write ipc:///path or tcp://127.0.0.1:PORT", shown);
}

static gboolean
set_int (void *socket, int option, int value)
{
  return zmq_setsockopt (socket, option, &value, sizeof value) == 0;
}

/* Linger is 0 here; who has something to say at the end sets it when it closes. */
void *
zm_endpoint_socket (void *zmq, int type, const ZmSocketRules *rules, GError **error)
{
  int high_water = rules->high_water > 0 ? rules->high_water : HIGH_WATER_STANDARD;
  gint64 size = rules->max_message > 0 ? rules->max_message : -1;
  void *socket = zmq_socket (zmq, type);
  if (socket == NULL)
    return refuse (error, ZM_ERROR_IO, rules, "cannot open a socket: %s", zmq_strerror (errno));
  gboolean good = set_int (socket, ZMQ_SNDHWM, high_water) && set_int (socket, ZMQ_RCVHWM, high_water) &&
                  set_int (socket, ZMQ_LINGER, 0) && set_int (socket, ZMQ_IPV6, 1) &&
                  set_int (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS) &&
                  set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) &&
                  set_int (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
                  set_int (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS) &&
                  zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &size, sizeof size) == 0;
  if (good)
    return socket;
  refuse (error, ZM_ERROR_IO, rules, "cannot set a socket's options: %s", zmq_strerror (errno));
  zmq_close (socket);
  return NULL;
}

/* The result is what others can connect to: a port of the system's choice is known only now. */
char *
zm_endpoint_attach (void *socket, const char *text, gboolean bind, const ZmSocketRules *rules, GError **error)
{
  char actual[1024] = "";
  size_t size = sizeof actual;
  g_autofree char *normal = zm_endpoint_normal (text, rules, error);
  if (normal == NULL)
    return NULL;
  /* Only where it is meant: an IPv4 address would show as a mapped one. */
  set_int (socket, ZMQ_IPV6, strchr (normal, '[') != NULL);
  if ((bind ? zmq_bind (socket, normal) : zmq_connect (socket, normal)) != 0) {
    const char *todo = errno == EADDRINUSE ? "; another program has it: end that one or choose another"
                       : errno == ENOENT || errno == EACCES ? "; make its directory, writable for this user"
                                                            : "";
    return refuse (error, ZM_ERROR_IO, rules, "cannot %s %s: %s%s", bind ? "bind" : "connect to", normal,
                   zmq_strerror (errno), todo);
  }
  if (!bind || zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, actual, &size) != 0 || actual[0] == '\0')
    return g_steal_pointer (&normal);
  return g_strdup (actual);
}
