/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ctl: zmanagerctl, the client of operators. One table (table.c) drives parsing, help, completion and the manual page's
 * list. Everything runs in one thread; the program makes one request or follows one stream, and ends.
 */
#pragma once

#include "base/i18n.h"
#include "base/zm-base.h"
#include "plugin/zm-note.h"
#include "runtime/zm-instance.h"

#include <json-glib/json-glib.h>
#include <zmq.h>

G_BEGIN_DECLS

/* Exit statuses: part of the interface, scripts rely on them. */
typedef enum {
  ZM_EXIT_OK = 0,
  ZM_EXIT_FAILED = 1,
  ZM_EXIT_USAGE = 2,
  ZM_EXIT_UNREACHABLE = 3,
  ZM_EXIT_REFUSED = 4,
  ZM_EXIT_NOT_FOUND = 5,
  ZM_EXIT_DEGRADED = 6
} ZmExit;

/* ---- the table ---- */

typedef enum { ZM_OPT_FLAG, ZM_OPT_TEXT, ZM_OPT_LIST, ZM_OPT_COUNT, ZM_OPT_DURATION } ZmOptKind;

typedef struct ZmCtlOption {
  const char *name; /* without the dashes */
  ZmOptKind kind;
  const char *value;   /* what help calls the value, or NULL for a flag */
  const char *help;    /* N_ */
  const char *choices; /* "bash|zsh|fish", or NULL: anything */
} ZmCtlOption;

typedef enum { ZM_GROUP_FIRST, ZM_GROUP_UNDERSTAND, ZM_GROUP_OPERATE } ZmCtlGroup;

typedef struct ZmCtl ZmCtl;

typedef struct ZmCtlCommand {
  const char *name; /* "status", or two words: "plugin ls" */
  ZmCtlGroup group;
  const char *arguments;      /* synopsis: "KEY [BODY|-|@FILE]" */
  guint least, most;          /* how many arguments */
  const char *help;           /* N_, one line */
  const ZmCtlOption *options; /* beside the global ones; ends with name NULL; may be NULL */
  int (*run) (ZmCtl *ctl, guint n, char **arguments); /* gives a ZmExit */
} ZmCtlCommand;

/* All commands, in the order of help; ends with name NULL. */
const ZmCtlCommand *zm_ctl_commands (void);
/* The options that every command takes; ends with name NULL. */
const ZmCtlOption *zm_ctl_global_options (void);
/* Has the command an option of this name of its own? It hides a global one then. */
gboolean zm_ctl_has_option (const ZmCtlCommand *command, const char *name);
/* The title of a group, translated. */
const char *zm_ctl_group_title (ZmCtlGroup group);

/* ---- one call of the program ---- */

struct ZmCtl {
  const ZmCtlCommand *command; /* NULL until it is known */
  GHashTable *values;          /* option name -> GPtrArray of char *, as given */
  gboolean json;
  gboolean color;       /* stdout takes colours */
  gboolean terminal;    /* stdout is a terminal */
  gint64 timeout_ms;    /* --timeout, or the default of reaching the daemon */
  void *zmq;            /* made at first use */
  ZmInstance *instance; /* made at first use */
  JsonObject *refused;  /* the last answer of the daemon that was an error, or NULL */
  JsonObject *status;   /* the daemon's status, asked at first use */
  int signal_fd;        /* -1, or tells SIGINT and SIGTERM */
  gboolean interrupted; /* one of them came */
};

/* How long the daemon may take to be reached where --timeout says nothing. */
#define ZM_CTL_REACH_MS 2000

/* Options as given; the last of several stands. */
gboolean zm_ctl_flag (const ZmCtl *ctl, const char *name);
const char *zm_ctl_text (const ZmCtl *ctl, const char *name); /* NULL: not given */
GPtrArray *zm_ctl_list (const ZmCtl *ctl, const char *name);  /* NULL: not given; borrowed */
gint64 zm_ctl_count (const ZmCtl *ctl, const char *name, gint64 standard);
gint64 zm_ctl_duration (const ZmCtl *ctl, const char *name, gint64 standard); /* milliseconds */

/* Parses the command line. Where the program has to end at once, FALSE, and *status is its exit status. */
gboolean zm_ctl_parse (ZmCtl *ctl, int argc, char **argv, GPtrArray *arguments, int *status);
/* The command of these words ("plugin", "ls"), or NULL; *used tells how many words it took. */
const ZmCtlCommand *zm_ctl_find (char **words, guint n, guint *used);
/* Help texts, to stdout. */
void zm_ctl_help_overview (gboolean all);
void zm_ctl_help_command (const ZmCtlCommand *command);
/* The commands whose first word this is ("plugin"), a line each. FALSE: there is none. */
gboolean zm_ctl_help_group (const char *word);

/* Prints a usage error with the command's synopsis; gives ZM_EXIT_USAGE. */
int zm_ctl_usage (const ZmCtl *ctl, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* Prints the error (as JSON too with --json) and gives the exit status that belongs to it. */
int zm_ctl_fail (const ZmCtl *ctl, const GError *error);

/* ---- out.c: what people and programs read ---- */

typedef enum { ZM_STYLE_BOLD, ZM_STYLE_DIM, ZM_STYLE_GOOD, ZM_STYLE_WARN, ZM_STYLE_BAD } ZmStyle;

/* Text in a style, or plain where there is no colour. The caller frees. */
char *zm_out_style (const ZmCtl *ctl, ZmStyle style, const char *text);
/* Writes text and a newline. */
void zm_out_line (const char *text);
void zm_out_bytes (ZmSpan bytes);
/* One JSON document and a newline. */
void zm_out_json (JsonNode *node);
void zm_out_json_object (JsonObject *object);
/* {"error":{"code","text"}}: what each failure is with --json. problems: of a reload that was refused, each as check has it; or
 * NULL. */
void zm_out_json_error (const char *code, const char *text, JsonArray *problems);

typedef struct ZmOutColumn {
  const char *member; /* of each row's object; ends with NULL */
  const char *title;  /* N_ */
  gboolean right;
} ZmOutColumn;

/* Rows (JSON objects) as a table with a heading; `none` is said instead where there are no rows. */
void zm_out_table (const ZmCtl *ctl, JsonArray *rows, const ZmOutColumn *columns, const char *none);
/* A value as indented lines "name: value". */
void zm_out_tree (const ZmCtl *ctl, JsonNode *node, guint indent);
/* A value on one line: text made safe, lists joined by commas, "-" for nothing. The caller frees. */
char *zm_out_value (JsonNode *node);
/* Microseconds as people say them: "812 us", "35 ms", "1.7 s"; from a minute on as zm_out_duration. The caller frees. */
char *zm_out_time (gint64 us);
/* The two largest units of it: "3 d 4 h". The caller frees. */
char *zm_out_duration (gint64 seconds);
/* Clears the screen for the next picture of --watch, on a terminal only. */
void zm_out_clear (const ZmCtl *ctl);

/* Members that may be missing or of another type: NULL, 0, FALSE then. Borrowed. */
const char *zm_json_get_text (JsonObject *object, const char *name);
gint64 zm_json_get_int (JsonObject *object, const char *name);
JsonObject *zm_json_get_object (JsonObject *object, const char *name);
JsonArray *zm_json_get_array (JsonObject *object, const char *name);
/* Elements that may be of another type: NULL then. index is within the array. */
JsonObject *zm_json_nth_object (JsonArray *array, guint index);
const char *zm_json_nth_text (JsonArray *array, guint index);
/* A body as JSON: a value where it is one, else text, else {"base64"}. Adds the member "body" or "base64". */
void zm_json_set_body (JsonObject *object, ZmSpan body);
/* "code: text" of an error as messages end in it, made safe for a terminal; NULL where it is none. The caller frees. */
char *zm_json_error_text (ZmSpan text);
/* Reads JSON text; NULL where it is none. */
JsonNode *zm_json_read (ZmSpan text);

/* ---- error-codes.c ---- */

/* A code of the errors of messages, such as no-taker. */
typedef struct ZmCtlErrorCode {
  const char *code;
  const char *means;
  const char *cure;
} ZmCtlErrorCode;
/* All of them; *n tells how many. */
const ZmCtlErrorCode *zm_ctl_error_codes (guint *n);

/* ---- conn.c: sockets ---- */

/* The instance of --dir. NULL: error. */
ZmInstance *zm_ctl_instance (ZmCtl *ctl, GError **error);
/* A connected socket of that type; returns when the peer has shaken hands. Errors: UNREACHABLE (with what to do) after
 * --timeout, REFUSED. Close with zm_ctl_close. */
void *zm_ctl_socket (ZmCtl *ctl, int type, const char *endpoint, GError **error);
void zm_ctl_close (void *socket, int linger_ms);
/* The error of a path that the system keeps from this user: code is an errno. */
void zm_ctl_set_forbidden (const char *path, int code, GError **error);
/* The daemon's endpoint of "subject", "call" or "topics", as its status tells. NULL: error. The caller frees. */
char *zm_ctl_endpoint (ZmCtl *ctl, const char *name, GError **error);
/* Does the daemon take a body of this size on its socket "subject" or "call"? Asked after zm_ctl_endpoint. FALSE: error. */
gboolean zm_ctl_body_fits (ZmCtl *ctl, const char *name, GBytes *body, GError **error);
/* Waits until the socket can be read (1), the time is over (0), or a signal ends the program (-1). */
int zm_ctl_wait (ZmCtl *ctl, void *socket, gint64 until_us);
/* Is the peer of a socket that can send still there? Asked every ZM_CTL_ALIVE_US by who waits without an end. */
gboolean zm_ctl_alive (void *socket, GError **error);
#define ZM_CTL_ALIVE_US G_USEC_PER_SEC
/* Waits for an answer of a peer that may die: 1 there is one, 0 the time is over, -1 error (a signal, or the peer is gone). */
int zm_ctl_wait_answer (ZmCtl *ctl, void *socket, gint64 until_us, GError **error);
/* SIGINT and SIGTERM come to zm_ctl_wait from now on; call before the first socket. */
void zm_ctl_catch_signals (ZmCtl *ctl);
/* Sends n frames. FALSE: not within wait_ms. */
gboolean zm_ctl_send_frames (void *socket, const ZmSpan *frames, guint n, int wait_ms);
/* Receives one multipart message as GBytes. NULL: nothing there. */
GPtrArray *zm_ctl_receive (void *socket);
ZmSpan zm_ctl_frame (const GPtrArray *frames, guint index);

/* ---- control.c: the control socket ---- */

/* A request object with its command; add arguments, then give it to one of the functions below (which free it). */
JsonObject *zm_ctl_request_new (const char *command);
/* One request, one answer: an object. NULL: error. wait_ms: how long the answer may take. */
JsonObject *zm_ctl_request (ZmCtl *ctl, JsonObject *request, gint64 wait_ms, GError **error);
/* How long ordinary requests wait for their answer. */
#define ZM_CTL_ANSWER_MS 10000
/* A request whose answer is {"text", "changes"}, printed; takes the request, gives the exit status. */
int zm_ctl_simple (ZmCtl *ctl, JsonObject *request, gint64 wait_ms);
/* A request whose answer is {member: [rows]}, printed as a table. */
int zm_ctl_listing (ZmCtl *ctl, JsonObject *request, const char *member, const ZmOutColumn *columns,
                    const char *none);
/* The same where the request is called as the member, with what people read made from what is there; for_people: of each row. */
int zm_ctl_listing_for_people (ZmCtl *ctl, const char *command, const ZmOutColumn *columns,
                               void (*for_people) (JsonObject *), const char *none);
/* A stream of the daemon, such as its log. */
typedef struct ZmCtlStream {
  gboolean (*part) (ZmCtl *ctl, JsonNode *item, gpointer user); /* each item; FALSE: enough */
  void (*ready) (ZmCtl *ctl, gpointer user); /* it is open: all that happens from now on comes; or NULL */
  void (*quiet) (ZmCtl *ctl,
                 gpointer user); /* nothing came in the first ZM_CTL_QUIET_US, told once; or NULL */
  void (*done) (ZmCtl *ctl, JsonObject *answer, gpointer user); /* the daemon ended it, with this; or NULL */
  gint64 until_us;                                              /* zm_now_us of its end; 0: none */
  gpointer user;
} ZmCtlStream;
/* Follows it until the part had enough, the time is over, a signal comes, or the daemon ends it. FALSE: error. */
gboolean zm_ctl_stream (ZmCtl *ctl, JsonObject *request, const ZmCtlStream *stream, GError **error);
/* Who waits this long for a message is told what for. */
#define ZM_CTL_QUIET_US (3 * G_USEC_PER_SEC)

/* ---- message.c: messages on the command line ---- */

typedef struct ZmCtlMessage {
  char *prefix; /* flow~decorator~sender~context~action~ */
  char *id;
  char *topic;   /* prefix and id */
  char *headers; /* JSON text, or NULL */
  GBytes *body;
} ZmCtlMessage;
/* A body as it is given on the command line: BODY, - or @FILE. NULL: error. */
GBytes *zm_ctl_read_body (const char *text, GError **error);
/* From KEY [BODY|-|@FILE] and the options flow, id, header. FALSE: *status is the exit status; it was said why. */
gboolean zm_ctl_message_read (ZmCtl *ctl, guint n, char **arguments, gint64 timeout_ms, ZmCtlMessage *message,
                              int *status);
void zm_ctl_message_clear (ZmCtlMessage *message);
/* Is this text an id that a message may have? */
gboolean zm_ctl_id_check (const char *id);
/* Gives the message the next id. */
void zm_ctl_message_next (ZmCtlMessage *message, ZmUuidMaker *ids);
/* Sends it on the call socket and waits: [status][headers][body] as GBytes. NULL: error. */
GPtrArray *zm_ctl_request_call (ZmCtl *ctl, void *call, const char *verb, const ZmCtlMessage *message,
                                gint64 timeout_ms, GError **error);
GPtrArray *zm_ctl_call (ZmCtl *ctl, const char *endpoint, const ZmCtlMessage *message, gint64 timeout_ms,
                        GError **error);
/* One exchange on an open call socket: sends [id][verb][frames …], gives [status][headers][body]. NULL: error. */
GPtrArray *zm_ctl_exchange (ZmCtl *ctl, void *call, const char *verb, const ZmSpan *frames, guint n,
                            gint64 wait_ms, GError **error);

/* A plugin's note; errors name the file. */
ZmManifest *zm_ctl_read_manifest (const char *path, GError **error);

/* All that a status answer holds, for people (status --verbose). */
void zm_ctl_status_all (const ZmCtl *ctl, JsonObject *status);

/* ---- commands ---- */

int zm_ctl_cmd_status (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_check (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_send (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_call (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_tail (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_explain (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_plugin_ls (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_plugin_inspect (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_plugin_load (ZmCtl *ctl, guint n, char **arguments); /* also unload and reload */
int zm_ctl_cmd_plugin_new (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_plugin_test (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_top (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_trace (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_flow_ls (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_flow_show (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_flow_test (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_services (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_running (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_workers (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_hosts (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_dead_ls (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_dead_show (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_dead_replay (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_dead_rm (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_ls (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_show (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_create (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_rm (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_purge (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_put (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_get (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_ack (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_release (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_queue_peek (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_export (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_import (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_reload (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_drain (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_token_new (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_token_ls (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_token_rm (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_store_status (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_store_check (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_store_backup (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_store_restore (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_log (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_completion (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_help (ZmCtl *ctl, guint n, char **arguments);
int zm_ctl_cmd_version (ZmCtl *ctl, guint n, char **arguments);

G_END_DECLS
