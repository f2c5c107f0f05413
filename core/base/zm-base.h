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

/* One past the last byte. An empty span may have no address at all, to which C adds nothing, not even 0. */
static inline const char *
zm_span_end (ZmSpan span)
{
  return span.size > 0 ? span.data + span.size : span.data;
}

ZmSpan zm_span_text (const char *text); /* of a NUL-terminated text; NULL gives an empty span */
gboolean zm_span_equal (ZmSpan a, ZmSpan b);
gboolean zm_span_is (ZmSpan span, const char *text);
char *zm_span_dup (ZmSpan span); /* NUL-terminated copy, owned by the caller */
/* Fast, and the same in every process and run of one machine: nothing keeps a sender from choosing texts that collide,
 * so tables fed by peers need a bound on their chains. */
guint64 zm_span_hash (ZmSpan span);

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
  ZM_ERROR_UNREACHABLE, /* no daemon there */
  ZM_ERROR_UNGUARDED    /* going on without it would leave out what guards others */
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
  char *expected; /* what would be right, or NULL; shown after the word "expected" */
  char *todo;     /* what to do, or NULL */
} ZmProblem;

/* A bounded list (1,000; further ones are counted only). One owner, one thread. */
typedef struct ZmProblems ZmProblems;

ZmProblems *zm_problems_new (void);
void zm_problems_free (ZmProblems *problems);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmProblems, zm_problems_free)

/* Adds one. file, expected and todo may be NULL; all are copied. `what` is a printf format. Control bytes and invalid UTF-8
 * in any of them are made printable. Over the bound it only counts. */
void zm_problems_add (ZmProblems *problems, ZmSeverity severity, guint code, const char *file, guint line, guint column,
                      const char *expected, const char *todo, const char *what, ...) G_GNUC_PRINTF (9, 10);
guint zm_problems_errors (const ZmProblems *problems);   /* all that were added */
guint zm_problems_warnings (const ZmProblems *problems); /* all that were added */
guint zm_problems_count (const ZmProblems *problems);    /* that are kept, for zm_problems_get () */
/* Borrowed until problems is freed; NULL past the end. */
const ZmProblem *zm_problems_get (const ZmProblems *problems, guint index);
/* By file, line and column, what has no file first; those of one place stay in the order in which they were found. */
void zm_problems_sort (ZmProblems *problems);
/* "file:line:column: error ZM1234: what; expected …; todo"; what is not known is left out. The caller frees. */
char *zm_problem_format (const ZmProblem *problem);
/* All, one a line, errors first; for logs and replies. The caller frees. */
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

/* The nearest of `candidates` (NULL-terminated) by edit distance where it is near enough (one mistake in three letters;
 * case does not count), else NULL. Borrowed. */
const char *zm_suggest (const char *word, const char *const *candidates);
/* Is word a misspelling of candidate by that measure, or the same? *away: how many mistakes, 0 where only case differs; set
 * where it may be one. */
gboolean zm_similar (ZmSpan word, ZmSpan candidate, guint *away);

/* ---- ids, times, sizes ---- */

#define ZM_UUID_SIZE 36
/* Makes ids; one a thread, no locks. Time-ordered UUIDs, version 8 (RFC 9562). */
typedef struct ZmUuidMaker {
  guint64 random[2];
  guint64 last_us;
  guint32 sequence;
} ZmUuidMaker;
void zm_uuid_maker_init (ZmUuidMaker *maker);
/* Writes 36 characters, no NUL. now_us: wall time in microseconds. Ids of one maker sort in the order of making, even where
 * the clock stands still or falls back. */
void zm_uuid_make (ZmUuidMaker *maker, gint64 now_us, char out[ZM_UUID_SIZE]);

gint64 zm_now_us (void);  /* CLOCK_MONOTONIC */
gint64 zm_wall_us (void); /* CLOCK_REALTIME */

/* "250ms", "30s", "5m", "2h", "7d", "0"; a bare number is seconds. Milliseconds; at most 100,000 days. These four set an
 * error that quotes the text and says what it should be; the value is left alone then. */
gboolean zm_parse_duration (const char *text, gint64 *milliseconds, GError **error);
/* "4096", "64k", "16M", "2G" (powers of 1,024); at most G_MAXINT64. */
gboolean zm_parse_size (const char *text, guint64 *bytes, GError **error);
gboolean zm_parse_integer (const char *text, gint64 least, gint64 most, gint64 *value, GError **error);
gboolean zm_parse_boolean (const char *text, gboolean *value, GError **error); /* yes no true false on off 1 0 */

/* ---- JSON text, written without a tree ---- */

/* Appends text as a JSON string with quotes; invalid UTF-8 becomes U+FFFD, control characters \n, \r, \t or \u00XX. */
void zm_json_append_string (GString *out, ZmSpan text);
/* Is this one valid JSON value (RFC 8259; UTF-8, no lone surrogates, depth at most 64)? No tree is made. */
gboolean zm_json_valid (ZmSpan text);
/* Finds a top-level member of an object without a tree: the raw value's span, strings with their quotes. The first of that
 * name counts; what stands behind it is not looked at. FALSE also where the text before it is no JSON. */
gboolean zm_json_member (ZmSpan object, const char *name, ZmSpan *value);
/* Unescapes a raw JSON string (with quotes; \u0000 becomes U+FFFD), or copies a bare number. NULL where it is neither. */
char *zm_json_text (ZmSpan raw);

/* Text of a peer made safe for logs, terminals and labels: control and other unprintable characters and invalid UTF-8 as
 * \xHH; at most `most` bytes, "..." at the end where something was cut. The caller frees. */
char *zm_printable (ZmSpan text, gsize most);

/* ---- secrets in text that is shown ---- */

/* Does a key or an option of this name hold a secret, by the look of it (password, token …)? */
gboolean zm_names_secret (const char *name);
/* The text with the password of every address in it as ***: "amqp://user:word@host". The caller frees. */
char *zm_hide_passwords (const char *text);
/* The same, and everything behind a name that holds a secret: of "password word" the word. The caller frees. */
char *zm_hide_after_name (const char *text);
/* Of a command line: passwords of addresses, and values of options whose names hold a secret. The caller frees. */
char *zm_hide_in_command (const char *command);

G_END_DECLS
