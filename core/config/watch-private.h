/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two files of the watch share: the places, and what is done to them. All in the thread of the main context. */
#pragma once

#include "config/zm-watch.h"

#include "base/zm-base.h"

/* One directory that somebody wants, or one below it. */
typedef struct ZmWatchPlace {
  char *path;
  int wd;       /* the kernel's name for what is watched; -1: none. Several places may share one */
  char *anchor; /* what is watched instead, while path is not there; else NULL */
  char *only;   /* the one name in it that counts, or NULL: all */
  gboolean recursive;
  gboolean root;    /* asked for; others come and go with their parent */
  gboolean changed; /* and not yet told */
} ZmWatchPlace;

struct ZmWatch {
  int fd;                /* of inotify, owned */
  GSource *source;       /* of fd */
  GSource *timer;        /* until it is quiet, or NULL */
  gint64 first_us;       /* the oldest change not yet told; 0: none */
  GMainContext *context; /* NULL: the default one */
  GPtrArray *places;     /* ZmWatchPlace*, owned */
  ZmWatchFunc func;
  gpointer user;
};

/* ---- watch-places.c ---- */

void zm_watch_place_free (gpointer data);
/* Borrowed, until the next place is added or swept away; NULL: it is none. */
ZmWatchPlace *zm_watch_find (ZmWatch *watch, const char *path);
gboolean
zm_watch_add_place (ZmWatch *watch, const char *path, gboolean recursive, gboolean root, GError **error);
/* Adds the directories in this one, and those in them. */
void zm_watch_add_below (ZmWatch *watch, const char *path);
/* Watches what is there now for this place: its directory, or the nearest parent. May add places. */
void zm_watch_settle (ZmWatch *watch, ZmWatchPlace *place);
void zm_watch_let_go (ZmWatch *watch, ZmWatchPlace *place);
void zm_watch_sweep (ZmWatch *watch);
