/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Did you mean" for steps. A step that no mapping names is handed over to a service, so a misspelt one would become a
 * question that nobody answers. Keys are compared part by part: as whole texts ?Order?Pay would be near to ?Order?Bill.
 */
#include "config.h"

#include "routing/table-private.h"

#include <string.h>

/* A reload of a million mappings beside as many unmapped steps may not stand still: about half a second of comparing. */
#define WORK_MOST   100000000
#define WORK_OF_KEY 4 /* looking at a key whose parts differ too much in length */

/* Numbered names, such as step1 and step2, differ on purpose. */
static gboolean
same_without_digits (ZmSpan a, ZmSpan b)
{
  gsize i = 0, j = 0;

  for (;; i++, j++) {
    while (i < a.size && g_ascii_isdigit (a.data[i]))
      i++;
    while (j < b.size && g_ascii_isdigit (b.data[j]))
      j++;
    if (i == a.size || j == b.size)
      return i == a.size && j == b.size;
    if (a.data[i] != b.data[j])
      return FALSE;
  }
}

/* May part be meant to be known? Adds to *away and, where they are not the same, sets *part to known. */
static gboolean
part_near (ZmNearKeys *near_keys, ZmSpan *part, ZmSpan known, guint *away)
{
  guint mistakes = 0;

  /* What a mapping leaves open is any. */
  if (known.size == 0 || zm_span_equal (*part, known))
    return TRUE;
  near_keys->left -= (gint64) MIN (part->size * known.size, 4096);
  if (!zm_similar (*part, known, &mistakes) || same_without_digits (*part, known))
    return FALSE;
  *away += mistakes;
  *part = known;
  return TRUE;
}

/* May a step of flow with this shape be meant to be what entry stands for? A mapping takes keys that give more than it does;
 * a flow is entered by a step only under exactly its trigger, and never by a step of its own. */
static gboolean
may_be_meant (const ZmTableEntry *entry, const ZmKey *known, const ZmFlow *flow, guint shape)
{
  if (entry->shape == 0 || (entry->shape & ZM_SHAPE_DECORATOR) != 0)
    return FALSE;
  if (entry->own != NULL && (entry->shape & shape) == entry->shape)
    return TRUE;
  return entry->entered != NULL && entry->shape == shape &&
         !zm_key_equal (known, &flow->steps[0].branches[0].key);
}

void
zm_routing_near_begin (ZmNearKeys *near_keys, const ZmTable *table)
{
  *near_keys = (ZmNearKeys){ .table = table, .left = WORK_MOST };
}

char *
zm_routing_near_key (ZmNearKeys *near_keys, const ZmFlow *flow, const ZmKey *key)
{
  const ZmTable *table = near_keys->table;
  guint shape = zm_routing_shape (key), least = G_MAXUINT;
  g_autofree char *text = NULL;
  ZmKey best;

  for (guint i = 0; i < table->n_entries && near_keys->left >= 0; i++) {
    const ZmKey *known = &table->keys[i];
    ZmKey meant = *key;
    guint away = 0;

    near_keys->left -= WORK_OF_KEY;
    if (may_be_meant (&table->entries[i], known, flow, shape) &&
        part_near (near_keys, &meant.action, known->action, &away) &&
        part_near (near_keys, &meant.context, known->context, &away) &&
        part_near (near_keys, &meant.sender, known->sender, &away) && away < least) {
      least = away;
      best = meant;
    }
  }
  if (least == G_MAXUINT)
    return NULL;
  text = zm_key_text (&best);
  return g_strdup_printf ("did you mean %s?", text);
}
