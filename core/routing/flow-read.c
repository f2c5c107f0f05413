/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads flow files. Every line is a flow's name, a step, a comment or a problem with its place; none is skipped. */
#include "config.h"

#include "routing/flow-read.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MOST (1024 * 1024)
#define LINE_MOST (64 * 1024)

/* The line was seen to be UTF-8 before anything counts in it, but for the error that says it is not. */
guint
zm_flow_reader_column (const ZmFlowReader *reader, const char *at)
{
  return 1 + (guint) g_utf8_strlen (reader->text.data, at - reader->text.data);
}

/* Reading goes on after every error, so that one pass tells all of them. */
void
zm_flow_reader_complain (ZmFlowReader *reader, guint code, const char *at, const char *expected,
                         const char *todo, const char *what, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;
  guint column = at != NULL ? zm_flow_reader_column (reader, at) : 0;

  va_start (arguments, what);
  text = g_strdup_vprintf (what, arguments);
  va_end (arguments);
  zm_problems_add (reader->problems, ZM_PROBLEM_ERROR, code, reader->file, reader->line, column, expected,
                   todo, "%s", text);
}

/* A carriage return too: files of other editors have one before each line's end. */
static gboolean
blank (char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

ZmSpan
zm_flow_reader_trim (ZmSpan text)
{
  while (text.size > 0 && blank (text.data[0]))
    text = zm_span (text.data + 1, text.size - 1);
  while (text.size > 0 && blank (text.data[text.size - 1]))
    text.size--;
  return text;
}

char *
zm_flow_reader_quote (ZmSpan text)
{
  return zm_printable (text, 80);
}

/* ---- steps ---- */

/* `!` belongs to the step above it, which must be there, be no trigger, and have none yet. In a flow that is lost
 * the line is still read, so that its own mistakes are told. */
static void
add_error_step (ZmFlowReader *reader, ZmSpan text)
{
  ZmStep *above =
      reader->steps->len > 0 ? &g_array_index (reader->steps, ZmStep, reader->steps->len - 1) : NULL;
  ZmSpan key = zm_flow_reader_trim (zm_span (text.data + 1, text.size - 1));
  ZmBranch branch;

  if (key.size == 0 || memchr (key.data, '&', key.size) != NULL) {
    zm_flow_reader_complain (reader, ZM_CODE_BAD_STEP, text.data, "! and one key", NULL,
                             "'!' takes exactly one step");
    return;
  }
  if (!zm_flow_reader_branch (reader, key, &branch))
    return;
  if (branch.kind != ZM_STEP_KEY)
    zm_flow_reader_complain (reader, ZM_CODE_ON_ERROR_MAY_NOT_WAIT, key.data, "a step that runs at once",
                             "name an action", "the error step \"%s\" may not publish, wait or end the flow",
                             branch.text);
  else if (!reader->lost && (reader->steps->len < 2 || reader->finished))
    zm_flow_reader_complain (reader, ZM_CODE_ON_ERROR_WITHOUT_STEP, text.data, "a step in the line above",
                             "move it below the step that may fail",
                             "'!' has no step that it could belong to");
  else if (!reader->lost && above->on_error != NULL)
    zm_flow_reader_complain (reader, ZM_CODE_REPEATED_ON_ERROR, text.data, "one '!' line after a step",
                             "remove one of them", "the step above has an error step already");
  else if (!reader->lost) {
    above->on_error = g_memdup2 (&branch, sizeof branch);
    return;
  }
  g_free (branch.text);
}

/* The array stays for the next flow; what its steps own goes. */
static void
drop_steps (ZmFlowReader *reader)
{
  for (guint i = 0; i < reader->steps->len; i++)
    zm_routing_step_clear (&g_array_index (reader->steps, ZmStep, i));
  g_array_set_size (reader->steps, 0);
}

/* The first step of a flow is its trigger; without a good one the next line would be taken for it, so the rest of
 * the flow is lost. */
static void
add_step (ZmFlowReader *reader, ZmSpan text)
{
  gboolean trigger = !reader->lost && reader->steps->len == 0;
  ZmStep step = { 0 };

  if (reader->finished) {
    zm_flow_reader_complain (reader, ZM_CODE_DONE_NOT_LAST, text.data, "??done as the flow's last line",
                             "move ??done to the end", "a step after ??done is never reached");
    return;
  }
  if (reader->steps->len == ZM_STEPS_MOST) {
    zm_flow_reader_complain (reader, ZM_CODE_FLOW_TOO_LONG, text.data, "at most 1,000 lines in a flow",
                             "split it into nested flows", "the flow is too long");
    drop_steps (reader);
    reader->lost = TRUE;
    return;
  }
  if (!zm_flow_reader_step (reader, text, &step) ||
      (trigger && !zm_flow_reader_trigger_ok (reader, text, &step))) {
    /* Without its trigger the next line would be taken for it. */
    reader->lost |= trigger;
    zm_routing_step_clear (&step);
    return;
  }
  reader->finished = step.kind == ZM_STEP_DONE;
  if (reader->lost)
    zm_routing_step_clear (&step);
  else
    g_array_append_val (reader->steps, step);
}

/* ---- flows ---- */

/* Gives the flow to out as it is complete, or drops what was read of one that is not. */
static void
end_flow (ZmFlowReader *reader)
{
  ZmFlow *flow = g_steal_pointer (&reader->flow);

  if (flow == NULL)
    return;
  if (reader->lost || reader->steps->len == 0) {
    if (!reader->lost)
      zm_problems_add (reader->problems, ZM_PROBLEM_ERROR, ZM_CODE_FLOW_WITHOUT_STEPS, reader->file,
                       flow->line, 1, "a trigger and steps below [NAME]", "add them, or remove the section",
                       "flow \"%s\" is empty", flow->name);
    drop_steps (reader);
    zm_flow_unref (flow);
    return;
  }
  flow->n_steps = reader->steps->len;
  flow->steps = g_memdup2 (reader->steps->data, reader->steps->len * sizeof (ZmStep));
  g_array_set_size (reader->steps, 0);
  g_ptr_array_add (reader->out, flow);
}

/* The same rule as for parts of a key: the name is a field of the topic. */
static gboolean
check_name (ZmFlowReader *reader, ZmSpan name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *shown = zm_flow_reader_quote (name);
  guint column = 1;

  if (name.size == 0)
    zm_flow_reader_complain (reader, ZM_CODE_BAD_FLOW_NAME, name.data, "a name between '[' and ']'",
                             "write [NAME]", "a flow without a name");
  else if (name.data[0] == '^')
    zm_flow_reader_complain (reader, ZM_CODE_BAD_FLOW_NAME, name.data, "another first character",
                             "rename the flow", "flow \"%s\": names that begin with ^ belong to the runtime",
                             shown);
  else if (!zm_name_check (name, &column, &error))
    zm_flow_reader_complain (
        reader, ZM_CODE_BAD_FLOW_NAME,
        MIN (g_utf8_offset_to_pointer (name.data, (glong) MAX (column, 1) - 1), name.data + name.size), NULL,
        NULL, "\"%s\" is no name of a flow: %s", shown, zm_routing_plain_text (error));
  else
    return TRUE;
  return FALSE;
}

/* Ends the flow before. A line that is no good name leaves the steps below without a flow: they are checked, and
 * said nothing of as being outside. */
static void
begin_flow (ZmFlowReader *reader, ZmSpan text)
{
  const char *end = memchr (text.data, ']', text.size);
  ZmSpan name;

  end_flow (reader);
  reader->lost = TRUE;
  reader->finished = FALSE;
  if (end == NULL) {
    zm_flow_reader_complain (reader, ZM_CODE_BAD_SECTION_LINE, text.data + text.size,
                             "']' at the end of the line", "write [NAME]", "a flow's name without ']'");
    return;
  }
  if (end != text.data + text.size - 1) {
    zm_flow_reader_complain (reader, ZM_CODE_BAD_SECTION_LINE, end + 1, "the end of the line",
                             "put comments on lines of their own", "text after ']'");
    return;
  }
  name = zm_span (text.data + 1, (gsize) (end - text.data) - 1);
  if (!check_name (reader, name))
    return;
  reader->lost = FALSE;
  reader->flow = g_new0 (ZmFlow, 1);
  reader->flow->refs = 1;
  reader->flow->name = zm_span_dup (name);
  reader->flow->file = g_strdup (reader->file);
  reader->flow->line = reader->line;
}

/* ---- lines ---- */

/* The first byte that is no text: invalid UTF-8 or a control byte; NULL where all is well. */
static const char *
bad_byte (ZmSpan line)
{
  const char *end = NULL;

  g_utf8_validate_len (line.data, line.size, &end);
  for (const char *at = line.data; at < end; at++)
    if (((guchar) *at < 0x20 && !blank (*at)) || *at == 0x7f)
      return at;
  return end < line.data + line.size ? end : NULL;
}

/* Decides what a line is by its first character; each error below says its place itself. */
static void
read_line (ZmFlowReader *reader, ZmSpan line)
{
  ZmSpan text = zm_flow_reader_trim (line);
  const char *bad;

  reader->text = line;
  if (text.size == 0 || text.data[0] == '#' || text.data[0] == ';')
    return;
  bad = line.size <= LINE_MOST ? bad_byte (line) : NULL;
  if (line.size > LINE_MOST)
    zm_flow_reader_complain (reader, ZM_CODE_LINE_TOO_LONG, line.data, "at most 65,536 bytes",
                             "split the line", "line too long");
  else if (bad != NULL)
    zm_flow_reader_complain (reader, ZM_CODE_BAD_UTF8, bad, "UTF-8 without control characters",
                             "save the file as UTF-8", "byte 0x%02x is no text", (guint) (guchar) *bad);
  else if (text.data[0] == '[')
    begin_flow (reader, text);
  else if (reader->flow == NULL && !reader->lost) {
    zm_flow_reader_complain (reader, ZM_CODE_STEP_OUTSIDE_FLOW, text.data, "[NAME] of the flow first",
                             "put the flow's name above it", "a step outside of a flow");
    reader->lost = TRUE;
  } else if (text.data[0] == '!')
    add_error_step (reader, text);
  else
    add_step (reader, text);
}

/* Bounds come first: nothing below has to ask again how much there may be. */
void
zm_flow_read_text (const char *name, ZmSpan text, GPtrArray *out, ZmProblems *problems)
{
  ZmFlowReader reader = { .file = name, .problems = problems, .out = out };

  if (text.size > FILE_MOST) {
    zm_flow_reader_complain (&reader, ZM_CODE_FILE_TOO_LARGE, NULL, "at most 1 MiB",
                             "split it into several files", "file too long");
    return;
  }
  reader.steps = g_array_new (FALSE, FALSE, sizeof (ZmStep));
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
  end_flow (&reader);
  g_array_unref (reader.steps);
}

/* The size is asked before the file is read, so that a huge one never comes into memory. */
void
zm_flow_read_file (const char *path, GPtrArray *out, ZmProblems *problems)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  const char *reason = NULL;
  gsize size = 0;
  struct stat info;

  /* A pipe or a device would block or never end. */
  if (stat (path, &info) != 0)
    reason = g_strerror (errno);
  else if (!S_ISREG (info.st_mode))
    reason = S_ISDIR (info.st_mode) ? g_strerror (EISDIR) : "not a plain file";
  else if (info.st_size > FILE_MOST) {
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_FILE_TOO_LARGE, path, 0, 0, "at most 1 MiB",
                     "split it into several files", "file too long");
    return;
  } else if (!g_file_get_contents (path, &text, &size, &error))
    reason = error->message;
  if (reason != NULL)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_NOT_READABLE, path, 0, 0,
                     "a plain file that can be read", "check the path and its permissions",
                     "cannot be read: %s", reason);
  else
    zm_flow_read_text (path, zm_span (text, size), out, problems);
}
