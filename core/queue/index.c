/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in a queue: chunks of bits, sizes and times. */
#include "config.h"

#include "queue/index.h"

#include <string.h>

#define WORDS (ZM_CHUNK / 64)

/* ---- bits ---- */

static inline gboolean
bit (const guint64 *bits, guint at)
{
  return bits[at / 64] >> at % 64 & 1;
}

static inline void
set_bit (guint64 *bits, guint at)
{
  bits[at / 64] |= G_GUINT64_CONSTANT (1) << at % 64;
}

static inline void
clear_bit (guint64 *bits, guint at)
{
  bits[at / 64] &= ~(G_GUINT64_CONSTANT (1) << at % 64);
}

/* The first set bit at or behind `from`; ZM_CHUNK: none. */
static guint
first_bit (const guint64 *bits, guint from)
{
  for (guint word = from / 64; word < WORDS; word++) {
    guint64 left = bits[word];

    if (word == from / 64)
      left &= ~G_GUINT64_CONSTANT (0) << from % 64;
    if (left != 0)
      return word * 64 + (guint) __builtin_ctzll (left);
  }
  return ZM_CHUNK;
}

/* The last set bit at or before `from`; -1: none. */
static int
last_bit (const guint64 *bits, guint from)
{
  for (int word = (int) (from / 64); word >= 0; word--) {
    guint64 left = bits[word];

    if (word == (int) (from / 64) && from % 64 < 63)
      left &= (G_GUINT64_CONSTANT (1) << (from % 64 + 1)) - 1;
    if (left != 0)
      return word * 64 + 63 - __builtin_clzll (left);
  }
  return -1;
}

/* ---- chunks ---- */

static ZmChunk *
chunk_of (const ZmIndex *index, guint64 seq)
{
  guint64 number = seq / ZM_CHUNK;

  return number >= index->base && number - index->base < index->n ? index->chunks[number - index->base]
                                                                  : NULL;
}

/* The chunk and place of a record that is in the log, or NULL. */
static ZmChunk *
place_of (const ZmIndex *index, guint64 seq, guint *at)
{
  ZmChunk *chunk = chunk_of (index, seq);

  *at = seq % ZM_CHUNK;
  return chunk != NULL && bit (chunk->log, *at) ? chunk : NULL;
}

/* Room for a chunk of this number at the end, or, rarely, before the beginning: an append that ends after later ones were
 * removed. */
static ZmChunk *
chunk_made (ZmIndex *index, guint64 seq)
{
  guint64 number = seq / ZM_CHUNK;
  guint before, n;

  if (index->n == 0)
    index->base = number;
  before = number < index->base ? (guint) (index->base - number) : 0;
  n = before > 0 ? index->n + before : MAX (index->n, (guint) (number - index->base) + 1);
  if (n > index->room) {
    index->room = MAX (n, index->room * 2);
    index->chunks = g_renew (ZmChunk *, index->chunks, index->room);
  }
  if (before > 0) {
    memmove (index->chunks + before, index->chunks, index->n * sizeof *index->chunks);
    memset (index->chunks, 0, before * sizeof *index->chunks);
    index->base = number;
  } else if (n > index->n) {
    memset (index->chunks + index->n, 0, (n - index->n) * sizeof *index->chunks);
  }
  index->n = n;
  if (index->chunks[number - index->base] == NULL) {
    index->chunks[number - index->base] = g_new0 (ZmChunk, 1);
    index->chunks[number - index->base]->least = ZM_TIME_NEVER;
  }
  return index->chunks[number - index->base];
}

/* An empty chunk goes, and empty places at the front and at the end of the array. */
static void
trim (ZmIndex *index, guint64 seq)
{
  guint front = 0;

  g_free (index->chunks[seq / ZM_CHUNK - index->base]);
  index->chunks[seq / ZM_CHUNK - index->base] = NULL;
  while (index->n > 0 && index->chunks[index->n - 1] == NULL)
    index->n--;
  while (front < index->n && index->chunks[front] == NULL)
    front++;
  if (front > 0 && index->n > 0) {
    index->n -= front;
    index->base += front;
    memmove (index->chunks, index->chunks + front, index->n * sizeof *index->chunks);
  }
  if (index->room > 64 && index->n < index->room / 4) {
    index->room /= 2;
    index->chunks = g_renew (ZmChunk *, index->chunks, index->room);
  }
}

void
zm_index_clear (ZmIndex *index)
{
  for (guint i = 0; i < index->n; i++)
    g_free (index->chunks[i]);
  g_free (index->chunks);
  memset (index, 0, sizeof *index);
}

gsize
zm_index_memory (const ZmIndex *index)
{
  gsize bytes = index->room * sizeof *index->chunks;

  for (guint i = 0; i < index->n; i++)
    bytes += index->chunks[i] != NULL ? sizeof (ZmChunk) : 0;
  return bytes;
}

/* ---- records ---- */

static void
set_free (ZmIndex *index, ZmChunk *chunk, guint64 seq)
{
  set_bit (chunk->free, seq % ZM_CHUNK);
  chunk->n_free++;
  index->n_free++;
  index->hint = MIN (index->hint, seq);
  index->over = MIN (index->over, seq);
}

static void
set_present (ZmIndex *index, ZmChunk *chunk, guint64 seq)
{
  set_bit (chunk->present, seq % ZM_CHUNK);
  chunk->n_present++;
  index->n_present++;
}

void
zm_index_add (ZmIndex *index, guint64 seq, guint32 size, ZmTime expiry, gboolean present, gboolean free)
{
  ZmChunk *chunk = chunk_made (index, seq);
  guint at = seq % ZM_CHUNK;

  if (bit (chunk->log, at))
    return;
  set_bit (chunk->log, at);
  chunk->n_log++;
  index->n_log++;
  index->bytes += size;
  chunk->size[at] = size;
  chunk->expiry[at] = expiry;
  chunk->least = MIN (chunk->least, expiry);
  if (present)
    set_present (index, chunk, seq);
  if (present && free)
    set_free (index, chunk, seq);
}

void
zm_index_remove (ZmIndex *index, guint64 seq)
{
  gboolean was_free;
  guint at;
  ZmChunk *chunk = place_of (index, seq, &at);

  if (chunk == NULL)
    return;
  (void) zm_index_leave (index, seq, &was_free);
  clear_bit (chunk->log, at);
  chunk->n_log--;
  index->n_log--;
  index->bytes -= chunk->size[at];
  if (chunk->n_log == 0)
    trim (index, seq);
}

gboolean
zm_index_in_log (const ZmIndex *index, guint64 seq)
{
  guint at;

  return place_of (index, seq, &at) != NULL;
}

gboolean
zm_index_present (const ZmIndex *index, guint64 seq)
{
  const ZmChunk *chunk = chunk_of (index, seq);

  return chunk != NULL && bit (chunk->present, seq % ZM_CHUNK);
}

gboolean
zm_index_free (const ZmIndex *index, guint64 seq)
{
  const ZmChunk *chunk = chunk_of (index, seq);

  return chunk != NULL && bit (chunk->free, seq % ZM_CHUNK);
}

guint32
zm_index_size (const ZmIndex *index, guint64 seq)
{
  guint at;
  const ZmChunk *chunk = place_of (index, seq, &at);

  return chunk != NULL ? chunk->size[at] : 0;
}

ZmTime
zm_index_expiry (const ZmIndex *index, guint64 seq)
{
  guint at;
  const ZmChunk *chunk = place_of (index, seq, &at);

  return chunk != NULL ? chunk->expiry[at] : 0;
}

void
zm_index_set_expiry (ZmIndex *index, guint64 seq, ZmTime expiry)
{
  guint at;
  ZmChunk *chunk = place_of (index, seq, &at);

  if (chunk == NULL)
    return;
  chunk->expiry[at] = expiry;
  chunk->least = MIN (chunk->least, expiry);
  index->over = MIN (index->over, seq);
}

guint64
zm_index_first_free (ZmIndex *index, guint64 from, ZmTime now)
{
  /* With a clock that was set back nothing is known of what was over. */
  guint64 least = now >= index->over_at ? MAX (index->hint, index->over) : index->hint;
  gboolean first = from <= MAX (least, 1);
  guint64 seq;

  if (index->n_free == 0)
    return 0;
  seq = zm_index_next (index, ZM_VIEW_FREE, MAX (from, least));
  if (first && least == index->hint && seq != 0)
    index->hint = seq;
  while (seq != 0 && zm_index_expiry (index, seq) <= now)
    seq = zm_index_next (index, ZM_VIEW_FREE, seq + 1);
  if (first) {
    index->over = seq != 0 ? seq : G_MAXUINT64;
    index->over_at = now;
  }
  return seq;
}

gboolean
zm_index_take (ZmIndex *index, guint64 seq)
{
  ZmChunk *chunk = chunk_of (index, seq);

  if (chunk == NULL || !bit (chunk->free, seq % ZM_CHUNK))
    return FALSE;
  clear_bit (chunk->free, seq % ZM_CHUNK);
  chunk->n_free--;
  index->n_free--;
  return TRUE;
}

gboolean
zm_index_give (ZmIndex *index, guint64 seq)
{
  ZmChunk *chunk = chunk_of (index, seq);

  if (chunk == NULL || !bit (chunk->present, seq % ZM_CHUNK) || bit (chunk->free, seq % ZM_CHUNK))
    return FALSE;
  set_free (index, chunk, seq);
  return TRUE;
}

gboolean
zm_index_leave (ZmIndex *index, guint64 seq, gboolean *was_free)
{
  ZmChunk *chunk = chunk_of (index, seq);

  *was_free = FALSE;
  if (chunk == NULL || !bit (chunk->present, seq % ZM_CHUNK))
    return FALSE;
  *was_free = zm_index_take (index, seq);
  clear_bit (chunk->present, seq % ZM_CHUNK);
  chunk->n_present--;
  index->n_present--;
  return TRUE;
}

void
zm_index_back (ZmIndex *index, guint64 seq, gboolean free)
{
  guint at;
  ZmChunk *chunk = place_of (index, seq, &at);

  if (chunk == NULL || bit (chunk->present, at))
    return;
  set_present (index, chunk, seq);
  if (free)
    set_free (index, chunk, seq);
}

/* ---- looking for some ---- */

static const guint64 *
view_of (const ZmChunk *chunk, ZmView view)
{
  return view == ZM_VIEW_LOG ? chunk->log : view == ZM_VIEW_PRESENT ? chunk->present : chunk->free;
}

guint64
zm_index_next (const ZmIndex *index, ZmView view, guint64 from)
{
  guint64 number = MAX (from / ZM_CHUNK, index->base);

  for (; number - index->base < index->n; number++) {
    const ZmChunk *chunk = index->chunks[number - index->base];
    guint at = chunk == NULL
                   ? ZM_CHUNK
                   : first_bit (view_of (chunk, view), number == from / ZM_CHUNK ? from % ZM_CHUNK : 0);

    if (at < ZM_CHUNK)
      return number * ZM_CHUNK + at;
  }
  return 0;
}

guint64
zm_index_next_gone (const ZmIndex *index, guint64 from)
{
  guint64 number = MAX (from / ZM_CHUNK, index->base);

  for (; number - index->base < index->n; number++) {
    const ZmChunk *chunk = index->chunks[number - index->base];
    guint64 gone[WORDS];
    guint at;

    if (chunk == NULL || chunk->n_log == chunk->n_present)
      continue;
    for (guint word = 0; word < WORDS; word++)
      gone[word] = chunk->log[word] & ~chunk->present[word];
    at = first_bit (gone, number == from / ZM_CHUNK ? from % ZM_CHUNK : 0);
    if (at < ZM_CHUNK)
      return number * ZM_CHUNK + at;
  }
  return 0;
}

guint64
zm_index_previous (const ZmIndex *index, ZmView view, guint64 from)
{
  guint64 number;

  if (index->n == 0 || from / ZM_CHUNK < index->base)
    return 0;
  for (number = MIN (from / ZM_CHUNK, index->base + index->n - 1); number + 1 > index->base; number--) {
    const ZmChunk *chunk = index->chunks[number - index->base];
    int at = chunk == NULL ? -1
                           : last_bit (view_of (chunk, view),
                                       number == from / ZM_CHUNK ? from % ZM_CHUNK : ZM_CHUNK - 1);

    if (at >= 0)
      return number * ZM_CHUNK + (guint) at;
    if (number == 0)
      break;
  }
  return 0;
}

/* The least expiry may have belonged to a record that went: it is found anew where it led nowhere. */
static ZmTime
least_of (const ZmChunk *chunk)
{
  ZmTime least = ZM_TIME_NEVER;

  for (guint at = first_bit (chunk->log, 0); at < ZM_CHUNK;
       at = at + 1 < ZM_CHUNK ? first_bit (chunk->log, at + 1) : ZM_CHUNK)
    least = MIN (least, chunk->expiry[at]);
  return least;
}

guint64
zm_index_next_over (const ZmIndex *index, guint64 from, ZmTime now)
{
  guint64 number = MAX (from / ZM_CHUNK, index->base);

  for (; number - index->base < index->n; number++) {
    ZmChunk *chunk = index->chunks[number - index->base];
    guint at = number == from / ZM_CHUNK ? from % ZM_CHUNK : 0;

    if (chunk == NULL || chunk->least > now)
      continue;
    for (at = first_bit (chunk->log, at); at < ZM_CHUNK;
         at = at + 1 < ZM_CHUNK ? first_bit (chunk->log, at + 1) : ZM_CHUNK) {
      if (chunk->expiry[at] <= now)
        return number * ZM_CHUNK + at;
    }
    chunk->least = least_of (chunk);
  }
  return 0;
}

guint64
zm_index_count_over (const ZmIndex *index, ZmView view, ZmTime now)
{
  guint64 n = 0;

  for (guint i = 0; i < index->n; i++) {
    const ZmChunk *chunk = index->chunks[i];

    if (chunk == NULL || chunk->least > now)
      continue;
    for (guint at = 0; at < ZM_CHUNK; at++)
      n += bit (view_of (chunk, view), at) && chunk->expiry[at] <= now;
  }
  return n;
}

ZmTime
zm_index_least (const ZmIndex *index)
{
  ZmTime least = ZM_TIME_NEVER;

  for (guint i = 0; i < index->n; i++)
    least = index->chunks[i] != NULL ? MIN (least, index->chunks[i]->least) : least;
  return least;
}
