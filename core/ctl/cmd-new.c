/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plugin new: a folder with a plugin that builds and runs, made from the templates that are installed. Nothing that is there
 * is ever written over.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_MOST  64
#define DEPTH_MOST 4

/* What stands for the name in templates and in the names of their files. */
typedef struct Names {
  const char *name; /* @NAME@: link-status */
  char *symbol;     /* @SYMBOL@: link_status */
  char *upper;      /* @UPPER@: LINK_STATUS */
} Names;

/* A name is a file's and, with _ for -, part of a C symbol. */
static gboolean
check_name (const ZmCtl *ctl, const char *name)
{
  gboolean good = g_ascii_islower (name[0]) && strlen (name) <= NAME_MOST;

  for (const char *at = name; good && *at != '\0'; at++)
    good = g_ascii_islower (*at) || g_ascii_isdigit (*at) || *at == '_' || *at == '-';
  if (!good) {
    g_autofree char *safe = zm_printable (zm_span_text (name), 80);

    zm_ctl_usage (ctl,
                  _ ("\"%s\" cannot be a plugin's name: a name begins with a-z, goes on with a-z 0-9 _ - and "
                     "has at most %d "
                     "characters"),
                  safe, NAME_MOST);
  }
  return good;
}

/* Every occurrence. The caller frees. */
static char *
replace (const char *text, const char *what, const char *by)
{
  g_auto (GStrv) parts = g_strsplit (text, what, -1);

  return g_strjoinv (by, parts);
}

/* Files and their names alike. Anything else between @ stays as it is: it may be code. */
static char *
fill_in (const char *text, const Names *names)
{
  g_autofree char *one = replace (text, "@NAME@", names->name);
  g_autofree char *two = replace (one, "@SYMBOL@", names->symbol);

  return replace (two, "@UPPER@", names->upper);
}

/* O_EXCL: a file that is there stays as it is. */
static gboolean
write_new (const char *path, const char *text, mode_t mode, GError **error)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
  gsize left = strlen (text);
  gssize put = 0;

  while (fd >= 0 && left > 0 && (put = write (fd, text, left)) >= 0) {
    text += put;
    left -= (gsize) put;
  }
  if (fd < 0 || put < 0)
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot write %s: %s"), path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return fd >= 0 && put >= 0;
}

/* Templates are text: a file that is there already makes this fail, and nothing is written over. */
static gboolean
copy_file (const char *from, const char *to, const Names *names, GError **error)
{
  g_autofree char *text = NULL;
  g_autofree char *filled = NULL;
  GStatBuf info;

  if (!g_file_get_contents (from, &text, NULL, error) || g_stat (from, &info) != 0)
    return FALSE;
  filled = fill_in (text, names);
  /* Owner may write, whatever the installed template's mode is. */
  return write_new (to, filled, info.st_mode | 0600, error);
}

/* Copies a folder; made says each file. */
static gboolean
copy_tree (const char *from, const char *to, const Names *names, guint depth, JsonArray *made, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (from, 0, error);
  const char *entry;

  if (dir == NULL)
    return FALSE;
  if (g_mkdir_with_parents (to, 0777) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, _ ("cannot make %s: %s"), to, g_strerror (errno));
    return FALSE;
  }
  while ((entry = g_dir_read_name (dir)) != NULL) {
    g_autofree char *target = fill_in (entry, names);
    g_autofree char *source_path = g_build_filename (from, entry, NULL);
    g_autofree char *target_path = g_build_filename (to, target, NULL);

    if (g_file_test (source_path, G_FILE_TEST_IS_DIR)) {
      if (depth < DEPTH_MOST && !copy_tree (source_path, target_path, names, depth + 1, made, error))
        return FALSE;
      continue;
    }
    if (!copy_file (source_path, target_path, names, error))
      return FALSE;
    json_array_add_string_element (made, target_path);
  }
  return TRUE;
}

/* The folder of a kind's templates; ZM_TEMPLATE_PATH is for trees that are not installed. */
static char *
template_folder (const char *kind, GError **error)
{
  const char *base = g_getenv ("ZM_TEMPLATE_PATH");
  g_autofree char *folder = g_build_filename (base != NULL && *base ? base : ZM_TEMPLATEDIR, kind, NULL);

  if (g_file_test (folder, G_FILE_TEST_IS_DIR))
    return g_steal_pointer (&folder);
  g_set_error (error, ZM_ERROR, ZM_ERROR_NOT_FOUND,
               _ ("the templates of kind \"%s\" are not installed: %s does not exist"), kind, folder);
  return NULL;
}

/* With the next step to type, as the folder alone tells a newcomer nothing. */
static void
say_made (const ZmCtl *ctl, const char *folder, JsonArray *made)
{
  if (ctl->json) {
    g_autoptr (JsonObject) object = json_object_new ();

    json_object_set_string_member (object, "folder", folder);
    json_object_set_array_member (object, "files", json_array_ref (made));
    zm_out_json_object (object);
    return;
  }
  printf (_ ("made %s:\n"), folder);
  for (guint i = 0; i < json_array_get_length (made); i++)
    printf ("  %s\n", zm_json_nth_text (made, i));
  printf (_ ("next: make -C %s\n"), folder);
}

/* The folder must not be there, and is made only when the templates are. */
static gboolean
make_plugin (const ZmCtl *ctl, const char *name, const char *kind, GError **error)
{
  const char *into = zm_ctl_text (ctl, "dir");
  g_autofree char *symbol = g_strdelimit (g_strdup (name), "-", '_');
  g_autofree char *upper = g_ascii_strup (symbol, -1);
  Names names = { name, symbol, upper };
  g_autofree char *folder = g_build_filename (into != NULL ? into : ".", name, NULL);
  g_autofree char *from = template_folder (kind, error);
  g_autoptr (JsonArray) made = json_array_new ();

  if (from == NULL)
    return FALSE;
  if (g_file_test (folder, G_FILE_TEST_EXISTS)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_EXISTS, _ ("%s is there already; nothing was written"), folder);
    return FALSE;
  }
  if (!copy_tree (from, folder, &names, 0, made, error))
    return FALSE;
  say_made (ctl, folder, made);
  return TRUE;
}

/* A bad name is a usage error, as the command line is wrong; all else is a failure with its reason. */
int
zm_ctl_cmd_plugin_new (ZmCtl *ctl, guint n, char **arguments)
{
  const char *kind = zm_ctl_text (ctl, "kind");
  g_autoptr (GError) error = NULL;

  (void) n;
  if (!check_name (ctl, arguments[0]))
    return ZM_EXIT_USAGE;
  return make_plugin (ctl, arguments[0], kind != NULL ? kind : "component", &error)
             ? ZM_EXIT_OK
             : zm_ctl_fail (ctl, error);
}
