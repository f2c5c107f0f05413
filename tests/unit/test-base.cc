/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room base. */
#include "config.h"

#include "base/version.h"

#include <gtest/gtest.h>

TEST (Version, IsThreeNumbers)
{
  EXPECT_TRUE (g_regex_match_simple ("^[0-9]+\\.[0-9]+\\.[0-9]+$", zm_version (), (GRegexCompileFlags) 0,
                                     (GRegexMatchFlags) 0));
}
