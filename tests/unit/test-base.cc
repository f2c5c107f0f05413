/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room base. */
#include "config.h"

#include "base/version.h"

#include <gtest/gtest.h>

#include <regex>

TEST (Version, IsThreeNumbers)
{
  EXPECT_TRUE (std::regex_match (zm_version (), std::regex ("[0-9]+\\.[0-9]+\\.[0-9]+")));
}
