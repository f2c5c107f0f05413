/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper's thread: accepts connections within the caps, cuts off who takes too long for head, body or answer (libmicrohttpd
 * measures inactivity only, which a byte a second is not), and sees when a client goes whose request waits, as a suspended
 * connection is looked at by nobody else.
 */
#include "config.h"

#include "http/server.h"

#include "base/zm-thread.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS     100 /* how late a deadline may be noticed */
#define EVENTS_MOST 64
/* With descriptors exhausted a listening socket stays readable: it is left alone for so long. */
#define PAUSE_US (100 * 1000)

/* What an event is about: a descriptor, told apart from a listener by its high bit. */
#define LISTENER_BIT (G_GUINT64_CONSTANT (1) << 40)

/* ---- accepting ---- */

/* Said without TLS only, and without waiting: who does not read it finds the connection closed. */
static void
refuse (ZmHttp *http, int fd, gboolean secure, ZmRefusedWhy why)
{
  static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                             "Content-Length: 0\r\n\r\n";

  if (!secure && send (fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
    zm_conn_refused (http, fd);
  else
    close (fd);
  zm_counter_add (http->refused[why], 1);
  zm_log_limited (http->host.log, ZM_LEVEL_WARNING, "http",
                  why == ZM_REFUSED_FULL ? "connections" : "connections-per-address",
                  "a connection was refused: [http] %s is reached",
                  why == ZM_REFUSED_FULL ? "connections" : "connections-per-address");
}

/* FALSE: nothing more to accept now. */
static gboolean
accept_one (ZmHttp *http, const ZmListener *listener, gboolean *exhausted)
{
  struct sockaddr_storage address = { 0 };
  socklen_t size = sizeof address;
  int fd = accept4 (listener->fd, (struct sockaddr *) &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ZmServing *serving = !listener->address.local && http->secure != NULL ? http->secure : http->plain;
  ZmRefusedWhy why;

  if (fd < 0) {
    *exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    return errno == EINTR || errno == ECONNABORTED;
  }
  if (atomic_load (&http->paused)) {
    close (fd);
    return TRUE;
  }
  if (zm_conn_enter (http, fd, serving, listener, &address, &why) == NULL) {
    refuse (http, fd, serving->secure, why);
    return TRUE;
  }
  /* Where it fails it has closed the descriptor; nobody but this thread makes new ones of the table. */
  if (MHD_add_connection (serving->daemon, fd, (const struct sockaddr *) &address, size) != MHD_YES)
    zm_conn_closed (http, fd);
  return TRUE;
}

static void
watch_listeners (ZmHttp *http, gboolean on)
{
  for (guint i = 0; i < http->n_listeners; i++) {
    struct epoll_event event = { .events = on ? EPOLLIN : 0, .data.u64 = LISTENER_BIT | i };

    if (http->listeners[i].fd >= 0)
      epoll_ctl (http->epoll, EPOLL_CTL_MOD, http->listeners[i].fd, &event);
  }
}

/* At most some at a time, so that deadlines are kept under a flood. TRUE: the descriptors are used up. */
static gboolean
accept_some (ZmHttp *http, const ZmListener *listener)
{
  gboolean exhausted = FALSE;

  for (guint i = 0; i < EVENTS_MOST && accept_one (http, listener, &exhausted); i++)
    ;
  if (exhausted)
    zm_log_limited (http->host.log, ZM_LEVEL_WARNING, "http", "descriptors",
                    "no connection can be accepted: %s; raise the limit of open files", g_strerror (errno));
  return exhausted;
}

/* ---- who has gone, and who is late ---- */

static void
on_gone (ZmHttp *http, int fd)
{
  ZmConn *conn;
  ZmExchange *exchange = NULL;

  pthread_mutex_lock (&http->lock);
  conn = g_hash_table_lookup (http->conns, GINT_TO_POINTER (fd));
  if (conn != NULL && conn->exchange != NULL)
    exchange = zm_exchange_ref (conn->exchange);
  else if (conn != NULL && conn->phase == ZM_CONN_LINGER && !zm_conn_linger_read (conn)) {
    zm_conn_linger_end (http, conn);
    g_hash_table_remove (http->conns, GINT_TO_POINTER (fd));
  }
  pthread_mutex_unlock (&http->lock);
  if (exchange == NULL)
    return;
  zm_exchange_gone (exchange);
  zm_exchange_unref (exchange);
}

/* Shutting the socket down is what libmicrohttpd notices; it closes it then. The lock keeps the descriptor open meanwhile. */
static void
cut_late (ZmHttp *http, gint64 now_us)
{
  GHashTableIter iter;
  gpointer value;

  pthread_mutex_lock (&http->lock);
  g_hash_table_iter_init (&iter, http->conns);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmConn *conn = value;

    if (conn->phase == ZM_CONN_IDLE && !conn->looked)
      zm_conn_look (conn);
    if (conn->deadline_us > now_us)
      continue;
    if (conn->phase == ZM_CONN_LINGER) {
      zm_conn_linger_end (http, conn);
      g_hash_table_iter_remove (&iter);
      continue;
    }
    conn->deadline_us = G_MAXINT64;
    shutdown (conn->fd, SHUT_RDWR);
    if (conn->phase != ZM_CONN_IDLE)
      zm_counter_add (http->refused[ZM_REFUSED_CUT], 1);
  }
  pthread_mutex_unlock (&http->lock);
}

/* NULL: each of them still has connections. They are counted here, as libmicrohttpd does not count those that it has just been given. */
static ZmServing *
take_unused (ZmHttp *http)
{
  ZmServing *unused = NULL;

  pthread_mutex_lock (&http->lock);
  for (guint i = 0; i < http->retired->len && unused == NULL; i++)
    if (((ZmServing *) http->retired->pdata[i])->connections == 0)
      unused = g_ptr_array_remove_index (http->retired, i);
  pthread_mutex_unlock (&http->lock);
  return unused;
}

/* A new certificate serves new connections; the old one stays for those that there are. */
static void
change_serving (ZmHttp *http)
{
  ZmServing *unused;

  pthread_mutex_lock (&http->lock);
  if (http->next_secure != NULL) {
    g_ptr_array_add (http->retired, http->secure);
    http->secure = g_steal_pointer (&http->next_secure);
  }
  pthread_mutex_unlock (&http->lock);
  while ((unused = take_unused (http)) != NULL)
    zm_serving_free (unused);
}

/* ---- the thread ---- */

static gboolean
is_ending (ZmHttp *http)
{
  gboolean ending;

  pthread_mutex_lock (&http->lock);
  ending = http->ending;
  pthread_mutex_unlock (&http->lock);
  return ending;
}

/* TRUE: descriptors are used up. */
static gboolean
take_events (ZmHttp *http, const struct epoll_event *events, int n)
{
  gboolean exhausted = FALSE;
  guint64 count;

  for (int i = 0; i < n; i++)
    if ((events[i].data.u64 & LISTENER_BIT) != 0)
      exhausted |= accept_some (http, &http->listeners[events[i].data.u64 & ~LISTENER_BIT]);
    else if ((int) events[i].data.u64 == http->waker)
      (void) !read (http->waker, &count, sizeof count);
    else
      on_gone (http, (int) events[i].data.u64);
  return exhausted;
}

/* Without connections there is nothing to look after, and it sleeps until there are. */
static int
sleep_ms (ZmHttp *http, gint64 again_us)
{
  gboolean quiet;

  pthread_mutex_lock (&http->lock);
  quiet = g_hash_table_size (http->conns) == 0 && http->retired->len == 0 && again_us == 0;
  pthread_mutex_unlock (&http->lock);
  return quiet ? -1 : TICK_MS;
}

static void *
keep (void *user)
{
  ZmHttp *http = user;
  struct epoll_event events[EVENTS_MOST];
  gint64 again_us = 0, ticked_us = 0;

  while (!is_ending (http)) {
    int n = epoll_wait (http->epoll, events, EVENTS_MOST, sleep_ms (http, again_us));
    gint64 now_us = zm_now_us ();

    if (take_events (http, events, MAX (n, 0))) {
      again_us = now_us + PAUSE_US;
      watch_listeners (http, FALSE);
    } else if (again_us > 0 && again_us <= now_us) {
      again_us = 0;
      watch_listeners (http, TRUE);
    }
    if (now_us - ticked_us < TICK_MS * 1000)
      continue;
    ticked_us = now_us;
    cut_late (http, now_us);
    zm_streams_tick (http, now_us);
    change_serving (http);
  }
  return NULL;
}

static gboolean
add_epoll (ZmHttp *http, int fd, guint64 data)
{
  struct epoll_event event = { .events = EPOLLIN, .data.u64 = data };

  return epoll_ctl (http->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

gboolean
zm_keeper_start (ZmHttp *http, GError **error)
{
  gboolean good;
  int status = 0;

  http->epoll = epoll_create1 (EPOLL_CLOEXEC);
  http->waker = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  good = http->epoll >= 0 && http->waker >= 0 && add_epoll (http, http->waker, (guint64) http->waker);
  for (guint i = 0; good && i < http->n_listeners; i++)
    good = add_epoll (http, http->listeners[i].fd, LISTENER_BIT | i);
  if (good)
    status = zm_thread_create (&http->keeper, "zm-http", keep, http);
  http->kept = good && status == 0;
  if (!http->kept)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "[http]: its thread cannot be started: %s",
                 g_strerror (status != 0 ? status : errno));
  return http->kept;
}

void
zm_keeper_wake (ZmHttp *http)
{
  const guint64 one = 1;

  (void) !write (http->waker, &one, sizeof one);
}

void
zm_keeper_stop (ZmHttp *http)
{
  pthread_mutex_lock (&http->lock);
  http->ending = TRUE;
  pthread_mutex_unlock (&http->lock);
  if (http->kept) {
    zm_keeper_wake (http);
    pthread_join (http->keeper, NULL);
  }
  http->kept = FALSE;
}
