/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netlink: a source of events about the machine's own network interfaces, from the kernel's rtnetlink.
 *
 *   Netlink?Link?Added       an interface is there: each one at the start (see initial), later every new one
 *   Netlink?Link?Up          it can be used now: switched on, and running (carrier; what 802.1X and the like ask for)
 *   Netlink?Link?Down        it no longer can
 *   Netlink?Link?Carrier     the cable or its like came or went ("carrier")
 *   Netlink?Link?Changed     its name, MTU or hardware address changed
 *   Netlink?Link?Removed     it is gone; "state" is "removed"
 *   Netlink?Address?Added    an IPv4 or IPv6 address was given to it
 *   Netlink?Address?Removed  an address was taken from it
 *
 * Link events:    {"interface": "eth0", "index": 2, "state": "up", "time": "2024-05-01T12:00:00.000000Z",
 *                  "enabled": true, "carrier": true, "mtu": 1500, "address": "52:54:00:12:34:56"}
 * Address events: {"interface": "eth0", "index": 2, "state": "up", "time": …, "family": "ipv4", "address": "192.0.2.1",
 *                  "prefix": 24}
 * state: up or down, as of Up and Down. Bytes of a name that are not ASCII are written as \u00XX each.
 *
 * What is there at the start gives Added only: nothing went up. A new interface that can be used at once gives Added and Up.
 * When the kernel had to drop events because its buffer was full (counted: overruns), everything is read anew and compared:
 * changes that were undone in between are lost, the last state is not. When the Subject is full, events wait in a list and
 * are tried again every 20 ms; what the list cannot take is dropped (counted: dropped).
 *
 * Metrics   events, dropped, overruns, untracked (beyond 16384 links or addresses), refused (by the Subject)
 * Options   interface       shell patterns of names; others are left out         *
 *           events          link, address or both                               link address
 *           initial         Added for what is there at the start                yes
 *           backlog         events that wait while the Subject is full           4096
 *           receive-buffer  the kernel's buffer in bytes                         1048576
 * Example   [source netlink]
 *           interface = eth*
 * Threads   the host's thread of the source runs all; wake comes from others and only writes to an eventfd
 */
#include <zmanager/plugin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TRACKED_MOST 16384
#define RETRY_MS     20
#define BODY_SIZE    512
#define MAC_MOST     32

struct link {
  int index;
  unsigned round; /* of the dump that saw it last */
  unsigned flags, mtu;
  unsigned mac_size;
  unsigned char mac[MAC_MOST];
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
  unsigned sequence; /* of the request that is being answered */
  int dumping;       /* RTM_GETLINK, RTM_GETADDR, or 0 */
  int again;         /* events were lost during this dump: one more after it */
  int initial;       /* the first dump is not over */
  int report_initial, want_links, want_addresses;
  unsigned backlog, waiting;
  struct waiting *first, **last;
};

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

/* Tries what waits, in order; discard: gives it up. */
static void
send_waiting (struct netlink *netlink, int discard)
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

static int
usable (unsigned flags)
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

static void
publish_link (struct netlink *netlink, const char *key, const struct link *link, const char *state)
{
  char body[BODY_SIZE], mac[MAC_MOST * 3 + 1] = "";
  size_t length;

  if (!netlink->want_links || !wanted (netlink, link->name))
    return;
  for (unsigned i = 0; i < link->mac_size; i++)
    snprintf (mac + i * 3 - (i > 0), 4, i > 0 ? ":%02x" : "%02x", link->mac[i]);
  length = begin_body (link->name, link->index,
                       state                  ? state
                       : usable (link->flags) ? "up"
                                              : "down",
                       body, sizeof body);
  snprintf (body + length, sizeof body - length,
            ", \"enabled\": %s, \"carrier\": %s, \"mtu\": %u, \"address\": \"%s\"}",
            link->flags & IFF_UP ? "true" : "false", link->flags & IFF_LOWER_UP ? "true" : "false", link->mtu,
            mac);
  publish (netlink, key, body);
}

static struct link *
find_link (struct netlink *netlink, int index)
{
  struct link *links = netlink->links.items;

  for (unsigned i = 0; i < netlink->links.count; i++)
    if (links[i].index == index)
      return &links[i];
  return NULL;
}

static void
publish_address (struct netlink *netlink, const char *key, const struct address *address)
{
  const struct link *link = find_link (netlink, address->index);
  char body[BODY_SIZE], text[INET6_ADDRSTRLEN] = "";
  size_t length;

  if (!netlink->want_addresses || !wanted (netlink, link ? link->name : ""))
    return;
  inet_ntop (address->family, address->bytes, text, sizeof text);
  length = begin_body (link ? link->name : "", address->index, link && usable (link->flags) ? "up" : "down",
                       body, sizeof body);
  snprintf (body + length, sizeof body - length, ", \"family\": \"%s\", \"address\": \"%s\", \"prefix\": %u}",
            address->family == AF_INET ? "ipv4" : "ipv6", text, address->prefix);
  publish (netlink, key, body);
}

/* ---- what is known */

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

  publish_link (netlink, "Netlink?Link?Removed", link, "removed");
  *link = links[--netlink->links.count];
}

static void
remove_address (struct netlink *netlink, struct address *address)
{
  struct address *addresses = netlink->addresses.items;

  publish_address (netlink, "Netlink?Address?Removed", address);
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
    publish_link (netlink, "Netlink?Link?Added", link, NULL);
  if (!netlink->initial && usable (link->flags))
    publish_link (netlink, "Netlink?Link?Up", link, NULL);
}

static void
change_link (struct netlink *netlink, struct link *old, const struct link *new)
{
  struct link before = *old;

  *old = *new;
  if (strcmp (before.name, new->name) != 0 || before.mtu != new->mtu || before.mac_size != new->mac_size ||
      memcmp (before.mac, new->mac, new->mac_size) != 0)
    publish_link (netlink, "Netlink?Link?Changed", new, NULL);
  if ((before.flags ^ new->flags) & IFF_LOWER_UP)
    publish_link (netlink, "Netlink?Link?Carrier", new, NULL);
  if (usable (before.flags) != usable (new->flags))
    publish_link (netlink, usable (new->flags) ? "Netlink?Link?Up" : "Netlink?Link?Down", new, NULL);
}

/* ---- what the kernel says */

static void
on_link (struct netlink *netlink, const struct nlmsghdr *header)
{
  const struct ifinfomsg *info = NLMSG_DATA (header);
  struct link *old;
  struct link new = { 0 };
  int left = (int) IFLA_PAYLOAD (header);

  /* Bridges tell of their ports under the same type; a port that leaves its bridge is not gone. */
  if (header->nlmsg_len < NLMSG_LENGTH (sizeof *info) || info->ifi_family != AF_UNSPEC)
    return;
  old = find_link (netlink, info->ifi_index);
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
      new.mac_size = size < MAC_MOST ? size : MAC_MOST;
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

static void
on_address (struct netlink *netlink, const struct nlmsghdr *header)
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
      publish_address (netlink, "Netlink?Address?Added", &new);
  }
}

static int
request (struct netlink *netlink, int type)
{
  struct {
    struct nlmsghdr header;
    struct rtgenmsg body;
  } message = { .header = { .nlmsg_type = (unsigned short) type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                .body = { .rtgen_family = AF_UNSPEC } };

  message.header.nlmsg_len = NLMSG_LENGTH (sizeof message.body);
  message.header.nlmsg_seq = ++netlink->sequence;
  netlink->dumping = type;
  return send (netlink->fd, &message, message.header.nlmsg_len, 0) < 0 ? ZM_E_FAILED : ZM_OK;
}

static int
start_dump (struct netlink *netlink)
{
  netlink->again = 0;
  netlink->round++;
  return request (netlink, RTM_GETLINK);
}

/* The end of a dump: what it did not see is gone. A dump during which something was lost is no ground to say so. */
static int
end_dump (struct netlink *netlink)
{
  struct link *links = netlink->links.items;
  struct address *addresses = netlink->addresses.items;

  if (netlink->again)
    return start_dump (netlink);
  if (netlink->dumping == RTM_GETLINK) {
    for (unsigned i = netlink->links.count; i-- > 0;)
      if (links[i].round != netlink->round)
        remove_link (netlink, &links[i]);
    return request (netlink, RTM_GETADDR);
  }
  for (unsigned i = netlink->addresses.count; i-- > 0;)
    if (addresses[i].round != netlink->round)
      remove_address (netlink, &addresses[i]);
  netlink->dumping = 0;
  netlink->initial = 0;
  return ZM_OK;
}

static int
on_message (struct netlink *netlink, const struct nlmsghdr *header)
{
  if (header->nlmsg_flags & NLM_F_DUMP_INTR)
    netlink->again = 1;
  switch (header->nlmsg_type) {
  case RTM_NEWLINK:
  case RTM_DELLINK: on_link (netlink, header); return ZM_OK;
  case RTM_NEWADDR:
  case RTM_DELADDR: on_address (netlink, header); return ZM_OK;
  case NLMSG_DONE: return header->nlmsg_seq == netlink->sequence ? end_dump (netlink) : ZM_OK;
  case NLMSG_ERROR:
    zm_log (netlink->host, ZM_LOG_ERROR, "the kernel refused to list links");
    return ZM_E_FAILED;
  default: return ZM_OK;
  }
}

/* The kernel had more to say than its buffer took. A dump that is under way ends first: there is one at a time. */
static int
on_overrun (struct netlink *netlink)
{
  zm_metric (netlink->host, ZM_METRIC_COUNTER, "overruns", 1);
  zm_log (netlink->host, ZM_LOG_WARNING,
          "the kernel dropped events: reading everything anew (raise receive-buffer?)");
  netlink->again = 1;
  return netlink->dumping ? ZM_OK : start_dump (netlink);
}

static int
receive (struct netlink *netlink)
{
  _Alignas(struct nlmsghdr) char buffer[32768];
  struct sockaddr_nl from = { 0 };
  socklen_t from_size = sizeof from;
  ssize_t got =
      recvfrom (netlink->fd, buffer, sizeof buffer, MSG_TRUNC, (struct sockaddr *) &from, &from_size);
  int status = ZM_OK;
  int left = (int) got;

  if (got < 0 && (errno == ENOBUFS))
    return on_overrun (netlink);
  if (got < 0)
    return errno == EAGAIN || errno == EINTR ? ZM_OK : ZM_E_FAILED;
  /* Only the kernel (port 0) is believed; a message that did not fit counts as lost. */
  if (from.nl_pid != 0)
    return ZM_OK;
  if (got > (ssize_t) sizeof buffer)
    return on_overrun (netlink);
  for (struct nlmsghdr *header = (struct nlmsghdr *) buffer;
       status == ZM_OK && NLMSG_OK (header, (unsigned) left); header = NLMSG_NEXT (header, left))
    status = on_message (netlink, header);
  return status;
}

/* ---- the source */

static int
run (void *source)
{
  struct netlink *netlink = source;
  struct pollfd fds[2] = { { .fd = netlink->fd, .events = POLLIN },
                           { .fd = netlink->wake_fd, .events = POLLIN } };
  int status = start_dump (netlink);

  while (status == ZM_OK) {
    if (poll (fds, 2, netlink->first ? RETRY_MS : -1) < 0 && errno != EINTR)
      return ZM_E_FAILED;
    if (fds[1].revents)
      return ZM_OK;
    send_waiting (netlink, 0);
    if (fds[0].revents)
      status = receive (netlink);
  }
  return status;
}

static void
wake (void *source)
{
  struct netlink *netlink = source;

  /* Cannot fail in a way that matters: a full counter is readable too. */
  (void) eventfd_write (netlink->wake_fd, 1);
}

static void
close_source (void *source)
{
  struct netlink *netlink = source;

  send_waiting (netlink, 1);
  if (netlink->fd >= 0)
    close (netlink->fd);
  if (netlink->wake_fd >= 0)
    close (netlink->wake_fd);
  free (netlink->links.items);
  free (netlink->addresses.items);
  free (netlink);
}

static unsigned
number (const char *text, unsigned standard)
{
  char *end = NULL;
  unsigned long value = text ? strtoul (text, &end, 10) : 0;

  return text && end != text && *end == '\0' && value <= 1u << 30 ? (unsigned) value : standard;
}

static void
read_options (struct netlink *netlink)
{
  const char *text = zm_config (netlink->host, "initial", 0);

  netlink->report_initial =
      !text || (strcmp (text, "no") && strcmp (text, "false") && strcmp (text, "off") && strcmp (text, "0"));
  netlink->backlog = number (zm_config (netlink->host, "backlog", 0), 4096);
  for (unsigned i = 0; (text = zm_config (netlink->host, "events", i)); i++) {
    netlink->want_links |= strstr (text, "link") != NULL;
    netlink->want_addresses |= strstr (text, "address") != NULL;
  }
  if (!netlink->want_links && !netlink->want_addresses)
    netlink->want_links = netlink->want_addresses = 1;
}

static int
open_sockets (struct netlink *netlink)
{
  struct sockaddr_nl address = { .nl_family = AF_NETLINK,
                                 .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
  int size = (int) number (zm_config (netlink->host, "receive-buffer", 0), 1048576);

  netlink->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  netlink->fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (netlink->wake_fd < 0 || netlink->fd < 0)
    return ZM_E_FAILED;
  /* The kernel may give less; an overrun then only comes sooner. */
  (void) setsockopt (netlink->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  return bind (netlink->fd, (struct sockaddr *) &address, sizeof address) < 0 ? ZM_E_FAILED : ZM_OK;
}

static int
open_source (__attribute__ ((unused)) void *state, const zm_host *host, void **source)
{
  struct netlink *netlink = calloc (1, sizeof *netlink);
  char text[160];
  int error;

  if (!netlink)
    return ZM_E_MEMORY;
  netlink->host = host;
  netlink->fd = netlink->wake_fd = -1;
  netlink->initial = 1;
  netlink->last = &netlink->first;
  read_options (netlink);
  if (open_sockets (netlink) == ZM_OK) {
    *source = netlink;
    return ZM_OK;
  }
  error = errno;
  close_source (netlink);
  snprintf (text, sizeof text, "cannot listen to rtnetlink: %s (does a sandbox forbid AF_NETLINK?)",
            strerror (error));
  zm_log (host, ZM_LOG_ERROR, text);
  return ZM_E_FAILED;
}

static const zm_option_desc options[] = {
  { "interface", ZM_OPTION_STRING, ZM_OPTION_LIST, NULL, "Shell patterns of names; none: all" },
  { "events", ZM_OPTION_STRING, ZM_OPTION_LIST, NULL, "link, address; none: both" },
  { "initial", ZM_OPTION_BOOLEAN, 0, "yes", "Added for what is there at the start" },
  { "backlog", ZM_OPTION_INTEGER, 0, "4096", "Events that wait while the Subject is full" },
  { "receive-buffer", ZM_OPTION_INTEGER, 0, "1048576", "The kernel's buffer in bytes" },
  { NULL, 0, 0, NULL, NULL },
};

static const zm_source_ops source_ops = {
  .struct_size = sizeof source_ops,
  .open = open_source,
  .run = run,
  .wake = wake,
  .close = close_source,
};

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "netlink",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Events of the machine's network interfaces",
  .options = options,
  .source = &source_ops,
};

ZM_PLUGIN_FULL ("netlink", "1.0", "LGPL-2.1-or-later", "Events of the machine's network interfaces",
                "kind=source\n", &descriptor);
