/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a key leads where it leads: every candidate of the resolution with what it hits, and the flows that it triggers. */
#include "config.h"

#include "routing/table-private.h"

#define CANDIDATES_MOST 9

typedef struct Candidate {
  const char *form; /* as page and manual name it */
  char *text;
  const ZmRoute *route; /* that a mapping of this text gives, or NULL */
} Candidate;

typedef struct Candidates {
  Candidate list[CANDIDATES_MOST];
  guint n;
  const ZmRoute *taken; /* of the first that hits */
} Candidates;

/* The shape as people write it: what of the key a candidate keeps. */
static const char *
form_of (guint shape)
{
  static const char *const forms[8] = { "??", "??A", "?C?", "?C?A", "S??", "S??A", "S?C?", "S?C?A" };

  return shape < 8 ? forms[shape] : "S?C@D?A";
}

/* Also those that hit nothing: an operator wants to see what was tried before. */
static void
add_candidate (Candidates *found, const ZmTable *table, const ZmKey *key, guint shape)
{
  ZmKey narrowed = {
    .sender = (shape & ZM_SHAPE_SENDER) != 0 ? key->sender : zm_span (NULL, 0),
    .context = (shape & ZM_SHAPE_CONTEXT) != 0 ? key->context : zm_span (NULL, 0),
    .decorator = (shape & ZM_SHAPE_DECORATOR) != 0 ? key->decorator : zm_span (NULL, 0),
    .action = (shape & ZM_SHAPE_ACTION) != 0 ? key->action : zm_span (NULL, 0),
  };
  const ZmTableEntry *entry = zm_routing_find (table, &narrowed, shape);
  Candidate *candidate = &found->list[found->n++];

  candidate->form = form_of (shape);
  candidate->text = zm_key_text (&narrowed);
  candidate->route = entry != NULL ? entry->own : NULL;
  if (found->taken == NULL)
    found->taken = candidate->route;
}

/* The very order of resolve () in lookup.c, the default route last. */
static void
find_candidates (Candidates *found, const ZmTable *table, const ZmKey *key)
{
  guint shape = zm_routing_shape (key);

  *found = (Candidates){ .n = 0 };
  if ((shape & ZM_SHAPE_DECORATOR) != 0)
    add_candidate (found, table, key, shape);
  for (guint i = 0; zm_routing_order[i] != 0; i++)
    if ((zm_routing_order[i] & shape) == zm_routing_order[i])
      add_candidate (found, table, key, zm_routing_order[i]);
  add_candidate (found, table, key, 0);
}

static void
clear_candidates (Candidates *found)
{
  for (guint i = 0; i < found->n; i++)
    g_free (found->list[i].text);
}

/* ---- for people ---- */

/* All flows of the most specific trigger: the table has gathered them there. */
static void
append_flows (GString *out, const ZmTable *table, const ZmTableEntry *triggered)
{
  guint n = triggered != NULL ? triggered->n_flows : 0;

  g_string_append_printf (out, "flows triggered by a message without a flow: %s\n", n == 0 ? "none" : "");
  for (guint i = 0; i < n; i++) {
    const ZmFlow *flow = triggered->flows[i];

    g_string_append_printf (out, "  %s (%s:%u), trigger %s\n", flow->name, flow->file, flow->line,
                            flow->steps[0].branches[0].text);
    zm_routing_append_steps (out, table, flow, "    ");
  }
}

/* One line each, the one that is taken marked. */
static void
append_candidates (GString *out, const Candidates *found)
{
  g_string_append (out, "mappings, the first hit counts:\n");
  for (guint i = 0; i < found->n; i++) {
    const Candidate *at = &found->list[i];

    g_string_append_printf (out, "  %-8s %s  %s", at->form, at->text,
                            at->route == NULL           ? "miss"
                            : at->route == found->taken ? "HIT  "
                                                        : "would hit  ");
    if (at->route != NULL)
      zm_routing_append_route (out, at->route);
    g_string_append_c (out, '\n');
  }
}

/* What a message with this key and without a flow ends in; flows come before mappings. */
static void
append_result (GString *out, const Candidates *found, const ZmTableEntry *triggered)
{
  g_string_append (out, "so: ");
  if (triggered != NULL && triggered->n_flows > 0)
    g_string_append_printf (out, "%u flow%s start%s", triggered->n_flows, triggered->n_flows > 1 ? "s" : "",
                            triggered->n_flows > 1 ? "" : "s");
  else if (found->taken != NULL)
    zm_routing_append_route (out, found->taken);
  else
    g_string_append (out, "no mapping and no flow: the message ends in the error `unmapped`");
  g_string_append_c (out, '\n');
}

/* ---- as JSON ---- */

/* The same facts; every candidate in order, and once more what is taken, so that a program need not search. */
static void
append_json (GString *out, const ZmTable *table, const char *text, const Candidates *found,
             const ZmTableEntry *triggered)
{
  g_string_append_c (out, '{');
  zm_routing_append_member (out, "key", text);
  g_string_append (out, ",\"flows\":[");
  for (guint i = 0; triggered != NULL && i < triggered->n_flows; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    zm_routing_append_flow_json (out, table, triggered->flows[i]);
  }
  g_string_append (out, "],\"candidates\":[");
  for (guint i = 0; i < found->n; i++) {
    const Candidate *at = &found->list[i];

    g_string_append (out, i > 0 ? ",{" : "{");
    zm_routing_append_member (out, "form", at->form);
    zm_routing_append_member (out, "key", at->text);
    g_string_append_printf (out, ",\"hit\":%s,\"taken\":%s", at->route != NULL ? "true" : "false",
                            at->route != NULL && at->route == found->taken ? "true" : "false");
    if (at->route != NULL) {
      g_string_append (out, ",\"route\":");
      zm_routing_append_route_json (out, at->route);
    }
    g_string_append_c (out, '}');
  }
  g_string_append (out, "],\"route\":");
  if (found->taken != NULL)
    zm_routing_append_route_json (out, found->taken);
  else
    g_string_append (out, "null");
  g_string_append_c (out, '}');
}

/* Reads the table as the hot path does, through the same functions, so that it cannot tell another story. */
char *
zm_table_explain (const ZmTable *table, const ZmKey *key, gboolean json)
{
  g_autofree char *text = zm_key_text (key);
  const ZmTableEntry *triggered = zm_routing_triggered (table, key);
  GString *out = g_string_new (NULL);
  Candidates found;

  find_candidates (&found, table, key);
  if (json)
    append_json (out, table, text, &found, triggered);
  else {
    g_string_append_printf (out, "key %s\n", text);
    append_flows (out, table, triggered);
    append_candidates (out, &found);
    append_result (out, &found, triggered);
  }
  clear_candidates (&found);
  return g_string_free (out, FALSE);
}
