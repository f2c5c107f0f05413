/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time-ordered UUIDs, version 8: 60 bits of microseconds since 1970 (48 before the version, 12 behind it), then a
 * sequence of 14 bits within the microsecond, then 48 random bits. Ids of one maker sort in the order in which they
 * were made, as text too, whatever the wall clock does.
 */
#include "config.h"

#include "base/zm-base.h"

#include <sys/random.h>
#include <unistd.h>

#define SEQUENCE_MOST 0x3fff

void
zm_uuid_maker_init (ZmUuidMaker *maker)
{
  maker->last_us = 0;
  maker->sequence = 0;
  /* Without a working getrandom the address, process and clock still keep makers apart. */
  if (getrandom (maker->random, sizeof maker->random, 0) != (ssize_t) sizeof maker->random) {
    maker->random[0] = (guint64) (gsize) maker ^ ((guint64) getpid () << 40);
    maker->random[1] = (guint64) zm_now_us ();
  }
  maker->random[0] |= 1; /* the generator below stands still at zero */
}

/* xorshift128+: ids need to differ, not to be secret. */
static guint64
next_random (ZmUuidMaker *maker)
{
  guint64 a = maker->random[0], b = maker->random[1];

  maker->random[0] = b;
  a ^= a << 23;
  maker->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
  return maker->random[1] + b;
}

/* So many digits, the highest first; gives where the next one goes. */
static inline char *
put_hex (char *out, guint64 word, int digits)
{
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    *out++ = "0123456789abcdef"[word >> shift & 15];
  return out;
}

/* A clock that stands still or falls back makes the sequence go on in the last microsecond, and when that is full the
 * microsecond itself: so ids sort as they were made, at the price of running a little ahead of the clock. */
void
zm_uuid_make (ZmUuidMaker *maker, gint64 now_us, char out[ZM_UUID_SIZE])
{
  guint64 high, low;

  if (now_us > 0 && (guint64) now_us > maker->last_us) {
    maker->last_us = (guint64) now_us;
    maker->sequence = 0;
  } else if (maker->sequence == SEQUENCE_MOST) {
    maker->last_us++;
    maker->sequence = 0;
  } else {
    maker->sequence++;
  }
  high = (maker->last_us >> 12) << 16 | 0x8000 | (maker->last_us & 0xfff);
  low = G_GUINT64_CONSTANT (0x8000000000000000) | (guint64) maker->sequence << 48 | next_random (maker) >> 16;

  out = put_hex (out, high >> 32, 8);
  *out++ = '-';
  out = put_hex (out, high >> 16 & 0xffff, 4);
  *out++ = '-';
  out = put_hex (out, high & 0xffff, 4);
  *out++ = '-';
  out = put_hex (out, low >> 48, 4);
  *out++ = '-';
  put_hex (out, low & G_GUINT64_CONSTANT (0xffffffffffff), 12);
}
