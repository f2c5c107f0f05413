/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a plugin hands in, checked in one way wherever it runs: by the daemon, and by the host of a plugin that runs outside,
 * which so can say no at once. Any thread.
 */
#pragma once

#include "base/zm-base.h"
#include "zmanager/plugin.h"

G_BEGIN_DECLS

/* A copy of the event as this ABI knows it: a plugin of an older one has fewer members, a newer one more; what is missing is
 * zero. FALSE: not even the members of ABI 1.0, or a body without an address. */
gboolean zm_event_read (const zm_event *event, zm_event *out);
/* Are flow, id and headers fit for a message, where they are given? The key is not looked at. */
gboolean zm_event_check (const zm_event *event);
/* The same of a message for a queue. */
gboolean zm_put_read (const zm_put *put, zm_put *out);
/* Are its queue, key, id, headers and times right? The body's size is not looked at. */
#define ZM_PUT_KEY_MOST 255 /* bytes */
gboolean zm_put_check (const zm_put *put);
/* Is it a queue's name that a plugin may use? NULL is none. */
gboolean zm_queue_name_check (const char *name);
/* Is it a name for zm_keep? NULL is none. */
#define ZM_KEPT_NAME_MOST  255   /* bytes */
#define ZM_KEPT_VALUE_MOST 65536 /* bytes */
#define ZM_KEPT_NAMES_MOST 1024  /* of one plugin */
gboolean zm_kept_check (const char *name);
/* Is it a figure that zm_metric takes? NULL is no name; what is not a number is refused. */
gboolean zm_metric_check (int kind, const char *name, double value);

/* What a plugin's function returned, for people: "-4 (ZM_E_MEMORY)", or the number alone where it has no name. The caller frees. */
char *zm_status_text (int status);

G_END_DECLS
