/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Registers a GType and says so. */
#include <glib-object.h>
#include <zmanager/plugin.h>

typedef struct ResidentThing {
  GObject parent;
} ResidentThing;
typedef struct ResidentThingClass {
  GObjectClass parent;
} ResidentThingClass;

GType resident_thing_get_type (void);
G_DEFINE_TYPE (ResidentThing, resident_thing, G_TYPE_OBJECT)

static void
resident_thing_class_init (ResidentThingClass *klass)
{
  (void) klass;
}

static void
resident_thing_init (ResidentThing *thing)
{
  (void) thing;
}

ZM_ACTION (greet)
{
  GObject *thing = g_object_new (resident_thing_get_type (), NULL);

  g_object_unref (thing);
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = ZM_PLUGIN_RESIDENT,
  .name = "gtype-resident",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Registers a GType, and says so",
};

ZM_PLUGIN_FULL ("gtype-resident", "1.0", "LGPL-2.1-or-later", "Registers a GType, and says so", "",
                &descriptor);
