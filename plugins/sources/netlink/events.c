/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events of the source netlink: their bodies, and the list in which they wait while the Subject is full. */
#include "netlink.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BODY_SIZE 512

/* ---- sending */

static int
send_event (struct netlink *netlink, const char *key, const char *body)
{
  zm_event event = { .struct_size = sizeof event, .key = key, .body = body, .body_size = strlen (body) };
  int status;

  event.headers = "{\"content-type\": \"application/json\"}";
  status = zm_emit (netlink->host, &event);
  if (status == ZM_OK)
    zm_metric (netlink->host, ZM_METRIC_COUNTER, "events", 1);
  else if (status != ZM_E_AGAIN)
    zm_metric (netlink->host, ZM_METRIC_COUNTER, "refused", 1);
  return status;
}

static void
keep (struct netlink *netlink, const char *key, const char *body)
{
  size_t size = strlen (body) + 1;
  struct waiting *waiting = netlink->waiting < netlink->backlog ? malloc (sizeof *waiting + size) : NULL;

  if (!waiting) {
    zm_metric (netlink->host, ZM_METRIC_COUNTER, "dropped", 1);
    return;
  }
  waiting->next = NULL;
  waiting->key = key;
  memcpy (waiting->body, body, size);
  *netlink->last = waiting;
  netlink->last = &waiting->next;
  netlink->waiting++;
}

void
netlink_send_waiting (struct netlink *netlink, int discard)
{
  while (netlink->first) {
    struct waiting *waiting = netlink->first;

    if (discard)
      zm_metric (netlink->host, ZM_METRIC_COUNTER, "dropped", 1);
    else if (send_event (netlink, waiting->key, waiting->body) == ZM_E_AGAIN)
      return;
    netlink->first = waiting->next;
    if (!netlink->first)
      netlink->last = &netlink->first;
    netlink->waiting--;
    free (waiting);
  }
}

/* In order: nothing overtakes what waits. */
static void
publish (struct netlink *netlink, const char *key, const char *body)
{
  if (netlink->first || send_event (netlink, key, body) == ZM_E_AGAIN)
    keep (netlink, key, body);
}

/* ---- bodies */

int
netlink_usable (unsigned flags)
{
  return (flags & IFF_UP) && (flags & IFF_RUNNING);
}

static int
wanted (struct netlink *netlink, const char *name)
{
  const char *pattern;

  for (unsigned i = 0; (pattern = zm_config (netlink->host, "interface", i)); i++)
    if (fnmatch (pattern, name, 0) == 0)
      return 1;
  return zm_config (netlink->host, "interface", 0) == NULL;
}

/* "interface", "index", "state" and "time", which every event has; returns the length. */
static size_t
begin_body (const char *name, int index, const char *state, char *body, size_t size)
{
  char text[IFNAMSIZ * 6 + 1] = "", clock[32];
  size_t length = 0;
  struct timespec now;
  struct tm utc;

  for (const unsigned char *byte = (const unsigned char *) name; *byte; byte++)
    length +=
        (size_t) snprintf (text + length, sizeof text - length,
                           *byte < 0x20 || *byte > 0x7e || strchr ("\"\\", *byte) ? "\\u%04x" : "%c", *byte);
  clock_gettime (CLOCK_REALTIME, &now);
  strftime (clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", gmtime_r (&now.tv_sec, &utc));
  return (size_t) snprintf (
      body, size, "{\"interface\": \"%s\", \"index\": %d, \"state\": \"%s\", \"time\": \"%s.%06ldZ\"", text,
      index, state, clock, now.tv_nsec / 1000);
}

void
netlink_publish_link (struct netlink *netlink, const char *key, const struct link *link, const char *state)
{
  char body[BODY_SIZE], mac[NETLINK_MAC_MOST * 3 + 1] = "";
  size_t length;

  if (!netlink->want_links || !wanted (netlink, link->name))
    return;
  for (unsigned i = 0; i < link->mac_size; i++)
    snprintf (mac + i * 3 - (i > 0), 4, i > 0 ? ":%02x" : "%02x", link->mac[i]);
  length = begin_body (link->name, link->index,
                       state                          ? state
                       : netlink_usable (link->flags) ? "up"
                                                      : "down",
                       body, sizeof body);
  snprintf (body + length, sizeof body - length,
            ", \"enabled\": %s, \"carrier\": %s, \"mtu\": %u, \"address\": \"%s\"}",
            link->flags & IFF_UP ? "true" : "false", link->flags & IFF_LOWER_UP ? "true" : "false", link->mtu,
            mac);
  publish (netlink, key, body);
}

void
netlink_publish_address (struct netlink *netlink, const char *key, const struct address *address)
{
  const struct link *link = netlink_find_link (netlink, address->index);
  char body[BODY_SIZE], text[INET6_ADDRSTRLEN] = "";
  size_t length;

  if (!netlink->want_addresses || !wanted (netlink, link ? link->name : ""))
    return;
  inet_ntop (address->family, address->bytes, text, sizeof text);
  length = begin_body (link ? link->name : "", address->index,
                       link && netlink_usable (link->flags) ? "up" : "down", body, sizeof body);
  snprintf (body + length, sizeof body - length, ", \"family\": \"%s\", \"address\": \"%s\", \"prefix\": %u}",
            address->family == AF_INET ? "ipv4" : "ipv6", text, address->prefix);
  publish (netlink, key, body);
}
