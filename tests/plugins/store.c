/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store that does nothing: it is there to be loaded. Compiled with SHORT it has lost a function. */
#include <zmanager/store.h>

static int
do_open (void *state, const zm_host *host, const char *uri, void **store, char *error, size_t size)
{
  (void) state;
  (void) host;
  (void) uri;
  (void) error;
  (void) size;
  *store = NULL;
  return ZM_E_UNSUPPORTED;
}

static void
nothing (void *store)
{
  (void) store;
}

static int
do_write (void *store, zm_store_batch *batch)
{
  (void) store;
  (void) batch;
  return ZM_E_UNSUPPORTED;
}

static int
do_recover (void *store, char *error, size_t size)
{
  (void) store;
  (void) error;
  (void) size;
  return ZM_E_UNSUPPORTED;
}

static int
do_reader (void *store, void **reader, char *error, size_t size)
{
  *reader = NULL;
  return do_recover (store, error, size);
}

static int
do_read (void *reader, const zm_store_range *range, zm_store_record_fn func, void *user)
{
  (void) reader;
  (void) range;
  (void) func;
  (void) user;
  return ZM_E_UNSUPPORTED;
}

static int
do_documents (void *reader, zm_str space, zm_str prefix, zm_str after, uint64_t most,
              zm_store_document_fn func, void *user)
{
  (void) space;
  (void) prefix;
  (void) after;
  (void) most;
  (void) func;
  return do_read (reader, NULL, NULL, user);
}

#ifndef SHORT
static int
do_last (void *reader, uint64_t queue, uint64_t *seq)
{
  (void) reader;
  (void) queue;
  *seq = 0;
  return ZM_OK;
}
#endif

static int
do_figures (void *store, zm_store_figures *figures)
{
  (void) store;
  (void) figures;
  return ZM_OK;
}

static const zm_store_ops ops = {
  .struct_size = sizeof ops,
  .open = do_open,
  .close = nothing,
  .write = do_write,
  .recover = do_recover,
  .reader_open = do_reader,
  .reader_close = nothing,
  .read = do_read,
  .documents = do_documents,
#ifndef SHORT
  .last = do_last,
#endif
  .figures = do_figures,
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "store",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Stores nothing",
  .store = &ops,
};

ZM_PLUGIN_FULL ("store", "1.0", "LGPL-2.1-or-later", "Stores nothing", "kind=store\n", &descriptor);
