/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A keyed hash of 128 bits, for what peers choose: without the key nobody finds two texts of one hash. */
#pragma once

#include "base/zm-base.h"

G_BEGIN_DECLS

/* SipHash-2-4 with 128 bits of output. */
void zm_siphash (const guint64 key[2], ZmSpan text, guint64 out[2]);

G_END_DECLS
