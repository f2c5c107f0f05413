/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dynamic section, before the dynamic loader reads it. What leads out of the library there is read, or written to, in the
 * daemon: a damaged name is compared with when the next library is opened, a damaged relocation changes somebody else's memory. A
 * process that only tried the library has survived both.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

#define MOST_ENTRIES     1024
#define MOST_RELOCATIONS (4u << 20)
#define MOST_VERSIONS    4096
#define CHUNK            512    /* relocations that are read at a time */
#define VERSION_BITS     0x7fff /* of a version's number; the other bit says "hidden" */

#if __SIZEOF_POINTER__ == 8
#define RELOCATION_TYPE(info)   ELF64_R_TYPE (info)
#define RELOCATION_SYMBOL(info) ELF64_R_SYM (info)
#else
#define RELOCATION_TYPE(info)   ELF32_R_TYPE (info)
#define RELOCATION_SYMBOL(info) ELF32_R_SYM (info)
#endif

/* What is looked at. */
typedef struct Dynamic {
  const ZmImage *image;
  const ElfW (Phdr) * headers;
  guint n;
  guint64 value[DT_NUM]; /* of the tags that there are; the others 0 */
  guint64 gnu_hash, versions, needed_versions, defined_versions; /* addresses, or 0 */
  guint64 last_symbol;                                           /* that a relocation asks for */
  guint last_version;                                            /* that is needed or defined */
} Dynamic;

static gboolean
damaged (const char *what, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "damaged: %s; build or copy the file again", what);
  return FALSE;
}

/* The loaded segment that has all of these addresses; NULL: none. */
static const ElfW (Phdr) * segment_of (const Dynamic *dynamic, guint64 address, guint64 size)
{
  for (guint i = 0; i < dynamic->n; i++) {
    const ElfW (Phdr) *load = &dynamic->headers[i];

    if (load->p_type == PT_LOAD && address >= load->p_vaddr && address - load->p_vaddr <= load->p_memsz &&
        size <= load->p_memsz - (address - load->p_vaddr))
      return load;
  }
  return NULL;
}

/* Bytes at an address, as the file has them. */
static gboolean
read_at (const Dynamic *dynamic, guint64 address, void *buffer, gsize size, GError **error)
{
  const ElfW (Phdr) *load = segment_of (dynamic, address, size);

  if (load == NULL || address - load->p_vaddr + size > load->p_filesz)
    return damaged ("its dynamic section leads out of it", error);
  return zm_image_read (dynamic->image, load->p_offset + (address - load->p_vaddr), buffer, size,
                        "its dynamic section", error);
}

/* What each of these says is an address, or a place in the strings. */
static gboolean
check_addresses (const Dynamic *dynamic, GError **error)
{
  static const int addresses[] = { DT_STRTAB,     DT_SYMTAB,     DT_HASH,   DT_RELA,
                                   DT_REL,        DT_JMPREL,     DT_PLTGOT, DT_INIT,
                                   DT_INIT_ARRAY, DT_FINI_ARRAY, DT_FINI,   DT_PREINIT_ARRAY };
  static const int tables[][2] = { { DT_STRTAB, DT_STRSZ },
                                   { DT_RELA, DT_RELASZ },
                                   { DT_REL, DT_RELSZ },
                                   { DT_JMPREL, DT_PLTRELSZ },
                                   { DT_INIT_ARRAY, DT_INIT_ARRAYSZ },
                                   { DT_FINI_ARRAY, DT_FINI_ARRAYSZ } };
  const guint64 *value = dynamic->value;
  char last;

  for (guint i = 0; i < G_N_ELEMENTS (addresses); i++)
    if (value[addresses[i]] != 0 && segment_of (dynamic, value[addresses[i]], 1) == NULL)
      return damaged ("its dynamic section leads out of it", error);
  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    if (value[tables[i][1]] != 0 && segment_of (dynamic, value[tables[i][0]], value[tables[i][1]]) == NULL)
      return damaged ("a table of its dynamic section leads out of it", error);
  if (value[DT_STRSZ] == 0 || value[DT_STRTAB] == 0 || value[DT_SYMTAB] == 0)
    return damaged ("it has no symbols", error);
  if (dynamic->gnu_hash != 0 && segment_of (dynamic, dynamic->gnu_hash, 16) == NULL)
    return damaged ("its dynamic section leads out of it", error);
  /* Then each text that begins within them ends there. */
  if (!read_at (dynamic, value[DT_STRTAB] + value[DT_STRSZ] - 1, &last, 1, error))
    return FALSE;
  return last == '\0' || damaged ("its names do not end", error);
}

/* Each is a place that is written when the library is opened. Those without a type change nothing. */
static gboolean
check_relocations (Dynamic *dynamic, guint64 table, guint64 size, GError **error)
{
  ElfW (Rela) chunk[CHUNK];
  guint64 left = size / sizeof *chunk;

  if (left > MOST_RELOCATIONS)
    return damaged ("it has too many relocations", error);
  for (guint64 at = table; left > 0; at += sizeof chunk, left -= MIN (left, CHUNK)) {
    gsize n = (gsize) MIN (left, CHUNK);

    if (!read_at (dynamic, at, chunk, n * sizeof *chunk, error))
      return FALSE;
    for (gsize i = 0; i < n; i++) {
      if (RELOCATION_TYPE (chunk[i].r_info) != 0 && segment_of (dynamic, chunk[i].r_offset, 1) == NULL)
        return damaged ("a relocation leads out of it", error);
      dynamic->last_symbol = MAX (dynamic->last_symbol, RELOCATION_SYMBOL (chunk[i].r_info));
    }
  }
  return TRUE;
}

/* ---- versions of symbols ---- */

/* What it needs of other libraries: for each of them a list of versions, each with its number. */
static gboolean
read_needed_versions (Dynamic *dynamic, GError **error)
{
  guint64 at = dynamic->needed_versions;
  ElfW (Verneed) library;
  guint n = 0;

  do {
    guint64 version_at;
    ElfW (Vernaux) version;

    if (!read_at (dynamic, at, &library, sizeof library, error))
      return FALSE;
    version_at = at + library.vn_aux;
    do {
      if (n++ == MOST_VERSIONS)
        return damaged ("it has too many versions", error);
      if (!read_at (dynamic, version_at, &version, sizeof version, error))
        return FALSE;
      dynamic->last_version = MAX (dynamic->last_version, version.vna_other & VERSION_BITS);
      version_at += version.vna_next;
    } while (version.vna_next != 0);
    at += library.vn_next;
  } while (library.vn_next != 0);
  return TRUE;
}

static gboolean
read_defined_versions (Dynamic *dynamic, GError **error)
{
  guint64 at = dynamic->defined_versions;
  ElfW (Verdef) version;

  for (guint n = 0; n < MOST_VERSIONS; n++) {
    if (!read_at (dynamic, at, &version, sizeof version, error))
      return FALSE;
    dynamic->last_version = MAX (dynamic->last_version, version.vd_ndx & VERSION_BITS);
    if (version.vd_next == 0)
      return TRUE;
    at += version.vd_next;
  }
  return damaged ("it has too many versions", error);
}

static gboolean
check_numbers (const Dynamic *dynamic, GError **error)
{
  guint16 chunk[CHUNK];
  guint64 left = dynamic->last_symbol + 1;

  for (guint64 at = dynamic->versions; left > 0; at += sizeof chunk, left -= MIN (left, CHUNK)) {
    gsize n = (gsize) MIN (left, CHUNK);

    if (!read_at (dynamic, at, chunk, n * sizeof *chunk, error))
      return FALSE;
    for (gsize i = 0; i < n; i++)
      if ((chunk[i] & VERSION_BITS) > dynamic->last_version)
        return damaged ("a symbol has a version that there is not", error);
  }
  return TRUE;
}

/* The loader has a table of all versions, and looks there by the number of each symbol that a relocation asks for. */
static gboolean
check_versions (Dynamic *dynamic, GError **error)
{
  guint64 n = dynamic->last_symbol + 1;

  if (dynamic->last_symbol == 0)
    return TRUE;
  if (segment_of (dynamic, dynamic->value[DT_SYMTAB], n * sizeof (ElfW (Sym))) == NULL)
    return damaged ("a relocation asks for a symbol that it has not", error);
  if (dynamic->versions == 0)
    return TRUE;
  return (dynamic->needed_versions == 0 || read_needed_versions (dynamic, error)) &&
         (dynamic->defined_versions == 0 || read_defined_versions (dynamic, error)) &&
         check_numbers (dynamic, error);
}

/* Texts: needed libraries may stand several times, so they are checked as they come. */
static gboolean
take_entry (Dynamic *dynamic, const ElfW (Dyn) * entry, guint64 strings_size, GError **error)
{
  switch (entry->d_tag) {
  case DT_NEEDED:
  case DT_SONAME:
  case DT_RPATH:
  case DT_RUNPATH:
    if (entry->d_un.d_val >= strings_size)
      return damaged ("a name of its dynamic section leads out of it", error);
    return TRUE;
  case DT_GNU_HASH: dynamic->gnu_hash = entry->d_un.d_ptr; return TRUE;
  case DT_VERSYM: dynamic->versions = entry->d_un.d_ptr; return TRUE;
  case DT_VERNEED: dynamic->needed_versions = entry->d_un.d_ptr; return TRUE;
  case DT_VERDEF: dynamic->defined_versions = entry->d_un.d_ptr; return TRUE;
  default:
    if (entry->d_tag > 0 && entry->d_tag < DT_NUM)
      dynamic->value[entry->d_tag] = entry->d_un.d_val;
    return TRUE;
  }
}

/* The size of the strings may come after what names them. */
static gboolean
read_entries (Dynamic *dynamic, const ElfW (Dyn) * entries, gsize n, GError **error)
{
  guint64 strings_size = 0;
  gsize end = 0;

  for (; end < n && entries[end].d_tag != DT_NULL; end++)
    if (entries[end].d_tag == DT_STRSZ)
      strings_size = entries[end].d_un.d_val;
  if (end == n)
    return damaged ("its dynamic section does not end", error);
  for (gsize i = 0; i < end; i++)
    if (!take_entry (dynamic, &entries[i], strings_size, error))
      return FALSE;
  return TRUE;
}

gboolean
zm_dynamic_check (const ZmImage *image, const ElfW (Phdr) * headers, guint n, GError **error)
{
  Dynamic dynamic = { .image = image, .headers = headers, .n = n };
  const ElfW (Phdr) *section = NULL;
  g_autofree ElfW (Dyn) *entries = NULL;

  for (guint i = 0; i < n; i++)
    if (headers[i].p_type == PT_DYNAMIC)
      section = &headers[i];
  if (section == NULL)
    return TRUE; /* the loader says so itself */
  if (section->p_memsz / sizeof *entries > MOST_ENTRIES)
    return damaged ("its dynamic section is too long", error);
  entries = g_malloc (section->p_memsz + 1);
  /* The loader looks at the addresses, so that is what is read: the offset in this header may say another place. */
  return read_at (&dynamic, section->p_vaddr, entries, section->p_memsz, error) &&
         read_entries (&dynamic, entries, section->p_memsz / sizeof *entries, error) &&
         check_addresses (&dynamic, error) &&
         check_relocations (&dynamic, dynamic.value[DT_RELA], dynamic.value[DT_RELASZ], error) &&
         (dynamic.value[DT_PLTREL] != DT_RELA ||
          check_relocations (&dynamic, dynamic.value[DT_JMPREL], dynamic.value[DT_PLTRELSZ], error)) &&
         check_versions (&dynamic, error);
}
