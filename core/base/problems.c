/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of problems that a checker finds, and their one-line form.
 *
 * All of them are collected before anything is said: who corrects a file wants the whole list, not its first line again and
 * again. Bounded, as the files may be anybody's: beyond the bound they are counted.
 */
#include "config.h"

#include "base/zm-base.h"

#include <stdarg.h>

#define PROBLEMS_MOST 1000 /* kept; the rest is counted */
#define TEXT_MOST     2048 /* bytes of one text */

struct ZmProblems {
  GPtrArray *list; /* ZmProblem, owned; PROBLEMS_MOST at most */
  guint errors;    /* found, kept or not */
  guint warnings;
};

static void
problem_free (gpointer data)
{
  ZmProblem *problem = data;

  g_free (problem->file);
  g_free (problem->what);
  g_free (problem->expected);
  g_free (problem->todo);
  g_free (problem);
}

ZmProblems *
zm_problems_new (void)
{
  ZmProblems *problems = g_new0 (ZmProblems, 1);

  problems->list = g_ptr_array_new_with_free_func (problem_free);
  return problems;
}

void
zm_problems_free (ZmProblems *problems)
{
  if (problems == NULL)
    return;
  g_ptr_array_unref (problems->list);
  g_free (problems);
}

/* Files quote what stands in them, so no text of a problem is trusted to be printable. NULL stays NULL. */
static char *
safe_text (const char *text)
{
  return text != NULL ? zm_printable (zm_span_text (text), TEXT_MOST) : NULL;
}

/* Counts first and keeps afterwards: the numbers are right beyond the bound too. */
void
zm_problems_add (ZmProblems *problems, ZmSeverity severity, guint code, const char *file, guint line,
                 guint column, const char *expected, const char *todo, const char *what, ...)
{
  g_autofree char *quoting = NULL, *text = NULL;
  ZmProblem *problem;
  va_list arguments;

  if (severity == ZM_PROBLEM_ERROR)
    problems->errors++;
  else
    problems->warnings++;
  if (problems->list->len >= PROBLEMS_MOST)
    return;

  va_start (arguments, what);
  quoting = g_strdup_vprintf (what, arguments);
  va_end (arguments);
  /* Before it is cut: half an address does not look like one. */
  text = zm_hide_passwords (quoting);
  problem = g_new0 (ZmProblem, 1);
  problem->severity = severity;
  problem->code = code;
  problem->file = safe_text (file);
  problem->line = line;
  problem->column = column;
  problem->what = safe_text (text);
  problem->expected = safe_text (expected);
  problem->todo = safe_text (todo);
  g_ptr_array_add (problems->list, problem);
}

guint
zm_problems_errors (const ZmProblems *problems)
{
  return problems->errors;
}

guint
zm_problems_warnings (const ZmProblems *problems)
{
  return problems->warnings;
}

guint
zm_problems_count (const ZmProblems *problems)
{
  return problems->list->len;
}

const ZmProblem *
zm_problems_get (const ZmProblems *problems, guint index)
{
  g_return_val_if_fail (index < problems->list->len, NULL);
  return g_ptr_array_index (problems->list, index);
}

static int
compare_places (gconstpointer a, gconstpointer b)
{
  const ZmProblem *left = *(ZmProblem *const *) a;
  const ZmProblem *right = *(ZmProblem *const *) b;
  int order = g_strcmp0 (left->file, right->file);

  if (order == 0)
    order = (left->line > right->line) - (left->line < right->line);
  return order != 0 ? order : (left->column > right->column) - (left->column < right->column);
}

/* GLib's sort of arrays is a merge sort: stable. */
void
zm_problems_sort (ZmProblems *problems)
{
  g_ptr_array_sort (problems->list, compare_places);
}

/* The form that editors and compilers have taught people: file:line:column first, so that it can be jumped to. */
char *
zm_problem_format (const ZmProblem *problem)
{
  GString *out = g_string_new (NULL);

  if (problem->file != NULL) {
    g_string_append (out, problem->file);
    if (problem->line > 0)
      g_string_append_printf (out, ":%u", problem->line);
    if (problem->line > 0 && problem->column > 0)
      g_string_append_printf (out, ":%u", problem->column);
    g_string_append (out, ": ");
  }
  g_string_append_printf (out, "%s ZM%04u: %s", problem->severity == ZM_PROBLEM_ERROR ? "error" : "warning",
                          problem->code, problem->what);
  if (problem->expected != NULL)
    g_string_append_printf (out, "; expected %s", problem->expected);
  if (problem->todo != NULL)
    g_string_append_printf (out, "; %s", problem->todo);
  return g_string_free (out, FALSE);
}

/* All of one severity, in the order in which they were found. */
static void
append_all (const ZmProblems *problems, ZmSeverity severity, GString *out)
{
  for (guint i = 0; i < problems->list->len; i++) {
    const ZmProblem *problem = g_ptr_array_index (problems->list, i);
    g_autofree char *line = NULL;

    if (problem->severity != severity)
      continue;
    line = zm_problem_format (problem);
    g_string_append_printf (out, "%s%s", out->len > 0 ? "\n" : "", line);
  }
}

/* Errors first: they are what keeps it from starting. */
char *
zm_problems_format (const ZmProblems *problems)
{
  GString *out = g_string_new (NULL);
  guint found = problems->errors + problems->warnings;

  append_all (problems, ZM_PROBLEM_ERROR, out);
  append_all (problems, ZM_PROBLEM_WARNING, out);
  if (found > problems->list->len)
    g_string_append_printf (out, "\nand %u more problems; correct these first", found - problems->list->len);
  return g_string_free (out, FALSE);
}
