/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kept state: small values of plugins that survive a restart. One document each, in the space "kept" under "PLUGIN NUL name";
 * those of plugins in use are in memory too, so that reading one never waits for the disk.
 */
#pragma once

#include "plugin/zm-plugins.h"

G_BEGIN_DECLS

struct ZmRuntime;
typedef struct ZmKept ZmKept;

ZmKept *zm_kept_new (struct ZmRuntime *runtime);
/* After the store is freed. */
void zm_kept_free (ZmKept *kept);
/* Reads what these plugins have kept, before they are loaded; may wait for the disk. What cannot be read is tried again at its first
 * use. names: NULL-terminated. */
void zm_kept_load (ZmKept *kept, const char *const *names);
/* name and size are checked by the caller; data NULL: forgets it. As zm_keep. */
int zm_kept_set (ZmKept *kept, ZmGeneration *generation, const char *name, const void *data, gsize size,
                 zm_done_fn done, void *user);
/* ZM_OK and a reference; or ZM_E_NOT_FOUND, ZM_E_FAILED. */
int zm_kept_get (ZmKept *kept, const char *plugin, const char *name, GBytes **value);
/* As much of it as there is room for; returns its length. */
int zm_kept_copy (GBytes *value, void *buffer, gsize size);

G_END_DECLS
