/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of /v1. */
#include "config.h"

#include "http/v1.h"

#define ANY_BODY  G_MAXSIZE /* up to [http] max-body */
#define JSON_BODY 65536
#define ALL       (ZM_ROLE_ADMIN | ZM_ROLE_PUBLISH | ZM_ROLE_CONSUME | ZM_ROLE_SUBSCRIBE)

static const ZmParam put_params[] = { { "ttl", "integer", "Seconds that it is kept." },
                                      { "delay", "integer", "Seconds that it is held back." },
                                      { "key", "string", "Element of a `latest` queue, or ordering key." },
                                      { NULL, NULL, NULL } };
static const ZmParam take_params[] = { { "wait", "integer", "Seconds to wait for a message, at most 60." },
                                       { "limit", "integer", "Messages, at most 100; 1 where not given." },
                                       { "ttl", "integer", "Seconds until the claim is over." },
                                       { NULL, NULL, NULL } };
static const ZmParam peek_params[] = { { "limit", "integer", "Messages, at most 100; 10 where not given." },
                                       { "marker", "string", "Id behind which to begin." },
                                       { "newest", "boolean", "From the end." },
                                       { NULL, NULL, NULL } };
static const ZmParam list_params[] = { { "limit", "integer", "Queues, at most 1000; 100 where not given." },
                                       { "marker", "string", "Name behind which to begin." },
                                       { NULL, NULL, NULL } };
static const ZmParam claim_params[] = { { "claim", "string", "The claim that it was taken with." },
                                        { NULL, NULL, NULL } };
static const ZmParam key_params[] = { { "key", "string", "An action key: how it is resolved, step by step." },
                                      { NULL, NULL, NULL } };

const ZmRoute zm_routes_v1[] = {
  { ZM_POST, "/v1/actions/{key*}", zm_v1_action, ZM_ROLE_PUBLISH, 0, ANY_BODY, "send",
    "Sends the body to an action; headers Prefer (respond-async, durable, wait=SECONDS) and Idempotency-Key.",
    "200 The result.;202 Taken; the id.;400 The key is wrong.;403 Denied.;404 Nothing takes the key.;409 An "
    "instance with this id waits "
    "already.;413 The body is too large.;422 The action refused it.;500 The action failed.;501 No store.;503 "
    "Busy, or not there now.;504 "
    "No result in time.;507 The store is full.",
    NULL },

  { ZM_GET, "/v1/queues", zm_v1_queues, ALL, 0, 0, "queues", "The project's queues.", "200 A list.",
    list_params },
  { ZM_POST, "/v1/queues/{queue}", zm_v1_put, ZM_ROLE_PUBLISH, 0, ANY_BODY, "put",
    "Puts the body into the queue, which is made where it is not there; header Idempotency-Key.",
    "201 It is stored; its id.;413 The body is too large.;501 No store.;503 The store is not there now.;507 "
    "The queue is full.",
    put_params },
  { ZM_GET, "/v1/queues/{queue}", zm_v1_take, ZM_ROLE_CONSUME, 0, 0, "take",
    "Claims messages: each is free again when the claim is over, unless it was acknowledged.",
    "200 Messages, none where there are none in time.;501 No store.;503 The store is not there now.",
    take_params },
  { ZM_PUT, "/v1/queues/{queue}", zm_v1_queue_create, ZM_ROLE_PUBLISH | ZM_ROLE_CONSUME, 0, JSON_BODY,
    "create_queue", "Makes a queue; the body is its metadata, a JSON object.",
    "201 Made.;204 It was there, and is unchanged.;501 No store.", NULL },
  { ZM_DELETE, "/v1/queues/{queue}", zm_v1_queue_remove, ZM_ROLE_ADMIN, 0, 0, "remove_queue",
    "Removes a queue with all its messages.", "204 Gone.;501 No store.", NULL },
  { ZM_DELETE, "/v1/queues/{queue}/{id}", zm_v1_acknowledge, ZM_ROLE_CONSUME, 0, 0, "acknowledge",
    "Removes a message.",
    "204 Gone.;400 The claim is over.;403 It is claimed by somebody else.;501 No store.", claim_params },
  { ZM_POST, "/v1/queues/{queue}/purge", zm_v1_queue_purge, ZM_ROLE_ADMIN, 0, JSON_BODY, "purge",
    "Removes all messages of a queue.", "200 How many.;501 No store.", NULL },
  { ZM_GET, "/v1/queues/{queue}/stats", zm_v1_queue_stats, ALL, 0, 0, "queue_stats", "Figures of a queue.",
    "200 The figures.;501 No store.", NULL },
  { ZM_GET, "/v1/queues/{queue}/messages", zm_v1_queue_peek, ZM_ROLE_CONSUME, 0, 0, "peek",
    "Messages as they are, claimed and delayed ones too; nothing is taken.", "200 Messages.;501 No store.",
    peek_params },
  { ZM_POST, "/v1/queues/{queue}/replay", zm_v1_queue_replay, ZM_ROLE_ADMIN, 0, JSON_BODY, "replay",
    "Puts the dead letters of a queue back.", "200 How many.;404 There is no such queue.;501 No store.",
    NULL },

  { ZM_GET, "/v1/flows", zm_v1_flows, ALL, 0, 0, "flows", "The flows that are defined.", "200 A list.",
    NULL },
  { ZM_GET, "/v1/flows/{flow}", zm_v1_flow, ALL, 0, 0, "flow", "The steps of a flow.",
    "200 The flow.;404 There is none.", NULL },
  { ZM_GET, "/v1/instances", zm_v1_instances, ALL, 0, 0, "instances",
    "Flow instances that wait for an answer.", "200 A list.", NULL },

  { ZM_GET, "/v1/topics/{prefix*}", zm_v1_topics, ZM_ROLE_SUBSCRIBE, ZM_ROUTE_STREAM, 0, "tail",
    "Publications whose topic begins with the prefix, as server-sent events.",
    "200 Events.;503 Too many streams.", NULL },
  { ZM_GET, "/v1/live", zm_v1_live, ALL, ZM_ROUTE_STREAM | ZM_ROUTE_BROWSER, 0, "live",
    "The daemon's status each two seconds, as server-sent events.", "200 Events.;503 Too many streams.",
    NULL },

  { ZM_GET, "/v1/plugins", zm_v1_plugins, ALL, 0, 0, "plugins", "Plugins.", "200 A list.", NULL },
  { ZM_GET, "/v1/plugins/{plugin}", zm_v1_plugin, ALL, 0, 0, "plugin", "One plugin.",
    "200 A list of one.;404 There is none.", NULL },
  { ZM_POST, "/v1/plugins/{plugin}/load", zm_v1_plugin_load, ZM_ROLE_ADMIN, 0, JSON_BODY, "load_plugin",
    "Loads a plugin.",
    "200 What changed.;400 The files are wrong.;404 There is none.;500 It could not be loaded.;503 The "
    "daemon is stopping.",
    NULL },
  { ZM_POST, "/v1/plugins/{plugin}/unload", zm_v1_plugin_unload, ZM_ROLE_ADMIN, 0, JSON_BODY, "unload_plugin",
    "Unloads it.",
    "200 What changed.;400 Others need it.;403 It is not loaded, or stays.;404 There is none.;503 The daemon "
    "is stopping.",
    NULL },
  { ZM_POST, "/v1/plugins/{plugin}/reload", zm_v1_plugin_reload, ZM_ROLE_ADMIN, 0, JSON_BODY, "reload_plugin",
    "Replaces it by what its file is now.",
    "200 What changed.;400 The files are wrong.;403 It is not loaded.;404 There is none.;500 The new one "
    "failed.;503 The daemon is stopping.",
    NULL },
  { ZM_GET, "/v1/routes", zm_v1_routes, ALL, 0, 0, "routes",
    "Mappings with their figures, or how a key is resolved.",
    "200 A list, or the steps.;400 The key is wrong.", key_params },

  { ZM_GET, "/v1/admin/status", zm_v1_status, ALL, 0, 0, "status", "The daemon's status.", "200 The status.",
    NULL },
  { ZM_POST, "/v1/admin/reload", zm_v1_reload, ZM_ROLE_ADMIN, 0, JSON_BODY, "reload",
    "Reads all files again.", "200 What changed.;400 Refused; problems says why.;503 The daemon is stopping.",
    NULL },
  { ZM_POST, "/v1/admin/drain", zm_v1_drain, ZM_ROLE_ADMIN, 0, JSON_BODY, "drain",
    "Ends the daemon when what is inside is finished.", "202 It begins.", NULL },
  { ZM_POST, "/v1/admin/log-level", zm_v1_log_level, ZM_ROLE_ADMIN, 0, JSON_BODY, "log_level",
    "Sets the log's level: {\"level\": …}.", "200 It is set.;400 There is no such level.", NULL },

  { ZM_GET, "/v1/openapi.json", zm_observe_openapi, 0, ZM_ROUTE_OPEN, 0, "openapi", "This description.",
    "200 OpenAPI 3.1.", NULL },
  { .path = NULL },
};
