/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The version this tree was built as, in one place for every program. */
#include "config.h"

#include "base/version.h"

const char *
zm_version (void)
{
  return PACKAGE_VERSION;
}
