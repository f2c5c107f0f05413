/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the configuration: any bytes give values, problems, and a dump that reads back and says the same. */
#include "config.h"

#include "config/zm-config.h"
#include "config/zm-lines.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Not g_assert: it must also stop where assertions are off. */
static void
must (gboolean truth)
{
  if (!truth)
    abort ();
}

/* The configuration reads files: this one is given as settings, line by line, which take the same way. *taken: how many were
 * not refused at once. */
static ZmConfig *
configure (ZmSpan text, ZmProblems *problems, guint *taken)
{
  g_autoptr (ZmLines) lines = zm_lines_read_text ("fuzz", text, problems);
  ZmConfig *config = zm_config_new ();

  *taken = 0;
  for (guint i = 0; i < zm_lines_count (lines); i++) {
    const ZmLine *line = zm_lines_get (lines, i);
    g_autofree char *setting = NULL;
    guint before = zm_problems_count (problems);

    /* Secrets are read from elsewhere: not from this machine's files. */
    if (line->key == NULL || g_str_has_prefix (line->value, "file:") ||
        g_str_has_prefix (line->value, "env:") || g_str_has_prefix (line->value, "credential:"))
      continue;
    setting = g_strdup_printf ("%s.%s=%s", line->section, line->key, line->value);
    zm_config_add_setting (config, setting, "fuzz", problems);
    *taken += zm_problems_count (problems) == before;
  }
  zm_config_finish (config, problems);
  return config;
}

static void
check_config (ZmSpan text)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmProblems) again_problems = zm_problems_new ();
  guint taken;
  g_autoptr (ZmConfig) config = configure (text, problems, &taken);
  g_autofree char *dump = NULL, *json = NULL;
  g_autoptr (ZmConfig) again = NULL;
  g_auto (GStrv) changes = NULL;

  /* All standards then: their dump, most of the work, is the same each time. The empty input has it checked. */
  if (taken == 0 && text.size > 0)
    return;
  dump = zm_config_dump (config, FALSE);
  /* Of some inputs: reading the JSON of all keys again costs more than the rest. */
  if (text.size % 4 == 0) {
    json = zm_config_dump (config, TRUE);
    must (zm_json_valid (zm_span_text (json)));
  }
  /* What is hidden reads back as ***, and a value with mistakes may be anything. */
  if (zm_problems_errors (problems) > 0 || strstr (dump, "***") != NULL)
    return;
  again = configure (zm_span_text (dump), again_problems, &taken);
  changes = zm_config_changes (config, again);
  must (changes[0] == NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  check_config (zm_span ((const char *) data, size));
  return 0;
}
