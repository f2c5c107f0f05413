/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One process of a host: started, read from, ended. The hosts' thread, which is its parent: it ends with it. */
#include "config.h"

#include "base/zm-trust.h"
#include "hosts/hosts-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US G_USEC_PER_SEC /* after one that could not be started */

ZmHost *
zm_host_new (ZmHostGroup *group, guint index)
{
  ZmHost *host = g_new0 (ZmHost, 1);

  host->hosts = group->hosts;
  host->number = ++group->hosts->next_host;
  host->group = group;
  host->index = index;
  host->name = index > 0 ? g_strdup_printf ("%s#%u", group->name, index + 1) : g_strdup (group->name);
  host->state = ZM_HOST_DOWN;
  host->fd = host->page_fd = -1;
  zm_child_init (&host->child);
  host->out = g_byte_array_new ();
  host->in = g_byte_array_new ();
  host->deferred_by = g_hash_table_new (g_int64_hash, g_int64_equal);
  host->timers = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, NULL);
  g_queue_init (&host->emits);
  return host;
}

void
zm_host_free (ZmHost *host)
{
  g_byte_array_unref (host->out);
  g_byte_array_unref (host->in);
  g_hash_table_unref (host->deferred_by);
  g_hash_table_unref (host->timers);
  for (guint i = 0; i < ZM_HOST_LINES; i++)
    g_free (host->lines[i]);
  g_free (host->killed);
  g_free (host->hung);
  g_free (host->guilty_symbol);
  g_free (host->guilty_id);
  g_free (host->last_end);
  g_free (host->name);
  g_free (host);
}

/* ---- its output ---- */

/* Also of what its plugins log. Under the lock. */
void
zm_host_line (const char *text, gpointer user)
{
  ZmHost *host = user;

  g_free (host->lines[host->next_line]);
  host->lines[host->next_line] = g_strdup (text);
  host->next_line = (host->next_line + 1) % ZM_HOST_LINES;
}

char *
zm_host_last_lines (const ZmHost *host)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < ZM_HOST_LINES; i++) {
    const char *line = host->lines[(host->next_line + i) % ZM_HOST_LINES];

    if (line != NULL)
      g_string_append_printf (out, "%s%s", out->len > 0 ? " | " : "", line);
  }
  return g_string_free (out, out->len == 0);
}

/* ---- starting ---- */

/* A process that nobody else knows of yet. */
typedef struct Start {
  char *memory, *descriptors; /* its limits, as its arguments */
  ZmChild child;
  int fd, page_fd;
  ZmPage *page;
} Start;

/* Both ends: start->fd, and the child's, returned. -1 with error. */
static int
open_channel (Start *begun, GError **error)
{
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_IO, "no socket for a host: %s", g_strerror (errno));
    return -1;
  }
  begun->fd = pair[0];
  return pair[1];
}

/* Without the lock: to start a process takes a millisecond or two, and more in a daemon that is large. */
static gboolean
start_process (const ZmHost *host, Start *begun, GError **error)
{
  const char *const argv[] = {
    host->hosts->config.program, host->name, "--memory", begun->memory, "--descriptors",
    begun->descriptors,          NULL
  };
  g_auto (GStrv) environment = g_get_environ ();
  ZmChildStart start = { .argv = (char *const *) argv,
                         .directory = host->hosts->config.directory,
                         .n_keep = 2,
                         .parent_ends = SIGKILL };
  gboolean good = FALSE;
  int theirs;

  /* What the service manager meant for the daemon alone. */
  environment = g_environ_unsetenv (environment, "NOTIFY_SOCKET");
  environment = g_environ_unsetenv (environment, "WATCHDOG_USEC");
  environment = g_environ_unsetenv (environment, "WATCHDOG_PID");
  start.environment = environment;
  if (!zm_trust_program (host->hosts->config.program, error))
    return FALSE;
  begun->page = zm_page_new (&begun->page_fd, error);
  theirs = begun->page != NULL ? open_channel (begun, error) : -1;
  if (theirs >= 0) {
    const int keep[] = { theirs, begun->page_fd };

    start.keep = keep;
    good = zm_child_start (&begun->child, &start, error);
    close (theirs);
  }
  return good;
}

static void
all_slots_free (ZmHost *host)
{
  host->n_free = ZM_PAGE_SLOTS;
  host->bytes = 0;
  for (guint i = 0; i < ZM_PAGE_SLOTS; i++)
    host->free_slots[i] = (guint16) (ZM_PAGE_SLOTS - 1 - i);
  memset (host->slots, 0, sizeof host->slots);
}

/* Lets the lock go meanwhile. What there is of it is the host's, also where it failed. */
static gboolean
start_unlocked (ZmHost *host, GError **error)
{
  ZmHosts *hosts = host->hosts;
  Start begun = { .fd = -1, .page_fd = -1 };
  gboolean good;

  zm_child_init (&begun.child);
  host->memory = host->group->memory;
  host->descriptors = host->group->descriptors;
  begun.memory = g_strdup_printf ("%" G_GUINT64_FORMAT, host->memory);
  begun.descriptors = g_strdup_printf ("%u", host->descriptors);
  pthread_mutex_unlock (&hosts->lock);
  good = start_process (host, &begun, error);
  pthread_mutex_lock (&hosts->lock);
  g_free (begun.memory);
  g_free (begun.descriptors);
  host->child = begun.child;
  host->fd = begun.fd;
  host->page_fd = begun.page_fd;
  host->page = begun.page;
  if (begun.page != NULL) {
    host->to = zm_page_to_host (begun.page);
    host->from = zm_page_from_host (begun.page);
  }
  return good;
}

/* Under the lock, which is let go: meanwhile the host is DOWN as before, and may become one that nobody wants. */
void
zm_host_begin (ZmHost *host)
{
  ZmHosts *hosts = host->hosts;
  g_autoptr (GError) error = NULL;
  gint64 now_us = zm_now_us ();
  gboolean good, unwanted;

  good = start_unlocked (host, &error);
  unwanted = host->state == ZM_HOST_OVER;
  host->life++;
  host->eof_us = 0;
  g_clear_pointer (&host->hung, g_free);
  host->again = FALSE;
  all_slots_free (host);
  host->next_serial = 0;
  host->deaf = FALSE;
  host->loading = 0;
  host->pinged_us = 0;
  host->over_us = 0;
  if (!good) {
    zm_host_clear (host);
    host->state = unwanted ? ZM_HOST_OVER : ZM_HOST_DOWN;
    host->due_us = now_us + RETRY_US;
    g_free (host->last_end);
    host->last_end = g_strdup (error->message);
    zm_log_limited (hosts->config.log, ZM_LEVEL_ERROR, "host", "start", "host %s cannot be started: %s",
                    host->name, error->message);
    pthread_cond_broadcast (&hosts->changed);
    return;
  }
  host->state = ZM_HOST_STARTING;
  host->started_us = now_us;
  host->due_us = now_us + (gint64) hosts->config.call_ms * 1000;
  host->starts++;
  zm_counter_add (hosts->c_starts, 1);
  if (unwanted)
    zm_host_leave (host, "no plugin needs it", FALSE);
}

/* ---- ending ---- */

/* The end itself is seen and dealt with by the thread. */
void
zm_host_kill (ZmHost *host, char *why)
{
  if (host->killed != NULL || host->dying || host->child.pid <= 0) {
    g_free (why);
    return;
  }
  host->killed = why;
  zm_counter_add (host->hosts->c_killed, 1);
  zm_child_signal (&host->child, SIGKILL);
}

/* Nobody rings any more when this returns. Under the lock. */
void
zm_host_clear (ZmHost *host)
{
  int fd = host->fd;

  host->fd = -1;
  while (host->ringing > 0)
    pthread_cond_wait (&host->hosts->changed, &host->hosts->lock);
  if (fd >= 0)
    close (fd);
  if (host->page_fd >= 0)
    close (host->page_fd);
  host->page_fd = -1;
  g_clear_pointer (&host->page, zm_page_free);
  zm_child_close (&host->child);
  zm_host_out_drop (host);
  g_byte_array_set_size (host->in, 0);
  host->rss = 0;
  g_clear_pointer (&host->killed, g_free);
  host->guilty = NULL;
  g_clear_pointer (&host->hung, g_free);
  host->dying = host->unneeded = FALSE;
  g_clear_pointer (&host->guilty_symbol, g_free);
  g_clear_pointer (&host->guilty_id, g_free);
}
