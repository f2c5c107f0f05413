/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connections: counted and capped by address, each with what it is at and how long that may last, from accept to the last byte. */
#include "config.h"

#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char *
peer_of (const struct sockaddr_storage *address)
{
  char text[INET6_ADDRSTRLEN] = "";

  if (address->ss_family == AF_INET)
    inet_ntop (AF_INET, &((const struct sockaddr_in *) address)->sin_addr, text, sizeof text);
  else if (address->ss_family == AF_INET6)
    inet_ntop (AF_INET6, &((const struct sockaddr_in6 *) address)->sin6_addr, text, sizeof text);
  return g_strdup (text);
}

/* With the lock. */
static void
count_peer (ZmHttp *http, const char *peer, int by)
{
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (http->per_peer, peer)) + (guint) by;

  if (n == 0)
    g_hash_table_remove (http->per_peer, peer);
  else
    g_hash_table_insert (http->per_peer, g_strdup (peer), GUINT_TO_POINTER (n));
}

/* With the lock. */
static guint
count_taken (const ZmHttp *http)
{
  return g_hash_table_size (http->conns) - http->n_refused;
}

ZmConn *
zm_conn_enter (ZmHttp *http, int fd, ZmServing *serving, const ZmListener *listener,
               const struct sockaddr_storage *address, ZmRefusedWhy *why)
{
  g_autofree char *peer = peer_of (address);
  ZmConn *conn = NULL;

  pthread_mutex_lock (&http->lock);
  *why = ZM_REFUSED_FULL;
  if (!listener->address.local &&
      GPOINTER_TO_UINT (g_hash_table_lookup (http->per_peer, peer)) >= http->limits.per_address)
    *why = ZM_REFUSED_ADDRESS;
  else if (count_taken (http) < http->limits.connections)
    conn = g_new0 (ZmConn, 1);
  if (conn != NULL) {
    conn->fd = fd;
    conn->local = listener->address.local;
    conn->secure = serving->secure;
    conn->serving = serving;
    serving->connections++;
    conn->deadline_us = zm_now_us () + http->limits.header_us;
    conn->peer = g_steal_pointer (&peer);
    if (!conn->local)
      count_peer (http, conn->peer, 1);
    g_hash_table_insert (http->conns, GINT_TO_POINTER (fd), conn);
    zm_counter_set (http->connections, count_taken (http));
  }
  pthread_mutex_unlock (&http->lock);
  return conn;
}

ZmConn *
zm_conn_find (ZmHttp *http, int fd)
{
  ZmConn *conn;

  pthread_mutex_lock (&http->lock);
  conn = g_hash_table_lookup (http->conns, GINT_TO_POINTER (fd));
  pthread_mutex_unlock (&http->lock);
  return conn;
}

/* ---- the end of one ---- */

/* Has its client nothing more to say? What is said after that lies unread, and a close would take the answer with it. */
static gboolean
may_linger (const ZmHttp *http, const ZmConn *conn)
{
  char byte;
  ssize_t n = recv (conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

  return !http->ending && (n > 0 || (n < 0 && errno == EAGAIN && !conn->whole));
}

static gboolean
read_on (ZmHttp *http, int fd)
{
  struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.u64 = (guint64) fd };

  shutdown (fd, SHUT_WR);
  return epoll_ctl (http->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* libmicrohttpd closes its own descriptor, and ours keeps the connection open for reading. It counts against the caps as before. */
static gboolean
linger (ZmHttp *http, ZmConn *conn)
{
  int before = conn->fd, fd = fcntl (before, F_DUPFD_CLOEXEC, 0);

  if (fd < 0 || !read_on (http, fd)) {
    if (fd >= 0)
      close (fd);
    return FALSE;
  }
  g_hash_table_steal (http->conns, GINT_TO_POINTER (before));
  conn->fd = fd;
  conn->phase = ZM_CONN_LINGER;
  conn->rest = ZM_HTTP_LINGER_MOST;
  conn->deadline_us = zm_now_us () + ZM_HTTP_LINGER_US;
  conn->serving = NULL;
  g_hash_table_insert (http->conns, GINT_TO_POINTER (fd), conn);
  return TRUE;
}

void
zm_conn_refused (ZmHttp *http, int fd)
{
  ZmConn *conn = NULL;

  pthread_mutex_lock (&http->lock);
  if (http->n_refused < ZM_HTTP_REFUSED_MOST && read_on (http, fd)) {
    conn = g_new0 (ZmConn, 1);
    *conn = (ZmConn){ .fd = fd,
                      .refused = TRUE,
                      .phase = ZM_CONN_LINGER,
                      .rest = ZM_HTTP_REFUSED_BYTES_MOST,
                      .deadline_us = zm_now_us () + ZM_HTTP_LINGER_US };
    http->n_refused++;
    g_hash_table_insert (http->conns, GINT_TO_POINTER (fd), conn);
  }
  pthread_mutex_unlock (&http->lock);
  if (conn == NULL)
    close (fd);
}

/* Its caller takes it out of the table. */
void
zm_conn_linger_end (ZmHttp *http, ZmConn *conn)
{
  if (conn->refused)
    http->n_refused--;
  else if (!conn->local)
    count_peer (http, conn->peer, -1);
  close (conn->fd);
  zm_counter_set (http->connections, count_taken (http) - 1);
}

/* A piece at a time: a flood of one is not to keep the others waiting. */
gboolean
zm_conn_linger_read (ZmConn *conn)
{
  char waste[65536];
  ssize_t n = recv (conn->fd, waste, sizeof waste, MSG_DONTWAIT);

  if (n <= 0)
    return n < 0 && (errno == EAGAIN || errno == EINTR);
  conn->rest -= MIN ((gsize) n, conn->rest);
  return conn->rest > 0;
}

/* Where the client's end came along with its request, libmicrohttpd has taken one for the other, and would keep the connection as long
 * as idle ones may last. */
void
zm_conn_look (ZmConn *conn)
{
  char byte;

  conn->looked = TRUE;
  if (recv (conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    shutdown (conn->fd, SHUT_RDWR);
}

/* The descriptor is still open here, so its number can belong to nobody else. */
void
zm_conn_closed (ZmHttp *http, int fd)
{
  ZmConn *conn;

  pthread_mutex_lock (&http->lock);
  conn = g_hash_table_lookup (http->conns, GINT_TO_POINTER (fd));
  if (conn != NULL) {
    conn->serving->connections--;
    if (!may_linger (http, conn) || !linger (http, conn)) {
      if (!conn->local)
        count_peer (http, conn->peer, -1);
      g_hash_table_remove (http->conns, GINT_TO_POINTER (fd));
    }
    zm_counter_set (http->connections, count_taken (http));
  }
  pthread_mutex_unlock (&http->lock);
}

/* ---- what it is at ---- */

void
zm_conn_whole (ZmHttp *http, ZmConn *conn, gboolean whole)
{
  pthread_mutex_lock (&http->lock);
  conn->whole = whole;
  pthread_mutex_unlock (&http->lock);
}

void
zm_conn_phase (ZmHttp *http, ZmConn *conn, ZmConnPhase phase, gint64 deadline_us)
{
  pthread_mutex_lock (&http->lock);
  conn->phase = phase;
  conn->looked = FALSE;
  conn->deadline_us = deadline_us;
  pthread_mutex_unlock (&http->lock);
}

/* Its going is told once; it is armed again with the next request that waits. */
void
zm_conn_wait (ZmHttp *http, ZmExchange *exchange)
{
  ZmConn *conn = exchange->conn;
  struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = (guint64) conn->fd };

  pthread_mutex_lock (&http->lock);
  conn->exchange = exchange;
  if (epoll_ctl (http->epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
    epoll_ctl (http->epoll, EPOLL_CTL_ADD, conn->fd, &event);
  zm_counter_add (http->waiting, 1);
  pthread_mutex_unlock (&http->lock);
}

void
zm_conn_waited (ZmHttp *http, ZmExchange *exchange)
{
  ZmConn *conn = exchange->conn;

  if (conn == NULL)
    return;
  pthread_mutex_lock (&http->lock);
  if (conn->exchange == exchange) {
    conn->exchange = NULL;
    epoll_ctl (http->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    zm_counter_add (http->waiting, (guint64) -1);
  }
  pthread_mutex_unlock (&http->lock);
}
