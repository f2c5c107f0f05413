/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing and reading records. The bytes: size, kind, counts and id; numbers; lengths of the parts; the parts. */
#include "config.h"

#include "hostwire/zm-record.h"

#include <string.h>

#define ABSENT G_MAXUINT32 /* length of a part that is not there */

/* The first bytes as they stand on the wire. */
typedef struct Head {
  guint32 size; /* of all, this included */
  guint16 kind;
  guint8 n_numbers, n_parts;
  guint64 id;
} Head;

G_STATIC_ASSERT (sizeof (Head) == ZM_RECORD_HEAD);

gsize
zm_record_size (const ZmRecord *record)
{
  gsize size = sizeof (Head) + record->n_numbers * sizeof (guint64) + record->n_parts * sizeof (guint32);

  for (guint i = 0; i < record->n_parts; i++)
    size += record->parts[i].data != NULL ? record->parts[i].size : 0;
  return size;
}

gsize
zm_record_write_head (const ZmRecord *record, guint8 *out)
{
  const Head head = { .size = (guint32) zm_record_size (record),
                      .kind = (guint16) record->kind,
                      .n_numbers = (guint8) record->n_numbers,
                      .n_parts = (guint8) record->n_parts,
                      .id = record->id };
  guint8 *at = out;

  memcpy (at, &head, sizeof head);
  at += sizeof head;
  memcpy (at, record->numbers, record->n_numbers * sizeof (guint64));
  at += record->n_numbers * sizeof (guint64);
  for (guint i = 0; i < record->n_parts; i++, at += sizeof (guint32)) {
    guint32 length = record->parts[i].data != NULL ? (guint32) record->parts[i].size : ABSENT;

    memcpy (at, &length, sizeof length);
  }
  for (guint i = 0; i + 1 < record->n_parts; i++)
    if (record->parts[i].data != NULL && record->parts[i].size > 0) {
      memcpy (at, record->parts[i].data, record->parts[i].size);
      at += record->parts[i].size;
    }
  return (gsize) (at - out);
}

void
zm_record_write (const ZmRecord *record, guint8 *out)
{
  gsize written = zm_record_write_head (record, out);
  const ZmSpan *last = record->n_parts > 0 ? &record->parts[record->n_parts - 1] : NULL;

  if (last != NULL && last->data != NULL && last->size > 0)
    memcpy (out + written, last->data, last->size);
}

void
zm_record_append (const ZmRecord *record, GByteArray *out)
{
  guint at = out->len;

  g_byte_array_set_size (out, at + (guint) zm_record_size (record));
  zm_record_write (record, out->data + at);
}

/* ---- reading ---- */

static gssize
refuse (const char *why, GError **error)
{
  g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID, "a record that cannot be read: %s", why);
  return -1;
}

/* The lengths were copied, so that a sender who changes the bytes meanwhile cannot lead past them. */
static gboolean
read_parts (const guint8 *at, gsize left, ZmRecord *record)
{
  guint32 lengths[ZM_RECORD_PARTS];

  memcpy (lengths, at, record->n_parts * sizeof (guint32));
  at += record->n_parts * sizeof (guint32);
  left -= record->n_parts * sizeof (guint32);
  for (guint i = 0; i < record->n_parts; i++) {
    if (lengths[i] == ABSENT) {
      record->parts[i] = zm_span (NULL, 0);
      continue;
    }
    if (lengths[i] > left)
      return FALSE;
    record->parts[i] = zm_span ((const char *) at, lengths[i]);
    at += lengths[i];
    left -= lengths[i];
  }
  return left == 0;
}

gssize
zm_record_read (const guint8 *data, gsize size, ZmRecord *record, gsize *needed, GError **error)
{
  Head head;
  gsize fixed;

  *needed = sizeof head;
  if (size < sizeof head)
    return 0;
  memcpy (&head, data, sizeof head);
  if (head.kind == 0 || head.kind >= ZM_RECORD_KINDS)
    return refuse ("its kind is none that there is", error);
  if (head.n_numbers > ZM_RECORD_NUMBERS || head.n_parts > ZM_RECORD_PARTS)
    return refuse ("it has too many numbers or parts", error);
  fixed = sizeof head + head.n_numbers * sizeof (guint64) + head.n_parts * sizeof (guint32);
  if (head.size < fixed || head.size > ZM_RECORD_MOST)
    return refuse ("its size is not that of its parts", error);
  *needed = head.size;
  if (size < head.size)
    return 0;
  record->kind = head.kind;
  record->id = head.id;
  record->n_numbers = head.n_numbers;
  record->n_parts = head.n_parts;
  memset (record->numbers, 0, sizeof record->numbers);
  memcpy (record->numbers, data + sizeof head, head.n_numbers * sizeof (guint64));
  for (guint i = head.n_parts; i < ZM_RECORD_PARTS; i++)
    record->parts[i] = zm_span (NULL, 0);
  data += sizeof head + head.n_numbers * sizeof (guint64);
  if (!read_parts (data, head.size - sizeof head - head.n_numbers * sizeof (guint64), record))
    return refuse ("its parts are longer or shorter than it", error);
  return head.size;
}

char *
zm_record_text (const ZmRecord *record, guint part)
{
  ZmSpan span = part < record->n_parts ? record->parts[part] : zm_span (NULL, 0);

  if (span.data == NULL || (span.size > 0 && memchr (span.data, '\0', span.size) != NULL))
    return NULL;
  return g_strndup (span.data, span.size);
}

const char *
zm_record_next_text (ZmSpan *list)
{
  const char *text = list->data;
  const char *end = list->size > 0 ? memchr (text, '\0', list->size) : NULL;

  if (end == NULL)
    return NULL;
  list->size -= (gsize) (end - text) + 1;
  list->data = end + 1;
  return text;
}
