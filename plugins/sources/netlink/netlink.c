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
#include "netlink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_MS 20

/* ---- the kernel */

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
  int links = netlink->dumping == RTM_GETLINK;

  netlink->dumping = 0;
  if (netlink->again)
    return ZM_OK;
  if (links) {
    netlink_sweep_links (netlink);
    return request (netlink, RTM_GETADDR);
  }
  netlink_sweep_addresses (netlink);
  netlink->initial = 0;
  return ZM_OK;
}

/* The kernel refuses a dump into a full buffer, and begins it nevertheless once there is room. */
static int
on_error (struct netlink *netlink, const struct nlmsghdr *header)
{
  const struct nlmsgerr *error = NLMSG_DATA (header);
  char text[128];

  if (header->nlmsg_len < NLMSG_LENGTH (sizeof *error) || error->error == 0)
    return ZM_OK;
  if (error->error == -ENOBUFS) {
    netlink->again = 1;
    return ZM_OK;
  }
  snprintf (text, sizeof text, "the kernel refused to list links: %s", strerror (-error->error));
  zm_log (netlink->host, ZM_LOG_ERROR, text);
  return ZM_E_FAILED;
}

static int
on_message (struct netlink *netlink, const struct nlmsghdr *header)
{
  int answer = header->nlmsg_seq == netlink->sequence && header->nlmsg_pid == netlink->port;

  if (header->nlmsg_flags & NLM_F_DUMP_INTR)
    netlink->again = 1;
  switch (header->nlmsg_type) {
  case RTM_NEWLINK:
  case RTM_DELLINK: netlink_on_link (netlink, header); return ZM_OK;
  case RTM_NEWADDR:
  case RTM_DELADDR: netlink_on_address (netlink, header); return ZM_OK;
  case NLMSG_DONE: return answer ? end_dump (netlink) : ZM_OK;
  case NLMSG_ERROR: return on_error (netlink, header);
  default: return ZM_OK;
  }
}

/* The kernel had more to say than its buffer took. */
static int
on_overrun (struct netlink *netlink)
{
  zm_metric (netlink->host, ZM_METRIC_COUNTER, "overruns", 1);
  zm_log (netlink->host, ZM_LOG_WARNING,
          "the kernel dropped events: reading everything anew (raise receive-buffer?)");
  netlink->again = 1;
  return ZM_OK;
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

/* After a loss, a new dump waits until all that was kept is read: what is older than the dump must not be taken for newer. */
static int
run (void *source)
{
  struct netlink *netlink = source;
  struct pollfd fds[2] = { { .fd = netlink->fd, .events = POLLIN },
                           { .fd = netlink->wake_fd, .events = POLLIN } };
  int status = start_dump (netlink);

  while (status == ZM_OK) {
    int drain = netlink->again && !netlink->dumping;
    int ready = poll (fds, 2, drain ? 0 : netlink->first ? RETRY_MS : -1);

    if (ready < 0 && errno != EINTR)
      return ZM_E_FAILED;
    if (ready > 0 && fds[1].revents)
      return ZM_OK;
    netlink_send_waiting (netlink, 0);
    if (ready > 0 && fds[0].revents)
      status = receive (netlink);
    else if (ready == 0 && drain)
      status = start_dump (netlink);
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

  netlink_send_waiting (netlink, 1);
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
  socklen_t address_size = sizeof address;
  int size = (int) number (zm_config (netlink->host, "receive-buffer", 0), 1048576);

  netlink->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  netlink->fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (netlink->wake_fd < 0 || netlink->fd < 0)
    return ZM_E_FAILED;
  /* The kernel may give less; an overrun then only comes sooner. */
  (void) setsockopt (netlink->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (bind (netlink->fd, (struct sockaddr *) &address, address_size) < 0 ||
      getsockname (netlink->fd, (struct sockaddr *) &address, &address_size) < 0)
    return ZM_E_FAILED;
  netlink->port = address.nl_pid;
  return ZM_OK;
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
