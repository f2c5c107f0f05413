/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hosted: the life of a process that runs plugins for the daemon. It is told by records what to load and what to call
 * (hostwire/zm-record.h), and what it has done stands in the page that it shares with the daemon (hostwire/zm-page.h).
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

#define ZM_HOSTED_SOCKET 3 /* descriptors that the daemon gives */
#define ZM_HOSTED_PAGE   4

typedef struct ZmHostedOptions {
  guint threads;       /* of a generation whose PREPARE says none */
  guint64 memory;      /* bytes that plugins should need; they may have twice that (RLIMIT_DATA); 0: as it is */
  guint64 descriptors; /* RLIMIT_NOFILE; 0: as it is */
} ZmHostedOptions;

/* Was it started by the daemon? */
gboolean zm_hosted_is_started (void);
/* Runs until the daemon says BYE or is gone, which ends the process. Returns only with an error: it could not begin. */
gboolean zm_hosted_run (const ZmHostedOptions *options, GError **error);

G_END_DECLS
