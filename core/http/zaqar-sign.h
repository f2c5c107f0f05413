/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pre-signed URLs: who holds one may use what it names without a token. Zaqar's format; where Zaqar is weak (paths matched
 * anywhere, comparison that tells by its time, parts that run into one another) this is not.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* What was signed. */
typedef struct ZmSigned {
  char **paths, **methods; /* sorted */
  char *project;
  char *expires; /* 2030-01-31T12:00:00, UTC */
} ZmSigned;
void zm_signed_clear (ZmSigned *signed_url);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZmSigned, zm_signed_clear)

/* 64 lower-case hexadecimal digits, the caller frees. Sorts paths and methods. NULL: a part contains a character that must not be in it. */
char *zm_signed_signature (ZmSigned *signed_url, const char *key);

/* ISO 8601 with or without fraction and zone (UTC); seconds since 1970. FALSE: it is no such time. */
gboolean zm_signed_expires_read (const char *text, gint64 *seconds);
char *zm_signed_expires_text (gint64 seconds);

/* The headers of a request that uses one, as they came; NULL: missing. path: raw, without query. */
typedef struct ZmSignedUse {
  const char *method, *path, *project;
  const char *signature, *expires, *methods, *paths;
} ZmSignedUse;
gboolean zm_signed_verify (const ZmSignedUse *use, const char *key, gint64 now_s);

/* Reads the document of a share: names below base ("/v2/queues/q"). FALSE: error is set (ZM_ZAQAR_ERROR). project is left alone. */
gboolean
zm_signed_read_share (ZmSpan body, const char *base, gint64 now_s, ZmSigned *signed_url, GError **error);

G_END_DECLS
