/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to a host. Whoever has something to say puts it into the host's pipe, under the lock; what that has no room for waits
 * in an array until the host has read. The host is told of many at a time, and its bell is rung without the lock, so that
 * workers do not wait for each other's system calls.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

#define OUT_LIMIT ((gsize) 1536 << 20) /* bytes; an array of bytes counts in 32 bits */
#define KEEP_MOST ((guint) 1 << 20)    /* bytes of an array that are kept for later */
#define FED       48                   /* calls that a host has and has not answered */
#define SOON      ((gsize) 16 << 10)   /* bytes that are told without waiting for more */

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
  gsize size = zm_record_size (record);

  if (host->fd < 0)
    return;
  if (host->out->len == 0 && size <= zm_pipe_room (&host->to)) {
    zm_record_write (record, zm_pipe_space (&host->to));
    zm_pipe_said (&host->to, size);
  } else if (host->out->len - host->out_at + size > OUT_LIMIT) {
    zm_host_kill (host, g_strdup ("it does not read what it is told"));
    return;
  } else {
    zm_record_append (record, host->out);
  }
  set_dirty (host, TRUE);
}

gboolean
zm_host_has_much (const ZmHost *host)
{
  return host->out->len > 0 || zm_pipe_untold (&host->to) >= SOON;
}

/* Under the lock. */
void
zm_host_out_drop (ZmHost *host)
{
  if (host->out->len > KEEP_MOST) {
    g_byte_array_unref (host->out);
    host->out = g_byte_array_new ();
  }
  g_byte_array_set_size (host->out, 0);
  host->out_at = 0;
  host->unsent = 0;
  set_dirty (host, FALSE);
}

/* Under load it may never be empty: what went out of it is let go all the same. */
static void
compact (ZmHost *host)
{
  if (host->out_at <= host->out->len / 2)
    return;
  g_byte_array_remove_range (host->out, 0, (guint) host->out_at);
  host->out_at = 0;
}

/* What waits goes into the pipe as far as there is room; the host rings when there is more. Under the lock. */
static void
pour (ZmHost *host)
{
  while (host->out_at < host->out->len) {
    gsize size = MIN (zm_pipe_room (&host->to), host->out->len - host->out_at);

    memcpy (zm_pipe_space (&host->to), host->out->data + host->out_at, size);
    zm_pipe_said (&host->to, size);
    host->out_at += size;
    if (size == 0 && zm_pipe_ask_room (&host->to, 1))
      return;
  }
}

/* The process is not let go while its bell is rung. */
void
zm_host_flush_locked (ZmHost *host)
{
  ZmHosts *hosts = host->hosts;
  int fd;

  if (host->fd < 0)
    return;
  pour (host);
  if (host->out_at == host->out->len)
    zm_host_out_drop (host);
  else
    compact (host);
  host->unsent = 0;
  set_dirty (host, FALSE);
  if (!zm_pipe_tell (&host->to))
    return;
  host->ringing++;
  fd = host->fd;
  pthread_mutex_unlock (&hosts->lock);
  zm_bell_ring (fd, &host->to); /* where it is gone its end tells it */
  pthread_mutex_lock (&hosts->lock);
  host->ringing--;
  if (host->fd < 0 && host->ringing == 0)
    pthread_cond_broadcast (&hosts->changed);
}

/* It has enough to do for now: what is said to it goes with what the thread tells it as soon as it answers, or at the next tick.
 * So under load there are few wake-ups, and many calls in each. */
static gboolean
is_well_fed (const ZmHost *host)
{
  return ZM_PAGE_SLOTS - host->n_free >= host->unsent + FED && !zm_host_has_much (host);
}

/* One that was told too little. */
static ZmHost *
find_dirty (ZmHosts *hosts)
{
  for (guint i = 0; i < hosts->groups->len; i++) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++) {
      ZmHost *host = g_ptr_array_index (group->list, j);

      if (host->dirty && host->fd >= 0 && !is_well_fed (host))
        return host;
    }
  }
  return NULL;
}

/* By workers at the end of each batch. The lock is let go while a bell is rung, so it is looked for anew each time. */
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
