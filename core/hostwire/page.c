/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making, opening and reading the shared page. */
#include "config.h"

#include "hostwire/zm-page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
  if (ftruncate (*fd, sizeof (ZmPage)) != 0 ||
      fcntl (*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    io_error ("no shared memory for a host", error);
    close (*fd);
    *fd = -1;
    return FALSE;
  }
  return TRUE;
}

static ZmPage *
map (int fd, GError **error)
{
  void *memory = mmap (NULL, sizeof (ZmPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (memory == MAP_FAILED) {
    io_error ("the shared memory of a host cannot be mapped", error);
    return NULL;
  }
  return memory;
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

  if (fstat (fd, &info) != 0 || info.st_size != (off_t) sizeof (ZmPage))
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "descriptor %d is not the shared memory of a host", fd);
  else
    page = map (fd, error);
  close (fd);
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
    munmap (page, sizeof *page);
}

/* base is moved on after end was set to 0 (out.c), so that whatever instant it died at, [base, base + end) holds bytes that
 * were said and perhaps sent; heard tells which of them were. */
void
zm_page_rest (const ZmPage *page, guint64 heard, GByteArray *out)
{
  guint64 end = atomic_load (&page->journal_end);
  guint64 base = atomic_load (&page->journal_base);

  if (end > ZM_PAGE_JOURNAL || heard < base || heard - base >= end)
    return;
  g_byte_array_append (out, page->journal + (heard - base), (guint) (end - (heard - base)));
}
