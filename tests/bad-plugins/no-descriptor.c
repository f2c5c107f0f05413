/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its query function gives nothing. */
#include <zmanager/plugin.h>

ZM_PLUGIN_FULL ("no-descriptor", "1.0", "LGPL-2.1-or-later", "Gives no descriptor", "", NULL);
