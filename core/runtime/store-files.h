/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of a store: copied durably, and exchanged. */
#pragma once

#include "base/zm-base.h"
#include "zmanager/store.h"

G_BEGIN_DECLS

/* A copy at path of what from can read, on disk when it returns; a half one is removed. from is closed. */
gboolean
zm_store_files_copy (int from, const char *path, zm_store_report_fn report, gpointer user, GError **error);
/* Takes away path and what its store has beside it. */
void zm_store_files_remove (const char *path);
/* Puts fresh in the place of path, which is kept under the name *kept where it was there (the caller frees), with what its store has
 * beside it. At any moment one of both is at path, unless such other files had to be moved. */
gboolean zm_store_files_exchange (const char *fresh, const char *path, char **kept, GError **error);

G_END_DECLS
