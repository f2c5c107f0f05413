/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader of mapping files, as its two files share it: mapping.c has the file and its mappings, mapping-options.c the
 * sections [action KEY]. */
#pragma once

#include "routing/table-private.h"

G_BEGIN_DECLS

/* One file that is being read. Lives on the stack of its reading function. */
typedef struct ZmMappingReader {
  ZmLines *lines;
  ZmProblems *problems;
  GPtrArray *out;      /* ZmMapping *, the caller's; may hold those of other files */
  guint first;         /* the file's first mapping in out */
  GHashTable *by_slug; /* slug -> ZmMapping *, of this file; NULL until options need it */
} ZmMappingReader;

/* mapping.c */
/* Adds an error at that column of the line. what is a printf format. */
void zm_mapping_reader_complain (ZmMappingReader *reader, guint code, const ZmLine *line, guint column,
                                 const char *expected, const char *todo, const char *what, ...)
    G_GNUC_PRINTF (7, 8);
/* The key in text, which begins at column at; key points into text. FALSE: said why. */
gboolean
zm_mapping_reader_key (ZmMappingReader *reader, const ZmLine *line, const char *text, guint at, ZmKey *key);

/* mapping-options.c */
/* "did you mean NAME?", or NULL. The caller frees. */
char *zm_mapping_reader_suggest (const char *word, const char *const *names);
/* The mapping that a line "[action KEY]" is about, or NULL with the problem said. */
ZmMapping *zm_mapping_reader_target (ZmMappingReader *reader, const ZmLine *line);
/* One line below it. A wrong one leaves the mapping as it was. */
void zm_mapping_reader_option (ZmMappingReader *reader, const ZmLine *line, ZmMapping *mapping);

G_END_DECLS
