/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is of hosts, for status, listings and logs. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

/* It is to take calls there, and is being brought to it; it may not come to it. */
static gboolean
is_starting (const ZmHost *host, const ZmCarried *carried)
{
  const ZmSeat *seat = zm_seat_of (host, carried);

  return seat != NULL && carried->want == ZM_WANT_STARTED && carried->quarantine == NULL &&
         !carried->closed && seat->state != ZM_SEAT_UP && seat->failed == NULL;
}

const char *
zm_seat_step (const ZmHost *host, const ZmCarried *carried)
{
  const ZmSeat *seat = zm_seat_of (host, carried);

  switch (seat != NULL ? seat->asked : 0) {
  case ZM_RECORD_PREPARE: return "its loading";
  case ZM_RECORD_INIT: return "its init";
  case ZM_RECORD_COMMIT: return "its start";
  case ZM_RECORD_RETIRE: return "its stop";
  case ZM_RECORD_CLOSE: return "its fini";
  default: return "its reload";
  }
}

/* A process of which a plugin is not ready yet is no more up, for that plugin, than one that has not come up. */
static const char *
state_name (const ZmHost *host)
{
  for (guint i = 0; host->state == ZM_HOST_UP && i < host->group->members->len; i++)
    if (is_starting (host, g_ptr_array_index (host->group->members, i)))
      return "starting";
  switch (host->state) {
  case ZM_HOST_DOWN: return host->life > 0 ? "waiting" : "starting";
  case ZM_HOST_STARTING: return "starting";
  case ZM_HOST_UP: return "up";
  case ZM_HOST_LEAVING: return "leaving";
  case ZM_HOST_OVER: break;
  }
  return "ended";
}

static void
append_host (GString *out, const ZmHost *host)
{
  guint deferred = g_hash_table_size (host->deferred_by);

  g_string_append (out, "{\"name\":");
  zm_json_append_string (out, zm_span_text (host->name));
  g_string_append_printf (out,
                          ",\"state\":\"%s\",\"pid\":%d,\"starts\":%" G_GUINT64_FORMAT
                          ",\"calls\":%u,\"deferred\":%u,\"rss\":%" G_GSIZE_FORMAT
                          ",\"uptime\":%" G_GINT64_FORMAT ",\"last_end\":",
                          state_name (host), (int) host->child.pid, host->starts,
                          host->child.pid > 0 ? ZM_PAGE_SLOTS - host->n_free : 0, deferred, host->rss,
                          host->child.pid > 0 ? (zm_now_us () - host->started_us) / 1000 : 0);
  zm_json_append_string (out, zm_span_text (host->last_end));
  g_string_append (out, ",\"plugins\":[");
  for (guint i = 0, n = 0; i < host->group->members->len; i++) {
    const ZmCarried *member = g_ptr_array_index (host->group->members, i);

    if (host->index >= member->n_seats)
      continue;
    if (n++ > 0)
      g_string_append_c (out, ',');
    zm_json_append_string (out, zm_span_text (zm_generation_name (member->generation)));
  }
  g_string_append (out, "]}");
}

char *
zm_hosts_json (ZmHosts *hosts)
{
  GString *out = g_string_new ("[");

  if (hosts != NULL)
    pthread_mutex_lock (&hosts->lock);
  for (guint i = 0; hosts != NULL && i < hosts->groups->len; i++) {
    const ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++) {
      if (out->len > 1)
        g_string_append_c (out, ',');
      append_host (out, g_ptr_array_index (group->list, j));
    }
  }
  if (hosts != NULL)
    pthread_mutex_unlock (&hosts->lock);
  g_string_append_c (out, ']');
  return g_string_free (out, FALSE);
}

/* Hosts that are up, as the gauge has them. */
void
zm_hosts_count_up (ZmHosts *hosts)
{
  gint64 up = 0;

  for (guint i = 0; i < hosts->groups->len; i++) {
    const ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++)
      up += ((const ZmHost *) g_ptr_array_index (group->list, j))->state == ZM_HOST_UP;
  }
  zm_counter_set (hosts->g_up, up);
}

/* Figures of all hosts together. One that ended and is not wanted any more is none. */
typedef struct Sums {
  guint number, up, calls, quarantined;
} Sums;

static Sums
sum_up (const ZmHosts *hosts)
{
  Sums sums = { 0 };

  for (guint i = 0; i < hosts->groups->len; i++) {
    const ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++) {
      const ZmHost *host = g_ptr_array_index (group->list, j);

      sums.number += host->state != ZM_HOST_OVER;
      sums.up += host->state == ZM_HOST_UP;
      sums.calls += host->child.pid > 0 ? ZM_PAGE_SLOTS - host->n_free : 0;
    }
  }
  for (guint i = 0; i < hosts->carrieds->len; i++) {
    const ZmCarried *carried = g_ptr_array_index (hosts->carrieds, i);

    sums.quarantined += carried->quarantine != NULL && !carried->closed;
  }
  return sums;
}

char *
zm_hosts_status_json (ZmHosts *hosts)
{
  guint set_aside;
  Sums sums;

  if (hosts == NULL)
    return g_strdup ("{}");
  pthread_mutex_lock (&hosts->lock);
  sums = sum_up (hosts);
  set_aside = hosts->n_dead;
  pthread_mutex_unlock (&hosts->lock);
  return g_strdup_printf ("{\"number\":%u,\"up\":%u,\"down\":%u,\"starts\":%" G_GINT64_FORMAT
                          ",\"crashes\":%" G_GINT64_FORMAT
                          ",\"calls\":%u,\"quarantined\":%u,\"set_aside\":%u}",
                          sums.number, sums.up, sums.number - sums.up, zm_counter_get (hosts->c_starts),
                          zm_counter_get (hosts->c_crashes), sums.calls, sums.quarantined, set_aside);
}

/* Of one plugin, for its line in plugin ls. */
void
zm_carried_describe (gpointer data, GString *out)
{
  ZmCarried *carried = data;

  pthread_mutex_lock (&carried->hosts->lock);
  g_string_append_printf (out,
                          ",\"waiting\":%u,\"outstanding\":%u,\"crashes\":%" G_GUINT64_FORMAT ",\"hosts\":[",
                          carried->waiting, carried->outstanding, carried->kills);
  for (guint i = 0; i < carried->n_seats && i < carried->group->list->len; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    append_host (out, g_ptr_array_index (carried->group->list, i));
  }
  g_string_append_c (out, ']');
  pthread_mutex_unlock (&carried->hosts->lock);
}

/* No host of it takes its calls, and one is about to. */
gboolean
zm_carried_starting (gpointer data)
{
  const ZmCarried *carried = data;
  gboolean starting = FALSE, up = FALSE;

  pthread_mutex_lock (&carried->hosts->lock);
  for (guint i = 0; i < carried->n_seats && i < carried->group->list->len; i++) {
    starting |= is_starting (g_ptr_array_index (carried->group->list, i), carried);
    up |= carried->seats[i].state == ZM_SEAT_UP;
  }
  pthread_mutex_unlock (&carried->hosts->lock);
  return starting && !up;
}

guint
zm_hosts_deferred (ZmHosts *hosts)
{
  return hosts != NULL ? atomic_load (&hosts->n_deferred) : 0;
}

/* Hosts that are replaced again and again, as their plugins need more memory than they may have. */
static void
add_heavy (const ZmHostGroup *group, GPtrArray *out)
{
  for (guint i = 0; i < group->list->len; i++) {
    const ZmHost *host = g_ptr_array_index (group->list, i);

    if (host->heavy < 2 || host->state == ZM_HOST_OVER)
      continue;
    g_ptr_array_add (out, g_strdup_printf ("host %s is replaced again and again: it has %" G_GSIZE_FORMAT
                                           " MiB soon after its start, over its limit of %" G_GUINT64_FORMAT
                                           " MiB; raise memory in [plugin %s]%s",
                                           host->name, host->over_rss >> 20, group->memory >> 20,
                                           group->shared ? "NAME" : group->name,
                                           group->shared ? " of one of its plugins" : ""));
  }
}

void
zm_hosts_reasons (ZmHosts *hosts, GPtrArray *out)
{
  if (hosts == NULL)
    return;
  pthread_mutex_lock (&hosts->lock);
  for (guint i = 0; i < hosts->carrieds->len; i++) {
    const ZmCarried *carried = g_ptr_array_index (hosts->carrieds, i);

    if (carried->quarantine != NULL && !carried->closed)
      g_ptr_array_add (out, g_strdup_printf ("plugin %s is in quarantine: %s",
                                             zm_generation_name (carried->generation), carried->quarantine));
  }
  for (guint i = 0; i < hosts->groups->len; i++)
    add_heavy (g_ptr_array_index (hosts->groups, i), out);
  pthread_mutex_unlock (&hosts->lock);
}

static void
append_member (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "%s\"%s\":", out->str[out->len - 1] != '{' ? "," : "", name);
  zm_json_append_string (out, zm_span_text (text));
}

/* The deadline of one that hangs is when its caller was answered. */
static void
append_call (GString *out, ZmHost *host, guint place, gint64 now_us)
{
  const ZmHostSlot *slot = &host->slots[place];
  const ZmHostCall *call = slot->call;
  gint64 began_us, due_us;

  if (slot->carried == NULL || (atomic_load (&host->page->slots[place].word) & 3) != ZM_SLOT_IS_STARTED)
    return;
  began_us = zm_slot_began (host, place, now_us);
  due_us = call != NULL ? zm_call_due (call, began_us) : slot->gone_us;
  g_string_append (out, out->len > 0 && out->str[out->len - 1] == '}' ? ",{" : "{");
  append_member (out, "state", call != NULL ? "calling" : "hung");
  append_member (out, "plugin", zm_generation_name (slot->carried->generation));
  append_member (out, "symbol", call != NULL ? call->symbol : slot->symbol);
  append_member (out, "host", host->name);
  g_string_append_printf (out, ",\"us\":%" G_GINT64_FORMAT ",\"deadline_in_us\":%" G_GINT64_FORMAT "}",
                          now_us - began_us, due_us - now_us);
}

void
zm_hosts_append_running (ZmHosts *hosts, GString *out)
{
  gint64 now_us = zm_now_us ();

  if (hosts == NULL)
    return;
  pthread_mutex_lock (&hosts->lock);
  for (guint i = 0; i < hosts->groups->len; i++) {
    const ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    for (guint j = 0; j < group->list->len; j++) {
      ZmHost *host = g_ptr_array_index (group->list, j);

      for (guint k = 0; host->page != NULL && k < ZM_PAGE_SLOTS; k++)
        append_call (out, host, k, now_us);
    }
  }
  pthread_mutex_unlock (&hosts->lock);
}
