/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads flow files. Every line is a flow's name, a step, a comment or a problem with its place; none is skipped. */
#include "config.h"

#include "routing/table-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MOST (1024 * 1024)
#define LINE_MOST (64 * 1024)

typedef struct Reader {
  const char *file;
  ZmProblems *problems;
  GPtrArray *out;
  guint line;
  ZmSpan text;       /* the line, from which columns are counted */
  ZmFlow *flow;      /* being read; its steps are in steps */
  GArray *steps;     /* ZmStep */
  gboolean lost;     /* after a bad name or trigger: steps are checked but belong to nobody */
  gboolean finished; /* ??done was read */
} Reader;

static guint
column_of (const Reader *reader, const char *at)
{
  return 1 + (guint) g_utf8_strlen (reader->text.data, at - reader->text.data);
}

G_GNUC_PRINTF (6, 7)
static void
complain (Reader *reader, guint code, const char *at, const char *expected, const char *todo,
          const char *what, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;
  guint column = at != NULL ? column_of (reader, at) : 0;

  va_start (arguments, what);
  text = g_strdup_vprintf (what, arguments);
  va_end (arguments);
  zm_problems_add (reader->problems, ZM_PROBLEM_ERROR, code, reader->file, reader->line, column, expected,
                   todo, "%s", text);
}

static gboolean
blank (char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

static ZmSpan
trim (ZmSpan text)
{
  while (text.size > 0 && blank (text.data[0]))
    text = zm_span (text.data + 1, text.size - 1);
  while (text.size > 0 && blank (text.data[text.size - 1]))
    text.size--;
  return text;
}

/* What of a hostile or overlong text is worth quoting. */
static char *
quote (ZmSpan text)
{
  return zm_printable (text, 80);
}

/* ---- steps ---- */

static gboolean
key_is_done (const ZmKey *key)
{
  return zm_span_is (key->action, "done") && key->sender.size == 0 && key->context.size == 0 &&
         key->decorator.size == 0;
}

static ZmStepKind
kind_of (const ZmKey *key)
{
  if (key_is_done (key))
    return ZM_STEP_DONE;
  if (zm_span_is (key->decorator, "PUBLISH"))
    return ZM_STEP_PUBLISH;
  return zm_span_is (key->decorator, "ASYNC") ? ZM_STEP_ASYNC : ZM_STEP_KEY;
}

static gboolean
check_key (Reader *reader, ZmSpan text, const ZmKey *key)
{
  g_autofree char *shown = quote (text);

  if (zm_key_reserved (key) && !key_is_done (key)) {
    complain (reader, ZM_CODE_RESERVED_STEP, text.data, "??done, or another action", "rename the step",
              "step \"%s\" uses a name that belongs to the runtime", shown);
    return FALSE;
  }
  if (key->sender.size + key->context.size + key->action.size == 0) {
    complain (reader, ZM_CODE_EMPTY_KEY, text.data, "at least one of sender, context and action", NULL,
              "\"%s\" matches everything and is no step", shown);
    return FALSE;
  }
  return TRUE;
}

static const char *
hint_of (ZmSpan text)
{
  return memchr (text.data, '#', text.size) != NULL || memchr (text.data, ';', text.size) != NULL
             ? "put comments on lines of their own"
             : NULL;
}

/* One key of a line. FALSE: said why. */
static gboolean
read_branch (Reader *reader, ZmSpan text, ZmBranch *branch)
{
  g_autofree char *copy = zm_span_dup (text);
  g_autoptr (GError) error = NULL;
  guint column = 1;
  ZmKey key;

  if (!zm_key_parse (zm_span_text (copy), &key, &column, &error)) {
    g_autofree char *shown = quote (text);
    const char *at = g_utf8_offset_to_pointer (text.data, (glong) MAX (column, 1) - 1);

    complain (reader, ZM_CODE_BAD_STEP, MIN (at, text.data + text.size), NULL, hint_of (text),
              "\"%s\" is no step: %s", shown, zm_routing_plain_text (error));
    return FALSE;
  }
  if (!check_key (reader, text, &key))
    return FALSE;
  *branch = (ZmBranch){ .kind = kind_of (&key),
                        .text = g_steal_pointer (&copy),
                        .key = key,
                        .line = reader->line,
                        .column = column_of (reader, text.data) };
  return TRUE;
}

static gboolean
branch_fits_join (Reader *reader, ZmSpan text, const ZmStep *step, const ZmBranch *branch)
{
  if (branch->kind == ZM_STEP_PUBLISH || branch->kind == ZM_STEP_DONE) {
    complain (reader, ZM_CODE_PUBLISH_IN_JOIN, text.data, "an action, a hand-over or an @ASYNC step",
              "give it a line of its own", "\"%s\" cannot be one of concurrent steps", branch->text);
    return FALSE;
  }
  for (guint i = 0; i < step->n_branches; i++)
    if (zm_routing_same_step (&step->branches[i].key, &branch->key)) {
      complain (reader, ZM_CODE_EQUAL_KEYS_IN_JOIN, text.data,
                "different keys in one line: answers are told apart by them", "rename one of them",
                "\"%s\" stands twice among concurrent steps", branch->text);
      return FALSE;
    }
  return TRUE;
}

/* "a & b & c" */
static gboolean
read_join (Reader *reader, ZmSpan text, ZmStep *step)
{
  const char *end = text.data + text.size;

  step->kind = ZM_STEP_JOIN;
  step->branches = g_new0 (ZmBranch, ZM_BRANCHES_MOST);
  for (const char *at = text.data; at != NULL;) {
    const char *next = memchr (at, '&', (gsize) (end - at));
    ZmSpan part = trim (zm_span (at, (gsize) ((next != NULL ? next : end) - at)));
    ZmBranch *branch = &step->branches[step->n_branches];

    if (step->n_branches == ZM_BRANCHES_MOST) {
      complain (reader, ZM_CODE_JOIN_TOO_WIDE, part.data, "at most 16", "split the line",
                "more than 16 concurrent steps");
      return FALSE;
    }
    if (part.size == 0) {
      complain (reader, ZM_CODE_BAD_STEP, next != NULL ? next : end - 1, "a key on both sides of '&'",
                "remove the '&' or add a key", "'&' without a step beside it");
      return FALSE;
    }
    if (!read_branch (reader, part, branch))
      return FALSE;
    if (!branch_fits_join (reader, part, step, branch)) {
      g_clear_pointer (&branch->text, g_free);
      return FALSE;
    }
    step->n_branches++;
    at = next != NULL ? next + 1 : NULL;
  }
  return TRUE;
}

static gboolean
read_step (Reader *reader, ZmSpan text, ZmStep *step)
{
  step->line = reader->line;
  if (memchr (text.data, '&', text.size) != NULL)
    return read_join (reader, text, step);
  step->branches = g_new0 (ZmBranch, 1);
  if (!read_branch (reader, text, &step->branches[0]))
    return FALSE;
  step->n_branches = 1;
  step->kind = step->branches[0].kind;
  return TRUE;
}

/* The first line of a flow. */
static gboolean
check_trigger (Reader *reader, ZmSpan text, const ZmStep *step)
{
  const char *wrong = step->kind == ZM_STEP_JOIN      ? "concurrent steps"
                      : step->kind == ZM_STEP_DONE    ? "??done"
                      : step->kind == ZM_STEP_PUBLISH ? "a @PUBLISH step"
                      : step->kind == ZM_STEP_ASYNC   ? "an @ASYNC step"
                                                      : NULL;

  if (wrong == NULL)
    return TRUE;
  complain (reader, step->kind == ZM_STEP_ASYNC ? ZM_CODE_ASYNC_OUTSIDE_FLOW : ZM_CODE_BAD_TRIGGER, text.data,
            "one key without @PUBLISH and @ASYNC, for example ?NAME?Push",
            "put the key that starts the flow first", "%s cannot be a flow's first line, its trigger", wrong);
  return FALSE;
}

static void
add_error_step (Reader *reader, ZmSpan text)
{
  ZmStep *above =
      reader->steps->len > 0 ? &g_array_index (reader->steps, ZmStep, reader->steps->len - 1) : NULL;
  ZmSpan key = trim (zm_span (text.data + 1, text.size - 1));
  ZmBranch branch;

  if (key.size == 0 || memchr (key.data, '&', key.size) != NULL) {
    complain (reader, ZM_CODE_BAD_STEP, text.data, "! and one key", NULL, "'!' takes exactly one step");
    return;
  }
  if (!read_branch (reader, key, &branch))
    return;
  if (branch.kind != ZM_STEP_KEY)
    complain (reader, ZM_CODE_ON_ERROR_MAY_NOT_WAIT, key.data, "a step that runs at once", "name an action",
              "the error step \"%s\" may not publish, wait or end the flow", branch.text);
  else if (!reader->lost && (reader->steps->len < 2 || reader->finished))
    complain (reader, ZM_CODE_ON_ERROR_WITHOUT_STEP, text.data, "a step in the line above",
              "move it below the step that may fail", "'!' has no step that it could belong to");
  else if (!reader->lost && above->on_error != NULL)
    complain (reader, ZM_CODE_REPEATED_ON_ERROR, text.data, "one '!' line after a step", "remove one of them",
              "the step above has an error step already");
  else if (!reader->lost) {
    above->on_error = g_memdup2 (&branch, sizeof branch);
    return;
  }
  g_free (branch.text);
}

static void
drop_steps (Reader *reader)
{
  for (guint i = 0; i < reader->steps->len; i++)
    zm_routing_step_clear (&g_array_index (reader->steps, ZmStep, i));
  g_array_set_size (reader->steps, 0);
}

static void
add_step (Reader *reader, ZmSpan text)
{
  gboolean trigger = !reader->lost && reader->steps->len == 0;
  ZmStep step = { 0 };

  if (reader->finished) {
    complain (reader, ZM_CODE_DONE_NOT_LAST, text.data, "??done as the flow's last line",
              "move ??done to the end", "a step after ??done is never reached");
    return;
  }
  if (reader->steps->len == ZM_STEPS_MOST) {
    complain (reader, ZM_CODE_FLOW_TOO_LONG, text.data, "at most 1,000 lines in a flow",
              "split it into nested flows", "the flow is too long");
    drop_steps (reader);
    reader->lost = TRUE;
    return;
  }
  if (!read_step (reader, text, &step) || (trigger && !check_trigger (reader, text, &step))) {
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

static void
end_flow (Reader *reader)
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

static gboolean
check_name (Reader *reader, ZmSpan name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *shown = quote (name);
  guint column = 1;

  if (name.size == 0)
    complain (reader, ZM_CODE_BAD_FLOW_NAME, name.data, "a name between '[' and ']'", "write [NAME]",
              "a flow without a name");
  else if (name.data[0] == '^')
    complain (reader, ZM_CODE_BAD_FLOW_NAME, name.data, "another first character", "rename the flow",
              "flow \"%s\": names that begin with ^ belong to the runtime", shown);
  else if (!zm_name_check (name, &column, &error))
    complain (reader, ZM_CODE_BAD_FLOW_NAME,
              MIN (g_utf8_offset_to_pointer (name.data, (glong) MAX (column, 1) - 1), name.data + name.size),
              NULL, NULL, "\"%s\" is no name of a flow: %s", shown, zm_routing_plain_text (error));
  else
    return TRUE;
  return FALSE;
}

static void
begin_flow (Reader *reader, ZmSpan text)
{
  const char *end = memchr (text.data, ']', text.size);
  ZmSpan name;

  end_flow (reader);
  reader->lost = TRUE;
  reader->finished = FALSE;
  if (end == NULL) {
    complain (reader, ZM_CODE_BAD_SECTION_LINE, text.data + text.size, "']' at the end of the line",
              "write [NAME]", "a flow's name without ']'");
    return;
  }
  if (end != text.data + text.size - 1) {
    complain (reader, ZM_CODE_BAD_SECTION_LINE, end + 1, "the end of the line",
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

static void
read_line (Reader *reader, ZmSpan line)
{
  ZmSpan text = trim (line);
  const char *bad;

  reader->text = line;
  if (text.size == 0 || text.data[0] == '#' || text.data[0] == ';')
    return;
  bad = line.size <= LINE_MOST ? bad_byte (line) : NULL;
  if (line.size > LINE_MOST)
    complain (reader, ZM_CODE_LINE_TOO_LONG, line.data, "at most 65,536 bytes", "split the line",
              "line too long");
  else if (bad != NULL)
    complain (reader, ZM_CODE_BAD_UTF8, bad, "UTF-8 without control characters", "save the file as UTF-8",
              "byte 0x%02x is no text", (guint) (guchar) *bad);
  else if (text.data[0] == '[')
    begin_flow (reader, text);
  else if (reader->flow == NULL && !reader->lost) {
    complain (reader, ZM_CODE_STEP_OUTSIDE_FLOW, text.data, "[NAME] of the flow first",
              "put the flow's name above it", "a step outside of a flow");
    reader->lost = TRUE;
  } else if (text.data[0] == '!')
    add_error_step (reader, text);
  else
    add_step (reader, text);
}

void
zm_flow_read_text (const char *name, ZmSpan text, GPtrArray *out, ZmProblems *problems)
{
  Reader reader = { .file = name, .problems = problems, .out = out };

  if (text.size > FILE_MOST) {
    complain (&reader, ZM_CODE_FILE_TOO_LARGE, NULL, "at most 1 MiB", "split it into several files",
              "file too long");
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
