/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the three parts of the source share: events.c writes and sends events, known.c compares what the kernel says with what
 * is known, netlink.c talks with the kernel and with the host. All of it runs in the source's thread.
 */
#pragma once

#include <zmanager/plugin.h>

/* Not net/if.h, which has no IFF_LOWER_UP; the two cannot be mixed. */
#include <linux/if.h>
#include <linux/rtnetlink.h>

#define NETLINK_MAC_MOST 32

struct link {
  int index;
  unsigned round; /* of the dump that saw it last */
  unsigned flags, mtu;
  unsigned mac_size;
  unsigned char mac[NETLINK_MAC_MOST];
  char name[IFNAMSIZ];
};

struct address {
  int index;
  unsigned round;
  unsigned char family, prefix;
  unsigned char bytes[16];
};

/* A growing array; items are found by walking, which is quick enough for what it may hold. */
struct list {
  void *items;
  unsigned count, room;
};

/* An event that the Subject had no room for. */
struct waiting {
  struct waiting *next;
  const char *key;
  char body[];
};

struct netlink {
  const zm_host *host;
  int fd, wake_fd;
  struct list links, addresses;
  unsigned round;    /* number of the dump */
  unsigned port;     /* this socket's; answers carry it, events of others do not */
  unsigned sequence; /* of the request that is being answered */
  int dumping;       /* RTM_GETLINK, RTM_GETADDR, or 0 */
  int again;         /* events were lost: a new dump, once there is nothing left to read */
  int initial;       /* the first dump is not over */
  int report_initial, want_links, want_addresses;
  unsigned backlog, waiting;
  struct waiting *first, **last;
};

/* events.c */
int netlink_usable (unsigned flags);
/* state NULL: up or down, as the flags say. */
void
netlink_publish_link (struct netlink *netlink, const char *key, const struct link *link, const char *state);
void netlink_publish_address (struct netlink *netlink, const char *key, const struct address *address);
/* Tries what waits, in order; discard: gives it up. */
void netlink_send_waiting (struct netlink *netlink, int discard);

/* known.c */
struct link *netlink_find_link (struct netlink *netlink, int index);
void netlink_on_link (struct netlink *netlink, const struct nlmsghdr *header);
void netlink_on_address (struct netlink *netlink, const struct nlmsghdr *header);
/* What the dump that has just ended did not see is gone. */
void netlink_sweep_links (struct netlink *netlink);
void netlink_sweep_addresses (struct netlink *netlink);
