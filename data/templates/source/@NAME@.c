/*
 * @NAME@: a source that sends the event @NAME@?Tick?Now every few seconds.
 *
 * Options   every   integer   seconds between two events (1)
 * Example   [source @NAME@]
 *           every = 5
 * Threads   one for each [source], made by the host
 */
#include <zmanager/plugin.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One [source NAME]. */
struct source {
  const zm_host *host;
  int wake[2]; /* a pipe: a byte in it ends run */
  int every_ms;
  unsigned long count;
};

static int
source_open (void *state, const zm_host *host, void **out)
{
  struct source *source = (struct source *) calloc (1, sizeof *source);
  const char *every = zm_config (host, "every", 0);

  (void) state;
  if (source == NULL)
    return ZM_E_MEMORY;
  source->host = host;
  source->every_ms = atoi (every != NULL ? every : "1") * 1000;
  if (source->every_ms <= 0 || pipe (source->wake) != 0) {
    zm_log (host, ZM_LOG_ERROR, "every must be a number of seconds above 0, and a pipe must be to be had");
    free (source);
    return ZM_E_FAILED;
  }
  *out = source;
  return ZM_OK;
}

static void
send_event (struct source *source)
{
  char body[64];

  snprintf (body, sizeof body, "{\"count\": %lu}", ++source->count);
  /* Full at this moment: this one is left out. What must not be lost has to wait here and be sent again. */
  if (zm_emit_text (source->host, "@NAME@?Tick?Now", body) == ZM_E_AGAIN)
    zm_metric (source->host, ZM_METRIC_COUNTER, "left_out", 1);
}

/* Blocks in its own loop, here poll, until it is woken. */
static int
source_run (void *user)
{
  struct source *source = (struct source *) user;
  struct pollfd wake = { source->wake[0], POLLIN, 0 };
  int ready;

  while ((ready = poll (&wake, 1, source->every_ms)) == 0)
    send_event (source);
  return ready > 0 ? ZM_OK : ZM_E_FAILED;
}

/* From any thread. */
static void
source_wake (void *user)
{
  struct source *source = (struct source *) user;

  if (write (source->wake[1], "", 1) < 0)
    zm_log (source->host, ZM_LOG_ERROR, "the source cannot be woken");
}

static void
source_close (void *user)
{
  struct source *source = (struct source *) user;

  close (source->wake[0]);
  close (source->wake[1]);
  free (source);
}

static const zm_source_ops source_ops
    = { sizeof source_ops, 0, source_open, source_run, source_wake, source_close };

static const zm_option_desc options[]
    = { { "every", ZM_OPTION_INTEGER, 0, "1", "Seconds between two events" }, { NULL, 0, 0, NULL, NULL } };

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "@NAME@",
  .version = "0.1",
  .licence = "LGPL-2.1-or-later",
  .summary = "Sends an event every few seconds",
  .options = options,
  .source = &source_ops,
};

ZM_PLUGIN_FULL ("@NAME@", "0.1", "LGPL-2.1-or-later", "Sends an event every few seconds", "kind=source\n", &descriptor);
