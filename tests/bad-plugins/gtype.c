/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers a GType and does not say that it must stay. */
#include <glib-object.h>
#include <zmanager/plugin.h>

typedef struct BadThing {
  GObject parent;
} BadThing;
typedef struct BadThingClass {
  GObjectClass parent;
} BadThingClass;

GType bad_thing_get_type (void);
G_DEFINE_TYPE (BadThing, bad_thing, G_TYPE_OBJECT)

static void
bad_thing_class_init (BadThingClass *klass)
{
  (void) klass;
}

static void
bad_thing_init (BadThing *thing)
{
  (void) thing;
}

ZM_ACTION (greet)
{
  GObject *thing = g_object_new (bad_thing_get_type (), NULL);

  g_object_unref (thing);
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = 0,
  .name = "gtype",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Registers a GType, silently",
};

ZM_PLUGIN_FULL ("gtype", "1.0", "LGPL-2.1-or-later", "Registers a GType, silently", "", &descriptor);
