/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking after the store of an instance whose daemon does not run. The instance's lock is held meanwhile, so that none starts. Runs as
 * the user whose store it is, where root asks: files that root makes could not be used by the daemon.
 */
#pragma once

#include "runtime/zm-runtime.h"
#include "zmanager/store.h"

G_BEGIN_DECLS

/* Errors: EXISTS where a daemon runs; IO where something is wrong with the store; report was told each thing. */
gboolean zm_store_offline_check (const char *dir, gboolean repair, zm_store_report_fn report, gpointer user,
                                 GError **error);
/* Puts a copy of file, once it is known to be a whole store, in the place of the instance's. *kept: where the one that was there is now,
 * or NULL; the caller frees. */
gboolean zm_store_offline_restore (const char *dir, const char *file, zm_store_report_fn report,
                                   gpointer user, char **kept, GError **error);

G_END_DECLS
