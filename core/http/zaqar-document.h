/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What clients of Zaqar's API send, read and checked; nothing here knows requests or queues' state. */
#pragma once

#include "config/zm-config.h"
#include "http/json-cut.h"
#include "queue/zm-queue.h"

G_BEGIN_DECLS

/* Seconds; Zaqar's, which no option changes. */
#define ZM_ZAQAR_TTL_LEAST 60
/* Of a list whose request names no limit. */
#define ZM_ZAQAR_PAGE      10
#define ZM_ZAQAR_WAIT_MOST 60

/* Errors that become answers; the code says status and title. */
#define ZM_ZAQAR_ERROR (zm_zaqar_error_quark ())
GQuark zm_zaqar_error_quark (void);
typedef enum {
  ZM_ZAQAR_API,       /* 400 "Invalid API request" */
  ZM_ZAQAR_BODY,      /* 400 "Invalid request body" */
  ZM_ZAQAR_PARAMETER, /* 400 "Invalid parameter" */
  ZM_ZAQAR_CONFLICT   /* 409 "Resource conflict" */
} ZmZaqarCode;

/* [zaqar], as numbers. */
typedef struct ZmZaqarLimits {
  gint64 message_ttl, message_delay, claim_ttl, claim_grace; /* defaults */
  gint64 message_ttl_most, message_delay_most, claim_ttl_most, claim_grace_most;
  gint64 queues_page, messages_page, claim_or_pop;
  gint64 metadata_most, post_most; /* bytes */
} ZmZaqarLimits;
void zm_zaqar_limits (const ZmConfig *config, ZmZaqarLimits *limits);

/* Cuts a body and makes Zaqar's errors of what is wrong with it; FALSE without error: func stopped it. */
gboolean zm_zaqar_cut (ZmSpan body, guint depth, ZmCutFunc func, gpointer user, GError **error);

/* ---- posts and claims ---- */

/* Of ZmPut, for zm_queue_put; bodies are borrowed from the text. client: 16 bytes, borrowed. NULL: error is set. */
GArray *zm_zaqar_read_post (ZmSpan body, const ZmZaqarLimits *limits, ZmSpan client, GError **error);

typedef struct ZmZaqarClaim {
  gint64 ttl_s, grace_s;
} ZmZaqarClaim;
/* An empty body gives the standards. */
gboolean zm_zaqar_read_claim (ZmSpan body, const ZmZaqarLimits *limits, ZmZaqarClaim *claim, GError **error);

/* An empty body means both. */
gboolean zm_zaqar_read_purge (ZmSpan body, gboolean *messages, gboolean *subscriptions, GError **error);

/* ---- names and values of requests ---- */

gboolean zm_zaqar_queue_name_ok (ZmSpan name);
/* A UUID in any of the usual spellings, with or without dashes, as 16 bytes. */
gboolean zm_zaqar_uuid_read (const char *text, guint8 out[16]);
/* True, true, t, yes, y, 1, on; and their opposites. */
gboolean zm_zaqar_boolean_read (const char *text, gboolean *value);

/* ---- metadata of queues ---- */

/* Members in order of their first appearance; the last value of a name counts. */
typedef struct ZmMeta ZmMeta;
/* Of a JSON object; NULL: error is set. */
ZmMeta *zm_meta_read (ZmSpan text, GError **error);
void zm_meta_free (ZmMeta *meta);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZmMeta, zm_meta_free)
void zm_meta_set (ZmMeta *meta, const char *key, ZmCutKind kind, ZmSpan raw, gint64 integer);
gboolean zm_meta_remove (ZmMeta *meta, const char *key);
/* The raw value; FALSE: there is none. */
gboolean zm_meta_get (const ZmMeta *meta, const char *key, ZmCutKind *kind, ZmSpan *raw, gint64 *integer);
/* Is it a key whose meaning the API defines, and that each queue shows? */
gboolean zm_meta_reserved (const char *key);
/* Are the values of reserved keys, and its size, right for a queue of this name? */
gboolean zm_meta_check (const ZmMeta *meta, ZmSpan queue, const ZmZaqarLimits *limits, GError **error);
/* Reserved keys that are missing or say nothing get the standards. */
void zm_meta_fill (ZmMeta *meta, const ZmZaqarLimits *limits);
char *zm_meta_text (const ZmMeta *meta); /* JSON; the caller frees */

/* Applies a JSON patch (add, remove and replace below /metadata). */
gboolean zm_meta_patch (ZmMeta *meta, ZmSpan patch, GError **error);

G_END_DECLS
