/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a thread does with a plugin outside of any call: known by the thread itself, so that a handler of a fault, which runs in
 * it, can name the plugin before any table has it.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

/* The thread's own. A text of its own, as the generation may be gone by the time its destructors run. */
static _Thread_local struct {
  const char *what;
  guint number;
  char plugin[128];
} this_step;

void
zm_step_enter (const ZmGeneration *generation, const char *what)
{
  g_strlcpy (this_step.plugin, generation->name, sizeof this_step.plugin);
  this_step.number = generation->number;
  this_step.what = what;
}

const char *
zm_plugins_step_raw (const char **plugin, guint *number)
{
  *plugin = this_step.plugin;
  *number = this_step.number;
  return this_step.what;
}
