/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP API in the daemon: opens the module where [http] listen is set, and gives it what it may reach. */
#pragma once

#include "http/zm-http.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmWeb ZmWeb;

/* Tickets of calls that came by HTTP; those of the call sockets have neither this bit nor the highest. */
#define ZM_WEB_TICKET (G_GUINT64_CONSTANT (1) << 62)

/* Before traffic: what the tap needs, with or without HTTP. */
void zm_web_prepare (struct ZmRuntime *runtime);
/* Opens the module and its sockets where they are asked for. TRUE as well where they are not. The runtime's thread, as the following. */
gboolean zm_web_open (struct ZmRuntime *runtime, GError **error);
/* After a reload that was taken. */
void zm_web_configure (struct ZmRuntime *runtime);
/* The drain begins: nothing new is taken, who waits for nothing in particular is sent away; calls go on to their results. */
void zm_web_pause (struct ZmRuntime *runtime);
/* Everybody who still waits is answered 503. Before the rooms that it asks are gone. */
void zm_web_close (struct ZmRuntime *runtime);
void zm_web_free (struct ZmRuntime *runtime);
/* The publish tap's part: live tails. The publisher's thread. */
void zm_web_tap (ZmMessage *const *messages, guint n, struct ZmRuntime *runtime);
/* Answers a call of ZM_WEB_TICKET. Any thread. */
void zm_web_reply (struct ZmRuntime *runtime, guint64 ticket, int status, const ZmMessage *result);
/* NULL-terminated; NULL: HTTP is not served. */
const char *const *zm_web_endpoints (struct ZmRuntime *runtime);
/* "null" where HTTP is not served; the caller frees. */
char *zm_web_status_json (struct ZmRuntime *runtime);

G_END_DECLS
