/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making and opening the shared page, and the bell. */
#include "config.h"

#include "hostwire/zm-page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

G_STATIC_ASSERT (sizeof (ZmPage) <= ZM_PAGE_HEAD);

static gboolean
io_error (const char *what, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s: %s", what, g_strerror (errno));
  return FALSE;
}

/* Sealed, so that a host cannot shrink what the daemon reads, which would kill the daemon by SIGBUS. */
static gboolean
make_memory (int *fd, GError **error)
{
  *fd = memfd_create ("zmanager-host", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0)
    return io_error ("no shared memory for a host", error);
  if (ftruncate (*fd, (off_t) ZM_PAGE_BYTES) != 0 ||
      fcntl (*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    io_error ("no shared memory for a host", error);
    close (*fd);
    *fd = -1;
    return FALSE;
  }
  return TRUE;
}

/* The head, and each pipe twice in a row, so that what runs over its end goes on at its beginning. */
#define MAPPED (ZM_PAGE_HEAD + 4 * ZM_PIPE_BYTES)

static gboolean
map_piece (guint8 *at, gsize size, int fd, gsize from)
{
  return mmap (at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t) from) != MAP_FAILED;
}

static ZmPage *
map (int fd, GError **error)
{
  guint8 *memory = mmap (NULL, MAPPED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  gboolean good = memory != MAP_FAILED && map_piece (memory, ZM_PAGE_HEAD, fd, 0);

  for (guint i = 0; i < 4 && good; i++)
    good = map_piece (memory + ZM_PAGE_HEAD + i * ZM_PIPE_BYTES, ZM_PIPE_BYTES, fd,
                      ZM_PAGE_HEAD + i / 2 * ZM_PIPE_BYTES);
  if (good)
    return (ZmPage *) (void *) memory;
  io_error ("the shared memory of a host cannot be mapped", error);
  if (memory != MAP_FAILED)
    munmap (memory, MAPPED);
  return NULL;
}

ZmPage *
zm_page_new (int *fd, GError **error)
{
  ZmPage *page;

  if (!make_memory (fd, error))
    return NULL;
  page = map (*fd, error);
  if (page == NULL) {
    close (*fd);
    *fd = -1;
    return NULL;
  }
  page->magic = ZM_PAGE_MAGIC;
  return page;
}

ZmPage *
zm_page_open (int fd, GError **error)
{
  struct stat info;
  ZmPage *page = NULL;

  if (fstat (fd, &info) != 0 || info.st_size != (off_t) ZM_PAGE_BYTES)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "descriptor %d is not the shared memory of a host", fd);
  else
    page = map (fd, error);
  close (fd);
  /* A child that a plugin forks has no part in it: it would say things behind this process's back. */
  if (page != NULL)
    madvise (page, MAPPED, MADV_DONTFORK);
  if (page != NULL && page->magic != ZM_PAGE_MAGIC) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "the shared memory is of another version");
    zm_page_free (page);
    return NULL;
  }
  return page;
}

void
zm_page_free (ZmPage *page)
{
  if (page != NULL)
    munmap (page, MAPPED);
}

static ZmPipeEnd
end_of (ZmPage *page, ZmPipe *pipe, gsize from)
{
  return (ZmPipeEnd){ .pipe = pipe, .bytes = (guint8 *) page + ZM_PAGE_HEAD + from };
}

ZmPipeEnd
zm_page_to_host (ZmPage *page)
{
  return end_of (page, &page->to_host, 0);
}

ZmPipeEnd
zm_page_from_host (ZmPage *page)
{
  return end_of (page, &page->from_host, 2 * ZM_PIPE_BYTES);
}

/* ---- the bell ---- */

/* One that is full of bytes wakes as well. */
gboolean
zm_bell_ring (int fd, const ZmPipeEnd *told)
{
  ssize_t sent;

  do
    sent = send (fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent > 0 || errno == EAGAIN)
    return TRUE;
  if (errno != ENOBUFS && errno != ENOMEM)
    return FALSE;
  if (told != NULL)
    atomic_store (&told->pipe->reader_asks, 1);
  return TRUE;
}

/* Once: what is left wakes again. */
gboolean
zm_bell_heard (int fd)
{
  char bytes[256];
  ssize_t got = recv (fd, bytes, sizeof bytes, MSG_DONTWAIT);

  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}
