/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A carried generation: its library is in another process, and what is known of it here was told from there. That process
 * runs foreign code which may write over its memory, so every text and number of it is checked as a peer's is.
 */
#include "config.h"

#include "plugin/zm-plugin-private.h"

#include <string.h>

#define MOST_LISTED 1024 /* actions or options of one plugin, as in the daemon */
#define MOST_TEXT   ((gsize) 1 << 20)

/* Of PREPARED. */
enum { PREPARED_STATUS, PREPARED_FLAGS, PREPARED_FEATURES, PREPARED_NUMBERS };
enum { PREPARED_ERROR, PREPARED_ACTIONS, PREPARED_OPTIONS, PREPARED_PARTS };

/* ---- what the process told ---- */

static gboolean
damaged (const char *what, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_PLUGIN, "what its process tells of its %s cannot be read", what);
  return FALSE;
}

/* The next text of a list, kept as long as the generation; NULL: none is left, or it is no text. */
static const char *
take_text (ZmGeneration *generation, ZmSpan *list)
{
  const char *text = zm_record_next_text (list);

  if (text == NULL || !g_utf8_validate (text, -1, NULL))
    return NULL;
  return g_string_chunk_insert (generation->told->texts, text);
}

/* A decimal of at most 32 bits. */
static gboolean
take_number (ZmSpan *list, guint32 *number)
{
  const char *text = zm_record_next_text (list);
  gint64 value;

  if (text == NULL || !zm_parse_integer (text, 0, G_MAXUINT32, &value, NULL))
    return FALSE;
  *number = (guint32) value;
  return TRUE;
}

static gboolean
add_action (ZmGeneration *generation, const zm_action_desc *told, guint place, GError **error)
{
  ZmAction *action;

  if (!zm_manifest_check_action (told->name, error))
    return FALSE;
  if (g_hash_table_contains (generation->action_names, told->name))
    return damaged ("actions", error);
  action = g_new0 (ZmAction, 1);
  action->generation = generation;
  action->plugin = generation->plugin;
  action->symbol = g_strdup (told->name);
  action->threadsafe =
      (told->flags & ZM_ACTION_THREADSAFE_FLAG) != 0 || (generation->flags & ZM_PLUGIN_THREADSAFE) != 0;
  action->place = place;
  g_ptr_array_add (generation->actions, action);
  g_hash_table_insert (generation->action_names, (char *) action->symbol, action);
  g_array_append_val (generation->listed, *told);
  return TRUE;
}

/* "symbol NUL flags NUL doc NUL" each; the place in the list is what a call names. */
static gboolean
adopt_actions (ZmGeneration *generation, ZmSpan list, GError **error)
{
  for (guint place = 0; list.size > 0; place++) {
    zm_action_desc told = { .name = take_text (generation, &list) };

    if (told.name == NULL || !take_number (&list, &told.flags) ||
        (told.doc = take_text (generation, &list)) == NULL || place == MOST_LISTED)
      return damaged ("actions", error);
    if (told.doc[0] == '\0')
      told.doc = NULL;
    if (!add_action (generation, &told, place, error))
      return FALSE;
  }
  generation->descriptor.actions = (const zm_action_desc *) (const void *) generation->listed->data;
  return TRUE;
}

/* "name NUL type NUL flags NUL standard NUL doc NUL"; a standard begins with "=" where there is one. */
static gboolean
take_option (ZmGeneration *generation, ZmSpan *list, zm_option_desc *option)
{
  const char *standard;

  option->name = take_text (generation, list);
  if (option->name == NULL || option->name[0] == '\0' || !take_number (list, &option->type) ||
      option->type > ZM_OPTION_SIZE || !take_number (list, &option->flags))
    return FALSE;
  standard = take_text (generation, list);
  option->doc = take_text (generation, list);
  if (standard == NULL || option->doc == NULL || (standard[0] != '\0' && standard[0] != '='))
    return FALSE;
  option->standard = standard[0] == '=' ? standard + 1 : NULL;
  if (option->doc[0] == '\0')
    option->doc = NULL;
  return TRUE;
}

static gboolean
adopt_options (ZmGeneration *generation, ZmSpan list, GError **error)
{
  g_autoptr (GArray) options = g_array_new (TRUE, TRUE, sizeof (zm_option_desc));

  while (list.size > 0) {
    zm_option_desc option = { 0 };

    if (options->len == MOST_LISTED || !take_option (generation, &list, &option))
      return damaged ("options", error);
    g_array_append_val (options, option);
  }
  generation->told->options = (zm_option_desc *) (void *) g_array_free (g_steal_pointer (&options), FALSE);
  generation->descriptor.options = generation->told->options;
  return TRUE;
}

/* Why its library stays in its process: of a process that it shares. In one of its own it goes with the process, so that it
 * can be replaced there whatever it is. */
static void
adopt_residence (ZmGeneration *generation)
{
  if (generation->placement.isolation == ZM_ISOLATION_PRIVATE) {
    generation->flags &= ~(guint) ZM_PLUGIN_RESIDENT;
    generation->stays = NULL;
    return;
  }
  if (generation->stays == NULL && (generation->features & ZM_HOSTED_STAYS) != 0)
    generation->stays = "its library cannot be unloaded";
  if (generation->stays != NULL)
    generation->flags |= ZM_PLUGIN_RESIDENT;
}

/* A second process, or thread, of a plugin that has one call at a time would idle for ever. Only now are all its actions known. */
static void
adopt_instances (ZmGeneration *generation)
{
  for (guint i = 0; i < generation->actions->len; i++)
    if (((const ZmAction *) g_ptr_array_index (generation->actions, i))->threadsafe)
      return;
  generation->placement.instances = 1;
  generation->placement.threads = 1;
}

/* What the process says went wrong with loading, in its words. */
static gboolean
adopt_status (const ZmRecord *prepared, GError **error)
{
  g_autofree char *text = NULL;
  g_autofree char *shown = NULL;

  if (prepared->kind != ZM_RECORD_PREPARED || prepared->n_numbers < PREPARED_NUMBERS ||
      prepared->n_parts < PREPARED_PARTS)
    return damaged ("loading", error);
  if ((gint64) prepared->numbers[PREPARED_STATUS] == ZM_OK)
    return prepared->parts[PREPARED_ACTIONS].size + prepared->parts[PREPARED_OPTIONS].size <= MOST_TEXT ||
           damaged ("actions and options", error);
  text = zm_record_text (prepared, PREPARED_ERROR);
  shown = zm_printable (zm_span_text (text != NULL ? text : "it could not be loaded"), 1024);
  g_set_error_literal (error, ZM_ERROR, ZM_ERROR_PLUGIN, shown);
  return FALSE;
}

gboolean
zm_generation_adopt_carried (ZmGeneration *generation, const ZmRecord *prepared, GError **error)
{
  g_return_val_if_fail (generation->carrier != NULL && generation->told == NULL, FALSE);
  if (!adopt_status (prepared, error))
    return FALSE;
  generation->told = g_new0 (ZmDescription, 1);
  generation->told->texts = g_string_chunk_new (1024);
  generation->listed = g_array_new (TRUE, TRUE, sizeof (zm_action_desc));
  generation->flags = (guint) prepared->numbers[PREPARED_FLAGS];
  generation->features = (guint) prepared->numbers[PREPARED_FEATURES];
  generation->descriptor = (zm_plugin_desc){ .struct_size = sizeof (zm_plugin_desc),
                                             .flags = generation->flags,
                                             .name = generation->manifest->name,
                                             .version = generation->manifest->version,
                                             .licence = generation->manifest->licence,
                                             .summary = generation->manifest->summary };
  if (!zm_placement_allows (&generation->placement, generation->plugin,
                            (generation->features & ZM_HOSTED_HOOKS) != 0, error) ||
      !adopt_actions (generation, prepared->parts[PREPARED_ACTIONS], error) ||
      !adopt_options (generation, prepared->parts[PREPARED_OPTIONS], error))
    return FALSE;
  if ((generation->features & ZM_HOSTED_SOURCE) != 0)
    generation->descriptor.source = &generation->carrier->source;
  adopt_residence (generation);
  adopt_instances (generation);
  return TRUE;
}

/* ---- its life ---- */

/* Until the carrier has handed over what the plugin says of itself there is nothing to be used. */
gboolean
zm_carried_open (ZmGeneration *generation, GError **error)
{
  const ZmCarrier *carrier = generation->carrier;

  generation->carried = carrier->open (carrier->user, generation, error);
  generation->state = generation->carried;
  /* The carrier tells only that what the plugin said of itself cannot be used; why counts here. */
  if (generation->carried == NULL && (generation->features & ZM_HOSTED_HOOKS) != 0) {
    g_clear_error (error);
    zm_placement_allows (&generation->placement, generation->plugin, TRUE, error);
  }
  return generation->carried != NULL;
}

/* The copy was kept until now, as a new process may have had to open it again. */
void
zm_carried_close (ZmGeneration *generation, char **kept)
{
  if (generation->carried != NULL)
    generation->carrier->close (generation->carried, kept);
  generation->carried = generation->state = NULL;
  zm_library_clear (&generation->library);
}

void
zm_carried_clear (ZmGeneration *generation)
{
  g_clear_pointer (&generation->told, zm_description_free);
  g_clear_pointer (&generation->listed, g_array_unref);
}

/* ---- what a carrier asks ---- */

const ZmPlacement *
zm_generation_placement (const ZmGeneration *generation)
{
  return &generation->placement;
}

const char *
zm_generation_copy (const ZmGeneration *generation)
{
  return generation->library.copy;
}

gpointer
zm_generation_carried (const ZmGeneration *generation)
{
  return generation->carried;
}

guint
zm_action_place (const ZmAction *action)
{
  return action->place;
}

gboolean
zm_generation_reloads (const ZmGeneration *generation)
{
  return generation->carrier != NULL ? (generation->features & ZM_HOSTED_RELOAD) != 0
                                     : generation->descriptor.reload != NULL;
}

char *
zm_generation_trouble (const ZmGeneration *generation)
{
  const char *stuck = zm_generation_stuck (generation);
  char *trouble = generation->carried != NULL ? generation->carrier->trouble (generation->carried) : NULL;

  return trouble != NULL || stuck == NULL ? trouble : g_strconcat ("stuck: ", stuck, NULL);
}

gboolean
zm_generation_starting (const ZmGeneration *generation)
{
  return generation->carried != NULL && generation->carrier->starting != NULL &&
         generation->carrier->starting (generation->carried);
}

void
zm_generation_describe (const ZmGeneration *generation, GString *out)
{
  if (generation->carried != NULL)
    generation->carrier->describe (generation->carried, out);
}

gboolean
zm_generation_reload_carried (ZmGeneration *generation)
{
  if (generation->carrier == NULL)
    return FALSE;
  generation->carrier->reload (generation->carried);
  return TRUE;
}

/* ---- configuration ---- */

/* The daemon's own keys of a plugin's section mean nothing to the plugin; of a source's it reads uri. */
static gboolean
is_daemons (const char *section, const char *key)
{
  if (!g_str_has_prefix (section, "plugin "))
    return FALSE;
  for (const ZmKeySpec *spec = zm_config_schema (); spec->section != NULL; spec++)
    if (strcmp (spec->section, "plugin") == 0 && strcmp (spec->key, key) == 0)
      return TRUE;
  return FALSE;
}

GByteArray *
zm_config_values (const ZmConfig *config, const char *section)
{
  GByteArray *out = g_byte_array_new ();
  g_auto (GStrv) keys = config != NULL ? zm_config_keys (config, section) : g_new0 (char *, 1);

  for (char **key = keys; *key != NULL; key++) {
    const char *const *values = zm_config_list (config, section, *key);

    for (guint i = 0; !is_daemons (section, *key) && values[i] != NULL; i++) {
      g_byte_array_append (out, (const guint8 *) *key, (guint) strlen (*key) + 1);
      g_byte_array_append (out, (const guint8 *) values[i], (guint) strlen (values[i]) + 1);
    }
  }
  return out;
}

GByteArray *
zm_generation_values (const ZmGeneration *generation)
{
  g_autofree char *section = g_strconcat ("plugin ", generation->plugin, NULL);
  g_autoptr (ZmConfig) config = zm_generation_config_ref (generation);

  return zm_config_values (config, section);
}
