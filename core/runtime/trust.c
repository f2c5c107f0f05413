/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that decide what code runs: may somebody else write them? Asked before any of them is read. */
#include "config.h"

#include "runtime/private.h"

#include "base/zm-codes.h"
#include "base/zm-trust.h"
#include "config/zm-lines.h"

#include <sys/stat.h>
#include <unistd.h>

/* One look at all of them. */
typedef struct Look {
  uid_t owner;
  ZmProblems *problems;
  char *by_group; /* the first that the group may write */
  guint more;     /* further ones */
} Look;

/* Groups are told of once, as with umask 002 it is all of them. */
static void
look_at (Look *look, const char *path)
{
  g_autofree char *why = NULL;

  switch (zm_trust_path (path, look->owner, &why)) {
  case ZM_TRUST_BAD:
    zm_problems_add (look->problems, ZM_PROBLEM_ERROR, ZM_CODE_UNSAFE_MODE, path, 0, 0, NULL, NULL, "%s",
                     why);
    break;
  case ZM_TRUST_GROUP:
    if (look->by_group == NULL)
      look->by_group = g_strdup (path);
    else
      look->more++;
    break;
  case ZM_TRUST_GOOD:
  case ZM_TRUST_NONE: break;
  }
}

/* The directory first: who may write it adds files to it. */
static void
look_into (Look *look, const char *directory, const char *ending)
{
  g_auto (GStrv) files = zm_list_files (directory, ending);

  look_at (look, directory);
  for (char **file = files; *file != NULL; file++)
    look_at (look, *file);
}

/* Whoever may write these puts sockets of their own there, or code: prepare refuses them, in these words. One that is not there
 * will be made. Who asks for another user cannot ask as that one, and looks at owner and mode alone. */
static void
look_private (Look *look, const char *what, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;
  struct stat info;

  if (look->owner == geteuid ()) {
    if (!zm_instance_private (what, path, &error) && error->code != ZM_ERROR_NOT_FOUND)
      zm_problems_add (look->problems, ZM_PROBLEM_ERROR, ZM_CODE_UNSAFE_MODE, path, 0, 0, NULL, NULL, "%s",
                       error->message);
    return;
  }
  if (zm_trust_path (path, look->owner, &why) == ZM_TRUST_GROUP && stat (path, &info) == 0)
    why = g_strdup_printf ("others may write %s (mode %04o); chmod go-w it", path,
                           (guint) (info.st_mode & 07777));
  if (why != NULL)
    zm_problems_add (look->problems, ZM_PROBLEM_ERROR, ZM_CODE_UNSAFE_MODE, path, 0, 0, NULL, NULL,
                     ZM_INSTANCE_NOT_PRIVATE "%s", what, why);
}

static void
tell_group (Look *look)
{
  g_autofree char *more =
      look->more > 0 ? g_strdup_printf (" and %u more of the configuration", look->more) : g_strdup ("");

  if (look->by_group != NULL)
    zm_problems_add (look->problems, ZM_PROBLEM_WARNING, ZM_CODE_UNSAFE_MODE, look->by_group, 0, 0, NULL,
                     "chmod -R g-w the directory", "its group may write it%s, and so decide what code runs",
                     more);
  g_free (look->by_group);
}

/* Whoever only checks for another (root does) asks what that one's daemon would: its user owns the instance. */
uid_t
zm_trust_user (const ZmInstance *instance)
{
  struct stat info;

  return geteuid () == 0 && stat (instance->dir, &info) == 0 ? info.st_uid : geteuid ();
}

void
zm_trust_check (const ZmInstance *instance, const char *config_file, uid_t owner, ZmProblems *problems)
{
  Look look = { .owner = owner, .problems = problems };

  look_at (&look, instance->dir);
  look_at (&look, config_file != NULL ? config_file : instance->config_file);
  look_into (&look, instance->config_dir, ".conf");
  look_into (&look, instance->actions_dir, ".ini");
  look_into (&look, instance->flows_dir, ".flow");
  look_private (&look, ZM_INSTANCE_RUN, instance->run_dir);
  look_private (&look, ZM_INSTANCE_STATE, instance->state_dir);
  tell_group (&look);
}
