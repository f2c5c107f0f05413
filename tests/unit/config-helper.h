/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the room config share: a directory of their own and owners for what C hands out. */
#pragma once

#include "config/zm-config.h"

#include <glib/gstdio.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

/* Takes a text that the caller frees. */
inline std::string
taken (char *text)
{
  std::string result = text != nullptr ? text : "(null)";

  g_free (text);
  return result;
}

inline std::vector<std::string>
taken_list (char **list)
{
  std::vector<std::string> result (list, list + g_strv_length (list));

  g_strfreev (list);
  return result;
}

/* A temporary directory that goes with the test. */
class Directory : public ::testing::Test {
protected:
  void
  SetUp () override
  {
    path = taken (g_dir_make_tmp ("zm-test-XXXXXX", nullptr));
  }
  void
  TearDown () override
  {
    clean (path);
  }

  std::string
  write (const std::string &name, const std::string &text)
  {
    std::string file = path + "/" + name;
    std::string parent = taken (g_path_get_dirname (file.c_str ()));

    EXPECT_EQ (g_mkdir_with_parents (parent.c_str (), 0700), 0);
    EXPECT_TRUE (g_file_set_contents (file.c_str (), text.data (), (gssize) text.size (), nullptr));
    g_chmod (file.c_str (), 0600);
    return file;
  }

  static void
  clean (const std::string &place)
  {
    GDir *dir = g_file_test (place.c_str (), G_FILE_TEST_IS_SYMLINK)
                    ? nullptr
                    : g_dir_open (place.c_str (), 0, nullptr);

    while (const char *name = dir != nullptr ? g_dir_read_name (dir) : nullptr)
      clean (place + "/" + name);
    if (dir != nullptr)
      g_dir_close (dir);
    g_remove (place.c_str ());
  }

  std::string path;
};

/* A configuration being put together, with its problems. */
class Configuration {
public:
  Configuration () : config (zm_config_new ()), problems (zm_problems_new ())
  {
  }
  ~Configuration ()
  {
    zm_config_unref (config);
    zm_problems_free (problems);
  }
  Configuration (const Configuration &) = delete;
  Configuration &operator= (const Configuration &) = delete;

  Configuration &
  file (const std::string &path)
  {
    zm_config_add_file (config, path.c_str (), problems);
    return *this;
  }
  Configuration &
  set (const std::string &setting, const char *origin = "--set")
  {
    zm_config_add_setting (config, setting.c_str (), origin, problems);
    return *this;
  }
  Configuration &
  finish ()
  {
    zm_config_finish (config, problems);
    return *this;
  }
  std::string
  text (const char *section, const char *key) const
  {
    const char *value = zm_config_text (config, section, key);

    return value != nullptr ? value : "(null)";
  }
  std::vector<std::string>
  list (const char *section, const char *key) const
  {
    const char *const *items = zm_config_list (config, section, key);

    return std::vector<std::string> (items, items + g_strv_length ((char **) items));
  }
  std::string
  origin (const char *section, const char *key) const
  {
    return taken (zm_config_origin (config, section, key));
  }
  std::string
  errors () const
  {
    return taken (zm_problems_format (problems));
  }

  ZmConfig *config;
  ZmProblems *problems;
};
