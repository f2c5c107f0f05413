/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client of HTTP/1.1 that keeps its connections, for the benchmarks: one thread, epoll, one request at a time a connection. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct LoadConnection LoadConnection;

/* Writes the next request into out. FALSE: there is none for this connection any more. */
typedef gboolean (*LoadNext) (guint connection, GString *out, gpointer user);
/* Sees an answer: its status and its body, borrowed. */
typedef void (*LoadAnswer) (guint connection, guint status, const char *body, gsize size, gpointer user);

/* Runs until no connection has a request any more. Returns the seconds; 0: a connection failed. */
double load_run (guint port, guint connections, LoadNext next, LoadAnswer answer, gpointer user);
/* A port of 127.0.0.1 that was free just now. */
guint load_free_port (void);
/* A request of that text. */
void
load_request (GString *out, const char *method, const char *target, const char *headers, const char *body);

G_END_DECLS
