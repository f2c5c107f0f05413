/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's way out. A record is in the page, which survives the process, as soon as it was said; the daemon is told of many at
 * a time.
 */
#include "config.h"

#include "hostwire/zm-page.h"

#include <pthread.h>
#include <string.h>

#define WAIT_MS 100 /* for room; then whether the daemon is there is looked at again */

struct ZmHostOut {
  int fd;
  pthread_mutex_t lock; /* of what follows, and of the pipe */
  ZmPipeEnd pipe;
  gboolean gone; /* the daemon does not read any more */
};

ZmHostOut *
zm_host_out_new (ZmPage *page, int fd)
{
  ZmHostOut *out = g_new0 (ZmHostOut, 1);

  out->pipe = zm_page_from_host (page);
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

/* Under the lock. */
static void
tell (ZmHostOut *out)
{
  if (zm_pipe_tell (&out->pipe) && !zm_bell_ring (out->fd, &out->pipe))
    out->gone = TRUE;
}

/* Room for so many bytes, however long that takes. FALSE: the daemon is gone. Under the lock. */
static gboolean
wait_for_room (ZmHostOut *out, gsize size)
{
  tell (out);
  while (zm_pipe_room (&out->pipe) < size && !out->gone) {
    gsize before = zm_pipe_room (&out->pipe);

    zm_pipe_wait_room (&out->pipe, size, WAIT_MS);
    /* Nothing was taken for so long: is it there still? */
    if (zm_pipe_room (&out->pipe) == before && !zm_bell_ring (out->fd, NULL))
      out->gone = TRUE;
  }
  return !out->gone;
}

/* Under the lock. */
static void
put_bytes (ZmHostOut *out, const void *data, gsize size)
{
  for (gsize at = 0; at < size;) {
    gsize piece = zm_pipe_room (&out->pipe);

    if (piece == 0 && !wait_for_room (out, 1))
      return;
    piece = MIN (zm_pipe_room (&out->pipe), size - at);
    memcpy (zm_pipe_space (&out->pipe), (const guint8 *) data + at, piece);
    zm_pipe_said (&out->pipe, piece);
    at += piece;
  }
}

/* One that does not fit into the pipe goes through it piece by piece. Under the lock. */
static void
put_large (ZmHostOut *out, const ZmRecord *record, gsize size)
{
  const ZmSpan last = record->n_parts > 0 ? record->parts[record->n_parts - 1] : zm_span (NULL, 0);
  gsize head_size = size - (last.data != NULL ? last.size : 0);
  g_autofree guint8 *head = g_malloc (head_size);

  zm_record_write_head (record, head);
  put_bytes (out, head, head_size);
  if (last.data != NULL)
    put_bytes (out, last.data, last.size);
}

gboolean
zm_host_out_say (ZmHostOut *out, const ZmRecord *record, gboolean flush)
{
  gsize size = zm_record_size (record);
  gboolean good;

  if (size > ZM_RECORD_MOST)
    return FALSE;
  pthread_mutex_lock (&out->lock);
  if (size > ZM_PIPE_BYTES) {
    put_large (out, record, size);
  } else if (zm_pipe_room (&out->pipe) >= size || wait_for_room (out, size)) {
    zm_record_write (record, zm_pipe_space (&out->pipe));
    zm_pipe_said (&out->pipe, size);
  }
  if (flush || zm_pipe_untold (&out->pipe) > ZM_PIPE_BYTES / 2)
    tell (out);
  good = !out->gone;
  pthread_mutex_unlock (&out->lock);
  return good;
}

gboolean
zm_host_out_flush (ZmHostOut *out)
{
  gboolean good;

  pthread_mutex_lock (&out->lock);
  tell (out);
  good = !out->gone;
  pthread_mutex_unlock (&out->lock);
  return good;
}
