/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the records of a host, which may come from a process that a plugin wrote all over: the input is what it says. */
#include "config.h"

#include "hostwire/zm-record.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
require (gboolean holds)
{
  if (!holds)
    abort ();
}

/* Every byte is there to be read, and within the record. */
static void
check_parts (const ZmRecord *record, const char *begin, const char *end)
{
  for (guint i = 0; i < record->n_parts; i++) {
    ZmSpan part = record->parts[i], list = part;
    g_autofree char *text = zm_record_text (record, i);
    gsize words = 0;

    if (part.data == NULL)
      continue;
    require (part.data >= begin && part.data + part.size <= end);
    (void) zm_span_hash (part);
    require (text == NULL || strlen (text) == part.size);
    while (zm_record_next_text (&list) != NULL)
      words++;
    require (words <= part.size);
  }
}

/* What was read is written as the same bytes. */
static void
check_same (const ZmRecord *record, const uint8_t *data, gsize size)
{
  g_autoptr (GByteArray) again = g_byte_array_new ();

  require (zm_record_size (record) == size);
  zm_record_append (record, again);
  require (again->len == size && memcmp (again->data, data, size) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  while (size > 0) {
    g_autoptr (GError) error = NULL;
    ZmRecord record;
    gsize needed = 0;
    gssize taken = zm_record_read (data, size, &record, &needed, &error);

    require ((taken < 0) == (error != NULL));
    if (taken < 0)
      break;
    if (taken == 0) {
      require (needed > size && needed <= ZM_RECORD_MOST);
      break;
    }
    require ((gsize) taken <= size && taken >= ZM_RECORD_HEAD);
    require (record.n_numbers <= ZM_RECORD_NUMBERS && record.n_parts <= ZM_RECORD_PARTS);
    check_parts (&record, (const char *) data, (const char *) data + taken);
    check_same (&record, data, (gsize) taken);
    data += taken;
    size -= (gsize) taken;
  }
  return 0;
}
