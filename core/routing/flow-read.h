/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of flow files, as its two files share it: flow-read.c has the file and its flows, flow-step.c one line's keys. */
#pragma once

#include "routing/table-private.h"

G_BEGIN_DECLS

/* One file that is being read. Lives on the stack of zm_flow_read_text; what it points to is the caller's. */
typedef struct ZmFlowReader {
  const char *file; /* its name in problems */
  ZmProblems *problems;
  GPtrArray *out; /* ZmFlow *: those that are complete */
  guint line;
  ZmSpan text;       /* the line, from which columns are counted */
  ZmFlow *flow;      /* being read; its steps are in steps until it is complete */
  GArray *steps;     /* ZmStep */
  gboolean lost;     /* after a bad name or trigger: steps are checked but belong to nobody */
  gboolean finished; /* ??done was read */
} ZmFlowReader;

/* flow-read.c */
/* In characters, from 1: editors count so. at: in the current line. */
guint zm_flow_reader_column (const ZmFlowReader *reader, const char *at);
/* Adds an error at that place of the line; at NULL: of the whole file or line. what is a printf format. */
void zm_flow_reader_complain (ZmFlowReader *reader, guint code, const char *at, const char *expected,
                              const char *todo, const char *what, ...) G_GNUC_PRINTF (6, 7);
ZmSpan zm_flow_reader_trim (ZmSpan text);
/* What of a hostile or overlong text is worth quoting. The caller frees. */
char *zm_flow_reader_quote (ZmSpan text);

/* flow-step.c: each says itself what is wrong, and is FALSE then. */
/* One key. *branch is set where it is good only; the caller owns its text. */
gboolean zm_flow_reader_branch (ZmFlowReader *reader, ZmSpan text, ZmBranch *branch);
/* A whole line: one key, or a join. The caller clears *step in either case: it may be half made. */
gboolean zm_flow_reader_step (ZmFlowReader *reader, ZmSpan text, ZmStep *step);
/* May this step be the first line of a flow? */
gboolean zm_flow_reader_trigger_ok (ZmFlowReader *reader, ZmSpan text, const ZmStep *step);

G_END_DECLS
