/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads files of cases with the one line reader, into plain data. Everything that can be wrong in a file is found here, with its
 * line and column and all of it at once: when a case runs, its keys, names and times are known to be good.
 */
#include "config.h"

#include "base/zm-codes.h"
#include "config/zm-lines.h"
#include "ctl/flowtest.h"
#include "message/zm-key.h"

#include <string.h>

/* Long for a flow of quick actions, short for who waits for a red test. */
#define CASE_MS 5000

/* For the arrays of a case, which own their parts. */
static void
free_part (gpointer data)
{
  ZmFlowTestPart *part = data;

  g_free (part->key);
  g_free (part->body);
  g_free (part);
}

/* For the array of cases. */
static void
free_case (gpointer data)
{
  ZmFlowTestCase *test = data;

  g_free (test->name);
  g_free (test->given);
  g_free (test->flow);
  g_free (test->body);
  g_ptr_array_unref (test->answers);
  g_ptr_array_unref (test->expects);
  g_free (test);
}

/* With what holds where the file says nothing: an empty body, CASE_MS, no answers. */
static ZmFlowTestCase *
new_case (const char *name, guint line)
{
  ZmFlowTestCase *test = g_new0 (ZmFlowTestCase, 1);

  test->name = g_strdup (name);
  test->line = line;
  test->body = g_strdup ("");
  test->timeout_ms = CASE_MS;
  test->answers = g_ptr_array_new_with_free_func (free_part);
  test->expects = g_ptr_array_new_with_free_func (free_part);
  return test;
}

/* A problem at the value of a line. Problems are collected, so that one run tells all of them. */
static void
wrong (ZmProblems *problems, const ZmLine *line, const char *expected, const char *what)
{
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_VALUE, line->file, line->line, line->value_column,
                   expected, NULL, "%s: %s", line->key, what);
}

/* A key, checked; NULL: a problem was added. */
static char *
read_key (const ZmLine *line, const char *text, ZmProblems *problems)
{
  g_autoptr (GError) error = NULL;
  ZmKey key;

  if (zm_key_parse (zm_span_text (text), &key, NULL, &error))
    return g_strdup (text);
  wrong (problems, line, "Sender?Context@Decorator?Action", error->message);
  return NULL;
}

/* "KEY BODY": the key has no blanks, the body is the rest. prefix: a topic prefix may stand there too. */
static void
add_part (GPtrArray *parts, const ZmLine *line, gboolean prefix, ZmProblems *problems)
{
  gsize size = strcspn (line->value, " \t");
  g_autofree char *first = g_strndup (line->value, size);
  const char *rest = line->value + size;
  ZmFlowTestPart *part = NULL;
  char *key = prefix && strchr (first, '~') != NULL ? g_strdup (first) : read_key (line, first, problems);

  if (key == NULL)
    return;
  part = g_new0 (ZmFlowTestPart, 1);
  part->key = key;
  part->line = line->line;
  rest += strspn (rest, " \t");
  part->body = *rest != '\0' ? g_strdup (rest) : NULL;
  g_ptr_array_add (parts, part);
}

/* given, flow, body and timeout: the last one stands; answer and expect make lists. */
static void
read_value (ZmFlowTestCase *test, const ZmLine *line, ZmProblems *problems)
{
  static const char *const keys[] = { "given", "flow", "body", "answer", "expect", "timeout", NULL };
  g_autoptr (GError) error = NULL;
  const char *near = zm_suggest (line->key, keys);
  g_autofree char *todo = near != NULL ? g_strdup_printf ("did you mean %s?", near) : NULL;

  if (strcmp (line->key, "given") == 0) {
    g_free (test->given);
    test->given = read_key (line, line->value, problems);
  } else if (strcmp (line->key, "flow") == 0) {
    g_free (test->flow);
    test->flow = g_strdup (line->value);
    if (!zm_name_check (zm_span_text (line->value), NULL, &error))
      wrong (problems, line, "the name of a flow", error->message);
  } else if (strcmp (line->key, "body") == 0) {
    g_free (test->body);
    test->body = g_strdup (line->value);
  } else if (strcmp (line->key, "answer") == 0) {
    add_part (test->answers, line, FALSE, problems);
  } else if (strcmp (line->key, "expect") == 0) {
    add_part (test->expects, line, TRUE, problems);
  } else if (strcmp (line->key, "timeout") == 0) {
    if (!zm_parse_duration (line->value, &test->timeout_ms, &error))
      wrong (problems, line, "a time such as 5s", error->message);
  } else {
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_KEY, line->file, line->line,
                     line->key_column, "given, flow, body, answer, expect, timeout", todo,
                     "a case has no key \"%s\"", line->key);
  }
}

/* "[case NAME]" begins one; any other section is a problem. */
static ZmFlowTestCase *
read_section (const ZmLine *line, ZmProblems *problems)
{
  if (g_str_has_prefix (line->section, "case ") && line->section[5] != '\0')
    return new_case (line->section + 5, line->line);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_UNKNOWN_SECTION, line->file, line->line,
                   line->key_column, "[case NAME]", NULL, "unknown section [%s]", line->section);
  return NULL;
}

/* A case that cannot fail is worse than none. */
static void
check_case (const char *path, const ZmFlowTestCase *test, ZmProblems *problems)
{
  if (test->given == NULL)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_MISSING_KEY, path, test->line, 0, "given = KEY",
                     NULL, "the case \"%s\" sends nothing", test->name);
  if (test->expects->len == 0)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_MISSING_KEY, path, test->line, 0,
                     "expect = KEY [BODY]", NULL, "the case \"%s\" expects nothing, so it cannot fail",
                     test->name);
}

/* The line reader of all our files: comments, sections and places in messages work as in flow files. Lines in an
 * unknown section are passed over, as the section itself was the problem. */
GPtrArray *
zm_flowtest_read (const char *path, ZmProblems *problems)
{
  GPtrArray *out = g_ptr_array_new_with_free_func (free_case);
  g_autoptr (ZmLines) lines = zm_lines_read_file (path, problems);
  ZmFlowTestCase *test = NULL;

  for (guint i = 0; lines != NULL && i < zm_lines_count (lines); i++) {
    const ZmLine *line = zm_lines_get (lines, i);

    if (line->key == NULL) {
      test = read_section (line, problems);
      if (test != NULL)
        g_ptr_array_add (out, test);
    } else if (test != NULL) {
      read_value (test, line, problems);
    }
  }
  for (guint i = 0; i < out->len; i++)
    check_case (path, g_ptr_array_index (out, i), problems);
  if (out->len == 0 && zm_problems_errors (problems) == 0)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_MISSING_KEY, path, 0, 0, "[case NAME]", NULL,
                     "there is no case");
  return out;
}
