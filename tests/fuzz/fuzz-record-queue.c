/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the records of queues, which come from a disk: the input is one of them. */
#include "config.h"

#include "queue/queue-record.h"

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

/* Every byte of it is there to be read, and within the record. */
static void
check_parts (const ZmQueueRecord *record, const char *begin, const char *end)
{
  const ZmSpan parts[] = { record->key,   record->id,      record->client,
                           record->topic, record->headers, record->body };

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++) {
    require (parts[i].data >= begin && parts[i].data + parts[i].size <= end);
    (void) zm_span_hash (parts[i]);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  ZmSpan input = zm_span ((const char *) data, size);
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *again = NULL;
  ZmQueueRecord record;

  if (!zm_queue_record_read (input, NULL, 1, 1, NULL, &record, &error)) {
    require (error != NULL);
    return 0;
  }
  /* Without a key nothing that was sealed is read. */
  require (error == NULL && !zm_queue_record_sealed (input));
  check_parts (&record, input.data, zm_span_end (input));
  /* What was read is written as the same bytes. */
  require (zm_queue_record_size (&record, NULL) == size);
  again = g_malloc (size);
  require (zm_queue_record_write (&record, NULL, 1, 1, again, NULL));
  require (memcmp (again, data, size) == 0);
  return 0;
}
