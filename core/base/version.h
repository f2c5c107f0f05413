/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The version this tree was built as. Any thread. */
#ifndef ZM_BASE_VERSION_H
#define ZM_BASE_VERSION_H

#include <glib.h>

G_BEGIN_DECLS

/* "MAJOR.MINOR.MICRO", static storage, never NULL. */
const char *zm_version (void);

G_END_DECLS

#endif
