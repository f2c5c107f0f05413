/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths, sockets and the lock of an instance. */
#include "runtime-fixture.h"

namespace {

TEST_F (Runtime, InstanceKeepsEverythingInItsDirectory)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), &error);

  ASSERT_NE (instance, nullptr) << message (&error);
  EXPECT_FALSE (instance->system);
  EXPECT_EQ (instance->dir, dir);
  EXPECT_EQ (instance->config_file, dir + "/zmanager.conf");
  EXPECT_EQ (instance->config_dir, dir + "/conf.d");
  EXPECT_EQ (instance->actions_dir, dir + "/actions.d");
  EXPECT_EQ (instance->flows_dir, dir + "/flows.d");
  EXPECT_EQ (instance->state_dir, dir + "/state");
  EXPECT_EQ (instance->run_dir, dir + "/run");
  EXPECT_EQ (take (zm_instance_endpoint (instance, "control")), "ipc://" + dir + "/run/control");
}

TEST_F (Runtime, InstanceTakesTheEnvironmentsDirectory)
{
  g_setenv ("ZM_DIR", dir.c_str (), TRUE);
  g_autoptr (ZmInstance) instance = zm_instance_new (NULL, NULL);

  ASSERT_NE (instance, nullptr);
  EXPECT_EQ (instance->dir, dir);
}

TEST_F (Runtime, InstanceSaysWhatToDoWithoutADirectory)
{
  GError *error = NULL;

  EXPECT_EQ (zm_instance_new ((dir + "/none").c_str (), &error), nullptr);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_NOT_FOUND));
  EXPECT_NE (message (&error).find ("mkdir -p " + dir + "/none"), std::string::npos);
  write ("file", "");
  EXPECT_EQ (zm_instance_new ((dir + "/file").c_str (), &error), nullptr);
  EXPECT_NE (message (&error).find ("is not a directory"), std::string::npos);
}

TEST_F (Runtime, InstanceMakesPrivateDirectories)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  struct stat info;

  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  ASSERT_EQ (stat (instance->run_dir, &info), 0);
  EXPECT_EQ (info.st_mode & 0007, 0u);
  ASSERT_EQ (stat (instance->state_dir, &info), 0);
  EXPECT_EQ (info.st_mode & 0077, 0u);
  EXPECT_TRUE (zm_instance_prepare (instance, NULL)) << "a second time";
}

TEST_F (Runtime, InstanceWhoseSocketsOthersCouldExchangeIsRefused)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  g_autoptr (GError) error = NULL;

  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  for (mode_t mode : { 0770, 01777 }) {
    ASSERT_EQ (chmod (instance->run_dir, mode), 0);
    EXPECT_FALSE (zm_instance_prepare (instance, &error));
    ASSERT_NE (error, nullptr);
    EXPECT_NE (std::string (error->message).find ("/run"), std::string::npos) << error->message;
    EXPECT_NE (std::string (error->message).find ("chmod go-w"), std::string::npos) << error->message;
    g_clear_error (&error);
  }
  ASSERT_EQ (chmod (instance->run_dir, 0755), 0);
  EXPECT_TRUE (zm_instance_prepare (instance, NULL));
}

TEST_F (Runtime, InstanceIsLockedOnce)
{
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  GError *error = NULL;

  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  int first = zm_instance_lock (instance, NULL);
  ASSERT_GE (first, 0);
  EXPECT_EQ (zm_instance_lock (instance, &error), -1);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_EXISTS));
  EXPECT_NE (message (&error).find (std::to_string (getpid ())), std::string::npos);
  close (first);
  int again = zm_instance_lock (instance, NULL);
  EXPECT_GE (again, 0) << "the lock goes with its descriptor";
  close (again);
}

TEST_F (Runtime, LongPathsGetAShortSocketAndALink)
{
  std::string deep = dir + "/" + std::string (120, 'd');

  g_setenv ("XDG_RUNTIME_DIR", dir.c_str (), TRUE);
  g_mkdir (deep.c_str (), 0755);
  g_autoptr (ZmInstance) instance = zm_instance_new (deep.c_str (), NULL);
  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  std::string before = take (zm_instance_endpoint (instance, "control"));
  std::string bound = take (zm_instance_bind_endpoint (instance, "control", NULL));
  EXPECT_EQ (bound, before);
  EXPECT_EQ (bound.find ("ipc://" + dir + "/zmanager-"), 0u) << bound;
  EXPECT_LE (bound.size (), 6 + (size_t) ZM_INSTANCE_SOCKET_MOST);
  EXPECT_EQ ("ipc://" + take (g_file_read_link ((deep + "/run/control").c_str (), NULL)), bound);
  /* A client with another runtime directory finds it by the link. */
  g_setenv ("XDG_RUNTIME_DIR", "/nonexistent", TRUE);
  g_autoptr (ZmInstance) client = zm_instance_new (deep.c_str (), NULL);
  EXPECT_EQ (take (zm_instance_endpoint (client, "control")), bound);
  g_unsetenv ("XDG_RUNTIME_DIR");
}

TEST_F (Runtime, AShortDirectoryThatOthersMayEnterIsRefused)
{
  std::string deep = dir + "/" + std::string (120, 'd');
  GError *error = NULL;

  g_setenv ("XDG_RUNTIME_DIR", dir.c_str (), TRUE);
  g_mkdir (deep.c_str (), 0755);
  g_autoptr (ZmInstance) instance = zm_instance_new (deep.c_str (), NULL);
  ASSERT_TRUE (zm_instance_prepare (instance, NULL));
  g_mkdir (instance->short_dir, 0755);
  g_chmod (instance->short_dir, 0755);
  EXPECT_EQ (zm_instance_bind_endpoint (instance, "control", &error), nullptr);
  EXPECT_TRUE (g_error_matches (error, ZM_ERROR, ZM_ERROR_REFUSED)) << message (&error);
  g_clear_error (&error);
  g_unsetenv ("XDG_RUNTIME_DIR");
}

TEST_F (Runtime, PluginDirectoriesComeInTheirOrderOnce)
{
  const char *const configured[] = { "/conf/a", "relative", "/env/b", NULL };

  g_setenv ("ZM_PLUGIN_PATH", "/env/a:/env/b::/env/a", TRUE);
  g_unsetenv ("ZM_SYSTEM_PLUGINS");
  g_autoptr (ZmInstance) instance = zm_instance_new (dir.c_str (), NULL);
  g_auto (GStrv) dirs = zm_instance_plugin_dirs (instance, configured, TRUE);
  std::string all = take (g_strjoinv (" ", dirs));
  EXPECT_EQ (all.find ("/env/a /env/b /conf/a " + dir + "/relative " + dir +
                       "/plugins /usr/local/lib/zmanager/plugins-1"),
             0u)
      << all;
  g_setenv ("ZM_SYSTEM_PLUGINS", "no", TRUE);
  g_auto (GStrv) own = zm_instance_plugin_dirs (instance, configured, TRUE);
  EXPECT_EQ (take (g_strjoinv (" ", own)).find ("/usr/local"), std::string::npos);
}

} // namespace
