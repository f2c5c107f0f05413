/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents of the store, read while the caller waits: for what is kept in memory afterwards. */
#pragma once

#include "store/zm-store.h"

G_BEGIN_DECLS

typedef struct ZmDocumentCopy {
  GBytes *key, *value;
} ZmDocumentCopy;

/* All documents of a space whose keys begin with prefix, by key: ZmDocumentCopy, which the caller unrefs. NULL with an error, also
 * where they do not come within ten seconds. Any thread but the store's own. */
GPtrArray *zm_documents_read (ZmStore *store, const char *space, ZmSpan prefix, GError **error);

G_END_DECLS
