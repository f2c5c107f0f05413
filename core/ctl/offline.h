/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of an instance say, for commands that answer without a daemon too. */
#pragma once

#include "ctl/ctl.h"
#include "routing/zm-table.h"

G_BEGIN_DECLS

/* Asks the daemon (takes request), but does not wait long for one. NULL: error; where zm_offline_allowed, the files may
 * answer. */
JsonObject *zm_offline_ask (ZmCtl *ctl, JsonObject *request, GError **error);
/* Says that the files answer. FALSE: they may not: the error is another than "nobody there", or a socket was named. */
gboolean zm_offline_allowed (const ZmCtl *ctl, const GError *error);
/* The table as the files make it, without plugins. NULL: error. The caller unrefs. */
ZmTable *zm_offline_table (ZmCtl *ctl, GError **error);

G_END_DECLS
