/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source that emits `rate` events a second under ?Tick?Came, each with its number and the process that it comes from. It
 * crashes once the file that `crash` names is there, which it takes away before.
 */
#include <zmanager/plugin.h>

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Ticker {
  const zm_host *host;
  atomic_int woken;
} Ticker;

static int
open_source (void *state, const zm_host *host, void **source)
{
  Ticker *ticker = (Ticker *) calloc (1, sizeof *ticker);

  (void) state;
  if (ticker == NULL)
    return ZM_E_MEMORY;
  ticker->host = host;
  *source = ticker;
  return ZM_OK;
}

static int
run (void *source)
{
  Ticker *ticker = (Ticker *) source;
  const char *rate = zm_config (ticker->host, "rate", 0), *crash = zm_config (ticker->host, "crash", 0);
  int pause_ms = rate != NULL && atoi (rate) > 0 ? 1000 / atoi (rate) : 10;

  for (int i = 0; !atomic_load (&ticker->woken); i++) {
    char text[64];

    snprintf (text, sizeof text, "%d %d", (int) getpid (), i);
    zm_emit_text (ticker->host, "?Tick?Came", text);
    if (crash != NULL && *crash != '\0' && unlink (crash) == 0)
      raise (SIGSEGV);
    poll (NULL, 0, pause_ms);
  }
  return ZM_OK;
}

static void
wake (void *source)
{
  atomic_store (&((Ticker *) source)->woken, 1);
}

static void
close_source (void *source)
{
  free (source);
}

static const zm_source_ops ops = {
  .struct_size = sizeof ops, .open = open_source, .run = run, .wake = wake, .close = close_source
};

static const zm_option_desc options[] = {
  { "rate", ZM_OPTION_INTEGER, 0, "100", "Events a second" },
  { "crash", ZM_OPTION_STRING, 0, "", "File at which it crashes" },
  { NULL, 0, 0, NULL, NULL },
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "ticker",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Emits numbered events",
  .options = options,
  .source = &ops,
};

ZM_PLUGIN_FULL ("ticker", "1.0", "LGPL-2.1-or-later", "Emits numbered events", "kind=source\n", &descriptor);
