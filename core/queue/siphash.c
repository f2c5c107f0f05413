/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SipHash-2-4 with 128 bits of output, after "SipHash: a fast short-input PRF" (Aumasson, Bernstein, 2012) and the 128-bit
 * variant of their reference implementation.
 */
#include "config.h"

#include "queue/siphash.h"

#include <string.h>

typedef struct State {
  guint64 v[4];
} State;

static inline guint64
turn (guint64 value, guint by)
{
  return value << by | value >> (64 - by);
}

static void
rounds (State *s, guint n)
{
  guint64 *v = s->v;

  while (n-- > 0) {
    v[0] += v[1];
    v[1] = turn (v[1], 13) ^ v[0];
    v[0] = turn (v[0], 32);
    v[2] += v[3];
    v[3] = turn (v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = turn (v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = turn (v[1], 17) ^ v[2];
    v[2] = turn (v[2], 32);
  }
}

static void
take (State *s, guint64 word)
{
  s->v[3] ^= word;
  rounds (s, 2);
  s->v[0] ^= word;
}

void
zm_siphash (const guint64 key[2], ZmSpan text, guint64 out[2])
{
  State s = { { key[0] ^ G_GUINT64_CONSTANT (0x736f6d6570736575),
                key[1] ^ G_GUINT64_CONSTANT (0x646f72616e646f6d) ^ 0xee,
                key[0] ^ G_GUINT64_CONSTANT (0x6c7967656e657261),
                key[1] ^ G_GUINT64_CONSTANT (0x7465646279746573) } };
  guint64 word = 0;
  gsize at = 0;

  for (; at + 8 <= text.size; at += 8) {
    memcpy (&word, text.data + at, 8);
    take (&s, GUINT64_FROM_LE (word));
  }
  /* The rest, and the length's lowest byte on top. */
  word = (guint64) text.size << 56;
  for (guint i = 0; at + i < text.size; i++)
    word |= (guint64) (guint8) text.data[at + i] << (8 * i);
  take (&s, word);
  s.v[2] ^= 0xee;
  rounds (&s, 4);
  out[0] = s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
  s.v[1] ^= 0xdd;
  rounds (&s, 4);
  out[1] = s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
