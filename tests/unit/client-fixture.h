/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the client library share: a directory of an instance, with its endpoints. */
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include <glib/gstdio.h>

namespace client_test {

constexpr int kWaitMs = 10000;

class Directory {
public:
  Directory ()
  {
    char pattern[] = "/tmp/zm-client-XXXXXX";
    path = g_mkdtemp (pattern);
    g_mkdir ((path + "/run").c_str (), 0700);
  }
  ~Directory ()
  {
    std::string command = "rm -rf " + path;
    EXPECT_EQ (system (command.c_str ()), 0);
  }
  std::string
  endpoint (const char *name) const
  {
    return "ipc://" + path + "/run/" + name;
  }
  std::string path;
};

} // namespace client_test
