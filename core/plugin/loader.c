/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening a library so that it can be replaced: a private copy is opened and unlinked, never the installed path (after a
 * rename the same path gives the old code, after an overwrite in place the process dies of SIGBUS). Symbols count only if
 * that very object defines them: plain dlsym goes on to its dependencies, and would let "mylib.system" reach libc.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A signal may cut a write short; a full disk is an error. */
static gboolean
write_all (int fd, const char *data, gsize size)
{
  while (size > 0) {
    ssize_t n = write (fd, data, size);

    if (n < 0 && errno != EINTR)
      return FALSE;
    data += MAX (n, 0);
    size -= (gsize) MAX (n, 0);
  }
  return TRUE;
}

/* By place, so that the descriptor of the caller is not moved. A file that grows while it is read is refused at the
 * bound. */
static gboolean
copy_bytes (int from, int to)
{
  g_autofree char *buffer = g_malloc (64 * 1024);
  goffset at = 0;

  for (;;) {
    ssize_t n = pread (from, buffer, 64 * 1024, at);

    if (n == 0)
      return TRUE;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 || at + n > ZM_PLUGIN_FILE_MOST || !write_all (to, buffer, (gsize) n))
      return FALSE;
    at += n;
  }
}

char *
zm_library_copy (int fd, const char *directory, const char *name, GError **error)
{
  g_autofree char *path = g_strdup_printf ("%s/%s" ZM_COPY_MARK "XXXXXX", directory, name);
  int to;

  /* Who may write there could put another file in the copy's place before it is opened. */
  if (!zm_safe_directory (directory, error))
    return NULL;
  to = mkostemp (path, O_CLOEXEC);
  if (to < 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no copy can be made in %s: %s", directory,
                 g_strerror (errno));
    return NULL;
  }
  if (!copy_bytes (fd, to)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "it cannot be copied to %s: %s", directory,
                 g_strerror (errno));
    close (to);
    unlink (path);
    return NULL;
  }
  close (to);
  return g_steal_pointer (&path);
}

/* RTLD_NOW: a symbol that is missing is an error here, not a crash in a call. RTLD_LOCAL: two plugins with one function
 * name stay apart. The name of the copy goes at once, so that a crash leaves no file. */
gboolean
zm_library_open (ZmLibrary *library, GError **error)
{
  library->handle = dlopen (library->copy, RTLD_NOW | RTLD_LOCAL);
  if (!library->lent)
    unlink (library->copy);
  if (library->handle == NULL) {
    const char *why = dlerror ();
    gsize skip = why != NULL && g_str_has_prefix (why, library->copy) ? strlen (library->copy) : 0;

    /* The copy's name says nothing to people. */
    g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "the dynamic loader refused it%s%s", skip > 0 ? "" : ": ",
                 why != NULL ? why + skip : "for no reason given");
    return FALSE;
  }
  if (dlinfo (library->handle, RTLD_DI_LINKMAP, &library->map) == 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "the dynamic loader tells nothing about it");
  return FALSE;
}

/* FALSE: the loader still knows it, so it has not been unloaded. */
gboolean
zm_library_close (ZmLibrary *library)
{
  void *again;

  if (library->handle == NULL)
    return TRUE;
  dlclose (library->handle);
  library->handle = NULL;
  library->map = NULL;
  /* dlclose returns 0 also where it did nothing (unique symbols, thread-local destructors, -z nodelete). */
  again = dlopen (library->copy, RTLD_LAZY | RTLD_NOLOAD);
  if (again != NULL)
    dlclose (again);
  return again == NULL;
}

void
zm_library_clear (ZmLibrary *library)
{
  if (library->copy != NULL && !library->lent)
    unlink (library->copy);
  g_clear_pointer (&library->copy, g_free);
}

/* The link map of the object that holds this address, and the symbol there. */
static struct link_map *
map_of (const void *address, const ElfW (Sym) * *symbol)
{
  struct link_map *map = NULL;
  Dl_info info;

  *symbol = NULL;
  if (dladdr1 (address, &info, (void **) &map, RTLD_DL_LINKMAP) == 0 ||
      dladdr1 (address, &info, (void **) symbol, RTLD_DL_SYMENT) == 0)
    return NULL;
  return map;
}

/* By link map, not by name: the same file opened twice is two libraries. */
gboolean
zm_library_owns (const ZmLibrary *library, const void *address)
{
  const ElfW (Sym) * symbol;

  return address != NULL && map_of (address, &symbol) == library->map;
}

/* dlsym also searches what the library depends on; a function from there is somebody else's. */
void *
zm_library_symbol (const ZmLibrary *library, const char *name, GError **error)
{
  const ElfW (Sym) *symbol = NULL;
  void *address = dlsym (library->handle, name);

  if (address == NULL)
    g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
                 "it exports no symbol '%s' (hidden visibility, or stripped away?)", name);
  else if (map_of (address, &symbol) != library->map)
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "its symbol '%s' belongs to another library", name);
  else if (symbol != NULL && ELF64_ST_TYPE (symbol->st_info) != STT_FUNC)
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED, "its symbol '%s' is not a function", name);
  else
    return address;
  return NULL;
}

/* ---- libraries that must stay ---- */

/* Memory of a loaded object, from its program headers: what its dynamic section says may be damaged, and dlopen looks at little
 * of it. */
typedef struct Extent {
  const char *begin, *end;
} Extent;

/* What of a loaded object's dynamic section is needed to read the names that it imports. */
typedef struct Dynamic {
  const ElfW (Sym) * symbols;
  const char *strings;
  const guint32 *table;                    /* of hashes */
  Extent of_symbols, of_strings, of_table; /* what may be read there */
} Dynamic;

/* glibc relocates these pointers on most machines, and leaves offsets on some. */
static const void *
dynamic_address (const struct link_map *map, ElfW (Addr) value)
{
  return (const void *) (value < map->l_addr ? value + map->l_addr : value);
}

/* One object of the process: fills in the extents of those addresses that lie in it. */
static int
find_extents (struct dl_phdr_info *info, size_t size, void *user)
{
  Dynamic *dynamic = user;
  const char *const wanted[] = { (const char *) dynamic->symbols, dynamic->strings,
                                 (const char *) dynamic->table };
  Extent *const found[] = { &dynamic->of_symbols, &dynamic->of_strings, &dynamic->of_table };

  (void) size;
  for (guint i = 0; i < info->dlpi_phnum; i++) {
    const ElfW (Phdr) *header = &info->dlpi_phdr[i];
    const char *begin = (const char *) (info->dlpi_addr + header->p_vaddr);

    for (guint k = 0; k < G_N_ELEMENTS (wanted); k++)
      if (header->p_type == PT_LOAD && (header->p_flags & PF_R) != 0 && wanted[k] >= begin &&
          (gsize) (wanted[k] - begin) < header->p_memsz)
        *found[k] = (Extent){ wanted[k], begin + header->p_memsz };
  }
  return 0;
}

static Dynamic
read_dynamic (const struct link_map *map)
{
  Dynamic dynamic = { .symbols = NULL };

  for (const ElfW (Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag == DT_SYMTAB)
      dynamic.symbols = dynamic_address (map, entry->d_un.d_ptr);
    else if (entry->d_tag == DT_STRTAB)
      dynamic.strings = dynamic_address (map, entry->d_un.d_ptr);
    else if (entry->d_tag == DT_GNU_HASH || (entry->d_tag == DT_HASH && dynamic.table == NULL))
      dynamic.table = dynamic_address (map, entry->d_un.d_ptr);
  }
  dl_iterate_phdr (find_extents, &dynamic);
  return dynamic;
}

/* The hash tables tell how many symbols are imported: the section headers, which would too, are not loaded. In either kind of
 * table it is the second word: the index of the first symbol that is hashed, or the number of all. */
static gsize
imported_symbols (const Dynamic *dynamic)
{
  gsize room = (gsize) (dynamic->of_symbols.end - dynamic->of_symbols.begin) / sizeof *dynamic->symbols;

  if (dynamic->of_table.end - dynamic->of_table.begin < 2 * (gssize) sizeof *dynamic->table)
    return 0;
  return MIN (dynamic->table[1], room);
}

/* A symbol's name; NULL: it leads out of the object. */
static const char *
symbol_name (const Dynamic *dynamic, gsize index)
{
  gsize offset = dynamic->symbols[index].st_name;
  gsize room = (gsize) (dynamic->of_strings.end - dynamic->of_strings.begin);

  return offset < room && memchr (dynamic->strings + offset, '\0', room - offset) != NULL
             ? dynamic->strings + offset
             : NULL;
}

/* Judged by what it imports: such a library crashes later, in a thread that ends or a type that is used, so it is never
 * closed even where it does not say RESIDENT. */
const char *
zm_library_stays (const ZmLibrary *library)
{
  const Dynamic dynamic = read_dynamic (library->map);
  gsize imported = imported_symbols (&dynamic);
  gboolean makes_keys = FALSE, ends_keys = FALSE;

  for (gsize i = 1; i < imported; i++) {
    const char *name = dynamic.symbols[i].st_shndx == SHN_UNDEF ? symbol_name (&dynamic, i) : NULL;

    if (name == NULL)
      continue;
    if (g_str_has_prefix (name, "g_type_register_"))
      return "it registers GTypes, which cannot be taken back";
    if (strcmp (name, "__cxa_thread_atexit_impl") == 0 || strcmp (name, "__cxa_thread_atexit") == 0)
      return "it has thread-local objects with destructors";
    makes_keys |= strcmp (name, "pthread_key_create") == 0 || strcmp (name, "tss_create") == 0;
    ends_keys |= strcmp (name, "pthread_key_delete") == 0 || strcmp (name, "tss_delete") == 0;
  }
  return makes_keys && !ends_keys ? "it has thread-specific data that it never gives back" : NULL;
}
