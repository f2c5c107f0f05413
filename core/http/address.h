/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of [http] listen. Any thread. */
#pragma once

#include "base/zm-base.h"

#include <sys/socket.h>
#include <sys/un.h>

G_BEGIN_DECLS

/* One of them, read. */
typedef struct ZmHttpAddress {
  struct sockaddr_storage socket;
  socklen_t size;
  gboolean local;    /* a unix socket */
  gboolean loopback; /* reached from this machine only; unix sockets too */
} ZmHttpAddress;

/* ADDRESS:PORT with an IPv4 address, an IPv6 one in brackets or localhost (127.0.0.1), port 0: the system chooses; unix:PATH with an absolute
 * path, or one below run_dir (NULL: relative ones are refused). */
gboolean
zm_http_address_parse (const char *text, const char *run_dir, ZmHttpAddress *address, GError **error);
/* "http://127.0.0.1:8888" or "unix:/run/x"; the caller frees. */
char *zm_http_address_text (const ZmHttpAddress *address, gboolean secure);

G_END_DECLS
