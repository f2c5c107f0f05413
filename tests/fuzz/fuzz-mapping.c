/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mapping files: whatever is read, every mapping in the table resolves to the route of its key. */
#include "config.h"

#include "routing/zm-table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_routes (const ZmTable *table)
{
  for (guint i = 0; i < zm_table_n_routes (table); i++) {
    const ZmRoute *route = zm_table_route (table, i);

    if (zm_table_resolve (table, &route->mapping->key, TRUE) != route)
      abort ();
  }
}

/* What is made for people, of one key of each input, in one of its forms: it costs more than all the rest. */
static void
show_route (const ZmTable *table, const ZmRoute *route, gboolean json)
{
  const ZmKey *key = &route->mapping->key;

  g_free (zm_table_explain (table, key, json));
  g_strfreev (zm_table_prefixes (table, key));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char *const workers[] = { "greet", NULL };
  ZmProblems *problems = zm_problems_new ();
  ZmTableInput input = { .mappings = g_ptr_array_new (), .workers = workers, .timeout_ms = 1000 };
  ZmTable *table;

  zm_mapping_read_text ("x.ini", zm_span ((const char *) data, size), input.mappings, problems);
  table = zm_table_build (&input, problems);
  check_routes (table);
  if (zm_table_n_routes (table) > 0)
    show_route (table, zm_table_route (table, (guint) size % zm_table_n_routes (table)), (size & 4) != 0);
  g_free (zm_problems_format (problems));
  zm_table_unref (table);
  zm_problems_free (problems);
  return 0;
}
