/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A walk over the queues that hold dead letters, for the commands about them: one queue after the other, a page at a time. Begun in
 * the runtime's thread, it goes on in the queue room's, and ends with the answer to its command.
 */
#pragma once

#include "runtime/private.h"

#include "runtime/commands.h"

G_BEGIN_DECLS

#define ZM_DEAD_PAGE     50 /* messages read at a time */
#define ZM_DEAD_IDS_MOST 64 /* that a walk looks for; as many as the delivery replays at a time */

typedef struct ZmDeadPlace {
  char *project, *name;
} ZmDeadPlace;

typedef struct ZmDeadWalk ZmDeadWalk;
struct ZmDeadWalk {
  ZmRuntime *runtime;
  ZmLater *later;
  GPtrArray *places; /* ZmDeadPlace */
  guint at;
  GPtrArray *ids; /* char*; NULL: all */
  char *queue;    /* the one that was named; or NULL */
  guint most, n;  /* how many at most; how many it were */
  guint forgotten;
  char marker[ZM_UUID_SIZE + 1];
  gboolean more;
  GString *out; /* what is answered so far, without its end */
  /* Set by the command: what is done with the place, or page, at which it stands; and when all are over. */
  void (*step) (ZmDeadWalk *walk);
  void (*end) (ZmDeadWalk *walk);
};

/* Over the queue that the request names, or all that may have dead letters; takes ids, those that are looked for (NULL: all), and promises
 * an answer. out, step and end are the caller's to set. NULL: error. */
ZmDeadWalk *zm_dead_walk_new (ZmCommandCall *call, GPtrArray *ids, GError **error);
/* Begins it, and goes on: with the next step, or the end where enough was found. */
void zm_dead_walk_on (ZmDeadWalk *walk);
/* This place is done. */
void zm_dead_walk_next (ZmDeadWalk *walk);
/* The place at which it stands. */
ZmQueueName zm_dead_walk_here (const ZmDeadWalk *walk);
const ZmDeadPlace *zm_dead_walk_place (const ZmDeadWalk *walk);
/* Asks for the next page of messages, or those with the ids that are looked for; done is given the walk. */
void zm_dead_walk_read (ZmDeadWalk *walk, ZmQueueDone done);
/* Keeps where the page ends; the first thing that done does. */
void zm_dead_walk_note (ZmDeadWalk *walk, const ZmQueueAnswer *page);
/* The page is done. */
void zm_dead_walk_page_over (ZmDeadWalk *walk);
/* The answer: out, or the error. Frees the walk. */
void zm_dead_walk_end (ZmDeadWalk *walk, const GError *error);

/* ---- one letter ---- */

/* What its headers tell of it (told: that object), in a list; the members that messages set aside have too are called as theirs. */
void zm_dead_letter_add (GString *out, const ZmDeadPlace *place, const ZmStored *stored, ZmSpan told);
/* One member of what is told, as it is, under another name; nothing where it is not there. */
void zm_dead_letter_copy (GString *out, ZmSpan told, const char *name, const char *as);

G_END_DECLS
