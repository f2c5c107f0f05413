/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plugin says of itself, told to the daemon, which has not loaded it. */
#include "config.h"

#include "hosted/hosted-private.h"

#include <string.h>

/* With its NUL. */
static void
add_text (GString *out, const char *text)
{
  g_string_append_len (out, text, (gssize) strlen (text) + 1);
}

static void
add_number (GString *out, guint number)
{
  g_string_append_printf (out, "%u", number);
  g_string_append_c (out, '\0');
}

/* Of the descriptor's list; those of notes have none. */
static const char *
doc_of (const zm_plugin_desc *descriptor, const char *symbol)
{
  const zm_action_desc *action = descriptor->actions;

  while (action != NULL && action->name != NULL && strcmp (action->name, symbol) != 0)
    action++;
  return action != NULL && action->name != NULL && action->doc != NULL ? action->doc : "";
}

static void
add_actions (GString *out, const ZmGeneration *generation)
{
  const GPtrArray *actions = zm_loaded_actions (generation);

  for (guint i = 0; i < actions->len; i++) {
    const ZmAction *action = g_ptr_array_index (actions, i);

    add_text (out, action->symbol);
    add_number (out, action->threadsafe ? ZM_ACTION_THREADSAFE_FLAG : ZM_ACTION_SERIAL);
    add_text (out, doc_of (zm_generation_descriptor (generation), action->symbol));
  }
}

static void
add_options (GString *out, const zm_option_desc *option)
{
  for (; option != NULL && option->name != NULL; option++) {
    add_text (out, option->name);
    add_number (out, option->type);
    add_number (out, option->flags);
    if (option->standard != NULL)
      g_string_append_c (out, '=');
    add_text (out, option->standard != NULL ? option->standard : "");
    add_text (out, option->doc != NULL ? option->doc : "");
  }
}

static guint
features_of (const ZmGeneration *generation)
{
  const zm_plugin_desc *descriptor = zm_generation_descriptor (generation);

  return (descriptor->reload != NULL ? ZM_HOSTED_RELOAD : 0) |
         (descriptor->health != NULL ? ZM_HOSTED_HEALTH : 0) |
         (descriptor->source != NULL ? ZM_HOSTED_SOURCE : 0) |
         (descriptor->hooks != NULL ? ZM_HOSTED_HOOKS : 0) |
         (zm_loaded_stays (generation) != NULL ? ZM_HOSTED_STAYS : 0);
}

void
zm_hosted_say_prepared (ZmHostedPlugin *plugin, const GError *error)
{
  g_autoptr (GString) actions = g_string_new (NULL);
  g_autoptr (GString) options = g_string_new (NULL);
  ZmRecord record = { .kind = ZM_RECORD_PREPARED, .id = plugin->serial, .n_numbers = 3, .n_parts = 3 };

  if (error != NULL) {
    record.numbers[0] = (guint64) (gint64) ZM_E_FAILED;
    record.parts[0] = zm_span_text (error->message);
  } else {
    record.numbers[1] = zm_generation_flags (plugin->generation);
    record.numbers[2] = features_of (plugin->generation);
    add_actions (actions, plugin->generation);
    add_options (options, zm_generation_descriptor (plugin->generation)->options);
  }
  record.parts[1] = zm_span (actions->str, actions->len);
  record.parts[2] = zm_span (options->str, options->len);
  zm_hosted_say_now (plugin->hosted, &record);
}
