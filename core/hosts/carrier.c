/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The carrier's functions: each says what is wanted of a plugin, and waits until it is so in all of its hosts. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

#define ROUNDS_MOST 10 /* of GRACE_US, that a host may take with others before it lets a plugin go */
#define GRACE_US    (2 * G_USEC_PER_SEC) /* over what a plugin's own function may take */

/* ---- waiting ---- */

/* The first one that failed, or NULL. */
static const char *
failure_of (const ZmCarried *carried)
{
  for (guint i = 0; i < carried->n_seats; i++)
    if (carried->seats[i].failed != NULL)
      return carried->seats[i].failed;
  return NULL;
}

/* A host that cannot be started has nobody who would answer. */
static const char *
not_startable (const ZmCarried *carried)
{
  for (guint i = 0; i < carried->n_seats; i++) {
    const ZmHost *host = g_ptr_array_index (carried->group->list, i);

    if (host->state == ZM_HOST_DOWN && host->life > 0 && host->starts == 0)
      return host->last_end;
  }
  return NULL;
}

static gboolean
all_at (const ZmCarried *carried, ZmSeatState state)
{
  for (guint i = 0; i < carried->n_seats; i++)
    if (carried->seats[i].state != state)
      return FALSE;
  return TRUE;
}

/* What hangs is ended with its process: in a host of its own at once, in a shared one when the calls of others are over. TRUE:
 * there was one; where a host is busy with another plugin's step it is not this one that hangs. */
static gboolean
end_hanging (ZmCarried *carried, const char *what, guint limit_ms)
{
  gboolean any = FALSE;

  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    if (carried->seats[i].asked == 0 || carried->seats[i].failed != NULL || host->page == NULL ||
        atomic_load (&host->page->loading) != carried->serial)
      continue;
    any = TRUE;
    carried->seats[i].failed =
        g_strdup_printf ("it did not come back from %s within %u ms; its process was ended", what, limit_ms);
    zm_host_hangs (host,
                   g_strdup_printf ("plugin %s hangs in %s", zm_generation_name (carried->generation), what));
  }
  return any;
}

/* Says it to all hosts, and waits. Under the lock, which is let go. */
static gboolean
reach (ZmCarried *carried, ZmWant want, ZmSeatState state, const char *what, guint limit_ms, GError **error)
{
  ZmHosts *hosts = carried->hosts;
  gint64 until_us = zm_now_us () + (gint64) limit_ms * 1000 + GRACE_US;
  const char *why = NULL;
  gboolean hung = FALSE;

  carried->want = want;
  carried->waited++;
  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    g_clear_pointer (&carried->seats[i].failed, g_free);
    zm_seat_advance (host, carried);
    zm_host_flush_locked (host);
  }
  while ((why = failure_of (carried)) == NULL && !all_at (carried, state) &&
         (why = not_startable (carried)) == NULL) {
    if (zm_cond_wait_until (&hosts->changed, &hosts->lock, until_us))
      continue;
    hung = end_hanging (carried, what, limit_ms);
    why = failure_of (carried);
    if (why == NULL)
      why = "its host has no time for it, or does not come up; zmanagerctl plugin load tries it again";
    break;
  }
  carried->waited--;
  if (why != NULL)
    g_set_error (error, ZM_ERROR, hung ? ZM_ERROR_LIMIT : ZM_ERROR_PLUGIN, "%s", why);
  return why == NULL;
}

/* ---- opening and closing ---- */

/* Out of its group, and freed. Under the lock; nothing of it is outstanding, and no host has it any more. */
static void
forget (ZmCarried *carried)
{
  ZmHosts *hosts = carried->hosts;

  for (guint i = 0; i < hosts->carrieds->len; i++) {
    ZmCarried *other = g_ptr_array_index (hosts->carrieds, i);

    if (other->after == carried) {
      other->after = carried->after;
      other->held |= carried->held;
    }
  }
  for (guint i = 0; i < carried->group->list->len; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    if (host->guilty == carried)
      host->guilty = NULL;
  }
  g_ptr_array_remove (hosts->carrieds, carried);
  g_ptr_array_remove (carried->group->members, carried);
  zm_group_settle (carried->group);
  for (guint i = 0; i < carried->n_seats; i++)
    g_free (carried->seats[i].failed);
  g_free (carried->seats);
  g_free (carried->lists);
  g_byte_array_unref (carried->values);
  g_free (carried->quarantine);
  g_free (carried);
}

static ZmCarried *
carried_new (ZmHosts *hosts, ZmGeneration *generation)
{
  const ZmPlacement *placement = zm_generation_placement (generation);
  gboolean shared = placement->isolation == ZM_ISOLATION_PROCESS;
  ZmCarried *carried = g_new0 (ZmCarried, 1);

  carried->hosts = hosts;
  carried->generation = generation;
  carried->serial = ++hosts->next_carried;
  carried->threads = MAX (placement->threads, 1);
  carried->n_seats = 1; /* until the first host has said what the plugin is: a SERIAL one has no more */
  carried->seats = g_new0 (ZmSeat, MAX (placement->instances, 1));
  carried->lists = g_new0 (ZmWaiting, placement->instances + 1);
  carried->values = zm_generation_values (generation);
  carried->stop_ms = hosts->config.drain_ms;
  carried->group = zm_group_get (hosts, shared, shared ? "shared" : zm_generation_name (generation));
  g_ptr_array_add (carried->group->members, carried);
  g_ptr_array_add (hosts->carrieds, carried);
  return carried;
}

/* No host has it, and none is about to. */
static gboolean
all_gone (const ZmCarried *carried)
{
  for (guint i = 0; i < carried->n_seats; i++)
    if (carried->seats[i].state != ZM_SEAT_EMPTY || carried->seats[i].asked != 0)
      return FALSE;
  return TRUE;
}

/* Whatever it is that they do. */
static void
end_hosts (ZmCarried *carried)
{
  for (guint i = 0; i < carried->n_seats; i++)
    if (carried->seats[i].state != ZM_SEAT_EMPTY || carried->seats[i].asked != 0)
      zm_host_kill (
          g_ptr_array_index (carried->group->list, i),
          g_strdup_printf ("it does not let plugin %s go", zm_generation_name (carried->generation)));
}

/* Waits until no host has it. A host that is not there has nothing; one that does not let it go is ended. */
static void
leave_hosts (ZmCarried *carried, guint limit_ms)
{
  ZmHosts *hosts = carried->hosts;
  gint64 until_us = zm_now_us () + (gint64) limit_ms * 1000 + GRACE_US;
  guint rounds = 0;

  carried->want = ZM_WANT_NOTHING;
  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    g_clear_pointer (&carried->seats[i].failed, g_free);
    zm_seat_advance (host, carried);
    zm_host_flush_locked (host);
  }
  while (!all_gone (carried))
    if (!zm_cond_wait_until (&hosts->changed, &hosts->lock, until_us)) {
      /* Whoever else holds it up is ended by who waits for that one; then it is this one's turn, but not for ever. */
      if (!end_hanging (carried, "stop or fini", limit_ms) && ++rounds > ROUNDS_MOST)
        end_hosts (carried);
      until_us = zm_now_us () + GRACE_US;
    }
}

static gpointer
carrier_open (gpointer user, ZmGeneration *generation, GError **error)
{
  ZmHosts *hosts = user;
  ZmCarried *carried;
  gboolean good;

  pthread_mutex_lock (&hosts->lock);
  carried = carried_new (hosts, generation);
  zm_group_settle (carried->group);
  zm_group_grow (carried->group, 1);
  good = reach (carried, ZM_WANT_LOADED, ZM_SEAT_LOADED, "loading", hosts->config.call_ms, error);
  if (good && zm_generation_placement (generation)->instances > 1) {
    carried->n_seats = zm_generation_placement (generation)->instances;
    zm_group_grow (carried->group, carried->n_seats);
    good = reach (carried, ZM_WANT_LOADED, ZM_SEAT_LOADED, "loading", hosts->config.call_ms, error);
  }
  if (!good) {
    leave_hosts (carried, hosts->config.call_ms);
    forget (carried);
  }
  pthread_mutex_unlock (&hosts->lock);
  return good ? carried : NULL;
}

static gboolean
carrier_init (gpointer data, GError **error)
{
  ZmCarried *carried = data;
  ZmHosts *hosts = carried->hosts;
  gboolean good;

  pthread_mutex_lock (&hosts->lock);
  good = reach (carried, ZM_WANT_INITED, ZM_SEAT_READY, "init", hosts->config.call_ms, error);
  pthread_mutex_unlock (&hosts->lock);
  return good;
}

static gboolean
carrier_start (gpointer data, GError **error)
{
  ZmCarried *carried = data;
  ZmHosts *hosts = carried->hosts;
  gboolean good;

  pthread_mutex_lock (&hosts->lock);
  g_clear_pointer (&carried->quarantine, g_free);
  carried->crashes = 0;
  zm_group_grow (carried->group,
                 carried->n_seats); /* one that ended while it was stopped was not started again */
  good = reach (carried, ZM_WANT_STARTED, ZM_SEAT_UP, "start", hosts->config.call_ms, error);
  /* An EXCLUSIVE one that was to go on in place of its successor stays in use, and has to say so. */
  if (!good && carried->quarantine == NULL)
    carried->quarantine = g_strdup_printf ("it could not be started: %s",
                                           error != NULL && *error != NULL ? (*error)->message : "unknown");
  pthread_mutex_unlock (&hosts->lock);
  return good;
}

/* Is it stopped wherever it was started? A host that is down has nothing to stop. */
static gboolean
is_stopped (const ZmCarried *carried)
{
  for (guint i = 0; i < carried->n_seats; i++)
    if (carried->seats[i].state == ZM_SEAT_UP || carried->seats[i].asked != 0)
      return FALSE;
  return TRUE;
}

static gboolean
carrier_stop (gpointer data, guint deadline_ms)
{
  ZmCarried *carried = data;
  ZmHosts *hosts = carried->hosts;
  gint64 until_us = zm_now_us () + (gint64) deadline_ms * 1000 + GRACE_US;
  gboolean stopped;

  pthread_mutex_lock (&hosts->lock);
  carried->stop_ms = deadline_ms;
  carried->want = ZM_WANT_STOPPED;
  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    g_clear_pointer (&carried->seats[i].failed, g_free);
    zm_seat_advance (host, carried);
    zm_host_flush_locked (host);
  }
  while (!(stopped = is_stopped (carried)) && zm_cond_wait_until (&hosts->changed, &hosts->lock, until_us))
    continue;
  if (!stopped)
    end_hanging (carried, "stop", deadline_ms);
  pthread_mutex_unlock (&hosts->lock);
  return TRUE; /* what hangs in it is ended with its process, and holds nothing here */
}

static void
carrier_close (gpointer data, char **kept)
{
  ZmCarried *carried = data;
  ZmHosts *hosts = carried->hosts;

  *kept = NULL;
  pthread_mutex_lock (&hosts->lock);
  leave_hosts (carried, hosts->config.call_ms);
  forget (carried);
  pthread_mutex_unlock (&hosts->lock);
}

/* ---- the rest ---- */

static void
carrier_reload (gpointer data)
{
  ZmCarried *carried = data;
  ZmHosts *hosts = carried->hosts;
  GByteArray *values = zm_generation_values (carried->generation);
  ZmRecord record = { .kind = ZM_RECORD_CONFIGURE, .id = carried->serial, .n_numbers = 1, .n_parts = 1 };

  record.numbers[0] = hosts->config.call_ms;
  record.parts[0] = zm_span (values->len > 0 ? (const char *) values->data : "", values->len);
  pthread_mutex_lock (&hosts->lock);
  g_byte_array_unref (carried->values);
  carried->values = values;
  for (guint i = 0; i < carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (carried->group->list, i);

    if (host->state != ZM_HOST_UP || carried->seats[i].state < ZM_SEAT_READY)
      continue;
    zm_host_say (host, &record);
    zm_host_flush_locked (host);
  }
  pthread_mutex_unlock (&hosts->lock);
}

static char *
carrier_trouble (gpointer data)
{
  ZmCarried *carried = data;
  char *trouble;

  pthread_mutex_lock (&carried->hosts->lock);
  trouble = carried->quarantine != NULL ? g_strconcat ("quarantined: ", carried->quarantine, NULL) : NULL;
  pthread_mutex_unlock (&carried->hosts->lock);
  return trouble;
}

void
zm_hosts_fill_carrier (ZmHosts *hosts)
{
  hosts->carrier = (ZmCarrier){
    .user = hosts,
    .open = carrier_open,
    .init = carrier_init,
    .start = carrier_start,
    .stop = carrier_stop,
    .close = carrier_close,
    .reload = carrier_reload,
    .describe = zm_carried_describe,
    .trouble = carrier_trouble,
    .starting = zm_carried_starting,
  };
  zm_hosts_fill_source (&hosts->carrier.source);
}
