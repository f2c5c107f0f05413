/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module zm-cipher.so: AES-256-GCM by OpenSSL's libcrypto, which nothing else of the daemon is linked to. */
#include "config.h"

#include "queue/queue-cipher.h"

#include <openssl/evp.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)

/* libcrypto takes int; a message is at most 64 MiB, and what says more is refused. */
static gboolean
fits (gsize size)
{
  return size <= G_MAXINT / 2;
}

static int
seal (const guint8 *key, const guint8 *nonce, ZmSpan bound, const guint8 *plain, gsize size, guint8 *sealed)
{
  g_autoptr (EVP_CIPHER_CTX) context = EVP_CIPHER_CTX_new ();
  int n = 0, end = 0;

  /* GCM's own standard is a nonce of 96 bits. */
  if (context == NULL || !fits (size) || !fits (bound.size) ||
      EVP_EncryptInit_ex (context, EVP_aes_256_gcm (), NULL, key, nonce) != 1 ||
      EVP_EncryptUpdate (context, NULL, &n, (const guint8 *) bound.data, (int) bound.size) != 1 ||
      EVP_EncryptUpdate (context, sealed, &n, plain, (int) size) != 1 ||
      EVP_EncryptFinal_ex (context, sealed + n, &end) != 1)
    return 1;
  return EVP_CIPHER_CTX_ctrl (context, EVP_CTRL_GCM_GET_TAG, ZM_CIPHER_TAG, sealed + size) == 1 ? 0 : 1;
}

static int
unseal (const guint8 *key, const guint8 *nonce, ZmSpan bound, const guint8 *sealed, gsize size, guint8 *plain)
{
  g_autoptr (EVP_CIPHER_CTX) context = EVP_CIPHER_CTX_new ();
  guint8 tag[ZM_CIPHER_TAG];
  int n = 0, end = 0;

  if (context == NULL || !fits (size) || !fits (bound.size) || size < ZM_CIPHER_TAG)
    return 1;
  size -= ZM_CIPHER_TAG;
  memcpy (tag, sealed + size, sizeof tag);
  if (EVP_DecryptInit_ex (context, EVP_aes_256_gcm (), NULL, key, nonce) != 1 ||
      EVP_DecryptUpdate (context, NULL, &n, (const guint8 *) bound.data, (int) bound.size) != 1 ||
      EVP_DecryptUpdate (context, plain, &n, sealed, (int) size) != 1 ||
      EVP_CIPHER_CTX_ctrl (context, EVP_CTRL_GCM_SET_TAG, ZM_CIPHER_TAG, tag) != 1)
    return 1;
  /* Compares the tags: what does not match fails here. */
  return EVP_DecryptFinal_ex (context, plain + n, &end) == 1 ? 0 : 1;
}

extern const ZmCipherModule zm_cipher_module;
__attribute__ ((visibility ("default"))) const ZmCipherModule zm_cipher_module = {
  .struct_size = sizeof zm_cipher_module,
  .version = ZM_CIPHER_VERSION,
  .seal = seal,
  .open = unseal,
};
