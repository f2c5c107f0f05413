/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Are the segments of a file such as a linker makes them? The dynamic loader believes most of what they say: one that is damaged
 * has it map or protect memory that is not the library's own, and the daemon dies of that later and elsewhere.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <unistd.h>

#define MOST_SPAN ((guint64) 4 << 30) /* bytes of addresses that a library takes */
#define MOST_TLS \
  ((guint64) 16 << 20) /* bytes of each thread's own data, which the loader cannot refuse later */

static gboolean
damaged (const char *what, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "damaged: %s; build or copy the file again", what);
  return FALSE;
}

/* Loaded segments stand in the order of their addresses and apart from each other: the loader reserves from the first to the last
 * and puts each into its place, over whatever is there. */
static gboolean
check_loads (const ElfW (Phdr) * headers, guint n, GError **error)
{
  guint64 end = 0, page = (guint64) sysconf (_SC_PAGESIZE);

  for (guint i = 0; i < n; i++) {
    const ElfW (Phdr) *load = &headers[i];

    if (load->p_type != PT_LOAD)
      continue;
    if (load->p_vaddr > MOST_SPAN || load->p_memsz > MOST_SPAN || load->p_filesz > load->p_memsz)
      return damaged ("a segment has an impossible size", error);
    if (load->p_vaddr < end)
      return damaged ("segments lie upon each other", error);
    if ((load->p_align & (load->p_align - 1)) != 0 || load->p_align > MOST_SPAN ||
        ((load->p_vaddr - load->p_offset) & (page - 1)) != 0)
      return damaged ("a segment is not aligned", error);
    end = load->p_vaddr + load->p_memsz;
  }
  return TRUE;
}

/* Is it within one loaded segment, of which the last page is the library's as a whole? */
static gboolean
is_loaded (const ElfW (Phdr) * headers, guint n, guint64 begin, guint64 size)
{
  guint64 page = (guint64) sysconf (_SC_PAGESIZE);

  for (guint i = 0; i < n; i++)
    if (headers[i].p_type == PT_LOAD && begin >= headers[i].p_vaddr) {
      guint64 end = (headers[i].p_vaddr + headers[i].p_memsz + page - 1) & ~(page - 1);

      if (begin <= end && size <= end - begin)
        return TRUE;
    }
  return FALSE;
}

/* The other segments only say what parts of the loaded ones are for. Thread-local data is loaded as far as the file has it. */
static gboolean
check_part (const ElfW (Phdr) * headers, guint n, const ElfW (Phdr) * part, GError **error)
{
  switch (part->p_type) {
  case PT_TLS:
    if (part->p_filesz > part->p_memsz || part->p_memsz > MOST_TLS || part->p_align > MOST_TLS ||
        (part->p_align & (part->p_align - 1)) != 0)
      return damaged ("its thread-local data has an impossible size", error);
    return part->p_filesz == 0 || is_loaded (headers, n, part->p_vaddr, part->p_filesz) ||
           damaged ("its thread-local data is not part of what is loaded", error);
  case PT_DYNAMIC:
  case PT_PHDR:
  case PT_NOTE:
  case PT_GNU_RELRO:
  case PT_GNU_EH_FRAME:
  case PT_GNU_PROPERTY:
    return part->p_memsz == 0 || is_loaded (headers, n, part->p_vaddr, part->p_memsz) ||
           damaged ("a program header names memory that is not loaded", error);
  default: return TRUE;
  }
}

/* Without the header, and with one that asks for it, the loader makes the stacks of all threads of the process executable. */
static gboolean
check_stack (const ElfW (Phdr) * headers, guint n, GError **error)
{
  for (guint i = 0; i < n; i++)
    if (headers[i].p_type == PT_GNU_STACK && (headers[i].p_flags & PF_X) == 0)
      return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
               "it would make the stacks of the whole process executable; link it with -z noexecstack");
  return FALSE;
}

/* One without any loaded segment the loader refuses by itself. */
gboolean
zm_segments_check (const ElfW (Phdr) * headers, guint n, GError **error)
{
  gboolean loads = FALSE;

  for (guint i = 0; i < n; i++)
    loads |= headers[i].p_type == PT_LOAD;
  if (!loads)
    return TRUE;
  if (!check_loads (headers, n, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!check_part (headers, n, &headers[i], error))
      return FALSE;
  return check_stack (headers, n, error);
}
