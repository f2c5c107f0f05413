/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of bearer tokens: a line each, "NAME HASH PROJECT ROLES [PATTERN …]", "#" begins a comment. HASH is the SHA-256 of the token in
 * hexadecimal digits; PROJECT "*": any; ROLES joined by commas; PATTERNs are action keys (empty parts are any) that may be sent, none: all.
 *
 * A plain SHA-256 is enough: tokens are 256 random bits that we make, so there is nothing to guess that a slow hash would protect,
 * and each request pays for one hash only.
 */
#pragma once

#include "message/zm-key.h"

G_BEGIN_DECLS

#define ZM_TOKEN_PREFIX    "zm_" /* so that scanners for leaked secrets can find one */
#define ZM_TOKENS_MOST     10000
#define ZM_TOKEN_FILE_MOST (4 * 1024 * 1024)

/* One line; immutable. */
typedef struct ZmToken {
  char *name;
  guint8 hash[32];
  char *project; /* NULL: any */
  guint roles;
  char **patterns; /* NULL-terminated; empty: all */
} ZmToken;

typedef struct ZmTokens ZmTokens; /* immutable, reference counted; any thread */

/* A file that is not there has none. Errors name path and line. */
ZmTokens *zm_tokens_read (const char *path, GError **error);
ZmTokens *zm_tokens_ref (ZmTokens *tokens);
void zm_tokens_unref (ZmTokens *tokens);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmTokens, zm_tokens_unref)
guint zm_tokens_count (const ZmTokens *tokens);
const ZmToken *zm_tokens_nth (const ZmTokens *tokens, guint index);
const ZmToken *zm_tokens_named (const ZmTokens *tokens, const char *name);
/* Whose token is this? All are compared, in a time that tells nothing of them. NULL: nobody's. */
const ZmToken *zm_tokens_find (const ZmTokens *tokens, ZmSpan secret);
gboolean zm_token_may_send (const ZmToken *token, const ZmKey *key);

/* "admin,publish"; the caller frees. */
char *zm_roles_text (guint roles);
gboolean zm_roles_parse (const char *text, guint *roles, GError **error);

/* Adds one and writes the file anew (mode 0600, atomically). *secret: what to give to its user, kept nowhere; the caller frees. EXISTS: the name is
 * taken. */
gboolean zm_tokens_add (const char *path, const char *name, const char *project, guint roles,
                        const char *const *patterns, char **secret, GError **error);
/* NOT_FOUND: there is none. */
gboolean zm_tokens_remove (const char *path, const char *name, GError **error);
/* The file that [http] tokens means where it is not set; the caller frees. */
char *zm_tokens_standard (const char *config_dir);

G_END_DECLS
