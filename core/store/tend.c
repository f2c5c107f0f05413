/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trouble, and the ways out of it, all in the store's thread: a store that failed is recovered, one that is full is probed, each
 * once a second; the lease of a shared one is renewed. While nothing is wrong the thread of a store that is not shared is never
 * woken by this.
 */
#include "config.h"

#include "base/zm-base.h"
#include "store/store-private.h"

#include <string.h>

#define TRY_EACH_US    G_USEC_PER_SEC
#define LEASE_US       (30 * G_USEC_PER_SEC)
#define LEASE_EACH_US  (10 * G_USEC_PER_SEC)
#define LEASE_SPARE_US (5 * G_USEC_PER_SEC) /* a write that begins now must be over before it ends */
#define LEASE_NAME     "daemon"
#define OPEN_TRIES     20
#define OPEN_PAUSE_US  50000
/* What a probe writes; more than a store keeps aside for itself. */
#define PROBE_BYTES 16384
#define PROBE_SPACE "zm-store"
#define PROBE_KEY   "probe"

/* ---- the states ---- */

/* Whoever watches asks for what it wants to know: nothing is held here. */
static void
tell (ZmStore *store)
{
  void (*changed) (ZmStore *, gpointer);
  gpointer user;
  gboolean trouble;

  pthread_mutex_lock (&store->lock);
  changed = store->changed;
  user = store->changed_user;
  trouble = store->failed || store->full;
  pthread_mutex_unlock (&store->lock);
  zm_counter_set (store->in_trouble, trouble);
  if (changed != NULL)
    changed (store, user);
}

/* TRUE: that is new. */
static gboolean
enter (ZmStore *store, gboolean *state, const char *why)
{
  gboolean is_new;

  pthread_mutex_lock (&store->lock);
  is_new = !*state;
  *state = TRUE;
  g_free (store->why);
  store->why =
      why[0] != '\0' ? zm_printable (zm_span_text (why), ZM_STORE_WHY) : g_strdup ("no reason given");
  if (is_new) {
    store->since_us = zm_wall_us ();
    store->tries = 0;
  }
  pthread_mutex_unlock (&store->lock);
  return is_new;
}

/* It is tried to recover at once, and then each second. */
void
zm_store_set_failed (ZmStore *store, const char *why)
{
  if (!enter (store, &store->failed, why))
    return;
  store->recover_us = 0;
  zm_log_write (store->log, ZM_LEVEL_ERROR, "store",
                "the store %s failed: %s; nothing is written until it has recovered, which is tried every "
                "second",
                store->driver, store->why);
  tell (store);
}

void
zm_store_set_full (ZmStore *store, const char *why)
{
  store->probe_us = zm_now_us () + TRY_EACH_US;
  if (!enter (store, &store->full, why))
    return;
  zm_log_write (store->log, ZM_LEVEL_ERROR, "store",
                "the store %s has no space left: %s; nothing is added until there is some, removing works",
                store->driver, store->why);
  tell (store);
}

static gboolean
is (ZmStore *store, const gboolean *state)
{
  gboolean value;

  pthread_mutex_lock (&store->lock);
  value = *state;
  pthread_mutex_unlock (&store->lock);
  return value;
}

gboolean
zm_store_is_failed (ZmStore *store)
{
  return is (store, &store->failed);
}

gboolean
zm_store_is_full (ZmStore *store)
{
  return is (store, &store->full);
}

void
zm_store_tell_why (ZmStore *store)
{
  pthread_mutex_lock (&store->lock);
  if (store->why != NULL)
    g_strlcpy (store->writer.why, store->why, sizeof store->writer.why);
  pthread_mutex_unlock (&store->lock);
}

static void
well_again (ZmStore *store, const char *text)
{
  gint64 since_us;

  pthread_mutex_lock (&store->lock);
  store->failed = store->full = FALSE;
  since_us = store->since_us;
  g_clear_pointer (&store->why, g_free);
  pthread_mutex_unlock (&store->lock);
  zm_log_write (store->log, ZM_LEVEL_NOTICE, "store", "the store %s %s after %.1f s", store->driver, text,
                (double) MAX (zm_wall_us () - since_us, 0) / G_USEC_PER_SEC);
  tell (store);
}

/* ---- the lease ---- */

static gboolean
shared (const ZmStore *store)
{
  return (store->ops->flags & ZM_STORE_SHARED) != 0;
}

/* until_us: wall time; 0 gives it back. now_us: whoever's lease is over by then does not count. */
static int
write_lease (ZmStore *store, gint64 until_us, gint64 now_us, char *why, gboolean *ours)
{
  zm_store_op op = { .kind = ZM_STORE_LEASE, .expires_us = until_us };

  op.key = zm_str_of (ZM_SPAN_LITERAL (LEASE_NAME));
  op.data = zm_str_of (zm_span_text (store->owner));
  *ours = TRUE;
  return zm_store_write_ops (store, &op, 1, now_us, why, ours);
}

/* Counted from before the write, however long that took. */
static void
lease_taken (ZmStore *store, gint64 before_us)
{
  store->lease_until_us = before_us + LEASE_US;
  store->lease_us = before_us + LEASE_EACH_US;
}

static int
lease_once (ZmStore *store, char *why, gboolean *ours)
{
  gint64 wall_us = zm_wall_us (), before_us = zm_now_us ();
  /* Who opened a store that is not shared is alone: what an earlier daemon left behind must not hold up this one. */
  gint64 now_us = shared (store) ? wall_us : G_MAXINT64;
  int code = write_lease (store, wall_us + LEASE_US, now_us, why, ours);

  if (code == ZM_OK && *ours)
    lease_taken (store, before_us);
  return code;
}

gboolean
zm_store_lease_first (ZmStore *store, GError **error)
{
  char why[ZM_STORE_WHY] = "";
  gboolean ours = TRUE;
  int code = lease_once (store, why, &ours);

  for (guint i = 0; i < OPEN_TRIES && code == ZM_E_AGAIN; i++) {
    g_usleep (OPEN_PAUSE_US);
    code = lease_once (store, why, &ours);
  }
  if (code == ZM_E_FAILED && store->ops->recover (store->plugin, why, sizeof why) == ZM_OK)
    code = lease_once (store, why, &ours);
  /* A full disk is no reason not to start: what is in the store can still be taken out. */
  if (code == ZM_E_MEMORY && !shared (store)) {
    zm_store_set_full (store, why);
    return TRUE;
  }
  if (code == ZM_OK && ours)
    return TRUE;
  if (code == ZM_OK)
    g_set_error (error, ZM_ERROR, ZM_ERROR_REFUSED,
                 "another daemon has the store %s; end that one first, or wait 30 seconds where it died",
                 store->driver);
  else
    zm_store_error (error, code, "the store cannot be written to", why);
  return FALSE;
}

/* Another daemon has it: what is known here of the store is not true any more, and only a new start reads it again. */
static void
lose_lease (ZmStore *store)
{
  store->lease_lost = TRUE;
  zm_store_set_failed (store, "another daemon has taken its lease; this one has to be started again");
}

static gboolean
renew_lease (ZmStore *store)
{
  char why[ZM_STORE_WHY] = "";
  gboolean ours = TRUE;
  int code = lease_once (store, why, &ours);

  store->lease_us = MAX (store->lease_us, zm_now_us () + TRY_EACH_US);
  if (code == ZM_OK && !ours)
    lose_lease (store);
  else if (code == ZM_E_FAILED)
    zm_store_set_failed (store, why);
  return code == ZM_OK && ours;
}

gboolean
zm_store_lease_holds (ZmStore *store)
{
  return !shared (store) || zm_now_us () < store->lease_until_us - LEASE_SPARE_US || renew_lease (store);
}

/* At the end, so that the next daemon need not wait. */
void
zm_store_lease_return (ZmStore *store)
{
  char why[ZM_STORE_WHY] = "";
  gboolean ours;

  if (store->lease_until_us > 0 && !store->lease_lost && !zm_store_is_failed (store))
    write_lease (store, 0, zm_wall_us (), why, &ours);
}

/* ---- out of trouble ---- */

static void
still_failed (ZmStore *store, const char *why)
{
  guint tries;

  enter (store, &store->failed, why);
  pthread_mutex_lock (&store->lock);
  tries = ++store->tries;
  pthread_mutex_unlock (&store->lock);
  zm_log_limited (store->log, ZM_LEVEL_WARNING, "store", "the store cannot be recovered",
                  "the store %s cannot be recovered yet (%u tries): %s", store->driver, tries, store->why);
}

/* Before anybody writes again. What is not there is no error. */
static gboolean
remove_doubtful (ZmStore *store, char *why)
{
  GArray *doubtful = store->doubtful;
  int code = ZM_OK;

  if (doubtful->len > 0)
    code = zm_store_write_ops (store, (zm_store_op *) (void *) doubtful->data, doubtful->len, zm_wall_us (),
                               why, NULL);
  if (code == ZM_OK)
    g_array_set_size (doubtful, 0);
  return code == ZM_OK;
}

/* Readers that are open may look at files that are no longer the store's, so that each opens anew. */
static void
try_recover (ZmStore *store)
{
  char why[ZM_STORE_WHY] = "";
  int code = store->ops->recover (store->plugin, why, sizeof why);

  why[sizeof why - 1] = '\0';
  store->recover_us = zm_now_us () + TRY_EACH_US;
  if (code != ZM_OK) {
    still_failed (store, why);
    return;
  }
  atomic_fetch_add (&store->generation, 1);
  if (shared (store) && !renew_lease (store)) {
    still_failed (store, store->lease_lost ? store->why : "its lease cannot be renewed");
    return;
  }
  if (!remove_doubtful (store, why)) {
    still_failed (store, why);
    return;
  }
  well_again (store, "has recovered");
}

static int
write_probe (ZmStore *store, guint32 kind, char *why)
{
  static const char zeros[PROBE_BYTES];
  zm_store_op op = { .kind = kind };

  op.space = zm_str_of (ZM_SPAN_LITERAL (PROBE_SPACE));
  op.key = zm_str_of (ZM_SPAN_LITERAL (PROBE_KEY));
  if (kind == ZM_STORE_PUT)
    op.data = zm_str_of (zm_span (zeros, sizeof zeros));
  return zm_store_write_ops (store, &op, 1, zm_wall_us (), why, NULL);
}

/* In two transactions, as a store may never put onto disk what goes again in the same one. */
static void
probe (ZmStore *store)
{
  char why[ZM_STORE_WHY] = "";
  int code = write_probe (store, ZM_STORE_PUT, why);

  store->probe_us = zm_now_us () + TRY_EACH_US;
  if (code == ZM_OK)
    code = write_probe (store, ZM_STORE_DELETE, why);
  if (code == ZM_OK)
    well_again (store, "has space again");
  else if (code != ZM_E_MEMORY && code != ZM_E_AGAIN)
    zm_store_set_failed (store, why);
}

/* With the lock held. */
gint64
zm_store_tend_at (const ZmStore *store)
{
  if (store->failed)
    return store->lease_lost ? -1 : store->recover_us;
  if (store->full && shared (store))
    return MIN (store->probe_us, store->lease_us);
  if (store->full)
    return store->probe_us;
  return shared (store) ? store->lease_us : -1;
}

void
zm_store_tend (ZmStore *store)
{
  gint64 now_us = zm_now_us ();

  if (zm_store_is_failed (store)) {
    if (!store->lease_lost && now_us >= store->recover_us)
      try_recover (store);
    return;
  }
  if (shared (store) && now_us >= store->lease_us)
    renew_lease (store);
  if (zm_store_is_full (store) && now_us >= store->probe_us)
    probe (store);
}
