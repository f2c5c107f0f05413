/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzes the ELF note reader: any bytes as a library. */
#include "config.h"

#include "plugin/zm-note.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmManifest) manifest = zm_manifest_read_bytes (data, size, &error);

  /* Either, or: and the sentence is fit for a terminal. */
  if ((manifest == NULL) == (error == NULL) || (error != NULL && !g_utf8_validate (error->message, -1, NULL)))
    __builtin_trap ();
  if (manifest != NULL && (manifest->name == NULL || manifest->actions == NULL || manifest->depends == NULL))
    __builtin_trap ();
  return 0;
}
