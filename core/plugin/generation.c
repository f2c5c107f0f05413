/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A generation: one loaded copy of one library, with its services table, its actions, and the count of who uses it.
 *
 * The count goes up and down in any thread. The last access of an unref to the generation is the atomic decrement; whoever
 * sees zero on a retired one (the reaper) may free it.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

#define MAGIC 0x5a4d4745u

static void
action_free (gpointer data)
{
  ZmAction *action = data;

  g_free ((char *) action->symbol);
  g_free (action);
}

/* A generation outlives the scan that its manifest is from: the next scan frees it. */
static ZmManifest *
manifest_copy (const ZmManifest *from)
{
  ZmManifest *copy = g_memdup2 (from, sizeof *from);

  copy->name = g_strdup (from->name);
  copy->version = g_strdup (from->version);
  copy->licence = g_strdup (from->licence);
  copy->summary = g_strdup (from->summary);
  copy->kind = g_strdup (from->kind);
  copy->depends = g_strdupv (from->depends);
  copy->schemes = g_strdupv (from->schemes);
  copy->actions = g_strdupv (from->actions);
  copy->threadsafe = g_memdup2 (from->threadsafe, g_strv_length (from->actions) * sizeof (gboolean));
  copy->isolation = g_strdup (from->isolation);
  copy->build_id = g_strdup (from->build_id);
  copy->unknown = g_strdupv (from->unknown);
  return copy;
}

/* What needs the store. */
static void
take_queues (zm_host *host)
{
  host->put = NULL;
  host->wait_empty = NULL;
  host->emit_durable = NULL;
  host->keep = NULL;
  host->kept = NULL;
}

/* Its own services table. A protocol is output only: it reports delivery events, and sends and calls nothing; a store cannot
 * store in itself. */
static void
make_host (ZmGeneration *generation, const zm_host *host)
{
  generation->host = *host;
  generation->host.struct_size = sizeof (zm_host);
  generation->host.abi_minor = ZM_ABI_MINOR;
  generation->host.ctx = generation;
  if (strcmp (generation->manifest->kind, "protocol") == 0 ||
      strcmp (generation->manifest->kind, "store") == 0)
    take_queues (&generation->host);
  if (strcmp (generation->manifest->kind, "protocol") == 0) {
    generation->host.emit = NULL;
    generation->host.call_action = NULL;
    generation->host.timer_start = NULL;
    generation->host.timer_stop = NULL;
  }
}

/* The copy at config->copy is the generation's from here on: opening or freeing it unlinks the file. */
ZmGeneration *
zm_generation_new (const ZmGenerationConfig *config)
{
  ZmGeneration *generation = g_new0 (ZmGeneration, 1);
  const char *isolation;

  generation->magic = MAGIC;
  generation->name = g_strdup (config->name);
  generation->plugin = zm_variant_plugin (config->name, &isolation);
  generation->path = g_strdup (config->path);
  generation->number = config->number;
  g_snprintf (generation->mark, sizeof generation->mark, "zm+%x", config->serial);
  generation->manifest = manifest_copy (config->manifest);
  generation->identity = *config->identity;
  generation->library.copy = g_strdup (config->copy);
  generation->actions = g_ptr_array_new_with_free_func (action_free);
  generation->action_names = g_hash_table_new (g_str_hash, g_str_equal);
  generation->threads = zm_threads_new ();
  generation->reaper = config->reaper != NULL ? zm_reaper_ref (config->reaper) : NULL;
  generation->no_dlclose = config->no_dlclose;
  generation->asked = generation->placement = *config->placement;
  generation->carrier = generation->asked.isolation != ZM_ISOLATION_THREAD ? config->carrier : NULL;
  if (generation->carrier == NULL)
    generation->placement.instances = 1;
  generation->owner = config->owner;
  pthread_mutex_init (&generation->lock, NULL);
  make_host (generation, config->host);
  zm_generation_set_config (generation, config->config);
  return zm_generation_ref (generation, "table");
}

/* By the reaper, or by whoever fails to bring one up: nobody else knows the generation any more, so no lock is taken. */
void
zm_generation_free (ZmGeneration *generation)
{
  zm_library_clear (&generation->library);
  zm_carried_clear (generation);
  g_clear_pointer (&generation->config, zm_config_unref);
  g_clear_pointer (&generation->old_config, zm_config_unref);
  zm_threads_free (generation->threads);
  g_hash_table_unref (generation->action_names);
  g_ptr_array_unref (generation->actions);
  zm_manifest_free (generation->manifest);
  g_free (generation->name);
  g_free (generation->plugin);
  g_free (generation->path);
  g_clear_pointer (&generation->reaper, zm_reaper_unref);
  pthread_mutex_destroy (&generation->lock);
  generation->magic = 0;
  g_free (generation);
}

/* ---- references ---- */

/* Under the lock. Names are literals, but each room has its own copy of one, so that they are compared as texts. */
static void
count_holder (ZmGeneration *generation, const char *who, int change)
{
  guint i = 0;

  while (i < generation->n_holders && generation->holders[i].who != who &&
         strcmp (generation->holders[i].who, who) != 0)
    i++;
  /* More kinds of holders than there is room for share the last place: its name is then that of one of them. */
  if (i == generation->n_holders && i < G_N_ELEMENTS (generation->holders))
    generation->holders[generation->n_holders++].who = who;
  i = MIN (i, G_N_ELEMENTS (generation->holders) - 1);
  generation->holders[i].count += (guint) change;
}

/* Whoever calls holds a reference already, or runs while somebody does: the count never comes back from zero. */
ZmGeneration *
zm_generation_ref (ZmGeneration *generation, const char *holder)
{
  g_return_val_if_fail (generation != NULL && generation->magic == MAGIC, NULL);
  pthread_mutex_lock (&generation->lock);
  count_holder (generation, holder, 1);
  pthread_mutex_unlock (&generation->lock);
  atomic_fetch_add (&generation->references, 1);
  return generation;
}

/* The reaper is held beside, as the generation may be freed by it in the instant after the decrement. */
void
zm_generation_unref (ZmGeneration *generation, const char *holder)
{
  ZmReaper *reaper;

  g_return_if_fail (generation != NULL && generation->magic == MAGIC);
  reaper = generation->reaper != NULL ? zm_reaper_ref (generation->reaper) : NULL;
  pthread_mutex_lock (&generation->lock);
  count_holder (generation, holder, -1);
  pthread_mutex_unlock (&generation->lock);
  if (atomic_fetch_sub (&generation->references, 1) == 1 && reaper != NULL)
    zm_reaper_wake (reaper); /* from here on the generation may be gone */
  g_clear_pointer (&reaper, zm_reaper_unref);
}

/* For people: who keeps an old generation loaded. Threads hold no reference, but they keep it as well. */
char *
zm_generation_holders (ZmGeneration *generation)
{
  GString *out = g_string_new (NULL);

  pthread_mutex_lock (&generation->lock);
  for (guint i = 0; i < generation->n_holders; i++)
    if (generation->holders[i].count > 0)
      g_string_append_printf (out, "%s%s (%u)", out->len > 0 ? ", " : "", generation->holders[i].who,
                              generation->holders[i].count);
  pthread_mutex_unlock (&generation->lock);
  zm_threads_describe (generation->threads, out);
  return g_string_free (out, FALSE);
}

/* ---- what others read ---- */

const char *
zm_generation_name (const ZmGeneration *generation)
{
  return generation->name;
}

const char *
zm_generation_plugin (const ZmGeneration *generation)
{
  return generation->plugin;
}

guint
zm_generation_number (const ZmGeneration *generation)
{
  return generation->number;
}

guint
zm_generation_flags (const ZmGeneration *generation)
{
  return generation->flags;
}

const ZmManifest *
zm_generation_manifest (const ZmGeneration *generation)
{
  return generation->manifest;
}

const zm_plugin_desc *
zm_generation_descriptor (const ZmGeneration *generation)
{
  return &generation->descriptor;
}

const struct zm_store_ops *
zm_generation_store (const ZmGeneration *generation)
{
  return generation->descriptor.store;
}

const zm_host *
zm_generation_host (const ZmGeneration *generation)
{
  return &generation->host;
}

/* The magic tells a table of ours from any other pointer. */
ZmGeneration *
zm_generation_of_host (const zm_host *host)
{
  ZmGeneration *generation = host != NULL ? host->ctx : NULL;

  g_return_val_if_fail (generation != NULL && generation->magic == MAGIC, NULL);
  return generation;
}

void *
zm_generation_state (const ZmGeneration *generation)
{
  return generation->state;
}

void
zm_generation_set_stuck (ZmGeneration *generation)
{
  atomic_store (&generation->stuck, TRUE);
}

const char *
zm_generation_stuck (const ZmGeneration *generation)
{
  return atomic_load (&generation->stuck) ? "its calls hung too often; they fail at once until it is replaced"
                                          : NULL;
}

gboolean
zm_generation_retired (const ZmGeneration *generation)
{
  return atomic_load (&generation->retired);
}

gint64
zm_generation_priority (const ZmGeneration *generation)
{
  return generation->priority;
}

gpointer
zm_generation_owner (const ZmGeneration *generation)
{
  return generation->owner;
}

const ZmAction *
zm_generation_action (ZmGeneration *generation, const char *symbol)
{
  return g_hash_table_lookup (generation->action_names, symbol);
}

/* make is called under the lock, so that two workers that come first at once get the same one; it must not ask the
 * generation for anything that locks. */
gpointer
zm_generation_attachment (ZmGeneration *generation,
                          gpointer (*make) (ZmGeneration *generation, gpointer user),
                          GDestroyNotify free_func, gpointer user)
{
  gpointer attachment;

  pthread_mutex_lock (&generation->lock);
  if (generation->attachment == NULL && make != NULL) {
    generation->attachment = make (generation, user);
    generation->attachment_free = free_func;
  }
  attachment = generation->attachment;
  pthread_mutex_unlock (&generation->lock);
  return attachment;
}

int
zm_generation_thread_start (ZmGeneration *generation, const char *name, void (*run) (void *),
                            void (*wake) (void *), void *user)
{
  return zm_threads_start (generation->threads, name, run, wake, user);
}

/* ---- its section of the configuration ---- */

/* The one before is kept one reload longer, as plugins hold texts from it; the one before that goes. It is let go
 * outside of the lock, because it may be the last reference, and freeing takes long. */
void
zm_generation_set_config (ZmGeneration *generation, ZmConfig *config)
{
  g_autofree char *section = g_strdup_printf ("plugin %s", generation->plugin);
  ZmConfig *oldest;

  pthread_mutex_lock (&generation->lock);
  oldest = generation->old_config;
  generation->old_config = generation->config;
  generation->config = config != NULL ? zm_config_ref (config) : NULL;
  pthread_mutex_unlock (&generation->lock);
  g_clear_pointer (&oldest, zm_config_unref);
  generation->priority = config != NULL ? zm_config_integer (config, section, "priority") : 0;
}

/* The lock makes "read the pointer" and "take a reference" one step; without it a reload could free the configuration
 * between the two. */
ZmConfig *
zm_generation_config_ref (const ZmGeneration *generation)
{
  pthread_mutex_t *lock = (pthread_mutex_t *) &generation->lock;
  ZmConfig *config;

  pthread_mutex_lock (lock);
  config = generation->config != NULL ? zm_config_ref (generation->config) : NULL;
  pthread_mutex_unlock (lock);
  return config;
}

/* The table belongs to the library, which is loaded as long as the generation has references. */
static const char *
standard_value (const ZmGeneration *generation, const char *key)
{
  const zm_option_desc *option = generation->descriptor.options;

  while (option != NULL && option->name != NULL && strcmp (option->name, key) != 0)
    option++;
  return option != NULL && option->name != NULL ? option->standard : NULL;
}

/* The reference is for the look-up: reloads go on in the runtime's thread meanwhile. What is given out lives in the
 * configuration that the generation itself keeps, one reload longer than it is current. */
const char *
zm_generation_config (const ZmGeneration *generation, const char *key, guint index)
{
  g_autofree char *section = g_strdup_printf ("plugin %s", generation->plugin);
  g_autoptr (ZmConfig) config = zm_generation_config_ref (generation);
  const char *const *values = config != NULL && key != NULL ? zm_config_list (config, section, key) : NULL;
  guint count = 0;

  if (key == NULL)
    return NULL;
  while (values != NULL && values[count] != NULL && count < index)
    count++;
  if (values != NULL && values[0] != NULL)
    return values[count];
  return index == 0 ? standard_value (generation, key) : NULL;
}
