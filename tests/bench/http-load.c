/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http-load.h"
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTIONS_MOST 256

struct LoadConnection {
  int fd;
  guint number;
  GString *out, *in;
  gsize sent;
};

typedef struct Load {
  int epoll;
  LoadNext next;
  LoadAnswer answer;
  gpointer user;
  guint open;
  gboolean failed;
} Load;

static struct sockaddr_in
loopback (guint port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((guint16) port) };

  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  return address;
}

guint
load_free_port (void)
{
  struct sockaddr_in address = loopback (0);
  socklen_t size = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (bind (fd, (struct sockaddr *) &address, sizeof address) != 0 ||
      getsockname (fd, (struct sockaddr *) &address, &size) != 0)
    exit (2);
  close (fd);
  return ntohs (address.sin_port);
}

void
load_request (GString *out, const char *method, const char *target, const char *headers, const char *body)
{
  g_string_append_printf (
      out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %" G_GSIZE_FORMAT "\r\n\r\n%s", method,
      target, headers, strlen (body), body);
}

static void
close_connection (Load *load, LoadConnection *connection)
{
  close (connection->fd);
  g_string_free (connection->out, TRUE);
  g_string_free (connection->in, TRUE);
  g_free (connection);
  load->open--;
}

/* The next request goes out, as much of it as the socket takes; an answer needs no room that a request has. FALSE: closed. */
static gboolean
go_on (Load *load, LoadConnection *connection)
{
  ssize_t sent;

  if (connection->sent == connection->out->len) {
    g_string_truncate (connection->out, 0);
    connection->sent = 0;
    if (!load->next (connection->number, connection->out, load->user)) {
      close_connection (load, connection);
      return FALSE;
    }
  }
  sent = write (connection->fd, connection->out->str + connection->sent,
                connection->out->len - connection->sent);
  if (sent < 0 && errno != EAGAIN) {
    load->failed = TRUE;
    close_connection (load, connection);
    return FALSE;
  }
  connection->sent += sent > 0 ? (gsize) sent : 0;
  return TRUE;
}

/* A whole answer at the front of what came: its size; 0: not yet. */
static gsize
whole_answer (const GString *in, guint *status, gsize *body)
{
  const char *end = strstr (in->str, "\r\n\r\n");
  const char *length;
  gsize size;

  if (end == NULL || sscanf (in->str, "HTTP/1.1 %u", status) != 1)
    return 0;
  *body = (gsize) (end + 4 - in->str);
  length = strcasestr (in->str, "\r\nContent-Length:");
  size = length != NULL && length < end ? (gsize) g_ascii_strtoull (length + 17, NULL, 10) : 0;
  return in->len >= *body + size ? *body + size : 0;
}

static void
arrive (Load *load, LoadConnection *connection)
{
  char buffer[65536];
  ssize_t got = read (connection->fd, buffer, sizeof buffer);
  guint status = 0;
  gsize size, body = 0;

  if (got <= 0) {
    if (got < 0 && errno == EAGAIN)
      return;
    load->failed = TRUE;
    close_connection (load, connection);
    return;
  }
  g_string_append_len (connection->in, buffer, got);
  size = whole_answer (connection->in, &status, &body);
  if (size == 0)
    return;
  load->answer (connection->number, status, connection->in->str + body, size - body, load->user);
  g_string_erase (connection->in, 0, (gssize) size);
  go_on (load, connection);
}

static void
open_connection (Load *load, guint port, guint number)
{
  struct sockaddr_in address = loopback (port);
  LoadConnection *connection = g_new0 (LoadConnection, 1);
  struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection };
  int one = 1;

  connection->number = number;
  connection->fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  connection->out = g_string_new (NULL);
  connection->in = g_string_new (NULL);
  load->open++;
  setsockopt (connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect (connection->fd, (struct sockaddr *) &address, sizeof address) != 0) {
    load->failed = TRUE;
    close_connection (load, connection);
    return;
  }
  g_unix_set_fd_nonblocking (connection->fd, TRUE, NULL);
  epoll_ctl (load->epoll, EPOLL_CTL_ADD, connection->fd, &event);
  go_on (load, connection);
}

double
load_run (guint port, guint connections, LoadNext next, LoadAnswer answer, gpointer user)
{
  Load load = { .epoll = epoll_create1 (EPOLL_CLOEXEC), .next = next, .answer = answer, .user = user };
  struct epoll_event events[CONNECTIONS_MOST];
  double began = bench_now ();

  for (guint i = 0; i < connections; i++)
    open_connection (&load, port, i);
  while (load.open > 0) {
    int n = epoll_wait (load.epoll, events, CONNECTIONS_MOST, 30000);

    if (n <= 0) {
      load.failed = TRUE;
      break;
    }
    for (int i = 0; i < n; i++) {
      LoadConnection *connection = events[i].data.ptr;

      if (connection->sent < connection->out->len && !go_on (&load, connection))
        continue;
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        arrive (&load, connection);
    }
  }
  close (load.epoll);
  return load.failed ? 0 : bench_now () - began;
}
