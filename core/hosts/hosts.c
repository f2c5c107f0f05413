/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room's thread: parent of all hosts, reader of all that they say, keeper of what is due. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <poll.h>
#include <unistd.h>

#define CHUNK      ((gsize) 64 << 10) /* bytes taken out of a pipe at a time */
#define READS_MOST 16                 /* from one host before the others have their turn */
#define EMITS_MOST \
  ((gsize) 64 << 20) /* bytes of events that wait for the pool; then the host is not read from */
#define IDLE_MS    1000
#define ENDING_MS  5
#define IN_KEPT    (1 << 20) /* a record larger than this does not leave its buffer behind */
#define FIRED_MOST 64        /* timers for once that have fired before they are let go, together */

void
zm_hosts_wake (ZmHosts *hosts)
{
  const guint64 one = 1;

  /* Full means that it is woken already. */
  if (write (hosts->wake_fd, &one, sizeof one) < 0)
    return;
}

/* ---- reading ---- */

/* In a host of its own it can only have been its plugin. */
static void
insane (ZmHost *host)
{
  host->deaf = TRUE;
  pthread_mutex_lock (&host->hosts->lock);
  if (host->killed == NULL && !host->dying && !host->group->shared && host->group->members->len > 0)
    host->guilty = g_ptr_array_index (host->group->members, 0);
  zm_host_kill (host, g_strdup ("it sent what cannot be read"));
  pthread_mutex_unlock (&host->hosts->lock);
  g_byte_array_set_size (host->in, 0);
}

/* Copied before it is looked at, as its host could write over it meanwhile. FALSE: that was all. */
static gboolean
read_once (ZmHost *host)
{
  guint64 ready = zm_pipe_ready (&host->from);
  gsize size = (gsize) MIN (ready, CHUNK);

  if (ready > ZM_PIPE_BYTES) {
    insane (host);
    return FALSE;
  }
  g_byte_array_append (host->in, zm_pipe_data (&host->from), (guint) size);
  if (zm_pipe_take (&host->from, size))
    zm_pipe_wake_writer (&host->from);
  return ready > CHUNK;
}

/* After a large record: its memory is let go. */
static void
keep_rest (ZmHost *host, gsize used)
{
  GByteArray *rest = g_byte_array_new ();

  g_byte_array_append (rest, host->in->data + used, (guint) (host->in->len - used));
  g_byte_array_unref (host->in);
  host->in = rest;
}

/* What was used is taken off the front; mostly that is everything. */
static void
use_input (ZmHost *host, ZmArrivals *arrivals)
{
  gssize used = host->in->len > 0 ? zm_host_take (host, host->in->data, host->in->len, arrivals) : 0;

  if (used > IN_KEPT)
    keep_rest (host, (gsize) used);
  else if (used > 0)
    g_byte_array_remove_range (host->in, 0, (guint) used);
  if (used < 0)
    insane (host);
}

/* Is there anything to be read? While many of its events wait for the pool, it is not. */
static gboolean
speaks (const ZmHost *host)
{
  return !host->deaf && host->emits_size < EMITS_MOST && zm_pipe_ready (&host->from) > 0;
}

static void
read_host (ZmHost *host)
{
  ZmArrivals arrivals = { NULL, NULL };
  gboolean more = TRUE;

  for (guint i = 0; i < READS_MOST && more && speaks (host); i++) {
    more = read_once (host);
    use_input (host, &arrivals);
    /* Results are told chunk by chunk: workers have something to do while the rest is read. */
    zm_arrivals_tell (host->hosts, &arrivals);
  }
}

/* It is dead: all that it said, told or not. */
void
zm_host_read_rest (ZmHost *host, ZmArrivals *arrivals)
{
  gsize size;

  if (host->page == NULL || host->deaf)
    return;
  size = zm_pipe_rest (&host->from);
  g_byte_array_append (host->in, zm_pipe_data (&host->from), (guint) size);
  zm_pipe_take (&host->from, size);
  use_input (host, arrivals);
}

/* ---- one turn ---- */

/* The list may grow meanwhile, and only this thread takes from it. */
static GPtrArray *
all_hosts (ZmHosts *hosts)
{
  GPtrArray *all = g_ptr_array_new ();

  for (guint i = 0; i < hosts->groups->len; i++) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++)
      g_ptr_array_add (all, g_ptr_array_index (group->list, j));
  }
  return all;
}

/* Seats are places in the list: the host of a plugin in quarantine has no process, but stays in it. */
static gboolean
has_seats (const ZmHostGroup *group, const ZmHost *host)
{
  for (guint i = 0; i < group->members->len; i++)
    if (host->index < ((const ZmCarried *) g_ptr_array_index (group->members, i))->n_seats)
      return TRUE;
  return FALSE;
}

/* Groups whose last member and last process have gone; and hosts at the end of a list that are over. */
static void
sweep (ZmHosts *hosts)
{
  for (guint i = hosts->groups->len; i > 0; i--) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i - 1);

    while (group->list->len > 0) {
      ZmHost *last = g_ptr_array_index (group->list, group->list->len - 1);

      if (last->state != ZM_HOST_OVER || last->ringing > 0 || has_seats (group, last))
        break;
      g_ptr_array_set_size (group->list, (int) group->list->len - 1);
      zm_host_free (last);
    }
    if (group->members->len > 0 || group->list->len > 0)
      continue;
    g_ptr_array_remove_index (hosts->groups, i - 1);
    g_ptr_array_unref (group->members);
    g_ptr_array_unref (group->list);
    g_free (group->name);
    g_free (group);
  }
}

/* Under the lock. Returns when the next start is due, or G_MAXINT64. */
static gint64
start_due (GPtrArray *all, gint64 now_us)
{
  gint64 next_us = G_MAXINT64;

  for (guint i = 0; i < all->len; i++) {
    ZmHost *host = g_ptr_array_index (all, i);

    if (host->state != ZM_HOST_DOWN)
      continue;
    if (host->due_us <= now_us)
      zm_host_begin (host);
    if (host->state == ZM_HOST_DOWN)
      next_us = MIN (next_us, host->due_us);
  }
  return next_us;
}

/* What of the polls is this host's is noted, so that a turn costs system calls only where something happened. */
static void
add_polls (ZmHost *host, GArray *polls)
{
  const struct pollfd one = { .fd = host->eof_us == 0 ? host->fd : -1, .events = POLLIN };

  host->polls = polls->len;
  host->n_polls = 0;
  if (host->child.pid <= 0)
    return;
  host->watched = zm_child_add_polls (&host->child, polls);
  host->n_polls = polls->len - host->polls;
  if (host->fd >= 0)
    g_array_append_val (polls, one);
}

static gboolean
any_event (const GArray *polls, guint from, guint n)
{
  for (guint i = from; i < from + n; i++)
    if (g_array_index (polls, struct pollfd, i).revents != 0)
      return TRUE;
  return FALSE;
}

static void
log_lines (ZmHost *host)
{
  g_autofree char *name = g_strconcat ("host ", host->name, NULL);
  const ZmChildLog log = { .log = host->hosts->config.log,
                           .room = "host",
                           .name = name,
                           .suppressed = host->hosts->c_lines,
                           .line = zm_host_line,
                           .user = host };

  zm_child_read (&host->child, &log);
}

/* Under the lock. */
static void
say_emitted (ZmHost *host)
{
  const ZmRecord record = { .kind = ZM_RECORD_EMITTED, .n_numbers = 1, .numbers = { host->emitted } };

  if (host->emitted == 0)
    return;
  host->emitted = 0;
  zm_host_say (host, &record);
}

/* The process first: what it wrote before its end is read after its end is known. */
static void
serve (ZmHost *host, const GArray *polls, gboolean drop_fired)
{
  ZmHosts *hosts = host->hosts;
  gboolean touched = any_event (polls, host->polls, host->n_polls) || !host->watched;
  gboolean rang = host->n_polls > 0 && host->fd >= 0 && any_event (polls, host->polls + host->n_polls, 1);
  int status;

  if (host->n_polls == 0 || host->child.pid <= 0)
    return;
  if (touched) {
    gboolean over = zm_child_reap (&host->child, &status);

    log_lines (host);
    if (over) {
      zm_host_died (host, status);
      return;
    }
  }
  if (host->emits.length > 0)
    zm_host_emit_again (host);
  if (drop_fired)
    zm_host_drop_fired (host);
  if (rang && !zm_bell_heard (host->fd))
    host->eof_us = zm_now_us (); /* its end follows at once, mostly */
  zm_pipe_awake (&host->from);
  read_host (host);
  pthread_mutex_lock (&hosts->lock);
  say_emitted (host);
  zm_host_flush_locked (host);
  pthread_mutex_unlock (&hosts->lock);
}

static void
take_wakes (ZmHosts *hosts)
{
  guint64 wakes;

  if (read (hosts->wake_fd, &wakes, sizeof wakes) < 0)
    return;
}

/* Before it sleeps it asks each host to ring. FALSE: one has spoken meanwhile. */
static gboolean
ask_for_bells (GPtrArray *all)
{
  gboolean silent = TRUE;

  for (guint i = 0; i < all->len; i++) {
    ZmHost *host = g_ptr_array_index (all, i);

    if (host->n_polls > 0 && host->page != NULL && !host->deaf && host->emits_size < EMITS_MOST)
      silent = zm_pipe_ask_more (&host->from, 0) && silent;
  }
  return silent;
}

/* How long nothing is due; -1: until somebody asks for a host. Under the lock. */
static int
pause_ms (ZmHosts *hosts, GPtrArray *all, gint64 next_us)
{
  gint64 left_us = next_us - zm_now_us ();
  int tick = IDLE_MS;

  for (guint i = 0; i < all->len; i++) {
    const ZmHost *host = g_ptr_array_index (all, i);

    if (host->state == ZM_HOST_STARTING || host->state == ZM_HOST_LEAVING || host->emits.length > 0)
      tick = ZM_HOST_TICK_US / 1000;
  }
  if (all->len == 0)
    return -1;
  if (hosts->busy)
    tick = ZM_HOST_TICK_US / 1000;
  return (int) CLAMP (left_us / 1000 + 1, 0, tick);
}

/* At the end of the daemon: asked, then killed. Under the lock. */
static void
end_all (ZmHosts *hosts, GPtrArray *all)
{
  for (guint i = 0; i < all->len; i++) {
    ZmHost *host = g_ptr_array_index (all, i);

    host->again = FALSE;
    if (host->state == ZM_HOST_DOWN)
      host->state = ZM_HOST_OVER;
    else if (host->state != ZM_HOST_OVER && zm_now_us () > hosts->end_us) {
      host->unneeded = TRUE;
      zm_host_kill (host, g_strdup ("it did not end with the daemon"));
    } else if (host->state != ZM_HOST_LEAVING && host->state != ZM_HOST_OVER)
      zm_host_leave (host, "the daemon ends", FALSE);
  }
}

/* No process is left, and none will be started. Under the lock. */
static gboolean
all_over (GPtrArray *all)
{
  for (guint i = 0; i < all->len; i++)
    if (((const ZmHost *) g_ptr_array_index (all, i))->state != ZM_HOST_OVER)
      return FALSE;
  return TRUE;
}

void *
zm_hosts_main (void *user)
{
  ZmHosts *hosts = user;
  g_autoptr (GArray) polls = g_array_new (FALSE, FALSE, sizeof (struct pollfd));

  for (;;) {
    g_autoptr (GPtrArray) all = NULL;
    const struct pollfd wake = { .fd = hosts->wake_fd, .events = POLLIN };
    gboolean drop_fired;
    int timeout_ms;

    pthread_mutex_lock (&hosts->lock);
    sweep (hosts);
    all = all_hosts (hosts);
    if (hosts->ending)
      end_all (hosts, all);
    if (hosts->ending && all_over (all))
      break;
    timeout_ms = hosts->ending ? ENDING_MS : pause_ms (hosts, all, start_due (all, zm_now_us ()));
    g_array_set_size (polls, 0);
    g_array_append_val (polls, wake);
    for (guint i = 0; i < all->len; i++)
      add_polls (g_ptr_array_index (all, i), polls);
    drop_fired = hosts->n_fired >= FIRED_MOST;
    hosts->n_fired = drop_fired ? 0 : hosts->n_fired;
    pthread_mutex_unlock (&hosts->lock);
    if (!ask_for_bells (all))
      timeout_ms = 0;
    if (poll ((struct pollfd *) (void *) polls->data, polls->len, timeout_ms) < 0)
      continue; /* interrupted */
    if (any_event (polls, 0, 1))
      take_wakes (hosts);
    for (guint i = 0; i < all->len; i++)
      serve (g_ptr_array_index (all, i), polls, drop_fired);
    zm_hosts_look (hosts, zm_now_us ());
    /* One host's answer may have let calls go to another, which had its turn already: they do not wait for the next one. */
    zm_hosts_flush (hosts);
  }
  pthread_mutex_unlock (&hosts->lock);
  return NULL;
}
