/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ELF note reader: what a library says of itself, read before any of its code runs. Treats the file as hostile: every
 * offset and size is checked, at most 64 KiB of note text, regular files only. Any thread.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef struct ZmManifest {
  guint abi_major, abi_minor;
  char *name, *version, *licence, *summary; /* name is never NULL */
  char *kind;                               /* component, protocol, source, store */
  char **depends;                           /* never NULL */
  char **schemes;
  char **actions;       /* exported action symbols, never NULL */
  gboolean *threadsafe; /* parallel to actions */
  char *isolation;      /* or NULL */
  char *build_id;       /* hex, or NULL */
  char **unknown;       /* key=value lines that this version does not know */
} ZmManifest;

/* Errors: not ELF, wrong class, machine or byte order, truncated, no note of ours, another ABI (ZM_ERROR_ABI), a bad line,
 * an action whose name libc exports. */
ZmManifest *zm_manifest_read (const char *path, GError **error);
ZmManifest *zm_manifest_read_bytes (const guint8 *data, gsize size, GError **error);
void zm_manifest_free (ZmManifest *manifest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmManifest, zm_manifest_free)

G_END_DECLS
