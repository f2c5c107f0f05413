/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands of the control socket: a JSON object in, a JSON object out. Knows nothing of sockets; those are in control.h. All
 * functions: the runtime's thread.
 */
#pragma once

#include "runtime/zm-runtime.h"

G_BEGIN_DECLS

struct ZmRuntime;

/* How a command ends. */
typedef enum {
  ZM_REPLY_OK,     /* out is the reply */
  ZM_REPLY_ERROR,  /* out is {"code", "text"} and perhaps "problems" */
  ZM_REPLY_STREAM, /* parts follow; control opens the stream */
  ZM_REPLY_CANCEL, /* control ends the stream with this request's id */
  ZM_REPLY_LATER,  /* the reply comes when the drain has ended */
  ZM_REPLY_ASYNC   /* the reply comes by zm_command_answer */
} ZmReplyKind;

#define ZM_REQUEST_TEXT_MOST 65536 /* bytes of one of its strings */

/* A command that is answered later. Opaque; from zm_command_later to zm_command_answer. */
typedef struct ZmLater ZmLater;

/* One command being run. */
typedef struct ZmCommandCall {
  struct ZmRuntime *runtime;
  ZmSpan request;       /* the whole JSON object */
  GString *out;         /* the reply's JSON */
  ZmProblems *problems; /* of a reload that was refused; or NULL */
  ZmLater *later;       /* set by zm_command_later: out is not looked at then */
} ZmCommandCall;

typedef struct ZmCommand {
  const char *name;
  gboolean (*run) (ZmCommandCall *call, GError **error); /* NULL: control does it */
  ZmReplyKind kind;
} ZmCommand;

/* Checks and runs one request; appends the reply to out. *command (may be NULL): which one, where there is such. *later (may be
 * NULL: then nobody is told the answer): where it is ZM_REPLY_ASYNC. */
ZmReplyKind zm_command_run (struct ZmRuntime *runtime, ZmSpan request, GString *out,
                            const ZmCommand **command, ZmLater **later);

/* ---- answering later ---- */

/* Inside run: this command is answered by zm_command_answer, called once, before the daemon's rooms are gone. A command that returns FALSE
 * after this must not have given the handle to anybody. NULL: too many wait, error says so. */
ZmLater *zm_command_later (ZmCommandCall *call, GError **error);
/* Any thread: how far it is, as a part of a stream; only for a client that asked for such. Takes json. */
void zm_command_progress (ZmLater *later, char *json);
/* Any thread: the end. Takes later and json, an object; where not ok {"code", "text"}. */
void zm_command_answer (ZmLater *later, gboolean ok, char *json);
/* The same with an error, which becomes such an object. */
void zm_command_answer_error (ZmLater *later, const GError *error);

/* ---- arguments of a request that was checked ---- */

/* A string. FALSE: it is wrong. *value is NULL where it is not given, which is an error where required. The caller frees. */
gboolean zm_command_text (ZmSpan request, const char *name, gboolean required, char **value, GError **error);
gboolean zm_command_integer (ZmSpan request, const char *name, gint64 standard, gint64 least, gint64 most,
                             gint64 *value, GError **error);
gboolean zm_command_flag (ZmSpan request, const char *name, gboolean *value, GError **error);

/* ---- writing replies ---- */

/* Each adds one member ("name":…) to an object that begins with '{' and is not closed, with a comma where needed. */
void zm_reply_member_text (GString *out, const char *name, const char *text); /* NULL: null */
void zm_reply_member_integer (GString *out, const char *name, gint64 value);
void zm_reply_member_boolean (GString *out, const char *name, gboolean value);
void zm_reply_member_json (GString *out, const char *name, const char *json); /* raw; NULL: null */
void zm_reply_member_take (GString *out, const char *name, char *json);       /* raw; frees it */
void zm_reply_member_list (GString *out, const char *name, const char *const *texts,
                           gssize n); /* n -1: NULL-terminated */
void zm_reply_member_problems (GString *out, const char *name, const ZmProblems *problems);
/* {"code", "text"} of an error. */
void zm_reply_error (GString *out, const GError *error, const ZmProblems *problems);

/* ---- the commands: commands-*.c ---- */

gboolean zm_command_status (ZmCommandCall *call, GError **error);
gboolean zm_command_metrics (ZmCommandCall *call, GError **error);
gboolean zm_command_config (ZmCommandCall *call, GError **error);
gboolean zm_command_plugins (ZmCommandCall *call, GError **error);
gboolean zm_command_plugin_load (ZmCommandCall *call, GError **error);
gboolean zm_command_plugin_unload (ZmCommandCall *call, GError **error);
gboolean zm_command_plugin_reload (ZmCommandCall *call, GError **error);
gboolean zm_command_explain (ZmCommandCall *call, GError **error);
gboolean zm_command_flows (ZmCommandCall *call, GError **error);
gboolean zm_command_flow (ZmCommandCall *call, GError **error);
gboolean zm_command_instances (ZmCommandCall *call, GError **error);
gboolean zm_command_routes (ZmCommandCall *call, GError **error);
gboolean zm_command_hosts (ZmCommandCall *call, GError **error);
gboolean zm_command_dead (ZmCommandCall *call, GError **error);
gboolean zm_command_dead_replay (ZmCommandCall *call, GError **error);
gboolean zm_command_dead_rm (ZmCommandCall *call, GError **error);
gboolean zm_command_running (ZmCommandCall *call, GError **error);
gboolean zm_command_sources (ZmCommandCall *call, GError **error);
gboolean zm_command_services (ZmCommandCall *call, GError **error);
gboolean zm_command_service_command (ZmCommandCall *call, GError **error);
gboolean zm_command_store_status (ZmCommandCall *call, GError **error);
gboolean zm_command_store_check (ZmCommandCall *call, GError **error);
gboolean zm_command_store_backup (ZmCommandCall *call, GError **error);
gboolean zm_command_workers (ZmCommandCall *call, GError **error);
gboolean zm_command_queues (ZmCommandCall *call, GError **error);
gboolean zm_command_queue (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_ack (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_create (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_get (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_peek (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_purge (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_put (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_release (ZmCommandCall *call, GError **error);
gboolean zm_command_queue_rm (ZmCommandCall *call, GError **error);
gboolean zm_command_reload (ZmCommandCall *call, GError **error);
gboolean zm_command_drain (ZmCommandCall *call, GError **error);
gboolean zm_command_log_level (ZmCommandCall *call, GError **error);
gboolean zm_command_log_recent (ZmCommandCall *call, GError **error);

G_END_DECLS
