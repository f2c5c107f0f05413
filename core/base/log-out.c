/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The three formats of a log line, and journald's socket.
 *
 * Texts may quote what peers and files hold. Whatever the format, control characters are made visible, lengths are cut, and one
 * record stays one line: nobody can forge a second one.
 */
#include "config.h"

#include "base/log-out.h"

#include "base/zm-base.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MOST   4096 /* bytes of a line's text */
#define TEXT_LEAST  256  /* of it where its line is too long: then the fields are cut too */
#define FIELD_MOST  1024 /* bytes of a field's value */
#define FIELDS_MOST 32

/* ---- lengths ---- */

/* A text as it may stand in a line: no password of an address, no control characters, cut. The caller frees. */
static char *
shown (const char *text, gsize most)
{
  g_autofree char *safe = zm_hide_passwords (text);

  return zm_printable (zm_span_text (safe), most);
}

/* What one line may have of each, in bytes before they are made JSON. */
typedef struct Limits {
  gsize text, field;
} Limits;

static const Limits full_limits = { TEXT_MOST, FIELD_MOST };

/* TRUE: a line of this size is too long, and is to be made again within the limits as they are now. A byte less of the
 * text is at least a byte less of the line. Ends: with fields of a few bytes each any line is short enough. */
static gboolean
shorten (Limits *limits, const ZmLogRecord *record, gsize size)
{
  g_autofree char *text = NULL;

  if (size <= ZM_LOG_LINE_MOST || limits->field < 8)
    return FALSE;
  text = shown (record->text, limits->text);
  if (strlen (text) >= size - ZM_LOG_LINE_MOST + TEXT_LEAST) {
    limits->text = strlen (text) - (size - ZM_LOG_LINE_MOST);
  } else {
    limits->text = TEXT_LEAST;
    limits->field /= 2;
  }
  return TRUE;
}

/* ---- JSON ---- */

/* Cut and made printable before it is made JSON: a reader of the log may be a terminal. */
static void
append_json_text (GString *out, const char *text, gsize most)
{
  g_autofree char *safe = shown (text, most);

  zm_json_append_string (out, zm_span_text (safe));
}

/* UTC with microseconds, RFC 3339, so that the lines of several machines can be laid side by side. */
static void
append_time (GString *out, gint64 wall_us)
{
  time_t seconds = (time_t) (wall_us / G_USEC_PER_SEC);
  struct tm utc;
  char text[32];

  gmtime_r (&seconds, &utc);
  strftime (text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  g_string_append_printf (out, "%s.%06dZ", text, (int) (wall_us % G_USEC_PER_SEC));
}

/* One object: the fixed members first, then the line's own fields, names and values in turns; a field without a value is
 * left out. */
static GString *
json_within (const ZmLogRecord *record, const Limits *limits)
{
  GString *out = g_string_new ("{\"time\":\"");

  append_time (out, record->wall_us);
  g_string_append_printf (out, "\",\"level\":\"%s\",\"room\":", zm_level_name (record->level));
  append_json_text (out, record->room, limits->field);
  g_string_append (out, ",\"text\":");
  append_json_text (out, record->text, limits->text);
  for (guint i = 0; record->fields != NULL && i < 2 * FIELDS_MOST && record->fields[i] != NULL; i += 2) {
    if (record->fields[i + 1] == NULL)
      continue;
    g_string_append_c (out, ',');
    append_json_text (out, record->fields[i], limits->field);
    g_string_append_c (out, ':');
    append_json_text (out, record->fields[i + 1], limits->field);
  }
  g_string_append_c (out, '}');
  return out;
}

char *
zm_log_json (const ZmLogRecord *record)
{
  Limits limits = full_limits;
  GString *out = json_within (record, &limits);

  while (shorten (&limits, record, out->len)) {
    g_string_free (out, TRUE);
    out = json_within (record, &limits);
  }
  return g_string_free (out, FALSE);
}

char *
zm_log_line_json (ZmLevel level, const char *room, const char *text, const char *const *fields)
{
  return zm_log_json (&(const ZmLogRecord){ level, room, text, fields, zm_wall_us () });
}

/* ---- for people ---- */

/* Errors are loud, ordinary lines plain. */
static const char *
level_colour (ZmLevel level)
{
  switch (level) {
  case ZM_LEVEL_ERROR: return "\033[1;31m";
  case ZM_LEVEL_WARNING: return "\033[33m";
  case ZM_LEVEL_NOTICE: return "\033[1m";
  case ZM_LEVEL_DEBUG: return "\033[2m";
  case ZM_LEVEL_INFO:
  default: return "";
  }
}

/* Local time to the millisecond: for somebody who sits before it. Names of fields come from the program, only values are
 * made printable. */
static GString *
human_within (const ZmLogRecord *record, gboolean colour, const Limits *limits)
{
  GString *out = g_string_new (NULL);
  g_autofree char *text = shown (record->text, limits->text);
  time_t seconds = (time_t) (record->wall_us / G_USEC_PER_SEC);
  struct tm local;
  char clock[16];

  localtime_r (&seconds, &local);
  strftime (clock, sizeof clock, "%H:%M:%S", &local);
  g_string_append_printf (out, "%s.%03d %s%s%s %s: %s", clock,
                          (int) (record->wall_us % G_USEC_PER_SEC / 1000),
                          colour ? level_colour (record->level) : "", zm_level_name (record->level),
                          colour ? "\033[0m" : "", record->room, text);
  for (guint i = 0; record->fields != NULL && i < 2 * FIELDS_MOST && record->fields[i] != NULL; i += 2) {
    g_autofree char *value = NULL;

    if (record->fields[i + 1] == NULL)
      continue;
    value = shown (record->fields[i + 1], limits->field);
    g_string_append_printf (out, "%s%s=%s", i == 0 ? "  " : " ", record->fields[i], value);
  }
  return out;
}

char *
zm_log_human (const ZmLogRecord *record, gboolean colour)
{
  Limits limits = full_limits;
  GString *out = human_within (record, colour, &limits);

  while (shorten (&limits, record, out->len)) {
    g_string_free (out, TRUE);
    out = human_within (record, colour, &limits);
  }
  return g_string_free (out, FALSE);
}

/* ---- journald ---- */

/* Capital letters, digits and '_' are all that journald takes in a field's name. */
static void
append_field_name (GString *out, const char *name)
{
  g_string_append (out, "ZM_");
  for (; *name != '\0'; name++)
    g_string_append_c (out, g_ascii_isalnum (*name) ? g_ascii_toupper (*name) : '_');
}

/* journald's native protocol: NAME=value, one a line. No value can hold a line feed here, as zm_printable has made it
 * visible; so the binary form is never needed. */
char *
zm_log_journal (const ZmLogRecord *record)
{
  GString *out = g_string_new (NULL);
  g_autofree char *text = shown (record->text, TEXT_MOST);

  g_string_append_printf (out, "MESSAGE=%s: %s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=zmanagerd\nZM_ROOM=%s\n",
                          record->room, text, (int) record->level, record->room);
  for (guint i = 0; record->fields != NULL && i < 2 * FIELDS_MOST && record->fields[i] != NULL; i += 2) {
    g_autofree char *value = NULL;

    if (record->fields[i + 1] == NULL)
      continue;
    value = shown (record->fields[i + 1], FIELD_MOST);
    append_field_name (out, record->fields[i]);
    g_string_append_printf (out, "=%s\n", value);
  }
  return g_string_free (out, FALSE);
}

/* Connected once; it does not block, so that a full journal delays no thread. -1: no journald. */
int
zm_log_journal_open (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd;

  if (strlen (path) >= sizeof address.sun_path)
    return -1;
  strcpy (address.sun_path, path);
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect (fd, (const struct sockaddr *) &address, sizeof address) != 0) {
    close (fd);
    return -1;
  }
  return fd;
}

/* systemd tells in JOURNAL_STREAM which file it made our stderr; somebody may have redirected it since, so that is
 * compared. */
gboolean
zm_log_is_journal (const char *stream, int fd)
{
  unsigned long device, inode;
  struct stat about;

  return stream != NULL && sscanf (stream, "%lu:%lu", &device, &inode) == 2 && fstat (fd, &about) == 0 &&
         about.st_dev == device && about.st_ino == inode;
}
