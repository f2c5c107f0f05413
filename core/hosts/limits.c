/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limits of a group's processes: what its members want, and how those that run already are brought to it. The hosts' thread
 * does that at its next look, under the lock.
 */
#include "config.h"

#include "hosts/hosts-private.h"

#include <errno.h>
#include <sys/resource.h>

/* The largest wish of those that share it; no wish for a limit is none. One that was replaced wishes nothing any more, while there
 * are others. */
void
zm_group_limit (ZmHostGroup *group)
{
  guint64 memory = 0;
  guint descriptors = 0, n = 0;

  for (guint i = 0; i < group->members->len; i++) {
    const ZmCarried *member = g_ptr_array_index (group->members, i);
    const ZmPlacement *placement = zm_generation_placement (member->generation);

    if (member->closed)
      continue;
    n++;
    memory = MAX (memory, placement->memory);
    descriptors = MAX (descriptors, placement->descriptors);
  }
  if (n == 0)
    return;
  group->memory = memory;
  group->descriptors = descriptors;
  zm_hosts_wake (group->hosts);
}

/* Whoever waits for a step of a plugin does so in this process. */
static gboolean
somebody_waits (const ZmHost *host)
{
  for (guint i = 0; i < host->group->members->len; i++)
    if (((const ZmCarried *) g_ptr_array_index (host->group->members, i))->waited > 0)
      return TRUE;
  return FALSE;
}

/* A process may not be given more than it was started with, unless the daemon is privileged: then a fresh one takes its place. */
static void
limit_descriptors (ZmHost *host)
{
  guint most = host->group->descriptors;
  struct rlimit limits;

  if (getrlimit (RLIMIT_NOFILE, &limits) != 0)
    return;
  if (most > 0)
    limits.rlim_cur = limits.rlim_max = MIN (limits.rlim_max, (rlim_t) most);
  if (prlimit (host->child.pid, RLIMIT_NOFILE, &limits, NULL) == 0) {
    host->descriptors = most;
    return;
  }
  if (errno != EPERM || somebody_waits (host))
    return;
  host->descriptors = most;
  zm_calls_back (host->hosts, zm_host_take_back (host, NULL, FALSE));
  zm_host_leave (host, "its limit of descriptors was raised", TRUE);
}

void
zm_host_limit (ZmHost *host)
{
  const ZmRecord record = { .kind = ZM_RECORD_MEMORY, .n_numbers = 1, .numbers = { host->group->memory } };

  if (host->state != ZM_HOST_UP)
    return;
  if (host->memory != host->group->memory) {
    host->memory = host->group->memory;
    host->heavy = 0;
    host->over_us = 0;
    zm_host_say (host, &record);
  }
  if (host->descriptors != host->group->descriptors)
    limit_descriptors (host);
}
