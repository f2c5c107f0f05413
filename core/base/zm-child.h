/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One child process: fork, its pipes, its end. Belongs to the thread that starts it, whose end ends it (PR_SET_PDEATHSIG). */
#pragma once

#include "base/zm-log.h"
#include "base/zm-metrics.h"

#include <sys/types.h>

G_BEGIN_DECLS

#define ZM_CHILD_LINE_MOST 1024 /* bytes of a line that are logged */
#define ZM_CHILD_KEEP_MOST 4    /* descriptors that a child may be given */

/* A pipe from the child, and the line that has not ended. */
typedef struct ZmChildPipe {
  int fd; /* -1: closed */
  gsize used;
  gboolean cut; /* the rest of this line is left out */
  char line[ZM_CHILD_LINE_MOST];
} ZmChildPipe;

typedef struct ZmChild {
  pid_t pid; /* 0: none */
  int pidfd; /* -1: this kernel has none */
  ZmChildPipe out, err;
  gint64 window_us; /* the running second of the limit of lines */
  guint lines, suppressed;
} ZmChild;

void zm_child_init (ZmChild *child);
typedef struct ZmChildStart {
  char *const *argv; /* argv[0] is a path */
  char *const *environment;
  const char *directory;
  const int *keep; /* become the descriptors 3, 4, … of the child; borrowed; all else is closed */
  guint n_keep;    /* at most ZM_CHILD_KEEP_MOST */
  int parent_ends; /* the signal that it gets when the thread that started it ends */
} ZmChildStart;

/* Where its output goes. */
typedef struct ZmChildLog {
  ZmLog *log;
  const char *room; /* of the log: "worker" */
  const char *name; /* begins each line: "worker greet" */
  ZmCounter *suppressed;
  void (*line) (const char *text, gpointer user); /* also told of each that is logged; or NULL */
  gpointer user;
} ZmChildLog;

/* Errors: no descriptors, no process. A program that cannot be executed says so on its error output and
 * ends with 127. When this returns the child holds none of the caller's descriptors any more. */
gboolean zm_child_start (ZmChild *child, const ZmChildStart *start, GError **error);
/* To its whole process group. */
void zm_child_signal (const ZmChild *child, int signal);
/* TRUE: it ended; status as waitpid's. Does not wait. */
gboolean zm_child_reap (ZmChild *child, int *status);
/* "exit status 1", "signal 11 (Segmentation fault)", of what zm_child_reap gave; the caller frees. */
char *zm_child_describe_end (int status);
/* Reads what there is, without waiting; lines go to the log. */
void zm_child_read (ZmChild *child, const ZmChildLog *log);
/* Appends struct pollfd; FALSE: without pidfd, so that its end must be asked for. */
gboolean zm_child_add_polls (const ZmChild *child, GArray *polls);
/* Closes what is open; the process itself is left alone. */
void zm_child_close (ZmChild *child);

G_END_DECLS
