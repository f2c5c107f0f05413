/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encryption at rest: AES-256-GCM with a random nonce of 96 bits a record. The library that does it is linked to the module
 * zm-cipher.so alone, which is loaded when the first key is used: a daemon without encrypted queues never has it in memory.
 *
 * 96 random bits: one key is good for 2^32 records (the chance that two have the same nonce is then below 2^-32); a queue that had
 * as many should be given another key. Any thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

#define ZM_CIPHER_KEY   32
#define ZM_CIPHER_NONCE 12
#define ZM_CIPHER_TAG   16
#define ZM_CIPHER_EXTRA (ZM_CIPHER_NONCE + ZM_CIPHER_TAG) /* bytes that sealing adds */

/* What the module exports, as `zm_cipher_module`. All return 0, or another number: refused, or (open) not what was sealed. */
typedef struct ZmCipherModule {
  guint32 struct_size;
  guint32 version; /* ZM_CIPHER_VERSION */
  /* size bytes of plain to sealed, which has room for size + ZM_CIPHER_TAG. */
  int (*seal) (const guint8 *key, const guint8 *nonce, ZmSpan bound, const guint8 *plain, gsize size,
               guint8 *sealed);
  /* The other way; size: of what is behind the nonce, with the tag. What stands in plain after a failure is not to be used. */
  int (*open) (const guint8 *key, const guint8 *nonce, ZmSpan bound, const guint8 *sealed, gsize size,
               guint8 *plain);
} ZmCipherModule;
#define ZM_CIPHER_VERSION 1
#define ZM_CIPHER_SYMBOL  "zm_cipher_module"

/* One key; zm_cipher_new, _ref and _unref stand in queue-private.h. */
typedef struct ZmCipher ZmCipher;

/* size bytes of plain to size + ZM_CIPHER_EXTRA bytes at out. bound: what has to be the same when it is opened. */
gboolean zm_cipher_seal (const ZmCipher *cipher, ZmSpan bound, const guint8 *plain, gsize size, guint8 *out,
                         GError **error);
/* size bytes of sealed to size - ZM_CIPHER_EXTRA bytes at out. FALSE with INVALID: damaged, moved, or sealed with another key;
 * nothing of it is at out then. */
gboolean zm_cipher_open (const ZmCipher *cipher, ZmSpan bound, const guint8 *sealed, gsize size, guint8 *out,
                         GError **error);

G_END_DECLS
