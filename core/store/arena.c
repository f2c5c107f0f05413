/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is given in pieces and taken back all at once, at the end of a batch. */
#include "config.h"

#include "store/store-private.h"

#define CHUNK ((gsize) 64 << 10)
#define ALIGN ((gsize) 16)

struct ZmArenaChunk {
  ZmArenaChunk *next;
  gsize size, used;
  _Alignas(16) char data[];
};

static ZmArenaChunk *
chunk_new (gsize size)
{
  ZmArenaChunk *chunk = g_malloc (sizeof *chunk + size);

  chunk->next = NULL;
  chunk->size = size;
  chunk->used = 0;
  return chunk;
}

/* Something large gets a chunk of its own behind the first, which goes on being filled. */
static gpointer
alloc_large (ZmArena *arena, gsize size)
{
  ZmArenaChunk *chunk = chunk_new (size);

  chunk->used = size;
  if (arena->chunks == NULL) {
    arena->chunks = chunk;
    return chunk->data;
  }
  chunk->next = arena->chunks->next;
  arena->chunks->next = chunk;
  return chunk->data;
}

gpointer
zm_arena_alloc (ZmArena *arena, gsize size)
{
  gsize rounded = (size + ALIGN - 1) & ~(ALIGN - 1);
  ZmArenaChunk *chunk = arena->chunks;

  if (rounded > CHUNK / 2)
    return alloc_large (arena, rounded);
  if (chunk == NULL || chunk->size - chunk->used < rounded) {
    chunk = chunk_new (CHUNK);
    chunk->next = arena->chunks;
    arena->chunks = chunk;
  }
  chunk->used += rounded;
  return chunk->data + chunk->used - rounded;
}

void
zm_arena_clear (ZmArena *arena)
{
  while (arena->chunks != NULL) {
    ZmArenaChunk *next = arena->chunks->next;

    g_free (arena->chunks);
    arena->chunks = next;
  }
}

void
zm_arena_reset (ZmArena *arena)
{
  ZmArenaChunk *kept = arena->chunks;

  if (kept == NULL)
    return;
  arena->chunks = kept->next;
  zm_arena_clear (arena);
  if (kept->size != CHUNK) {
    g_free (kept);
    return;
  }
  kept->used = 0;
  kept->next = NULL;
  arena->chunks = kept;
}
