/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of topic prefixes that answers "does one of them begin this topic?" in as many hash probes as there are different
 * lengths among them (a handful: prefixes end at a `~`). Bounded. Any thread; one mutex inside.
 */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

typedef struct ZmPrefixes ZmPrefixes;

/* most: prefixes at one time. Beyond it nothing more is stored, and every topic matches: the safe side. */
ZmPrefixes *zm_prefixes_new (guint most);
void zm_prefixes_free (ZmPrefixes *prefixes);

/* Makes it a member, however often it is put. TRUE: it is new. */
gboolean zm_prefixes_put (ZmPrefixes *prefixes, ZmSpan prefix);
/* Makes it a member once more: as many drops take it out. TRUE: it is new. */
gboolean zm_prefixes_hold (ZmPrefixes *prefixes, ZmSpan prefix);
/* Takes one hold back, or the put. TRUE: it is no member any more. */
gboolean zm_prefixes_drop (ZmPrefixes *prefixes, ZmSpan prefix);

/* Does a member begin text? */
gboolean zm_prefixes_match (ZmPrefixes *prefixes, ZmSpan text);
/* Is this very prefix a member? */
gboolean zm_prefixes_has (ZmPrefixes *prefixes, ZmSpan prefix);
guint zm_prefixes_count (ZmPrefixes *prefixes);
/* How many could not be stored so far. */
guint64 zm_prefixes_lost (ZmPrefixes *prefixes);

G_END_DECLS
