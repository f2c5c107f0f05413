/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One registered service, for the files of the registry. The registry's mutex guards all of it. */
#pragma once

#include "subject/subject-private.h"

#define ZM_SERVICES_MOST         1024
#define ZM_PATTERNS_MOST         64
#define ZM_SERVICE_PREFIXES_MOST 4096
/* One that said STOPPED is shown this long, then forgotten. */
#define ZM_SERVICE_STOPPED_US (10 * 60 * G_USEC_PER_SEC)

typedef enum {
  ZM_SERVICE_RUNNING,
  ZM_SERVICE_DEGRADED,
  ZM_SERVICE_STOPPED,
  ZM_SERVICE_UNKNOWN
} ZmServiceState;

typedef struct ZmService {
  char *name;
  char *version;
  char **patterns;     /* key patterns as the service gave them */
  char **topics;       /* prefixes of topics that it asked for as they are */
  char **prefixes;     /* what both are now, sorted */
  gint64 heartbeat_us; /* 0: it sends none */
  gint64 last_seen_us;
  gboolean transient;               /* a short-lived tool: forgotten as soon as it ends */
  ZmServiceState state;             /* as the service says; UNKNOWN after three missed heartbeats */
  gint64 received, errors, busy_ms; /* as the service counts; -1: it does not say */
} ZmService;

struct ZmServices {
  ZmTableSlot *tables;
  ZmIntegration *integration;
  ZmLog *log;
  ZmCounter *count, *commands;
  pthread_mutex_t mutex;
  GHashTable *by_name; /* name -> ZmService */
  ZmUuidMaker ids;
};

void zm_service_free (ZmService *service);
/* Before it leaves the table: its topics are numbered for it no more. */
void zm_service_leave (ZmServices *services, ZmService *service);
/* A command's message for the service. */
ZmMessage *zm_service_message (ZmServices *services, const char *name, const char *command, const char *body);
/* Sets new prefixes (taken; NULL: none any more), and which topics are numbered by them. TRUE: they differ from the old. */
gboolean zm_service_set_prefixes (ZmServices *services, ZmService *service, char **prefixes);
/* The prefixes that its patterns mean in the current table, and its topics: sorted, without duplicates. The caller frees. */
char **zm_service_prefixes (ZmServices *services, const ZmService *service, GError **error);
void zm_service_append_list (GString *json, char *const *list);
