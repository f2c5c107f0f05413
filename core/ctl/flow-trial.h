/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running one case of a .flowtest file against the daemon of the test. */
#pragma once

#include "ctl/ctl.h"
#include "ctl/flowtest.h"
#include "ctl/private-daemon.h"

G_BEGIN_DECLS

typedef struct ZmFlowRun {
  ZmCtl *ctl;
  ZmPrivate *own;
  void *push, *topics; /* topics is subscribed to everything */
} ZmFlowRun;

/* One case being run. */
typedef struct ZmFlowTrial {
  const ZmFlowRun *run;
  const ZmFlowTestCase *test;
  const char *id;          /* of its messages */
  GPtrArray *seen;         /* "topic body", owned: what was published with this id */
  guint answered, matched; /* of the case's answers and expects */
  char *expected, *got;    /* where it failed, for people; NULL: it did not. Owned */
} ZmFlowTrial;

/* Sends what is given, gives the answers, compares. FALSE: it could not be run (a signal, or the daemon died). */
gboolean zm_flow_trial_run (ZmFlowTrial *trial, GError **error);

G_END_DECLS
