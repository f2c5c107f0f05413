/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the process begins. */
#include "config.h"

#include "hosted/hosted-private.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean
zm_hosted_is_started (void)
{
  struct stat page;
  int type = 0;
  socklen_t size = sizeof type;

  return getsockopt (ZM_HOSTED_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         fstat (ZM_HOSTED_PAGE, &page) == 0 && page.st_size == (off_t) ZM_PAGE_BYTES;
}

static ZmHosted *
hosted_new (const ZmHostedOptions *options, ZmPage *page)
{
  ZmHosted *hosted = g_new0 (ZmHosted, 1);
  const char *no_dlclose = g_getenv ("ZM_NO_DLCLOSE");

  hosted->page = page;
  hosted->fd = ZM_HOSTED_SOCKET;
  hosted->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  hosted->out = zm_host_out_new (page, hosted->fd);
  hosted->threads = options->threads;
  hosted->no_dlclose = no_dlclose != NULL && *no_dlclose != '\0' && strcmp (no_dlclose, "0") != 0;
  hosted->plugins = g_hash_table_new (g_int64_hash, g_int64_equal);
  hosted->sources = g_hash_table_new (g_int64_hash, g_int64_equal);
  hosted->touched = g_ptr_array_new ();
  hosted->asks = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  hosted->tickets = zm_hosted_tickets_new ();
  atomic_init (&hosted->emits, ZM_HOSTED_EMITS);
  pthread_mutex_init (&hosted->asks_lock, NULL);
  zm_cond_init_monotonic (&hosted->asks_cond);
  zm_hosted_confine (&hosted->room, options);
  zm_hosted_fill_services (&hosted->host);
  return hosted;
}

static void
say_ready (ZmHosted *hosted)
{
  const ZmRecord record = { .kind = ZM_RECORD_READY,
                            .n_numbers = 2,
                            .numbers = { ZM_HOST_VERSION, ZM_PAGE_SLOTS } };

  zm_hosted_say_now (hosted, &record);
}

gboolean
zm_hosted_run (const ZmHostedOptions *options, GError **error)
{
  ZmPage *page;
  ZmHosted *hosted;

  page = zm_page_open (ZM_HOSTED_PAGE, error);
  if (page == NULL || !zm_hosted_death_init (page, error))
    return FALSE;
  hosted = hosted_new (options, page);
  if (hosted->wake < 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no descriptor to be had: %s", g_strerror (errno));
    return FALSE;
  }
  if (!zm_hosted_life_start (hosted, error))
    return FALSE;
  say_ready (hosted);
  zm_hosted_read (hosted);
}
