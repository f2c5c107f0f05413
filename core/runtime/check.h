/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What --check finds about plugins without loading one (check-plugins.c). */
#pragma once

#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

/* Mappings (ZmMapping*) whose plugin or action is not there; [plugin NAME] and [source NAME] whose plugin is not there or of
 * another kind, or whose own keys do not fit its options. For these a zmanager-probe runs once for each plugin that has a
 * section. After a scan. */
void zm_check_plugins (const ZmConfig *config, const GPtrArray *mappings, ZmPlugins *plugins,
                       ZmProblems *problems);

/* [plugin NAME] whose plugin is not there, or is refused, and that is not in `wanted` (whose failures are told when they are
 * loaded): warnings in the words of zm_check_plugins, for a load that goes on without it. */
void zm_check_sections (const ZmConfig *config, ZmPlugins *plugins, const char *const *wanted,
                        ZmProblems *problems);

G_END_DECLS
