/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What characters parts of keys, topics and ids are made of, and the errors that name a wrong one with its column.
 * Inside the room message only. Any thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* How many bytes from `at` on belong to a part: word characters, '-' and '^'. */
gsize zm_chars_word (const char *at, const char *end);
/* The same of an id: [A-Za-z0-9_.:-]. */
gsize zm_chars_id (const char *at, const char *end);

/* The column of a byte, in characters; 1 is the first. Bytes that are no UTF-8 count one each. */
guint zm_chars_column (ZmSpan text, const char *at);
/* The error "column N: …" of what stands at `at`, which is not allowed in `where` ("an action key"). FALSE always. */
gboolean zm_chars_refuse (ZmSpan text, const char *at, const char *where, const char *allowed, guint *column,
                          GError **error);
/* The error "column N: what"; FALSE always. */
gboolean zm_chars_error (ZmSpan text, const char *at, guint *column, GError **error, const char *what, ...)
    G_GNUC_PRINTF (5, 6);

#define ZM_CHARS_WORD_ALLOWED "letters, digits, '_', '-' and '^'"

G_END_DECLS
