/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the source netlink knows of links and addresses: every message of the kernel is compared with it. */
#include "netlink.h"

#include <stdio.h>
#include <stdlib.h>

#define TRACKED_MOST 16384

/* ---- the two lists */

struct link *
netlink_find_link (struct netlink *netlink, int index)
{
  struct link *links = netlink->links.items;

  for (unsigned i = 0; i < netlink->links.count; i++)
    if (links[i].index == index)
      return &links[i];
  return NULL;
}

/* Room for one more item; NULL where there is none, which is counted. */
static void *
list_add (struct netlink *netlink, struct list *list, size_t item_size)
{
  if (list->count == list->room && list->room < TRACKED_MOST) {
    unsigned room = list->room ? list->room * 2 : 64;
    void *items = realloc (list->items, room * item_size);

    if (items) {
      list->items = items;
      list->room = room;
    }
  }
  if (list->count < list->room)
    return (char *) list->items + item_size * list->count++;
  zm_metric (netlink->host, ZM_METRIC_COUNTER, "untracked", 1);
  return NULL;
}

static void
remove_link (struct netlink *netlink, struct link *link)
{
  struct link *links = netlink->links.items;

  netlink_publish_link (netlink, "Netlink?Link?Removed", link, "removed");
  *link = links[--netlink->links.count];
}

static void
remove_address (struct netlink *netlink, struct address *address)
{
  struct address *addresses = netlink->addresses.items;

  netlink_publish_address (netlink, "Netlink?Address?Removed", address);
  *address = addresses[--netlink->addresses.count];
}

static void
add_link (struct netlink *netlink, const struct link *link)
{
  struct link *place = list_add (netlink, &netlink->links, sizeof *link);

  if (!place)
    return;
  *place = *link;
  if (!netlink->initial || netlink->report_initial)
    netlink_publish_link (netlink, "Netlink?Link?Added", link, NULL);
  if (!netlink->initial && netlink_usable (link->flags))
    netlink_publish_link (netlink, "Netlink?Link?Up", link, NULL);
}

static void
change_link (struct netlink *netlink, struct link *old, const struct link *new)
{
  struct link before = *old;

  *old = *new;
  if (netlink_usable (before.flags) != netlink_usable (new->flags))
    netlink_publish_link (netlink, netlink_usable (new->flags) ? "Netlink?Link?Up" : "Netlink?Link?Down", new,
                          NULL);
  if (strcmp (before.name, new->name) != 0 || before.mtu != new->mtu || before.mac_size != new->mac_size ||
      memcmp (before.mac, new->mac, new->mac_size) != 0)
    netlink_publish_link (netlink, "Netlink?Link?Changed", new, NULL);
  if ((before.flags ^ new->flags) & IFF_LOWER_UP)
    netlink_publish_link (netlink, "Netlink?Link?Carrier", new, NULL);
}

/* ---- what the kernel says */

void
netlink_on_link (struct netlink *netlink, const struct nlmsghdr *header)
{
  const struct ifinfomsg *info = NLMSG_DATA (header);
  struct link *old;
  struct link new = { 0 };
  int left = (int) IFLA_PAYLOAD (header);

  /* Bridges tell of their ports under the same type; a port that leaves its bridge is not gone. */
  if (header->nlmsg_len < NLMSG_LENGTH (sizeof *info) || info->ifi_family != AF_UNSPEC)
    return;
  old = netlink_find_link (netlink, info->ifi_index);
  if (header->nlmsg_type == RTM_DELLINK) {
    if (old)
      remove_link (netlink, old);
    return;
  }
  /* What a message leaves out is as it was. */
  if (old)
    new = *old;
  new.index = info->ifi_index;
  new.round = netlink->round;
  new.flags = info->ifi_flags;
  for (const struct rtattr *item = IFLA_RTA (info); RTA_OK (item, left); item = RTA_NEXT (item, left)) {
    unsigned size = RTA_PAYLOAD (item);

    if (item->rta_type == IFLA_IFNAME) {
      snprintf (new.name, sizeof new.name, "%.*s", (int) size, (const char *) RTA_DATA (item));
    } else if (item->rta_type == IFLA_MTU && size >= sizeof new.mtu) {
      memcpy (&new.mtu, RTA_DATA (item), sizeof new.mtu);
    } else if (item->rta_type == IFLA_ADDRESS) {
      new.mac_size = size < NETLINK_MAC_MOST ? size : NETLINK_MAC_MOST;
      memcpy (new.mac, RTA_DATA (item), new.mac_size);
    }
  }
  if (old)
    change_link (netlink, old, &new);
  else
    add_link (netlink, &new);
}

/* Reads an address; 0 where the message has none. */
static int
read_address (const struct nlmsghdr *header, struct address *address)
{
  const struct ifaddrmsg *info = NLMSG_DATA (header);
  int left = (int) IFA_PAYLOAD (header), found = 0;
  unsigned size;

  if (header->nlmsg_len < NLMSG_LENGTH (sizeof *info) ||
      (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
    return 0;
  *address = (struct address){ .index = (int) info->ifa_index,
                               .family = info->ifa_family,
                               .prefix = info->ifa_prefixlen };
  size = info->ifa_family == AF_INET ? 4 : 16;
  for (const struct rtattr *item = IFA_RTA (info); RTA_OK (item, left); item = RTA_NEXT (item, left))
    /* With a peer, IFA_ADDRESS is the other side and IFA_LOCAL is ours. */
    if ((item->rta_type == IFA_LOCAL || (item->rta_type == IFA_ADDRESS && !found)) &&
        RTA_PAYLOAD (item) >= size) {
      memcpy (address->bytes, RTA_DATA (item), size);
      found = 1;
    }
  return found;
}

void
netlink_on_address (struct netlink *netlink, const struct nlmsghdr *header)
{
  struct address *known = netlink->addresses.items, *place, new;
  unsigned i = 0;

  if (!read_address (header, &new))
    return;
  while (i < netlink->addresses.count &&
         (known[i].index != new.index || known[i].family != new.family || known[i].prefix != new.prefix ||
          memcmp (known[i].bytes, new.bytes, 16) != 0))
    i++;
  if (header->nlmsg_type == RTM_DELADDR) {
    if (i < netlink->addresses.count)
      remove_address (netlink, &known[i]);
  } else if (i < netlink->addresses.count) {
    known[i].round = netlink->round;
  } else if ((place = list_add (netlink, &netlink->addresses, sizeof *place))) {
    new.round = netlink->round;
    *place = new;
    if (!netlink->initial || netlink->report_initial)
      netlink_publish_address (netlink, "Netlink?Address?Added", &new);
  }
}

void
netlink_sweep_links (struct netlink *netlink)
{
  struct link *links = netlink->links.items;

  for (unsigned i = netlink->links.count; i-- > 0;)
    if (links[i].round != netlink->round)
      remove_link (netlink, &links[i]);
}

void
netlink_sweep_addresses (struct netlink *netlink)
{
  struct address *addresses = netlink->addresses.items;

  for (unsigned i = netlink->addresses.count; i-- > 0;)
    if (addresses[i].round != netlink->round)
      remove_address (netlink, &addresses[i]);
}
