/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a log line looks in each format, and the way to journald. Inside the room base only; log.c keeps levels, limits
 * and order. Any thread.
 */
#pragma once

#include "base/zm-log.h"

#include <limits.h>

G_BEGIN_DECLS

/* Bytes of a JSON or human line without its line end. What poll promises to go into a pipe at once is PIPE_BUF: a longer line
 * would wait for a reader that stands still. Of one that would be longer the text is cut ("..."), then its fields. */
#define ZM_LOG_LINE_MOST ((gsize) PIPE_BUF - 1)

/* A line as it was given, borrowed. fields: name, value, …, NULL; may be NULL. */
typedef struct ZmLogRecord {
  ZmLevel level;
  const char *room;
  const char *text;
  const char *const *fields;
  gint64 wall_us;
} ZmLogRecord;

/* One JSON object, without a line end; the caller frees. */
char *zm_log_json (const ZmLogRecord *record);
/* "12:34:56.789 warning subject: text  name=value", without a line end; the caller frees. */
char *zm_log_human (const ZmLogRecord *record, gboolean colour);
/* A datagram of journald's native protocol: FIELD=value lines. Nothing in it spans lines. The caller frees. */
char *zm_log_journal (const ZmLogRecord *record);

/* journald's socket at path: a connected descriptor, or -1. */
int zm_log_journal_open (const char *path);
/* Does JOURNAL_STREAM (its value; NULL allowed) name this descriptor? */
gboolean zm_log_is_journal (const char *stream, int fd);

G_END_DECLS
