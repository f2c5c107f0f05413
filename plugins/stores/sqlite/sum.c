/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XXH64, after its specification (doc/xxhash_spec.md of github.com/Cyan4973/xxHash, by Yann Collet), and the checksums made of
 * it. A record's has two halves: the upper one is of its head alone, so that heads can be checked without their data.
 */
#include "plugins/stores/sqlite/private.h"

#define PRIME1 UINT64_C (0x9E3779B185EBCA87)
#define PRIME2 UINT64_C (0xC2B2AE3D27D4EB4F)
#define PRIME3 UINT64_C (0x165667B19E3779F9)
#define PRIME4 UINT64_C (0x85EBCA77C2B2AE63)
#define PRIME5 UINT64_C (0x27D4EB2F165667C5)

static uint64_t
turn (uint64_t value, unsigned bits)
{
  return value << bits | value >> (64 - bits);
}

/* Little-endian on every machine: a file may be carried to another one. */
static uint64_t
take (const unsigned char *at, unsigned bytes)
{
  uint64_t value = 0;

#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  memcpy (&value, at, bytes);
#else
  for (unsigned i = 0; i < bytes; i++)
    value |= (uint64_t) at[i] << (8 * i);
#endif
  return value;
}

static uint64_t
round_of (uint64_t sum, uint64_t lane)
{
  return turn (sum + lane * PRIME2, 31) * PRIME1;
}

static uint64_t
merge (uint64_t sum, uint64_t lane)
{
  return (sum ^ round_of (0, lane)) * PRIME1 + PRIME4;
}

/* Stripes of 32 bytes in four lanes. */
static uint64_t
stripes (const unsigned char **at, const unsigned char *end, uint64_t seed)
{
  uint64_t lanes[4] = { seed + PRIME1 + PRIME2, seed + PRIME2, seed, seed - PRIME1 };
  uint64_t sum;

  for (; end - *at >= 32; *at += 32)
    for (unsigned i = 0; i < 4; i++)
      lanes[i] = round_of (lanes[i], take (*at + 8 * i, 8));
  sum = turn (lanes[0], 1) + turn (lanes[1], 7) + turn (lanes[2], 12) + turn (lanes[3], 18);
  for (unsigned i = 0; i < 4; i++)
    sum = merge (sum, lanes[i]);
  return sum;
}

uint64_t
zs_hash (const void *data, size_t size, uint64_t seed)
{
  const unsigned char *at = data, *end = at + size;
  uint64_t sum = (size >= 32 ? stripes (&at, end, seed) : seed + PRIME5) + size;

  for (; end - at >= 8; at += 8)
    sum = turn (sum ^ round_of (0, take (at, 8)), 27) * PRIME1 + PRIME4;
  if (end - at >= 4) {
    sum = turn (sum ^ take (at, 4) * PRIME1, 23) * PRIME2 + PRIME3;
    at += 4;
  }
  for (; at < end; at++)
    sum = turn (sum ^ *at * PRIME5, 11) * PRIME1;
  sum = (sum ^ sum >> 33) * PRIME2;
  sum = (sum ^ sum >> 29) * PRIME3;
  return sum ^ sum >> 32;
}

/* The place is part of it: a row that came to stand elsewhere is found as well. */
static uint64_t
head_hash (int64_t pos, int64_t expires, int64_t tag, uint64_t size)
{
  unsigned char bytes[32];
  const uint64_t words[4] = { (uint64_t) pos, (uint64_t) expires, (uint64_t) tag, size };

  for (unsigned i = 0; i < sizeof bytes; i++)
    bytes[i] = (unsigned char) (words[i / 8] >> (8 * (i % 8)));
  return zs_hash (bytes, sizeof bytes, 0);
}

int64_t
zs_record_sum (int64_t pos, int64_t expires, int64_t tag, zm_str data)
{
  uint64_t head = head_hash (pos, expires, tag, data.size);
  uint64_t body = zs_hash (data.size > 0 ? data.data : "", data.size, head);

  return (int64_t) ((head >> 32 << 32) | (body & UINT32_MAX));
}

int
zs_head_holds (int64_t pos, int64_t expires, int64_t tag, uint64_t size, int64_t sum)
{
  return head_hash (pos, expires, tag, size) >> 32 == (uint64_t) sum >> 32;
}

int64_t
zs_document_sum (zm_str space, zm_str key, zm_str value)
{
  uint64_t sum = zs_hash (space.size > 0 ? space.data : "", space.size, 0);

  sum = zs_hash (key.size > 0 ? key.data : "", key.size, sum);
  return (int64_t) zs_hash (value.size > 0 ? value.data : "", value.size, sum);
}
