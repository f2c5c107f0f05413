/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walks the ELF notes of a file that nobody vouches for. Only the program headers are believed, each after a check against
 * the file's size; nothing is mapped (a file cut short meanwhile would be a SIGBUS), everything is read into buffers whose
 * size is bounded here.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MOST_HEADERS 256           /* program headers; real libraries have about ten */
#define MOST_NOTES   (128u * 1024) /* bytes of all PT_NOTE segments together */

#if defined __x86_64__
#define HOST_MACHINE EM_X86_64
#elif defined __aarch64__
#define HOST_MACHINE EM_AARCH64
#elif defined __i386__
#define HOST_MACHINE EM_386
#elif defined __arm__
#define HOST_MACHINE EM_ARM
#elif defined __riscv
#define HOST_MACHINE EM_RISCV
#elif defined __powerpc64__
#define HOST_MACHINE EM_PPC64
#elif defined __s390__
#define HOST_MACHINE EM_S390
#elif defined __loongarch__
#define HOST_MACHINE 258
#else
#define HOST_MACHINE EM_NONE /* not known here: the dynamic loader will say */
#endif

#define HOST_CLASS (sizeof (void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define HOST_DATA  (G_BYTE_ORDER == G_LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)

/* Is [offset, offset + size) inside the file? */
static gboolean
inside (const ZmImage *image, guint64 offset, guint64 size)
{
  return offset <= image->size && size <= image->size - offset;
}

/* Half of a file that is being copied looks like this; a person then needs to know that it is the copy, not the build. */
static gboolean
refuse_truncated (const char *what, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
               "truncated: %s ends after the file does; copy the file again", what);
  return FALSE;
}

/* Reads exactly size bytes at offset. */
gboolean
zm_image_read (const ZmImage *image, guint64 offset, void *buffer, gsize size, const char *what,
               GError **error)
{
  if (!inside (image, offset, size))
    return refuse_truncated (what, error);
  if (image->fd < 0) {
    memcpy (buffer, image->data + offset, size);
    return TRUE;
  }
  for (gsize done = 0; done < size;) {
    ssize_t n = pread (image->fd, (char *) buffer + done, size - done, (off_t) (offset + done));

    if (n == 0)
      return refuse_truncated (what, error);
    if (n < 0 && errno != EINTR) {
      g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "%s cannot be read: %s", what, g_strerror (errno));
      return FALSE;
    }
    done += n > 0 ? (gsize) n : 0;
  }
  return TRUE;
}

/* In the order in which a person would ask: is it a library at all, then for which machine. */
static gboolean
check_ident (const unsigned char *ident, GError **error)
{
  const char *why = NULL;

  if (memcmp (ident, ELFMAG, SELFMAG) != 0)
    why = "not an ELF file; a plugin is a shared library (cc -shared -fPIC)";
  else if (ident[EI_CLASS] != HOST_CLASS)
    why = sizeof (void *) == 8 ? "wrong architecture: not a 64-bit library"
                               : "wrong architecture: not a 32-bit library";
  else if (ident[EI_DATA] != HOST_DATA)
    why = "wrong architecture: of the other byte order";
  else if (ident[EI_VERSION] != EV_CURRENT)
    why = "of an unknown ELF version";
  if (why != NULL)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "%s", why);
  return why == NULL;
}

/* The number of headers is bounded before any is read, as it decides how much is read. */
static gboolean
check_header (const ElfW (Ehdr) * header, GError **error)
{
  if (HOST_MACHINE != EM_NONE && header->e_machine != HOST_MACHINE)
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_INVALID,
        "wrong architecture: built for machine %u, this is machine %u; build it on this kind of machine",
        header->e_machine, HOST_MACHINE);
  else if (header->e_type != ET_DYN)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "not a shared library (ELF type %u); build it with -shared -fPIC", header->e_type);
  else if (header->e_phentsize != sizeof (ElfW (Phdr)) || header->e_phnum == 0 ||
           header->e_phnum > MOST_HEADERS)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "damaged: %u program headers of %u bytes",
                 header->e_phnum, header->e_phentsize);
  else
    return TRUE;
  return FALSE;
}

static gboolean
read_header (const ZmImage *image, ElfW (Ehdr) * header, GError **error)
{
  /* The first bytes alone decide how wide the rest is: a short file of another kind is told as that, not as truncated. */
  if (image->size < EI_NIDENT) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 image->size == 0 ? "the file is empty" : "not an ELF file: only %" G_GUINT64_FORMAT " bytes",
                 image->size);
    return FALSE;
  }
  return zm_image_read (image, 0, header->e_ident, EI_NIDENT, "the ELF header", error) &&
         check_ident (header->e_ident, error) &&
         zm_image_read (image, 0, header, sizeof *header, "the ELF header", error) &&
         check_header (header, error);
}

/* A name or description of `size` bytes takes this many with its padding. */
static guint64
padded (guint64 size, guint64 align)
{
  return (size + align - 1) & ~(align - 1);
}

/* Reads one note at *at and moves behind it. */
static gboolean
take_note (const guint8 *segment, guint64 size, guint64 align, guint64 *at, ZmNote *note, GError **error)
{
  guint32 head[3];
  guint64 name_at = *at + sizeof head;
  guint64 text_at, end;

  memcpy (head, segment + *at, sizeof head);
  /* Both sizes have 32 bits, so that 64-bit sums cannot overflow. */
  text_at = padded (name_at + head[0], align);
  end = text_at + head[1];
  if (text_at > size || end > size) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "damaged: an ELF note is longer than its segment");
    return FALSE;
  }
  note->owner = (const char *) segment + name_at;
  note->owner_size = head[0];
  note->type = head[2];
  note->text = segment + text_at;
  note->size = head[1];
  *at = padded (end, align);
  return TRUE;
}

/* Ends at the first note that is refused, with the error of whoever refused it. */
static gboolean
walk_segment (const guint8 *segment, guint64 size, guint64 align, ZmNoteFunc func, gpointer user,
              GError **error)
{
  static const guint8 no_owner[4];

  for (guint64 at = 0; at + 3 * sizeof (guint32) <= size;) {
    ZmNote note;

    /* Sanitizers put zeroed gaps between variables of one section; a note without an owner is nobody's. */
    if (memcmp (segment + at, no_owner, sizeof no_owner) == 0) {
      at += sizeof no_owner;
      continue;
    }
    if (!take_note (segment, size, align, &at, &note, error) || !func (&note, user, error))
      return FALSE;
  }
  return TRUE;
}

/* The budget is for all segments together: many small ones may not cost more than one large one. */
static gboolean
read_segment (const ZmImage *image, const ElfW (Phdr) * header, guint64 *budget, ZmNoteFunc func,
              gpointer user, GError **error)
{
  g_autofree guint8 *segment = NULL;

  if (header->p_filesz > *budget) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT, "its ELF notes are larger than %u bytes", MOST_NOTES);
    return FALSE;
  }
  *budget -= header->p_filesz;
  segment = g_malloc (header->p_filesz + 1);
  return zm_image_read (image, header->p_offset, segment, header->p_filesz, "an ELF note", error) &&
         walk_segment (segment, header->p_filesz, header->p_align == 8 ? 8 : 4, func, user, error);
}

/* All of the program headers, each within the file as far as it is to be loaded: the dynamic loader would map pages past the end
 * and die of SIGBUS. NULL: error. */
static ElfW (Phdr) * read_programs (const ZmImage *image, const ElfW (Ehdr) * header, GError **error)
{
  g_autofree ElfW (Phdr) *programs = g_new0 (ElfW (Phdr), header->e_phnum);

  if (header->e_phoff > image->size) {
    refuse_truncated ("the program header table", error);
    return NULL;
  }
  for (guint i = 0; i < header->e_phnum; i++) {
    ElfW (Phdr) *program = &programs[i];

    if (!zm_image_read (image, (guint64) header->e_phoff + i * sizeof *program, program, sizeof *program,
                        "a program header", error))
      return NULL;
    if (program->p_type == PT_LOAD && !inside (image, program->p_offset, program->p_filesz)) {
      refuse_truncated ("a segment", error);
      return NULL;
    }
  }
  return g_steal_pointer (&programs);
}

/* Segments are checked here too, although only notes are read: it is the one place that sees the headers before the dynamic loader
 * does. */
gboolean
zm_image_each_note (const ZmImage *image, ZmNoteFunc func, gpointer user, GError **error)
{
  ElfW (Ehdr) header;
  guint64 budget = MOST_NOTES;
  g_autofree ElfW (Phdr) *programs = NULL;

  if (!read_header (image, &header, error))
    return FALSE;
  programs = read_programs (image, &header, error);
  if (programs == NULL || !zm_segments_check (programs, header.e_phnum, error) ||
      !zm_dynamic_check (image, programs, header.e_phnum, error))
    return FALSE;
  for (guint i = 0; i < header.e_phnum; i++)
    if (programs[i].p_type == PT_NOTE && !read_segment (image, &programs[i], &budget, func, user, error))
      return FALSE;
  return TRUE;
}
