/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory of its own for each test of the room runtime. */
#pragma once

#include "runtime/commands.h"
#include "runtime/private.h"

#include <glib/gstdio.h>
#include <gtest/gtest.h>

#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

inline void
remove_tree (const std::string &path)
{
  GDir *dir =
      g_file_test (path.c_str (), G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path.c_str (), 0, NULL);

  while (const char *name = dir ? g_dir_read_name (dir) : NULL)
    remove_tree (path + "/" + name);
  if (dir)
    g_dir_close (dir);
  g_remove (path.c_str ());
}

/* A directory of its own for each test, and an environment without other instances. */
class Runtime : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    char *made = g_dir_make_tmp ("zm-runtime-XXXXXX", NULL);

    dir = made;
    g_free (made);
    for (const char *name : { "ZM_DIR", "ZM_PLUGIN_PATH", "NOTIFY_SOCKET", "WATCHDOG_USEC" })
      g_unsetenv (name);
  }

  void
  TearDown () override
  {
    remove_tree (dir);
  }

  void
  write (const std::string &name, const std::string &text)
  {
    std::string path = dir + "/" + name;
    char *folder = g_path_get_dirname (path.c_str ());

    g_mkdir_with_parents (folder, 0755);
    g_free (folder);
    ASSERT_TRUE (g_file_set_contents (path.c_str (), text.data (), (gssize) text.size (), NULL));
  }

  std::string dir;
};

inline std::string
take (char *text)
{
  std::string out = text ? text : "";

  g_free (text);
  return out;
}

inline std::string
message (GError **error)
{
  std::string out = *error ? (*error)->message : "";

  g_clear_error (error);
  return out;
}
