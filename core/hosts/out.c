/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to a host. Whoever has something to say puts it into a buffer, under the lock; one at a time sends what is there,
 * without the lock, so that workers do not wait for each other's system calls. What the socket does not take is left to the
 * thread.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <errno.h>
#include <sys/socket.h>

#define OUT_LIMIT ((gsize) 1536 << 20) /* bytes; an array of bytes counts in 32 bits */
#define KEEP_MOST ((guint) 1 << 20)    /* bytes of a buffer that are kept for later */
#define FED       48                   /* calls that a host has and has not answered */

static void
set_dirty (ZmHost *host, gboolean dirty)
{
  if (host->dirty == dirty)
    return;
  host->dirty = dirty;
  if (dirty)
    atomic_fetch_add (&host->hosts->dirty, 1);
  else
    atomic_fetch_sub (&host->hosts->dirty, 1);
}

/* Nothing is said to a process that is not there: whoever has calls there is told by its end. */
void
zm_host_say (ZmHost *host, const ZmRecord *record)
{
  if (host->fd < 0)
    return;
  if (host->out->len + zm_record_size (record) > OUT_LIMIT) {
    zm_host_kill (host, g_strdup ("it does not read what it is told"));
    return;
  }
  zm_record_append (record, host->out);
  set_dirty (host, TRUE);
}

/* Sends from rest_at on. TRUE: all of it went. */
static gboolean
send_rest (ZmHost *host)
{
  while (host->rest_at < host->rest->len) {
    ssize_t sent = send (host->fd, host->rest->data + host->rest_at, host->rest->len - host->rest_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent >= 0)
      host->rest_at += (gsize) sent;
    else if (errno == EAGAIN)
      return FALSE;
    else if (errno != EINTR)
      host->rest_at = host->rest->len; /* it is dead, which its end will tell */
  }
  if (host->rest->len > KEEP_MOST) {
    g_byte_array_unref (host->rest);
    host->rest = g_byte_array_new ();
  }
  g_byte_array_set_size (host->rest, 0);
  host->rest_at = 0;
  return TRUE;
}

/* rest belongs to whoever set `sending`; its process is not let go as long as that stands. */
void
zm_host_flush_locked (ZmHost *host)
{
  ZmHosts *hosts = host->hosts;

  if (host->sending)
    return;
  host->sending = TRUE;
  while (host->fd >= 0 && host->writable && (host->rest->len > 0 || host->out->len > 0)) {
    gboolean all;

    if (host->rest->len == 0) {
      GByteArray *empty = host->rest;

      host->rest = host->out;
      host->out = empty;
      host->unsent = 0;
      set_dirty (host, FALSE);
    }
    pthread_mutex_unlock (&hosts->lock);
    all = send_rest (host);
    pthread_mutex_lock (&hosts->lock);
    if (!all) {
      host->writable = FALSE;
      zm_hosts_wake (hosts);
    }
  }
  host->sending = FALSE;
  if (host->fd < 0 || !host->writable)
    set_dirty (host, FALSE); /* the thread goes on when there is room */
  if (host->state == ZM_HOST_DOWN || host->fd < 0)
    pthread_cond_broadcast (&hosts->changed);
}

/* It has enough to do for now: what is said to it goes with what the thread sends as soon as it answers, or at the next tick. So
 * under load there are few system calls and wake-ups, and many calls in each. */
static gboolean
is_well_fed (const ZmHost *host)
{
  return ZM_PAGE_SLOTS - host->n_free >= host->unsent + FED && host->out->len < ZM_HOST_OUT_SOON;
}

/* One with something to send, that nobody sends just now. */
static ZmHost *
find_dirty (ZmHosts *hosts)
{
  for (guint i = 0; i < hosts->groups->len; i++) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++) {
      ZmHost *host = g_ptr_array_index (group->list, j);

      if (host->dirty && !host->sending && host->writable && !is_well_fed (host))
        return host;
    }
  }
  return NULL;
}

/* By workers at the end of each batch. The lock is let go while one is sent to, so it is looked for anew each time. */
void
zm_hosts_flush (ZmHosts *hosts)
{
  ZmHost *host;

  if (hosts == NULL || atomic_load_explicit (&hosts->dirty, memory_order_relaxed) == 0)
    return;
  pthread_mutex_lock (&hosts->lock);
  while ((host = find_dirty (hosts)) != NULL)
    zm_host_flush_locked (host);
  pthread_mutex_unlock (&hosts->lock);
}
