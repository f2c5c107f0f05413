/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `zmanagerctl tail` share: the registration at the daemon (tail-hello.c), what is printed (tail-print.c),
 * what was missed (tail-gaps.c), and the command itself (cmd-tail.c). One thread has all of it.
 */
#pragma once

#include "ctl/ctl.h"
#include "message/zm-message.h"

G_BEGIN_DECLS

/* The last number seen of each topic. */
typedef struct ZmTailGaps ZmTailGaps;
ZmTailGaps *zm_tail_gaps_new (void);
void zm_tail_gaps_free (ZmTailGaps *gaps);
/* How many publications of this topic (its text up to the id) were lost between the one before and this one, by the header
 * `sequence`; 0 where there is none, at the first one of a topic, and where the numbers begin anew. */
gint64 zm_tail_gaps_take (ZmTailGaps *gaps, ZmSpan topic, ZmSpan headers);

typedef struct ZmTail {
  ZmCtl *ctl;
  void *topics; /* SUB */
  void *call;   /* DEALER, for HELLO and heartbeats */

  /* what is asked for */
  const char *pattern; /* KEY, or NULL */
  ZmKey key;           /* the same, read; its parts point into pattern */
  const char *flow;    /* --flow, or NULL */
  gint64 most;         /* --count; G_MAXINT64 without it */

  /* the registration */
  char *name;            /* as registered; a name of its own a process */
  char *nonce;           /* of the HELLO that is answered when all subscriptions are active */
  char *command_prefix;  /* where the daemon's commands come; NULL before HELLO */
  GPtrArray *subscribed; /* prefixes, owned: libzmq counts subscriptions, so each is made once */
  gint64 next_beat_us;

  /* the account */
  gint64 count;     /* messages printed */
  ZmTailGaps *gaps; /* with a KEY: only its topics are numbered for us */
  gint64 missed;    /* by the gaps in their numbers */
  gint64 told;      /* how many of these were told already */
  gint64 tell_us;   /* not again before this */
  gint64 last_us;   /* when the last message came, or the tail began */
  gint64 stalls;    /* the daemon's count of full subscribers, as far as it was told */
  gboolean waiting; /* that it waits was told since then */
} ZmTail;

/* ---- tail-hello.c ---- */

/* Registers and subscribes; when it returns, nothing that is published from then on is left out. FALSE: error. */
gboolean zm_tail_hello (ZmTail *tail, GError **error);
/* Tells that the registration is still used. */
void zm_tail_beat (ZmTail *tail);
/* Ends the registration. */
void zm_tail_goodbye (ZmTail *tail);
/* Is this a command of the daemon for this registration? It is obeyed then. */
gboolean zm_tail_take_command (ZmTail *tail, ZmSpan topic, ZmSpan body);

/* ---- tail-print.c ---- */

/* One message in one line. */
void zm_tail_print (const ZmTail *tail, ZmMessage *message);
/* Tells what was missed since it was told last, at most once a second; `last`: now, and the sum of all. */
void zm_tail_print_missed (ZmTail *tail, gboolean last);
/* Nothing came for a while: says once what is waited for. */
void zm_tail_print_waiting (ZmTail *tail);

G_END_DECLS
