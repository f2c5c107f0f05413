/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What http.c, http-calls.c and http-tails.c share. */
#pragma once

#include "runtime/http.h"
#include "runtime/private.h"

#include <stdatomic.h>

G_BEGIN_DECLS

#define ZM_WEB_TAILS_MOST    256
#define ZM_WEB_COMMANDS_MOST 1000

struct ZmWeb {
  ZmRuntime *runtime;
  const ZmHttpModule *module; /* NULL: HTTP is not served */
  ZmHttp *http;
  atomic_int closed; /* nothing is sent or asked any more */

  pthread_mutex_t calls_lock;
  GHashTable *calls; /* ticket -> WebCall */
  guint64 last_ticket;

  pthread_mutex_t tails_lock;
  GPtrArray *tails; /* WebTail */
  guint64 last_tail;
  atomic_uint n_tails;

  pthread_mutex_t commands_lock;
  GQueue commands; /* WebCommand */

  pthread_mutex_t ready_lock;
  gboolean not_ready;  /* nothing is taken: it drains, or the store does not work */
  char *reasons;       /* JSON array: why not, or why it is degraded; NULL: none */
  GSource *ready_look; /* in the main loop */
};

/* http-calls.c */
void zm_web_send (ZmMessage *message, ZmHttpHow how, ZmHttpResult done, gpointer done_user, gpointer user);
void zm_web_calls_end (ZmWeb *web);

/* http-tails.c */
guint64 zm_web_tail (const char *prefix, void (*func) (ZmMessage *message, gpointer func_user),
                     gpointer func_user, gpointer user);
void zm_web_untail (guint64 tail, gpointer user);

/* http-commands.c */
void zm_web_command (const char *request, void (*done) (gboolean ok, const char *reply, gpointer done_user),
                     gpointer done_user, gpointer user);
/* Those that have not run: answered that the daemon ends. */
void zm_web_commands_end (ZmWeb *web);

G_END_DECLS
