/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one line reader for configuration and mapping files: `[section]`, `key = value` with the value raw to the line's end
 * (surrounding blanks cut), comments (`#`, `;`) only on lines of their own. Bounded: 1 MiB a file, 64 KiB a line. Keeps
 * file, line and column of everything. Errors go to problems; what could be read is returned all the same.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef struct ZmLine {
  char *
      section; /* "actionmapping", "plugin hello" (blanks inside folded to one); "" before the first section */
  char *key;   /* NULL: this is the section's own line */
  char *value;
  const char *file; /* interned in the ZmLines */
  guint line, key_column, value_column;
} ZmLine;

typedef struct ZmLines ZmLines;

ZmLines *zm_lines_read_file (const char *path, ZmProblems *problems);
/* name: what problems call it. */
ZmLines *zm_lines_read_text (const char *name, ZmSpan text, ZmProblems *problems);
void zm_lines_free (ZmLines *lines);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmLines, zm_lines_free)
guint zm_lines_count (const ZmLines *lines);
const ZmLine *zm_lines_get (const ZmLines *lines, guint index);

/* The plain files of a directory that end so (".conf"), full paths in byte order of their names; hidden ones and ones
 * ending in ~ left out. A directory that is not there gives an empty array. NULL-terminated. */
char **zm_list_files (const char *directory, const char *ending);

G_END_DECLS
