/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flow files: whatever is read, every flow is found by its name and triggered by its trigger, and can be shown. */
#include "config.h"

#include "routing/zm-table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* A message with the trigger's own key must start the flow. */
static void
check_trigger (const ZmTable *table, const ZmFlow *flow)
{
  const ZmKey *key = &flow->steps[0].branches[0].key;
  GString *slug = g_string_new (NULL);
  ZmTopic topic = { .key = *key };
  ZmLookup lookup;
  gboolean found = FALSE;

  zm_key_append_slug (key, slug);
  topic.slug = zm_span (slug->str, slug->len);
  zm_table_lookup (table, &topic, &lookup);
  for (guint i = 0; i < lookup.n_flows; i++)
    found |= lookup.flows[i] == flow;
  if (!found)
    abort ();
  g_string_free (slug, TRUE);
}

static void
check_flow (const ZmTable *table, const ZmFlow *flow)
{
  if (zm_table_flow (table, zm_span_text (flow->name)) != flow)
    abort ();
  check_trigger (table, flow);
}

/* What is made for people, of one flow of each input, in one of its forms: it costs more than all the rest. */
static void
show_flow (const ZmTable *table, const ZmFlow *flow, gboolean json)
{
  const ZmKey *key = &flow->steps[0].branches[0].key;

  g_free (zm_flow_show (table, flow, TRUE));
  g_free (zm_table_explain (table, key, json));
  g_strfreev (zm_table_prefixes (table, key));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  ZmProblems *problems = zm_problems_new ();
  ZmTableInput input = { .mappings = g_ptr_array_new (), .flows = g_ptr_array_new (), .timeout_ms = 1000 };
  ZmTable *table;

  zm_mapping_read_text ("x.ini",
                        ZM_SPAN_LITERAL ("[actionmapping]\n?a?b = x.y\n?a@F?b = x.y\n??c = worker:z\n"),
                        input.mappings, problems);
  zm_flow_read_text ("x.flow", zm_span ((const char *) data, size), input.flows, problems);
  table = zm_table_build (&input, problems);
  for (guint i = 0; i < zm_table_n_flows (table); i++)
    check_flow (table, zm_table_flow_nth (table, i));
  if (zm_table_n_flows (table) > 0)
    show_flow (table, zm_table_flow_nth (table, (guint) size % zm_table_n_flows (table)), (size & 4) != 0);
  g_free (zm_problems_format (problems));
  zm_table_unref (table);
  zm_problems_free (problems);
  return 0;
}
