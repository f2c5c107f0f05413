/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of cases beside flow files (NAME.flowtest), as data. */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* "KEY BODY", cut. */
typedef struct ZmFlowTestPart {
  char *key;  /* a key, or a topic prefix where it has a ~ */
  char *body; /* NULL: none given */
  guint line;
} ZmFlowTestPart;

typedef struct ZmFlowTestCase {
  char *name;
  guint line;
  char *given; /* key */
  char *flow;  /* or NULL */
  char *body;  /* never NULL */
  gint64 timeout_ms;
  GPtrArray *answers; /* ZmFlowTestPart */
  GPtrArray *expects; /* ZmFlowTestPart, at least one */
} ZmFlowTestCase;

/* ZmFlowTestCase, in order; the caller unrefs. What is wrong goes to problems. */
GPtrArray *zm_flowtest_read (const char *path, ZmProblems *problems);

G_END_DECLS
