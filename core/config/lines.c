/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the lines of configuration and mapping files. The text is hostile until it was read: every length is bounded. */
#include "config.h"

#include "config/zm-lines.h"

#include "base/zm-codes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (1024 * 1024)
#define LINE_MOST (64 * 1024)

struct ZmLines {
  char *name;
  GStringChunk *texts;
  GArray *lines; /* ZmLine */
};

/* What is known while reading. */
typedef struct Reader {
  ZmLines *lines;
  ZmProblems *problems;
  char *section; /* in lines->texts */
  guint line;
} Reader;

/* At the line that is being read; column counts in characters, 1 is the first, 0: the line as a whole. */
static void
complain (Reader *reader, guint code, guint column, const char *expected, const char *todo, const char *what)
{
  zm_problems_add (reader->problems, ZM_PROBLEM_ERROR, code, reader->lines->name, reader->line, column,
                   expected, todo, "%s", what);
}

static gboolean
blank (char c)
{
  return c == ' ' || c == '\t';
}

/* Surrounding blanks do not count; a carriage return is one at the end of a line only. */
static ZmSpan
trim (ZmSpan text)
{
  while (text.size > 0 && blank (text.data[0])) {
    text.data++;
    text.size--;
  }
  while (text.size > 0 && blank (text.data[text.size - 1]))
    text.size--;
  return text;
}

/* Columns count characters: the user's editor does so too. Only called on valid UTF-8. */
static guint
column_of (ZmSpan line, const char *at)
{
  guint column = 1;

  for (const char *c = line.data; c < at; c++)
    column += ((guchar) *c & 0xc0) != 0x80;
  return column;
}

/* One chunk for all texts of a file: they are freed together, and a line's pointers stay valid as long as the lines. */
static char *
keep (Reader *reader, ZmSpan text)
{
  return g_string_chunk_insert_len (reader->lines->texts, text.data, (gssize) text.size);
}

/* What a line is about (section, key) is told by the members that are NULL; see zm-lines.h. */
static void
add_line (Reader *reader, char *key, char *value, guint key_column, guint value_column)
{
  ZmLine line = { .section = reader->section,
                  .key = key,
                  .value = value,
                  .file = reader->lines->name,
                  .line = reader->line,
                  .key_column = key_column,
                  .value_column = value_column };

  g_array_append_val (reader->lines->lines, line);
}

/* "plugin   hello" -> "plugin hello" */
static char *
fold_blanks (Reader *reader, ZmSpan name)
{
  g_autoptr (GString) out = g_string_sized_new (name.size);

  for (gsize i = 0; i < name.size; i++) {
    if (!blank (name.data[i]))
      g_string_append_c (out, name.data[i]);
    else if (!blank (name.data[i - 1])) /* the first one is never blank */
      g_string_append_c (out, ' ');
  }
  return keep (reader, zm_span (out->str, out->len));
}

/* A line that cannot be read leaves the section before it in effect; the file is refused in any case. */
static void
read_section (Reader *reader, ZmSpan line, ZmSpan text)
{
  const char *end = memchr (text.data, ']', text.size);
  ZmSpan name;

  if (end == NULL) {
    complain (reader, ZM_CODE_BAD_SECTION_LINE, column_of (line, text.data + text.size),
              "']' at the end of the line", "write [NAME]", "section without ']'");
    return;
  }
  if (end != text.data + text.size - 1) {
    complain (reader, ZM_CODE_BAD_SECTION_LINE, column_of (line, end + 1), "the end of the line",
              "put comments on lines of their own", "text after ']'");
    return;
  }
  name = trim (zm_span (text.data + 1, (gsize) (end - text.data) - 1));
  if (name.size == 0) {
    complain (reader, ZM_CODE_BAD_SECTION_LINE, column_of (line, text.data + 1), "a name between '[' and ']'",
              "write [NAME]", "section without a name");
    return;
  }
  reader->section = fold_blanks (reader, name);
  add_line (reader, NULL, NULL, column_of (line, name.data), 0);
}

/* The first = divides: keys have none, and values (regular expressions, command lines) may have any number. */
static void
read_pair (Reader *reader, ZmSpan line, ZmSpan text)
{
  const char *equals = memchr (text.data, '=', text.size);
  ZmSpan key, value;

  if (equals == NULL) {
    g_autofree char *whole = zm_span_dup (text), *safe = zm_hide_after_name (whole);
    g_autofree char *shown = zm_printable (zm_span_text (safe), 60);
    g_autofree char *what = g_strdup_printf ("\"%s\" is neither a section nor a key with a value", shown);

    complain (reader, ZM_CODE_NOT_A_LINE, column_of (line, text.data),
              "[section], key = value, or a # comment", "add '=' and a value, or put # in front", what);
    return;
  }
  key = trim (zm_span (text.data, (gsize) (equals - text.data)));
  value = trim (zm_span (equals + 1, text.size - (gsize) (equals + 1 - text.data)));
  if (key.size == 0) {
    complain (reader, ZM_CODE_NOT_A_LINE, column_of (line, equals), "key = value", "write a key before '='",
              "'=' without a key before it");
    return;
  }
  add_line (reader, keep (reader, key), keep (reader, value), column_of (line, key.data),
            column_of (line, value.data));
}

/* The first byte that may not stand in a line: invalid UTF-8 or a control byte; NULL where all is well. */
static const char *
bad_byte (ZmSpan line)
{
  const char *end;
  gboolean ascii = TRUE;

  for (gsize i = 0; i < line.size; i++) {
    guchar c = (guchar) line.data[i];

    ascii &= c < 0x80;
    if ((c < 0x20 && c != '\t') || c == 0x7f) {
      /* What stands before may be invalid too: the earlier one is named. */
      return g_utf8_validate_len (line.data, i, &end) ? line.data + i : end;
    }
  }
  return ascii || g_utf8_validate_len (line.data, line.size, &end) ? NULL : end;
}

/* Comments are left out before anything is checked, so that they may hold any bytes and any length. */
static void
read_line (Reader *reader, ZmSpan line)
{
  ZmSpan text;
  const char *bad;

  if (line.size > 0 && line.data[line.size - 1] == '\r')
    line.size--;
  text = trim (line);
  if (text.size == 0 || text.data[0] == '#' || text.data[0] == ';')
    return;
  if (line.size > LINE_MOST) {
    complain (reader, ZM_CODE_LINE_TOO_LONG, 1, "at most 65,536 bytes", "split the line", "line too long");
    return;
  }
  bad = bad_byte (line);
  if (bad != NULL) {
    g_autofree char *what = g_strdup_printf ("byte 0x%02x is no text", (guchar) *bad);

    complain (reader, ZM_CODE_BAD_UTF8, column_of (line, bad), "UTF-8 without control characters",
              "save the file as UTF-8", what);
    return;
  }
  if (text.data[0] == '[')
    read_section (reader, line, text);
  else
    read_pair (reader, line, text);
}

static ZmLines *
lines_new (const char *name)
{
  ZmLines *lines = g_new0 (ZmLines, 1);

  lines->name = g_strdup (name);
  lines->texts = g_string_chunk_new (4096);
  lines->lines = g_array_new (FALSE, FALSE, sizeof (ZmLine));
  return lines;
}

/* Line by line over the text in memory; what is wrong with one line costs only that line. */
static void
read_all (ZmLines *lines, ZmSpan text, ZmProblems *problems)
{
  Reader reader = { .lines = lines, .problems = problems };

  reader.section = keep (&reader, zm_span ("", 0));
  if (text.size > FILE_MOST) {
    complain (&reader, ZM_CODE_FILE_TOO_LARGE, 0, "at most 1 MiB", "split it into several files",
              "file too long");
    return;
  }
  /* Editors of another system put a byte order mark in front. */
  if (text.size >= 3 && memcmp (text.data, "\xef\xbb\xbf", 3) == 0)
    text = zm_span (text.data + 3, text.size - 3);
  while (text.size > 0) {
    const char *end = memchr (text.data, '\n', text.size);
    gsize size = end != NULL ? (gsize) (end - text.data) : text.size;
    gsize used = end != NULL ? size + 1 : size;

    reader.line++;
    read_line (&reader, zm_span (text.data, size));
    text = zm_span (text.data + used, text.size - used);
  }
}

/* For mappings that do not come from a file, and for tests and the fuzzer. */
ZmLines *
zm_lines_read_text (const char *name, ZmSpan text, ZmProblems *problems)
{
  ZmLines *lines = lines_new (name);

  read_all (lines, text, problems);
  return lines;
}

/* The whole file, one byte over the bound at most; NULL with errno. A pipe or a device would block or never end. */
static GByteArray *
slurp (const char *path)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint8 buffer[16 * 1024];
  struct stat info;
  ssize_t got = 0;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

  if (fd < 0)
    return NULL;
  if (fstat (fd, &info) == 0 && !S_ISREG (info.st_mode)) {
    close (fd);
    errno = S_ISDIR (info.st_mode) ? EISDIR : EINVAL;
    return NULL;
  }
  while (bytes->len <= FILE_MOST && (got = read (fd, buffer, sizeof buffer)) > 0)
    g_byte_array_append (bytes, buffer, (guint) got);
  if (got < 0) {
    int problem = errno;

    close (fd);
    errno = problem;
    return NULL;
  }
  close (fd);
  return g_steal_pointer (&bytes);
}

/* Never NULL: a file that cannot be read gives no lines and one problem. */
ZmLines *
zm_lines_read_file (const char *path, ZmProblems *problems)
{
  ZmLines *lines = lines_new (path);
  g_autoptr (GByteArray) bytes = slurp (path);

  if (bytes == NULL)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_NOT_READABLE, path, 0, 0,
                     "a plain file that can be read", "check the path and its permissions",
                     "cannot be read: %s", g_strerror (errno));
  else
    read_all (lines, zm_span ((const char *) bytes->data, bytes->len), problems);
  return lines;
}

/* All texts of the lines go with it. */
void
zm_lines_free (ZmLines *lines)
{
  if (lines == NULL)
    return;
  g_array_unref (lines->lines);
  g_string_chunk_free (lines->texts);
  g_free (lines->name);
  g_free (lines);
}

guint
zm_lines_count (const ZmLines *lines)
{
  return lines->lines->len;
}

const ZmLine *
zm_lines_get (const ZmLines *lines, guint index)
{
  g_return_val_if_fail (index < lines->lines->len, NULL);
  return &g_array_index (lines->lines, ZmLine, index);
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

char **
zm_list_files (const char *directory, const char *ending)
{
  GPtrArray *paths = g_ptr_array_new ();
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (directory, name, NULL);

    if (name[0] != '.' && g_str_has_suffix (name, ending) && !g_str_has_suffix (name, "~") &&
        g_file_test (path, G_FILE_TEST_IS_REGULAR))
      g_ptr_array_add (paths, g_steal_pointer (&path));
  }
  /* One directory: whole paths sort as their names do. */
  g_ptr_array_sort (paths, compare_names);
  g_ptr_array_add (paths, NULL);
  return (char **) g_ptr_array_free (paths, FALSE);
}
