/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Endpoints of our sockets: which are allowed and why not, and sockets with the bounds that every one of ours has. Shared by
 * the Integration Manager and the Subject.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef struct ZmSocketRules {
  const char *name;   /* "topics", "subject", "call": for error texts */
  int high_water;     /* messages, both directions; 0 or less: 1,000 */
  gint64 max_message; /* bytes in one frame; 0 or less: no bound of our own */
  gboolean multicast; /* epgm and pgm are allowed here */
} ZmSocketRules;

/* Checks an endpoint and gives the form that libzmq takes (localhost becomes 127.0.0.1). The caller frees. Refused: tcp
 * beyond loopback, multicast where the rules do not allow it, other transports, what cannot be read as an endpoint. */
char *zm_endpoint_normal (const char *text, const ZmSocketRules *rules, GError **error);
/* Is it multicast (epgm, pgm)? */
gboolean zm_endpoint_multicast (const char *text);
/* A socket with high-water marks, size bound, heartbeats, handshake bound and no linger. */
void *zm_endpoint_socket (void *zmq, int type, const ZmSocketRules *rules, GError **error);
/* Binds or connects. Gives what it is attached to, wildcards filled in; NULL with the reason. The caller frees. */
char *zm_endpoint_attach (void *socket, const char *text, gboolean bind, const ZmSocketRules *rules,
                          GError **error);

G_END_DECLS
