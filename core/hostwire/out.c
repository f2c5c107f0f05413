/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's way out. Records are put into the page, which survives the process, and from there to the socket many at a
 * time. The order of the stores is what makes the page readable at whatever instant the process dies: a record counts from
 * the store of journal_end on, which comes after its bytes.
 */
#include "config.h"

#include "hostwire/zm-page.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct ZmHostOut {
  ZmPage *page;
  int fd;
  pthread_mutex_t lock; /* of what follows, and of the journal */
  gsize end;            /* as in the page, which a plugin may write over */
  guint64 base;
  gboolean gone; /* the daemon does not read any more */
};

ZmHostOut *
zm_host_out_new (ZmPage *page, int fd)
{
  ZmHostOut *out = g_new0 (ZmHostOut, 1);

  out->page = page;
  out->fd = fd;
  pthread_mutex_init (&out->lock, NULL);
  return out;
}

void
zm_host_out_free (ZmHostOut *out)
{
  if (out == NULL)
    return;
  pthread_mutex_destroy (&out->lock);
  g_free (out);
}

/* All of it, however often the socket has to be waited for. Under the lock. */
static void
send_all (ZmHostOut *out, struct iovec *parts, int n)
{
  while (n > 0 && !out->gone) {
    const struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t) n };
    ssize_t sent = sendmsg (out->fd, &message, MSG_NOSIGNAL);

    if (sent < 0) {
      out->gone = errno != EINTR;
      continue;
    }
    while (n > 0 && (size_t) sent >= parts->iov_len) {
      sent -= (ssize_t) parts->iov_len;
      parts++;
      n--;
    }
    if (n > 0) {
      parts->iov_base = (guint8 *) parts->iov_base + sent;
      parts->iov_len -= (size_t) sent;
    }
  }
}

/* Under the lock. end goes before base: see zm_page_rest. */
static void
flush_locked (ZmHostOut *out)
{
  struct iovec all = { .iov_base = out->page->journal, .iov_len = out->end };

  if (out->end == 0)
    return;
  send_all (out, &all, 1);
  atomic_store (&out->page->journal_end, 0);
  out->base += out->end;
  atomic_store (&out->page->journal_base, out->base);
  out->end = 0;
}

/* One that does not fit into the page: from where it is. What was said before goes first. Under the lock. */
static void
send_large (ZmHostOut *out, const ZmRecord *record, gsize size)
{
  const ZmSpan last = record->n_parts > 0 ? record->parts[record->n_parts - 1] : zm_span (NULL, 0);
  gsize head_size = size - (last.data != NULL ? last.size : 0);
  g_autofree guint8 *head = g_malloc (head_size);
  struct iovec parts[] = { { .iov_base = head, .iov_len = head_size },
                           { .iov_base = (void *) last.data, .iov_len = last.data != NULL ? last.size : 0 } };

  flush_locked (out);
  zm_record_write_head (record, head);
  send_all (out, parts, 2);
  out->base += size;
  atomic_store (&out->page->journal_base, out->base);
}

gboolean
zm_host_out_say (ZmHostOut *out, const ZmRecord *record, gboolean flush)
{
  gsize size = zm_record_size (record);
  gboolean good;

  if (size > ZM_RECORD_MOST)
    return FALSE;
  pthread_mutex_lock (&out->lock);
  if (out->end + size > ZM_PAGE_JOURNAL)
    flush_locked (out);
  if (size > ZM_PAGE_JOURNAL) {
    send_large (out, record, size);
  } else {
    zm_record_write (record, out->page->journal + out->end);
    out->end += size;
    atomic_store (&out->page->journal_end, out->end);
    if (flush || out->end > ZM_PAGE_JOURNAL / 2)
      flush_locked (out);
  }
  good = !out->gone;
  pthread_mutex_unlock (&out->lock);
  return good;
}

gboolean
zm_host_out_flush (ZmHostOut *out)
{
  gboolean good;

  pthread_mutex_lock (&out->lock);
  flush_locked (out);
  good = !out->gone;
  pthread_mutex_unlock (&out->lock);
  return good;
}

gboolean
zm_host_out_waits (ZmHostOut *out)
{
  gboolean waits;

  pthread_mutex_lock (&out->lock);
  waits = out->end > 0;
  pthread_mutex_unlock (&out->lock);
  return waits;
}
