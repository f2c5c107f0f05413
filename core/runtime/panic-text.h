/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text put together in a signal handler: a fixed buffer, no library call that is not async-signal-safe. What does not fit is cut.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define ZM_PANIC_LINE_MOST 1024

/* One line being written. Begin with used 0. */
typedef struct ZmPanicLine {
  gsize used;
  char bytes[ZM_PANIC_LINE_MOST];
} ZmPanicLine;

/* What is no printable ASCII, and what JSON would have to escape, becomes '?'. text may be NULL: "?". */
void zm_panic_put_text (ZmPanicLine *line, const char *text);
void zm_panic_put_number (ZmPanicLine *line, guint64 value);
void zm_panic_put_hex (ZmPanicLine *line, guint64 value); /* with 0x */
/* UTC of a time in seconds since 1970. compact: 20260102T030405Z, for the name of a file; else RFC 3339. */
void zm_panic_put_time (ZmPanicLine *line, gint64 seconds, gboolean compact);
/* Writes all of the bytes, as far as the descriptor takes them; nothing where fd is negative. */
void zm_panic_write (int fd, const char *bytes, gsize size);

G_END_DECLS
