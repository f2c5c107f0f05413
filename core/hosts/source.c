/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sources that run in a host: to the runtime they look like any source. Its thread here asks the host to open, waits while
 * it runs there, and has it closed; where the host is lost, run returns with an error, and the runtime opens it again.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

#define HOST_US G_USEC_PER_SEC /* for its host to be there; the runtime tries again */
#define OPEN_US \
  (3 * G_USEC_PER_SEC) /* for its open; less than the runtime's patience with one that is to end */
#define SHUT_US (5 * G_USEC_PER_SEC) /* what closing may take */

struct ZmHostSource {
  ZmHosts *hosts;
  ZmCarried *carried;
  const zm_host *table; /* the runtime's, of this source */
  guint64 serial;
  guint64 host_number, host_life;
  gboolean opened, returned, shut, lost;
  gboolean used; /* the hosts' thread is in its table: it is not let go meanwhile */
  int status;
};

/* The process that it is in; NULL: that is gone. Under the lock. */
static ZmHost *
host_of (const ZmHostSource *source)
{
  for (guint i = 0; i < source->carried->n_seats; i++) {
    ZmHost *host = g_ptr_array_index (source->carried->group->list, i);

    if (host->number == source->host_number && host->life == source->host_life && !host->dying)
      return host;
  }
  return NULL;
}

/* Instance 0 has the sources: several that do the same would take each event twice. Waits until it is up. */
static ZmHost *
wait_for_host (ZmHosts *hosts, ZmCarried *carried)
{
  gint64 until_us = zm_now_us () + HOST_US;

  for (;;) {
    ZmHost *host = g_ptr_array_index (carried->group->list, 0);

    if (host->state == ZM_HOST_UP && !host->dying && carried->seats[0].state == ZM_SEAT_UP)
      return host;
    if (carried->quarantine != NULL || carried->closed ||
        !zm_cond_wait_until (&hosts->changed, &hosts->lock, until_us))
      return NULL;
  }
}

static void
say (ZmHostSource *source, ZmRecordKind kind)
{
  ZmHost *host = host_of (source);
  const ZmRecord record = { .kind = kind, .id = source->serial };

  if (host == NULL)
    return;
  zm_host_say (host, &record);
  zm_host_flush_locked (host);
}

static gboolean
is_in (const ZmHostSource *source, const ZmHost *host)
{
  return source->host_number == host->number && source->host_life == host->life && !source->lost;
}

/* The values of its section, one by one: the runtime's table answers for each key of the plugin's options. */
static GByteArray *
values_of (const ZmCarried *carried, const zm_host *table)
{
  const zm_option_desc *option = zm_generation_descriptor (carried->generation)->options;
  static const char *const common[] = { "uri", "key" };
  GByteArray *out = g_byte_array_new ();

  for (guint i = 0; i < G_N_ELEMENTS (common); i++) {
    const char *value = table->config (table, common[i], 0);

    if (value == NULL)
      continue;
    g_byte_array_append (out, (const guint8 *) common[i], (guint) strlen (common[i]) + 1);
    g_byte_array_append (out, (const guint8 *) value, (guint) strlen (value) + 1);
  }
  for (; option != NULL && option->name != NULL; option++) {
    const char *value;

    if (strcmp (option->name, "uri") == 0 || strcmp (option->name, "key") == 0)
      continue;
    for (unsigned i = 0; (value = table->config (table, option->name, i)) != NULL; i++) {
      g_byte_array_append (out, (const guint8 *) option->name, (guint) strlen (option->name) + 1);
      g_byte_array_append (out, (const guint8 *) value, (guint) strlen (value) + 1);
    }
  }
  return out;
}

static void
ask_open (ZmHostSource *source, ZmHost *host)
{
  g_autoptr (GByteArray) values = values_of (source->carried, source->table);
  g_autofree char *name = g_strdup_printf ("source %" G_GUINT64_FORMAT, source->serial);
  ZmRecord record = { .kind = ZM_RECORD_OPEN, .id = source->serial, .n_numbers = 1, .n_parts = 2 };

  source->host_number = host->number;
  source->host_life = host->life;
  record.numbers[0] = source->carried->serial;
  record.parts[0] = zm_span_text (name);
  record.parts[1] = zm_span (values->len > 0 ? (const char *) values->data : "", values->len);
  zm_host_say (host, &record);
  zm_host_flush_locked (host);
}

/* Under the lock: until one of its flags stands, or its process is gone. */
static void
wait_for (ZmHostSource *source, const gboolean *flag, gint64 until_us)
{
  while (!*flag && !source->lost &&
         zm_cond_wait_until (&source->hosts->changed, &source->hosts->lock, until_us))
    continue;
}

static void
source_free (ZmHostSource *source)
{
  while (source->used)
    pthread_cond_wait (&source->hosts->changed, &source->hosts->lock);
  g_hash_table_remove (source->hosts->sources, &source->serial);
  g_free (source);
}

static int
source_open (void *state, const zm_host *table, void **out)
{
  ZmCarried *carried = state;
  ZmHosts *hosts = carried->hosts;
  ZmHostSource *source = g_new0 (ZmHostSource, 1);
  ZmHost *host;
  int status = ZM_E_FAILED;

  *source = (ZmHostSource){ .hosts = hosts, .carried = carried, .table = table, .status = ZM_E_FAILED };
  pthread_mutex_lock (&hosts->lock);
  source->serial = ++hosts->next_source;
  g_hash_table_insert (hosts->sources, &source->serial, source);
  host = wait_for_host (hosts, carried);
  if (host != NULL) {
    ask_open (source, host);
    wait_for (source, &source->opened, zm_now_us () + OPEN_US);
    status = source->opened ? source->status : ZM_E_FAILED;
    if (status < 0 && !source->lost)
      say (source,
           ZM_RECORD_SHUT); /* its thread there waits for that; should it open at last, it is closed */
  }
  if (status < 0)
    source_free (source);
  else
    *out = source;
  pthread_mutex_unlock (&hosts->lock);
  return status;
}

static int
source_run (void *data)
{
  ZmHostSource *source = data;
  int status;

  pthread_mutex_lock (&source->hosts->lock);
  wait_for (source, &source->returned, G_MAXINT64 / 2);
  status = source->returned ? source->status : ZM_E_FAILED;
  pthread_mutex_unlock (&source->hosts->lock);
  return status;
}

static void
source_wake (void *data)
{
  ZmHostSource *source = data;

  pthread_mutex_lock (&source->hosts->lock);
  say (source, ZM_RECORD_WAKE);
  pthread_mutex_unlock (&source->hosts->lock);
}

static void
source_close (void *data)
{
  ZmHostSource *source = data;
  ZmHosts *hosts = source->hosts;

  pthread_mutex_lock (&hosts->lock);
  say (source, ZM_RECORD_SHUT);
  wait_for (source, &source->shut, zm_now_us () + SHUT_US);
  source_free (source);
  pthread_mutex_unlock (&hosts->lock);
}

void
zm_hosts_fill_source (zm_source_ops *ops)
{
  *ops = (zm_source_ops){ .struct_size = sizeof *ops,
                          .open = source_open,
                          .run = source_run,
                          .wake = source_wake,
                          .close = source_close };
}

/* ---- what the host says of them ---- */

static ZmHostSource *
find (ZmHosts *hosts, const ZmHost *host, guint64 serial)
{
  ZmHostSource *source = g_hash_table_lookup (hosts->sources, &serial);

  return source != NULL && source->host_number == host->number && source->host_life == host->life ? source
                                                                                                  : NULL;
}

void
zm_source_answer (ZmHost *host, const ZmRecord *record)
{
  ZmHosts *hosts = host->hosts;
  ZmHostSource *source;

  pthread_mutex_lock (&hosts->lock);
  source = find (hosts, host, record->id);
  if (source != NULL) {
    if (record->kind != ZM_RECORD_SHUTTED)
      source->status = (int) (gint64) record->numbers[0];
    source->opened |= record->kind == ZM_RECORD_OPENED;
    source->returned |= record->kind == ZM_RECORD_RETURNED;
    source->shut |= record->kind == ZM_RECORD_SHUTTED;
    pthread_cond_broadcast (&hosts->changed);
  }
  pthread_mutex_unlock (&hosts->lock);
}

/* Its run is to return: the runtime then closes it, and opens it again in the next process. */
void
zm_sources_wake (ZmHost *host)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, host->hosts->sources);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const ZmHostSource *source = value;
    const ZmRecord wake = { .kind = ZM_RECORD_WAKE, .id = source->serial };

    if (is_in (source, host))
      zm_host_say (host, &wake);
  }
}

gboolean
zm_sources_there (const ZmHost *host)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, host->hosts->sources);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (is_in (value, host))
      return TRUE;
  return FALSE;
}

void
zm_sources_lost (ZmHost *host)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, host->hosts->sources);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    ZmHostSource *source = value;

    if (source->host_number == host->number && source->host_life == host->life)
      source->lost = TRUE;
  }
}

/* Found under the lock and used without it; zm_source_leave follows, and until then it stays. */
const zm_host *
zm_source_enter (ZmHosts *hosts, const ZmHost *host, guint64 serial)
{
  ZmHostSource *source;

  pthread_mutex_lock (&hosts->lock);
  source = find (hosts, host, serial);
  if (source != NULL)
    source->used = TRUE;
  pthread_mutex_unlock (&hosts->lock);
  return source != NULL ? source->table : NULL;
}

void
zm_source_leave (ZmHosts *hosts, const ZmHost *host, guint64 serial)
{
  ZmHostSource *source;

  pthread_mutex_lock (&hosts->lock);
  source = find (hosts, host, serial);
  if (source != NULL)
    source->used = FALSE;
  pthread_cond_broadcast (&hosts->changed);
  pthread_mutex_unlock (&hosts->lock);
}
