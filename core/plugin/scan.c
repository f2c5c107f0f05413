/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the plugin path: names from the places of files, manifests from their notes. No code of a plugin runs here. The
 * first directory that has a name wins; what it shadows is told.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_FILES 4096 /* entries of all directories together that a scan looks at */
#define MOST_DEPTH 8

typedef struct Scan {
  ZmPlugins *plugins;
  ZmProblems *problems;
  guint looked_at;
} Scan;

static void
scanned_free (gpointer data)
{
  ZmScanned *scanned = data;

  g_free (scanned->file.name);
  g_free (scanned->file.path);
  zm_manifest_free (scanned->file.manifest);
  g_free (scanned->file.error);
  g_free (scanned->file.shadowed_by);
  g_free (scanned->file.actions_file);
  g_free (scanned->file.flow_file);
  g_free (scanned);
}

/* The reader of notes knows why; people look up the code. */
static guint
code_of (const GError *error)
{
  switch (error->code) {
  case ZM_ERROR_ABI: return ZM_CODE_WRONG_ABI;
  case ZM_ERROR_NOT_FOUND: return ZM_CODE_NO_NOTE;
  default: return ZM_CODE_PLUGIN_REFUSED;
  }
}

/* A part of a plugin's name: what stands in a mapping between dots. */
static gboolean
good_part (const char *part, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum (part[i]) && part[i] != '_' && (part[i] != '-' || i == 0))
      return FALSE;
  return size > 0 && size <= 64;
}

/* The file NAME.ending beside the library, where it is there and safe. */
static char *
beside (Scan *scan, const char *stem, const char *ending)
{
  g_autofree char *path = g_strconcat (stem, ending, NULL);
  g_autoptr (GError) error = NULL;
  ZmIdentity identity;
  int fd = zm_safe_open (path, &identity, &error);

  if (fd >= 0) {
    close (fd);
    return g_steal_pointer (&path);
  }
  if (error->code != ZM_ERROR_NOT_FOUND)
    zm_problems_add (scan->problems, ZM_PROBLEM_WARNING, ZM_CODE_UNSAFE_MODE, path, 0, 0, NULL, NULL,
                     "%s: it is not read", error->message);
  return NULL;
}

/* A refused file stays in the list with its reason: it still shadows, and `plugin ls` shows it. */
static void
read_notes (Scan *scan, ZmScanned *scanned)
{
  g_autoptr (GError) error = NULL;
  int fd = zm_safe_open (scanned->file.path, &scanned->identity, &error);
  guint code = ZM_CODE_UNSAFE_MODE;

  if (fd >= 0) {
    const ZmImage image = { fd, NULL, scanned->identity.size };

    scanned->file.manifest = zm_manifest_read_image (&image, &error);
    code = error != NULL ? code_of (error) : 0;
    close (fd);
  }
  if (error == NULL)
    return;
  scanned->file.error = g_strdup (error->message);
  zm_problems_add (scan->problems, ZM_PROBLEM_WARNING, code, scanned->file.path, 0, 0, NULL, NULL,
                   "refused: %s", error->message);
}

/* path: of the library; base: its file name; prefix: "acme.net." or "". */
static void
scan_file (Scan *scan, const char *path, const char *base, const char *prefix)
{
  gsize size = strlen (base) - strlen (".so");
  g_autofree char *stem = g_strndup (path, strlen (path) - strlen (".so"));
  ZmScanned *scanned;

  if (!good_part (base, size)) {
    zm_problems_add (scan->problems, ZM_PROBLEM_WARNING, ZM_CODE_BAD_PLUGIN_NAME, path, 0, 0,
                     "letters, digits, _ and - before .so", "rename the file", "'%s' gives no plugin name",
                     base);
    return;
  }
  scanned = g_new0 (ZmScanned, 1);
  scanned->file.name = g_strdup_printf ("%s%.*s", prefix, (int) size, base);
  scanned->file.path = g_strdup (path);
  read_notes (scan, scanned);
  scanned->file.actions_file = beside (scan, stem, ".actions.ini");
  scanned->file.flow_file = beside (scan, stem, ".flow");
  g_ptr_array_add (scan->plugins->files, scanned);
}

static void scan_directory (Scan *scan, const char *directory, const char *prefix, guint depth);

static void
scan_entry (Scan *scan, const char *directory, const char *base, const char *prefix, guint depth)
{
  g_autofree char *path = g_build_filename (directory, base, NULL);
  struct stat st;

  if (lstat (path, &st) != 0)
    return;
  if (S_ISDIR (st.st_mode)) {
    g_autofree char *below = g_strdup_printf ("%s%s.", prefix, base);

    /* Directories that cannot be part of a name hold no plugins. Symbolic links to directories could go round. */
    if (good_part (base, strlen (base)) && depth < MOST_DEPTH)
      scan_directory (scan, path, below, depth + 1);
  } else if (g_str_has_suffix (base, ".so")) {
    scan_file (scan, path, base, prefix);
  }
}

static int
compare_text (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Names of a directory in byte order, hidden ones (editors' and installers' temporary files) left out. */
static GPtrArray *
list_directory (const char *directory, Scan *scan)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) entries = g_dir_open (directory, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL) {
    if (name[0] == '.')
      continue;
    if (++scan->looked_at > MOST_FILES) {
      zm_problems_add (scan->problems, ZM_PROBLEM_WARNING, ZM_CODE_TOO_MANY_PLUGINS, directory, 0, 0, NULL,
                       "keep plugins in a directory of their own", "more than %d files: the rest is not read",
                       MOST_FILES);
      break;
    }
    g_ptr_array_add (names, g_strdup (name));
  }
  g_ptr_array_sort (names, compare_text);
  return names;
}

static void
scan_directory (Scan *scan, const char *directory, const char *prefix, guint depth)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) names = NULL;

  if (!zm_safe_directory (directory, &error)) {
    /* A path may name directories that are not there. */
    if (error->code != ZM_ERROR_NOT_FOUND)
      zm_problems_add (scan->problems, ZM_PROBLEM_WARNING, ZM_CODE_UNSAFE_MODE, directory, 0, 0, NULL, NULL,
                       "%s: no plugin in it is used", error->message);
    return;
  }
  names = list_directory (directory, scan);
  for (guint i = 0; i < names->len && scan->looked_at <= MOST_FILES; i++)
    scan_entry (scan, directory, g_ptr_array_index (names, i), prefix, depth);
}

/* The first of a name wins. */
static void
take_name (Scan *scan, ZmScanned *scanned)
{
  const ZmScanned *first = g_hash_table_lookup (scan->plugins->by_name, scanned->file.name);

  if (first == NULL) {
    g_hash_table_insert (scan->plugins->by_name, scanned->file.name, scanned);
    return;
  }
  scanned->file.shadowed_by = g_strdup (first->file.path);
  zm_problems_add (scan->problems, ZM_PROBLEM_WARNING, ZM_CODE_SHADOWED_PLUGIN, scanned->file.path, 0, 0,
                   NULL, "remove one of the two", "not used: %s has the name '%s' and comes first",
                   first->file.path, scanned->file.name);
}

/* By name; those of one name in the order of the path, which is the order of their addresses in the list. */
static int
compare_scanned (gconstpointer a, gconstpointer b)
{
  const ZmScanned *left = *(ZmScanned *const *) a;
  const ZmScanned *right = *(ZmScanned *const *) b;
  int order = strcmp (left->file.name, right->file.name);

  return order != 0 ? order : (left->file.shadowed_by != NULL) - (right->file.shadowed_by != NULL);
}

/* Reads everything anew. What others kept of the last scan is freed, so a generation has copies of what it needs. */
void
zm_scan_path (ZmPlugins *plugins, ZmProblems *problems)
{
  Scan scan = { plugins, problems, 0 };

  g_hash_table_remove_all (plugins->by_name);
  g_clear_pointer (&plugins->files, g_ptr_array_unref);
  plugins->files = g_ptr_array_new_with_free_func (scanned_free);
  for (char **directory = plugins->path; *directory != NULL; directory++)
    scan_directory (&scan, *directory, "", 0);
  for (guint i = 0; i < plugins->files->len; i++)
    take_name (&scan, g_ptr_array_index (plugins->files, i));
  g_ptr_array_sort (plugins->files, compare_scanned);
}
