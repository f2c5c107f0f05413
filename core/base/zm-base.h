/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * base: small things that every room needs, and that know nobody: text spans, problems with a place, "did you mean",
 * UUIDs, JSON text, durations and sizes, clock.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* ---- spans ---- */

/* Borrowed bytes with a length; valid as long as what they were cut from. */
typedef struct ZmSpan {
  const char *data;
  gsize size;
} ZmSpan;

#define ZM_SPAN_LITERAL(text) ((ZmSpan){ (text), sizeof (text) - 1 })

static inline ZmSpan
zm_span (const char *data, gsize size)
{
  ZmSpan span = { data, size };
  return span;
}

ZmSpan zm_span_text (const char *text); /* of a NUL-terminated text; NULL gives an empty span */
gboolean zm_span_equal (ZmSpan a, ZmSpan b);
gboolean zm_span_is (ZmSpan span, const char *text);
char *zm_span_dup (ZmSpan span); /* NUL-terminated copy, owned by the caller */
guint64 zm_span_hash (ZmSpan span); /* fast, not for hostile collision resistance beyond a per-process seed */

/* ---- errors of the rooms ---- */

/* One domain for what is no problem of a file; code is a ZmErrorCode. */
#define ZM_ERROR (zm_error_quark ())
GQuark zm_error_quark (void);

typedef enum {
  ZM_ERROR_INVALID,     /* input is wrong */
  ZM_ERROR_NOT_FOUND,   /* nothing of that name */
  ZM_ERROR_EXISTS,
  ZM_ERROR_REFUSED,     /* not allowed */
  ZM_ERROR_UNAVAILABLE, /* not now */
  ZM_ERROR_IO,          /* the system said no */
  ZM_ERROR_LIMIT,       /* over a bound */
  ZM_ERROR_ABI,         /* a plugin of another ABI */
  ZM_ERROR_PLUGIN,      /* a plugin's own failure */
  ZM_ERROR_UNREACHABLE  /* no daemon there */
} ZmErrorCode;

/* ---- problems: what a checker finds, all of them at once ---- */

typedef enum { ZM_PROBLEM_ERROR, ZM_PROBLEM_WARNING } ZmSeverity;

/* One finding in a file. Strings are owned. */
typedef struct ZmProblem {
  ZmSeverity severity;
  guint code;     /* stable, shown as ZM1234; `zmanagerctl explain ZM1234` */
  char *file;     /* or NULL */
  guint line;     /* 1 is the first; 0: no line */
  guint column;   /* 1 is the first; 0: no column; counted in characters */
  char *what;     /* what is wrong, with the offending text quoted */
  char *expected; /* what would be right, or NULL */
  char *todo;     /* what to do, or NULL */
} ZmProblem;

/* A bounded list (1,000; further ones are counted only). One owner, one thread. */
typedef struct ZmProblems ZmProblems;

ZmProblems *zm_problems_new (void);
void zm_problems_free (ZmProblems *problems);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmProblems, zm_problems_free)

/* Adds one. expected and todo may be NULL. `what` is a printf format. */
void zm_problems_add (ZmProblems *problems, ZmSeverity severity, guint code, const char *file, guint line, guint column,
                      const char *expected, const char *todo, const char *what, ...) G_GNUC_PRINTF (9, 10);
guint zm_problems_errors (const ZmProblems *problems);
guint zm_problems_warnings (const ZmProblems *problems);
guint zm_problems_count (const ZmProblems *problems);
const ZmProblem *zm_problems_get (const ZmProblems *problems, guint index);
/* "file:line:column: error ZM1234: what; expected; todo" */
char *zm_problem_format (const ZmProblem *problem);
/* All, one a line, errors first; for logs and replies. */
char *zm_problems_format (const ZmProblems *problems);

/* The sorted table of stable codes: number, title, a paragraph of explanation with an example and its cure. */
typedef struct ZmCodeInfo {
  guint code;
  const char *title;
  const char *text;
} ZmCodeInfo;
/* "ZM1234" or "1234"; NULL where there is none. All codes of the rooms stand in base/codes.c. */
const ZmCodeInfo *zm_code_info (const char *code);

/* ---- did you mean ---- */

/* The nearest of `candidates` (NULL-terminated) by edit distance where it is near enough, else NULL. Borrowed. */
const char *zm_suggest (const char *word, const char *const *candidates);

/* ---- ids, times, sizes ---- */

#define ZM_UUID_SIZE 36
/* Makes ids; one a thread, no locks. Time-ordered UUIDs, version 8 (RFC 9562). */
typedef struct ZmUuidMaker {
  guint64 random[2];
  guint64 last_us;
  guint32 sequence;
} ZmUuidMaker;
void zm_uuid_maker_init (ZmUuidMaker *maker);
/* Writes 36 characters, no NUL. now_us: wall time in microseconds. */
void zm_uuid_make (ZmUuidMaker *maker, gint64 now_us, char out[ZM_UUID_SIZE]);

gint64 zm_now_us (void);  /* CLOCK_MONOTONIC */
gint64 zm_wall_us (void); /* CLOCK_REALTIME */

/* "250ms", "30s", "5m", "2h", "7d", "0"; a bare number is seconds. Milliseconds. */
gboolean zm_parse_duration (const char *text, gint64 *milliseconds, GError **error);
/* "4096", "64k", "16M", "2G" (powers of 1,024). */
gboolean zm_parse_size (const char *text, guint64 *bytes, GError **error);
gboolean zm_parse_integer (const char *text, gint64 least, gint64 most, gint64 *value, GError **error);
gboolean zm_parse_boolean (const char *text, gboolean *value, GError **error); /* yes no true false on off 1 0 */

/* ---- JSON text, written without a tree ---- */

/* Appends text as a JSON string with quotes; invalid UTF-8 becomes U+FFFD, control bytes \u00XX. */
void zm_json_append_string (GString *out, ZmSpan text);
/* Is this one valid JSON value (UTF-8, depth at most 64)? No tree is made. */
gboolean zm_json_valid (ZmSpan text);
/* Finds a top-level member of an object without a tree: the raw value's span, strings with their quotes. */
gboolean zm_json_member (ZmSpan object, const char *name, ZmSpan *value);
/* Unescapes a raw JSON string (with quotes), or copies a bare number. NULL where it is neither. */
char *zm_json_text (ZmSpan raw);

/* Text of a peer made safe for logs, terminals and labels: control bytes and invalid UTF-8 as \xHH; at most `most` bytes. */
char *zm_printable (ZmSpan text, gsize most);

G_END_DECLS
