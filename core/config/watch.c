/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches directories by inotify: what an event means, and when it is told. Events only mark a directory; the function is
 * called once nothing more came for a moment, so that copying a tree is one change. All of it runs in the thread of the
 * main context, so nothing here is locked.
 */
#include "config.h"

#include "config/watch-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET_MS 250
#define BUSY_MS  2000 /* something that never rests is told all the same */

/* ---- events ---- */

static gboolean tell (gpointer user);

/* Each event puts the end of the quiet off by QUIET_MS, but not beyond BUSY_MS after the first. */
static void
arm (ZmWatch *watch)
{
  gint64 now = zm_now_us ();
  gint64 left_ms;

  if (watch->first_us == 0)
    watch->first_us = now;
  left_ms = BUSY_MS - (now - watch->first_us) / 1000;
  if (watch->timer != NULL) {
    g_source_destroy (watch->timer);
    g_source_unref (watch->timer);
  }
  watch->timer = g_timeout_source_new ((guint) CLAMP (left_ms, 0, QUIET_MS));
  g_source_set_callback (watch->timer, tell, watch, NULL);
  g_source_attach (watch->timer, watch->context);
}

/* The wanted directory to which this one belongs. */
static ZmWatchPlace *
root_of (ZmWatch *watch, ZmWatchPlace *place)
{
  for (guint i = 0; i < watch->places->len && !place->root; i++) {
    ZmWatchPlace *root = g_ptr_array_index (watch->places, i);

    if (root->root && root->recursive && g_str_has_prefix (place->path, root->path) &&
        place->path[strlen (root->path)] == '/')
      return root;
  }
  return place;
}

/* Names the editors and package tools use while they write, and hidden ones, are no change. */
static gboolean
ignored (const ZmWatchPlace *place, const struct inotify_event *event)
{
  if (place->only != NULL && (event->len == 0 || strcmp (event->name, place->only) != 0))
    return TRUE;
  return event->len > 0 && (event->name[0] == '.' || g_str_has_suffix (event->name, "~"));
}

/* A plain file that was made is a change once it was written and closed; what is never written (a link) is one now. */
static gboolean
unfinished (const ZmWatchPlace *place, const struct inotify_event *event)
{
  g_autofree char *path = NULL;
  struct stat info;

  if ((event->mask & IN_CREATE) == 0 || event->len == 0)
    return FALSE;
  path = g_build_filename (place->path, event->name, NULL);
  return lstat (path, &info) == 0 && S_ISREG (info.st_mode) && info.st_nlink == 1;
}

/* TRUE where it concerns a wanted directory. */
static gboolean
handle_place (ZmWatch *watch, ZmWatchPlace *place, const struct inotify_event *event)
{
  gboolean was_waiting = place->anchor != NULL;

  if ((event->mask & IN_IGNORED) != 0) {
    place->wd = -1;
    zm_watch_settle (watch, place);
    return FALSE;
  }
  if (was_waiting) {
    zm_watch_settle (watch, place);
    /* What it holds by now came without an event of its own. */
    place->changed |= place->anchor == NULL;
    return place->anchor == NULL;
  }
  if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    zm_watch_let_go (watch, place);
    zm_watch_settle (watch, place);
  } else if ((event->mask & IN_ISDIR) != 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0 &&
             place->recursive) {
    zm_watch_add_below (watch, place->path);
  }
  if (ignored (place, event) || unfinished (place, event))
    return FALSE;
  root_of (watch, place)->changed = TRUE;
  return TRUE;
}

/* The kernel's queue ran over: everything may have changed. */
static void
handle_overflow (ZmWatch *watch)
{
  guint n = watch->places->len;

  for (guint i = 0; i < n; i++) {
    ZmWatchPlace *place = g_ptr_array_index (watch->places, i);

    place->changed |= place->root;
    zm_watch_settle (watch, place);
  }
  arm (watch);
}

/* One wd may stand for several places: two may wait at the same parent. */
static void
handle (ZmWatch *watch, const struct inotify_event *event)
{
  guint n = watch->places->len; /* ones that are added now have no event in this */
  gboolean concerns = FALSE;

  if ((event->mask & IN_Q_OVERFLOW) != 0) {
    handle_overflow (watch);
    return;
  }
  for (guint i = 0; i < n; i++) {
    ZmWatchPlace *place = g_ptr_array_index (watch->places, i);

    if (place->wd == event->wd)
      concerns |= handle_place (watch, place, event);
  }
  if (concerns)
    arm (watch);
}

/* One read takes what there is; if more came, the source is ready again. */
static gboolean
readable (gint fd, GIOCondition condition, gpointer user)
{
  ZmWatch *watch = user;
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  ssize_t size = read (fd, buffer, sizeof buffer);

  (void) condition;
  for (char *at = buffer; size > 0 && at < buffer + size;) {
    const struct inotify_event *event = (const struct inotify_event *) at;

    handle (watch, event);
    at += sizeof *event + event->len;
  }
  zm_watch_sweep (watch);
  return G_SOURCE_CONTINUE;
}

/* It was quiet for long enough. The function may add directories, but not free the watch. */
static gboolean
tell (gpointer user)
{
  ZmWatch *watch = user;
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);

  g_clear_pointer (&watch->timer, g_source_unref);
  watch->first_us = 0;
  for (guint i = 0; i < watch->places->len; i++) {
    ZmWatchPlace *place = g_ptr_array_index (watch->places, i);

    if (place->changed)
      g_ptr_array_add (paths, g_strdup (place->path));
    place->changed = FALSE;
  }
  for (guint i = 0; i < paths->len; i++)
    watch->func (g_ptr_array_index (paths, i), watch->user);
  return G_SOURCE_REMOVE;
}

/* ---- the door ---- */

/* Nothing is watched yet; the source runs in context, where func will be called. */
ZmWatch *
zm_watch_new (GMainContext *context, ZmWatchFunc func, gpointer user, GError **error)
{
  int fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  ZmWatch *watch;

  if (fd < 0) {
    g_set_error (
        error, ZM_ERROR, ZM_ERROR_IO,
        "cannot watch files: inotify: %s; raise fs.inotify.max_user_instances, or set [zmanager] watch = no",
        g_strerror (errno));
    return NULL;
  }
  watch = g_new0 (ZmWatch, 1);
  watch->fd = fd;
  watch->func = func;
  watch->user = user;
  watch->context = context != NULL ? g_main_context_ref (context) : NULL;
  watch->places = g_ptr_array_new_with_free_func (zm_watch_place_free);
  watch->source = g_unix_fd_source_new (fd, G_IO_IN);
  g_source_set_callback (watch->source, G_SOURCE_FUNC (readable), watch, NULL);
  g_source_attach (watch->source, context);
  return watch;
}

/* Adding a directory again is fine: it becomes recursive if either was. */
gboolean
zm_watch_add (ZmWatch *watch, const char *directory, gboolean recursive, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (directory, NULL);
  ZmWatchPlace *place = zm_watch_find (watch, path);

  if (g_file_test (path, G_FILE_TEST_EXISTS) && !g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "cannot watch %s: it is no directory; name the one it is in", path);
    return FALSE;
  }
  if (place == NULL) {
    if (!zm_watch_add_place (watch, path, recursive, TRUE, error))
      return FALSE;
  } else {
    place->root = TRUE;
    place->recursive |= recursive;
    /* All of it is wanted now, and not only the one name. */
    g_clear_pointer (&place->only, g_free);
    zm_watch_settle (watch, place);
  }
  if (zm_watch_find (watch, path)->wd >= 0)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_IO,
               "cannot watch %s: %s; check its permissions and fs.inotify.max_user_watches", path,
               g_strerror (errno));
  return FALSE;
}

gboolean
zm_watch_add_name (ZmWatch *watch, const char *directory, const char *name, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (directory, NULL);
  ZmWatchPlace *place = zm_watch_find (watch, path);
  gboolean all = place != NULL && place->only == NULL;

  if (!zm_watch_add (watch, path, FALSE, error))
    return FALSE;
  /* Who wants all of it goes on getting it. */
  if (all)
    return TRUE;
  place = zm_watch_find (watch, path);
  g_free (place->only);
  place->only = g_strdup (name);
  return TRUE;
}

/* In the thread of the context; func is not called any more. */
void
zm_watch_free (ZmWatch *watch)
{
  if (watch == NULL)
    return;
  if (watch->timer != NULL) {
    g_source_destroy (watch->timer);
    g_source_unref (watch->timer);
  }
  g_source_destroy (watch->source);
  g_source_unref (watch->source);
  close (watch->fd);
  if (watch->context != NULL)
    g_main_context_unref (watch->context);
  g_ptr_array_unref (watch->places);
  g_free (watch);
}
