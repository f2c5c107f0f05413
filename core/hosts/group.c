/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Groups of hosts: which there are, how many hosts each has, and when they end. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <string.h>

static ZmHostGroup *
group_new (ZmHosts *hosts, gboolean shared, const char *name)
{
  ZmHostGroup *group = g_new0 (ZmHostGroup, 1);

  group->hosts = hosts;
  group->name = g_strdup (name);
  group->shared = shared;
  group->members = g_ptr_array_new ();
  group->list = g_ptr_array_new ();
  g_ptr_array_add (hosts->groups, group);
  return group;
}

/* The shared one is kept; each private plugin's generation has a new one. */
ZmHostGroup *
zm_group_get (ZmHosts *hosts, gboolean shared, const char *name)
{
  for (guint i = 0; shared && i < hosts->groups->len; i++) {
    ZmHostGroup *group = g_ptr_array_index (hosts->groups, i);

    if (group->shared)
      return group;
  }
  return group_new (hosts, shared, name);
}

void
zm_group_grow (ZmHostGroup *group, guint n)
{
  for (guint i = group->list->len; i < n; i++)
    g_ptr_array_add (group->list, zm_host_new (group, i));
  for (guint i = 0; i < n; i++) {
    ZmHost *host = g_ptr_array_index (group->list, i);

    if (host->state == ZM_HOST_OVER) {
      host->state = ZM_HOST_DOWN;
      host->due_us = 0;
    } else if (host->state == ZM_HOST_LEAVING) {
      host->again = TRUE;
    }
  }
  zm_hosts_wake (group->hosts);
}

/* After a member came or went. A host that no member needs leaves; it is freed by the thread once its process is gone. */
void
zm_group_settle (ZmHostGroup *group)
{
  guint needed = 0;

  zm_group_limit (group);
  for (guint i = 0; i < group->members->len; i++) {
    const ZmCarried *member = g_ptr_array_index (group->members, i);

    if (member->quarantine == NULL || group->shared)
      needed = MAX (needed, member->n_seats);
  }
  for (guint i = needed; i < group->list->len; i++)
    zm_host_leave (g_ptr_array_index (group->list, i), "no plugin needs it", FALSE);
  zm_hosts_wake (group->hosts);
}
