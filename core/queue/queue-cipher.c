/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys of queues, and the way to the module that encrypts with them. */
#include "config.h"

#include "queue/queue-cipher.h"

#include "base/zm-trust.h"
#include "queue/queue-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#define MODULE       "zm-cipher.so"
#define MOST_ABOVE   4            /* a program of the build tree stands at most that deep in it */
#define FOLDER_THERE "core/queue" /* of the module in it */

struct ZmCipher {
  atomic_int refs;
  void *library; /* of dlopen, which counts */
  const ZmCipherModule *module;
  guint8 key[ZM_CIPHER_KEY];
};

/* ---- the module ---- */

/* The one of the build tree that the program stands in, else the installed one. The caller frees. */
static char *
find_module (void)
{
  g_autofree char *folder = g_file_read_link ("/proc/self/exe", NULL);

  for (guint i = 0; folder != NULL && i < MOST_ABOVE; i++) {
    g_autofree char *above = g_path_get_dirname (folder);
    g_autofree char *built = g_build_filename (above, FOLDER_THERE, ".libs", MODULE, NULL);

    if (g_file_test (built, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&built);
    g_free (folder);
    folder = g_steal_pointer (&above);
  }
  return g_build_filename (ZM_PKGLIBDIR, MODULE, NULL);
}

static const ZmCipherModule *
table_of (void *library, const char *path, GError **error)
{
  const ZmCipherModule *module = dlsym (library, ZM_CIPHER_SYMBOL);

  if (module != NULL && module->struct_size >= sizeof *module && module->version == ZM_CIPHER_VERSION)
    return module;
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
               "%s is not of this version of zmanager: install the one that came with it", path);
  return NULL;
}

/* Code that is run with the daemon's rights: only from where nobody else may put it. */
static gboolean
load (ZmCipher *cipher, GError **error)
{
  g_autofree char *path = find_module ();

  if (!zm_trust_program (path, error))
    return FALSE;
  cipher->library = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (cipher->library == NULL) {
    g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                 "messages cannot be encrypted: %s; it is part of zmanager where that was built with OpenSSL",
                 dlerror ());
    return FALSE;
  }
  cipher->module = table_of (cipher->library, path, error);
  return cipher->module != NULL;
}

/* ---- keys ---- */

static gboolean
read_key (ZmSpan hex, guint8 key[ZM_CIPHER_KEY], GError **error)
{
  gboolean good;

  while (hex.size > 0 && g_ascii_isspace (hex.data[hex.size - 1]))
    hex.size--;
  while (hex.size > 0 && g_ascii_isspace (hex.data[0]))
    hex = zm_span (hex.data + 1, hex.size - 1);
  good = hex.size == 2 * ZM_CIPHER_KEY;
  for (guint i = 0; good && i < ZM_CIPHER_KEY; i++) {
    int high = g_ascii_xdigit_value (hex.data[2 * i]), low = g_ascii_xdigit_value (hex.data[2 * i + 1]);

    good = high >= 0 && low >= 0;
    key[i] = good ? (guint8) (high * 16 + low) : 0;
  }
  /* How long it is may be told, and nothing else of it. */
  if (!good)
    g_set_error (error, ZM_ERROR, ZM_ERROR_INVALID,
                 "a key for encryption is %d hexadecimal digits, this text has %" G_GSIZE_FORMAT
                 " characters; `openssl rand -hex 32` makes one",
                 2 * ZM_CIPHER_KEY, hex.size);
  return good;
}

ZmCipher *
zm_cipher_new (const char *hex, GError **error)
{
  ZmCipher *cipher = g_new0 (ZmCipher, 1);

  atomic_init (&cipher->refs, 1);
  if (read_key (zm_span_text (hex), cipher->key, error) && load (cipher, error))
    return cipher;
  zm_cipher_unref (cipher);
  return NULL;
}

ZmCipher *
zm_cipher_ref (ZmCipher *cipher)
{
  atomic_fetch_add_explicit (&cipher->refs, 1, memory_order_relaxed);
  return cipher;
}

void
zm_cipher_unref (ZmCipher *cipher)
{
  if (cipher == NULL || atomic_fetch_sub_explicit (&cipher->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (cipher->library != NULL)
    dlclose (cipher->library);
  explicit_bzero (cipher->key, sizeof cipher->key);
  g_free (cipher);
}

/* ---- sealing ---- */

static gboolean
make_nonce (guint8 *nonce, GError **error)
{
  ssize_t n;

  /* So few bytes come whole or not at all; a signal may only interrupt the wait at the machine's start. */
  do
    n = getrandom (nonce, ZM_CIPHER_NONCE, 0);
  while (n < 0 && errno == EINTR);
  if (n == ZM_CIPHER_NONCE)
    return TRUE;
  g_set_error (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE, "a message cannot be encrypted: no random bytes: %s",
               g_strerror (errno));
  return FALSE;
}

gboolean
zm_cipher_seal (const ZmCipher *cipher, ZmSpan bound, const guint8 *plain, gsize size, guint8 *out,
                GError **error)
{
  if (!make_nonce (out, error))
    return FALSE;
  if (cipher->module->seal (cipher->key, out, bound, plain, size, out + ZM_CIPHER_NONCE) != 0) {
    g_set_error_literal (error, ZM_ERROR, ZM_ERROR_UNAVAILABLE,
                         "a message cannot be encrypted: the library refused");
    return FALSE;
  }
  return TRUE;
}

gboolean
zm_cipher_open (const ZmCipher *cipher, ZmSpan bound, const guint8 *sealed, gsize size, guint8 *out,
                GError **error)
{
  if (size >= ZM_CIPHER_EXTRA && cipher->module->open (cipher->key, sealed, bound, sealed + ZM_CIPHER_NONCE,
                                                       size - ZM_CIPHER_NONCE, out) == 0)
    return TRUE;
  /* The library may have written what it could not verify. */
  if (size > ZM_CIPHER_EXTRA)
    memset (out, 0, size - ZM_CIPHER_EXTRA);
  g_set_error_literal (
      error, ZM_ERROR, ZM_ERROR_INVALID,
      "it does not open: it was encrypted with another key than the queue has now, was damaged, or was "
      "moved here from another place");
  return FALSE;
}
