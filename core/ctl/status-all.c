/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * status --verbose: every member of the daemon's answer under its own name, and every counter. The names are
 * those of --json and of the metrics, to look them up there; members are not known here one by one, so that a newer daemon's
 * show too.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* The plain members of an object in one line; objects inside it get a line of their own, named "subject.calls". */
static void
print_members (const ZmCtl *ctl, const char *name, JsonObject *object)
{
  g_autoptr (GList) names = json_object_get_members (object);
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, name);
  gboolean shown = FALSE;

  for (GList *at = names; at != NULL; at = at->next) {
    JsonNode *node = json_object_get_member (object, at->data);
    g_autofree char *value = JSON_NODE_HOLDS_OBJECT (node) ? NULL : zm_out_value (node);
    g_autofree char *member = zm_printable (zm_span_text (at->data), 256);

    if (value == NULL)
      continue;
    printf ("%s%s %s %s", shown ? "" : title, shown ? "," : ":", member, value);
    shown = TRUE;
  }
  if (shown)
    putchar ('\n');
  for (GList *at = names; at != NULL; at = at->next) {
    JsonObject *inner = zm_json_get_object (object, at->data);
    g_autofree char *path = g_strdup_printf ("%s.%s", name, (const char *) at->data);

    if (inner != NULL)
      print_members (ctl, path, inner);
  }
}

/* A part of the status that this version of the client need not know in detail. */
static void
print_block (const ZmCtl *ctl, JsonObject *status, const char *name)
{
  JsonNode *node = json_object_get_member (status, name);
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, name);

  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node)) {
    print_members (ctl, name, json_node_get_object (node));
  } else if (node != NULL && JSON_NODE_HOLDS_ARRAY (node) &&
             json_array_get_length (json_node_get_array (node)) > 0) {
    printf ("%s:\n", title);
    zm_out_tree (ctl, node, 1);
  }
}

/* Also those that have not counted: who looks for one is to see that it is 0, and not to wonder whether it is there. */
static void
print_counters (const ZmCtl *ctl, JsonObject *counters)
{
  g_autofree char *title = zm_out_style (ctl, ZM_STYLE_BOLD, _ ("counters"));
  g_autoptr (GList) names = counters != NULL ? json_object_get_members (counters) : NULL;

  if (names != NULL)
    zm_out_line (title);
  for (GList *at = names; at != NULL; at = at->next) {
    g_autofree char *safe = zm_printable (zm_span_text (at->data), 256);

    printf ("  %-44s %12" G_GINT64_FORMAT "\n", safe, zm_json_get_int (counters, at->data));
  }
}

/* The order of the answer's own members is kept by json-glib, so daemons and their documentation decide it. */
void
zm_ctl_status_all (const ZmCtl *ctl, JsonObject *status)
{
  g_autoptr (GList) names = json_object_get_members (status);

  /* The head has shown the reasons; counters come last, as they are many. */
  for (GList *at = names; at != NULL; at = at->next)
    if (strcmp (at->data, "reasons") != 0 && strcmp (at->data, "counters") != 0)
      print_block (ctl, status, at->data);
  print_counters (ctl, zm_json_get_object (status, "counters"));
}
