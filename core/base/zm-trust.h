/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who else may write a file, and who may put another in its place? What decides which code the daemon runs (configuration,
 * mappings, flows, programs, plugins) is taken only from places that root and the daemon's own user alone may change.
 *
 * A directory above it counts where anybody may write it: unless it is sticky, as /tmp is, names in it may be exchanged. That its
 * group may write it does not (as /usr/local of Debian). Any thread.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

typedef enum {
  ZM_TRUST_GOOD,
  ZM_TRUST_GROUP, /* its group may write it, which is root's or the user's own: usual where umask is 002 */
  ZM_TRUST_BAD,   /* why is set */
  ZM_TRUST_NONE   /* there is no such file, or it cannot be looked at */
} ZmTrust;

/* Of a file or directory, symbolic links followed. owner: the user besides root that it may belong to. *why: a sentence with path,
 * mode or owner, and what to do; the caller frees; NULL where the result is not BAD. */
ZmTrust zm_trust_path (const char *path, uid_t owner, char **why);
/* Of a program that is about to be run, for the effective user. FALSE: refused, with the reason. One that is not there is for
 * who runs it to tell: TRUE. */
gboolean zm_trust_program (const char *path, GError **error);
/* May anybody exchange what this path, which has no symbolic links, leads to? *why as above. */
gboolean zm_trust_replaceable (const char *real_path, char **why);

G_END_DECLS
