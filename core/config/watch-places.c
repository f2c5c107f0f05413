/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The directories that are watched, and those below them. A directory that is not there is waited for at its nearest parent
 * that is: each event there makes the place settle anew, until its own directory has come.
 */
#include "config.h"

#include "config/watch-private.h"

#include <string.h>
#include <sys/inotify.h>

#define PLACES_MOST 256

#define CONTENT_EVENTS                                                                                    \
  (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | \
   IN_ONLYDIR)

void
zm_watch_place_free (gpointer data)
{
  ZmWatchPlace *place = data;

  g_free (place->path);
  g_free (place->anchor);
  g_free (place->only);
  g_free (place);
}

/* By text; callers canonicalise. */
ZmWatchPlace *
zm_watch_find (ZmWatch *watch, const char *path)
{
  for (guint i = 0; i < watch->places->len; i++) {
    ZmWatchPlace *place = g_ptr_array_index (watch->places, i);

    if (strcmp (place->path, path) == 0)
      return place;
  }
  return NULL;
}

/* The kernel gives one descriptor to all who watch a directory (an anchor may be watched for itself too). */
static gboolean
wd_used (ZmWatch *watch, int wd)
{
  for (guint i = 0; i < watch->places->len; i++)
    if (((ZmWatchPlace *) g_ptr_array_index (watch->places, i))->wd == wd)
      return TRUE;
  return FALSE;
}

/* Only the last place that uses the kernel's watch takes it away. */
void
zm_watch_let_go (ZmWatch *watch, ZmWatchPlace *place)
{
  int wd = place->wd;

  place->wd = -1;
  g_clear_pointer (&place->anchor, g_free);
  if (wd >= 0 && !wd_used (watch, wd))
    inotify_rm_watch (watch->fd, wd);
}

/* Settles at once, which may add those below it. */
gboolean
zm_watch_add_place (ZmWatch *watch, const char *path, gboolean recursive, gboolean root, GError **error)
{
  ZmWatchPlace *place;

  if (watch->places->len >= PLACES_MOST) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_LIMIT,
                 "cannot watch %s: %d directories are watched already; use fewer or leave recursion out",
                 path, PLACES_MOST);
    return FALSE;
  }
  place = g_new0 (ZmWatchPlace, 1);
  place->path = g_strdup (path);
  place->wd = -1;
  place->recursive = recursive;
  place->root = root;
  g_ptr_array_add (watch->places, place);
  zm_watch_settle (watch, place);
  return TRUE;
}

void
zm_watch_add_below (ZmWatch *watch, const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *below = g_build_filename (path, name, NULL);

    /* Links are left out: they lead to circles. */
    if (name[0] != '.' && !g_file_test (below, G_FILE_TEST_IS_SYMLINK) &&
        g_file_test (below, G_FILE_TEST_IS_DIR) && zm_watch_find (watch, below) == NULL)
      zm_watch_add_place (watch, below, TRUE, FALSE, NULL);
  }
}

/* The nearest directory above that is there. */
static char *
nearest_parent (const char *path)
{
  char *parent = g_path_get_dirname (path);

  while (!g_file_test (parent, G_FILE_TEST_IS_DIR) && strcmp (parent, "/") != 0 &&
         strcmp (parent, ".") != 0) {
    char *above = g_path_get_dirname (parent);

    g_free (parent);
    parent = above;
  }
  return parent;
}

/* Adding a watch that is there already gives the same wd and is harmless, so this may be called at any time. */
void
zm_watch_settle (ZmWatch *watch, ZmWatchPlace *place)
{
  g_autofree char *path = g_strdup (place->path);
  gboolean recursive = place->recursive;
  int wd = inotify_add_watch (watch->fd, path, CONTENT_EVENTS);

  if (wd < 0 && place->root) {
    g_autofree char *anchor = nearest_parent (path);

    wd = inotify_add_watch (watch->fd, anchor, CONTENT_EVENTS);
    if (wd != place->wd)
      zm_watch_let_go (watch, place);
    g_free (place->anchor);
    place->anchor = g_steal_pointer (&anchor);
    place->wd = wd;
    return;
  }
  if (wd != place->wd)
    zm_watch_let_go (watch, place);
  g_clear_pointer (&place->anchor, g_free);
  place->wd = wd;
  if (wd >= 0 && recursive)
    zm_watch_add_below (watch, path);
}

/* Those below that are gone make room for others. */
void
zm_watch_sweep (ZmWatch *watch)
{
  for (guint i = watch->places->len; i > 0; i--) {
    ZmWatchPlace *place = g_ptr_array_index (watch->places, i - 1);

    if (!place->root && place->wd < 0)
      g_ptr_array_remove_index_fast (watch->places, i - 1);
  }
}
