/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the line reader: any bytes give lines whose places lie inside the text, and problems that are text. */
#include "config.h"

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

static void
check_lines (ZmSpan text)
{
  g_autoptr (ZmProblems) problems = zm_problems_new ();
  g_autoptr (ZmLines) lines = zm_lines_read_text ("fuzz", text, problems);
  g_autofree char *shown = zm_problems_format (problems);
  guint before = 0;

  for (guint i = 0; i < zm_lines_count (lines); i++) {
    const ZmLine *line = zm_lines_get (lines, i);

    must (line->line >= before && line->line <= text.size + 1 && line->key_column >= 1);
    must (g_utf8_validate (line->section, -1, NULL));
    must (line->key == NULL || (line->key[0] != '\0' && line->value_column > line->key_column));
    must (line->value == NULL || g_utf8_validate (line->value, -1, NULL));
    before = line->line;
  }
  must (g_utf8_validate (shown, -1, NULL));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  check_lines (zm_span ((const char *) data, size));
  return 0;
}
