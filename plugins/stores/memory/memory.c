/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory: a store that forgets everything when the daemon ends. For tests, and where queues are wanted but not durability.
 *
 * Options   uri = max=256M: how many bytes it keeps at most (256 MiB); K, M and G may follow the number
 * Example   [store]
 *           driver = memory
 *           uri = max=64M
 * Threads   none of its own
 */
#include "plugins/stores/memory/private.h"

#include <stdlib.h>

#define BYTES_MOST (UINT64_C (256) << 20)

/* "max=64M" -> bytes; 0: it is none. */
static uint64_t
read_most (const char *text)
{
  char *end;
  unsigned long long number;
  unsigned bits = 0;

  if (strncmp (text, "max=", 4) != 0 || text[4] < '1' || text[4] > '9')
    return 0;
  number = strtoull (text + 4, &end, 10);
  if (*end == 'K' || *end == 'M' || *end == 'G')
    bits = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
  if (bits > 0)
    end++;
  return *end == '\0' && number <= UINT64_MAX >> bits ? (uint64_t) number << bits : 0;
}

/* Where a file is named it is passed over: the daemon names one for every store. */
static int
store_open (void *state, const zm_host *host, const char *uri, void **out, char *error, size_t size)
{
  zs_store *store;
  uint64_t most = BYTES_MOST;

  (void) state;
  if (uri != NULL && strncmp (uri, "max=", 4) == 0 && (most = read_most (uri)) == 0) {
    zs_say (error, size, "[store] uri = %s: write max=64M or the like", uri);
    return ZM_E_INVALID;
  }
  if ((store = calloc (1, sizeof *store)) == NULL) {
    zs_say (error, size, "no memory for the store");
    return ZM_E_MEMORY;
  }
  store->host = host;
  store->most = most;
  pthread_mutex_init (&store->lock, NULL);
  *out = store;
  return ZM_OK;
}

static void
store_close (void *user)
{
  zs_store *store = user;

  for (size_t i = 0; i < store->queues_n; i++) {
    zs_list_clear (&store->queues[i]->records);
    free (store->queues[i]);
  }
  zs_list_clear (&store->documents);
  zs_list_clear (&store->leases);
  free (store->queues);
  free (store->undo);
  pthread_mutex_destroy (&store->lock);
  free (store);
}

/* It never fails in a way that would need it. */
static int
store_recover (void *store, char *error, size_t size)
{
  (void) store;
  zs_say (error, size, "%s", "");
  return ZM_OK;
}

static int
store_figures (void *user, zm_store_figures *figures)
{
  zs_store *store = user;
  zm_store_figures mine = { .struct_size = sizeof mine, .schema = 1 };
  uint32_t room = figures->struct_size;

  pthread_mutex_lock (&store->lock);
  mine.bytes = store->bytes;
  mine.records = store->records;
  mine.writes = store->writes;
  pthread_mutex_unlock (&store->lock);
  memcpy (figures, &mine, room < sizeof mine ? room : sizeof mine);
  figures->struct_size = room;
  return ZM_OK;
}

static const zm_store_ops ops = {
  .struct_size = sizeof ops,
  .flags = 0,
  .schema = 1,
  .open = store_open,
  .close = store_close,
  .write = zs_write,
  .recover = store_recover,
  .reader_open = zs_reader_open,
  .reader_close = zs_reader_close,
  .read = zs_read,
  .documents = zs_documents,
  .last = zs_last,
  .figures = store_figures,
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .flags = ZM_PLUGIN_RESIDENT,
  .name = "memory",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Keeps queues and documents in memory, until the daemon ends",
  .store = &ops,
};

ZM_PLUGIN_FULL ("memory", "1.0", "LGPL-2.1-or-later",
                "Keeps queues and documents in memory, until the daemon ends",
                "kind=store\nisolation=thread\n", &descriptor);
