/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens between the generations of one plugin: order of their calls, news of the configuration, copies after a hang. */
#include "config.h"

#include "plugin/zm-carrier.h"
#include "plugin/zm-event.h"
#include "runtime/private.h"

/* Fresh copies of a plugin whose call hung; after that it is stuck. */
#define COPIES_MOST 3

/* A plugin that is unloaded, or left out, is not stuck any more: loaded anew it begins anew. */
static void
forget_gone (ZmRuntime *runtime, ZmPluginSet *next)
{
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, runtime->revived);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (next == NULL || zm_plugin_set_find (next, name) == NULL)
      g_hash_table_iter_remove (&iter);
}

/* Before the swap of the table: from then on calls for `next` come, and a SERIAL plugin must never have two at a time,
 * not even in two generations. */
void
zm_succeed_prepare (ZmRuntime *runtime, ZmPluginSet *next)
{
  g_autoptr (ZmPluginSet) before = zm_plugins_current (runtime->plugins);
  gint64 drain_us = zm_config_integer (runtime->config, "workers", "drain") * 1000;

  forget_gone (runtime, next);
  for (guint i = 0; before != NULL && next != NULL && i < zm_plugin_set_size (next); i++) {
    ZmGeneration *generation = zm_plugin_set_nth (next, i);
    ZmGeneration *old = zm_plugin_set_find (before, zm_generation_name (generation));

    if (old == NULL || old == generation)
      continue;
    zm_pool_succeed (runtime->pool, old, generation, drain_us);
    /* Replaced by hand or by a new file: what its predecessors did is forgotten. */
    if (g_strcmp0 (runtime->copying, zm_generation_name (generation)) != 0)
      g_hash_table_remove (runtime->revived, zm_generation_name (generation));
  }
}

/* ---- news of the configuration ---- */

/* Runs as a call of the plugin, so that a SERIAL one has no other at that time. */
static int
tell_reload (zm_call *call)
{
  ZmGeneration *generation = zm_generation_of_host (call->host);
  ZmRuntime *runtime = zm_generation_owner (generation);
  int status = zm_generation_descriptor (generation)->reload (call->state);
  g_autofree char *name = zm_status_text (status);

  if (status < 0)
    zm_log_write (runtime->log, ZM_LEVEL_WARNING, "plugin",
                  "plugin %s keeps its old configuration (reload gave %s)", zm_generation_name (generation),
                  name);
  return ZM_OK;
}

/* As a one-shot timer of the plugin, as that is a call in a worker, under its strand and its deadline. The ticket of the
 * last one is kept, so that a plugin that is told often does not use up its timers. */
static void
tell_here (ZmRuntime *runtime, ZmGeneration *generation)
{
  const char *name = zm_generation_name (generation);
  zm_ticket *ticket = g_hash_table_lookup (runtime->told, name);

  /* The timer of the last time is over, but still counts until it is stopped. */
  if (ticket != NULL)
    zm_pool_timer_stop (runtime->pool, generation, *ticket);
  ticket = g_new (zm_ticket, 1);
  *ticket = zm_pool_timer_start (runtime->pool, generation, "reload", tell_reload, 0, 0);
  g_hash_table_insert (runtime->told, g_strdup (name), ticket);
}

/* One that runs in another process is told there, in its own order with its calls. */
void
zm_succeed_tell (ZmRuntime *runtime, ZmPluginSet *set)
{
  const GPtrArray *reloads = set != NULL ? zm_plugin_set_reloads (set) : NULL;

  for (guint i = 0; reloads != NULL && i < reloads->len; i++)
    if (!zm_generation_reload_carried (reloads->pdata[i]))
      tell_here (runtime, reloads->pdata[i]);
}

/* ---- hung calls ---- */

typedef struct Hung {
  ZmRuntime *runtime;
  ZmGeneration *generation;
} Hung;

static void
hung_free (gpointer data)
{
  Hung *hung = data;

  zm_generation_unref (hung->generation, "hung");
  g_free (hung);
}

/* A reload with this one plugin loaded anew; `copying` tells zm_succeed_prepare that it is no replacement by hand,
 * which would forget how often it hung. */
static void
start_copy (ZmRuntime *runtime, const char *name)
{
  const char *const again[] = { name, NULL };
  g_autoptr (GPtrArray) changes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (ZmProblems) problems = zm_problems_new ();

  runtime->copying = name;
  zm_runtime_reload (runtime, again, changes, problems);
  runtime->copying = NULL;
}

/* Its messages fail at once from here on, and status says so, until it is replaced. */
static void
give_up (ZmRuntime *runtime, ZmGeneration *generation, const char *why)
{
  const char *name = zm_generation_name (generation);

  g_hash_table_insert (runtime->revived, g_strdup (name), GUINT_TO_POINTER (COPIES_MOST + 1));
  zm_generation_set_stuck (generation);
  zm_pool_stuck (runtime->pool, generation);
  zm_log_write (runtime->log, ZM_LEVEL_ERROR, "plugin",
                "plugin %s %s: it is stuck, its messages fail at once until it is replaced", name, why);
}

/* In the main loop, where reloads belong. Between the watchdog's word and now the plugin may have been replaced, or the
 * drain begun. */
static gboolean
on_hung (gpointer user)
{
  Hung *hung = user;
  ZmRuntime *runtime = hung->runtime;
  const char *name = zm_generation_name (hung->generation);
  guint copies = GPOINTER_TO_UINT (g_hash_table_lookup (runtime->revived, name)) + 1;

  /* One that was replaced already needs no copy. */
  if (runtime->state != ZM_STATE_RUNNING || zm_generation_retired (hung->generation))
    return G_SOURCE_REMOVE;
  g_hash_table_insert (runtime->revived, g_strdup (name), GUINT_TO_POINTER (copies));
  if (copies <= COPIES_MOST) {
    zm_log_write (runtime->log, ZM_LEVEL_WARNING, "plugin",
                  "a call of plugin %s hangs: copy %u of at most %d is started", name, copies, COPIES_MOST);
    start_copy (runtime, name);
    /* The files may be wrong at this moment, or the library be gone; nobody tries again by himself. */
    if (!zm_generation_retired (hung->generation))
      give_up (runtime, hung->generation, "hangs, and no copy of it could be started");
    return G_SOURCE_REMOVE;
  }
  g_autofree char *why = g_strdup_printf ("hung %u times", copies);
  give_up (runtime, hung->generation, why);
  return G_SOURCE_REMOVE;
}

/* In the watchdog's thread: hands over to the main loop, with a reference, and returns at once. */
void
zm_succeed_hung (ZmGeneration *generation, gpointer user)
{
  ZmRuntime *runtime = user;
  Hung *hung = g_new (Hung, 1);
  g_autoptr (GSource) source = g_idle_source_new ();

  hung->runtime = runtime;
  hung->generation = zm_generation_ref (generation, "hung");
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_hung, hung, hung_free);
  g_source_attach (source, runtime->context);
}

/* Stuck is whoever hung once more often than copies are made; being replaced by hand clears it. */
void
zm_succeed_reasons (ZmRuntime *runtime, GPtrArray *out)
{
  GHashTableIter iter;
  gpointer name, copies;

  g_hash_table_iter_init (&iter, runtime->revived);
  while (g_hash_table_iter_next (&iter, &name, &copies))
    if (GPOINTER_TO_UINT (copies) > COPIES_MOST)
      g_ptr_array_add (out,
                       g_strdup_printf ("plugin %s is stuck: its calls hung too often", (const char *) name));
}
