/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log: structured lines. Each has a level, a room, a text and optional fields (message id, plugin, key, file …).
 * Output: JSON lines, human-readable lines, or journald's native fields, to one place chosen at start. Bounded and rate
 * limited by kind, so that no peer can flood it: what was suppressed is counted and said later in one line. Never on the
 * path of a message that succeeds. Control bytes never reach it raw. May be called from any thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct ZmLog ZmLog;
typedef enum { ZM_LEVEL_ERROR = 3, ZM_LEVEL_WARNING = 4, ZM_LEVEL_NOTICE = 5, ZM_LEVEL_INFO = 6, ZM_LEVEL_DEBUG = 7 } ZmLevel;
typedef enum { ZM_LOG_FORMAT_AUTO, ZM_LOG_FORMAT_HUMAN, ZM_LOG_FORMAT_JSON, ZM_LOG_FORMAT_JOURNAL } ZmLogFormat;

/* fd is borrowed (2 usually). Colour only on a terminal, and not where NO_COLOR is set; without journald JOURNAL writes lines
 * for people. Texts are cut at 4 KiB, values at 1 KiB; at most 32 fields. The last unref says what was suppressed. AUTO: journald where JOURNAL_STREAM names fd, human on a terminal, else JSON. */
ZmLog *zm_log_new (int fd, ZmLogFormat format, ZmLevel level);
ZmLog *zm_log_ref (ZmLog *log);
void zm_log_unref (ZmLog *log);
/* Says now what was suppressed, for who cannot wait for the last unref: a thread that is left behind keeps its reference. */
void zm_log_flush (ZmLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmLog, zm_log_unref)

void zm_log_set_level (ZmLog *log, ZmLevel level);
gboolean zm_log_enabled (const ZmLog *log, ZmLevel level);
gboolean zm_log_is_json (const ZmLog *log); /* are the lines at fd JSON? */
gboolean zm_level_parse (const char *text, ZmLevel *level); /* error warning notice info debug */
const char *zm_level_name (ZmLevel level);

/* One line. room: "subject", "plugin" …; fields: name, value, name, value, …, NULL (names are literals; NULL values are
 * left out). log may be NULL: nothing happens. */
void zm_log_line (ZmLog *log, ZmLevel level, const char *room, const char *text, const char *const *fields);
void zm_log_write (ZmLog *log, ZmLevel level, const char *room, const char *format, ...) G_GNUC_PRINTF (4, 5);
/* The same, at most 5 lines in 10 s for one `kind` (a literal: its address is the identity). What was left out is said in
 * "n lines like this suppressed: KIND" with the first line of any kind after those 10 s, or at the end. room is a literal. */
void zm_log_limited (ZmLog *log, ZmLevel level, const char *room, const char *kind, const char *format, ...)
    G_GNUC_PRINTF (5, 6);
/* One line whatever level is set: what an operator did. */
void zm_log_always (ZmLog *log, ZmLevel level, const char *room, const char *text, const char *const *fields);
/* Such a line as it stands in a log of JSON lines, without its line feed, for who writes a log of its own. The caller frees. */
char *zm_log_line_json (ZmLevel level, const char *room, const char *text, const char *const *fields);
/* Every line also goes to this function as (level, JSON text), for `zmanagerctl log`; at most one tap (NULL: none). It runs in
 * the thread that logs, under the log's lock: it must be short and may not log. When set_tap returns, the old one has ended. */
typedef void (*ZmLogTap) (ZmLevel level, const char *json, gpointer user);
void zm_log_set_tap (ZmLog *log, ZmLogTap tap, gpointer user);
/* The last 64 lines of warning and above as a JSON array; the caller frees. */
char *zm_log_recent (ZmLog *log);

G_END_DECLS
