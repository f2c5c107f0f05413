/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of Zaqar's API. */
#include "config.h"

#include "http/zaqar-private.h"

#define SMALL 65536              /* what clients send along with requests that need no body */
#define LARGE ZM_QUEUE_BODY_MOST /* bounded by [zaqar], whose answer is Zaqar's */

#define READ  (ZM_ROLE_CONSUME | ZM_ROLE_ADMIN)
#define WRITE (ZM_ROLE_PUBLISH | ZM_ROLE_ADMIN)
#define ANY   (ZM_ROLE_PUBLISH | ZM_ROLE_CONSUME | ZM_ROLE_SUBSCRIBE | ZM_ROLE_ADMIN)
#define SUBS  (ZM_ROLE_SUBSCRIBE | ZM_ROLE_ADMIN)

#define Q     "/v2/queues/{queue}"
#define BAD   "400 Something is wrong with the request"
#define LATER ";503 The store does not take it now"

static const ZmParam list_params[] = {
  { "marker", "string", "Id of the last message seen." },
  { "limit", "integer", "Most messages." },
  { "echo", "boolean", "Own messages too (those of the same Client-ID)." },
  { "include_claimed", "boolean", "Claimed ones too." },
  { "include_delayed", "boolean", "Delayed ones too." },
  { "ids", "string", "These, and no others: repeated, or with commas between them." },
  { "wait", "integer", "Seconds to wait for a message where there is none." },
  { NULL, NULL, NULL },
};
static const ZmParam queues_params[] = {
  { "marker", "string", "Name of the last queue seen." },
  { "limit", "integer", "Most queues." },
  { "detailed", "boolean", "With metadata." },
  { "name", "string", "Those with this in their name." },
  { "with_count", "boolean", "How many there are in all." },
  { NULL, NULL, NULL },
};
static const ZmParam delete_params[] = {
  { "ids", "string", "These: repeated, or with commas between them." },
  { "claim_ids", "string", "Only where one of these claims has them." },
  { "pop", "integer", "Takes so many instead, and answers them." },
  { NULL, NULL, NULL },
};
static const ZmParam delete_one_params[] = {
  { "claim_id", "string", "The claim that has it." },
  { NULL, NULL, NULL },
};
static const ZmParam claim_params[] = {
  { "limit", "integer", "Most messages." },
  { "wait", "integer", "Seconds to wait for a message where there is none." },
  { NULL, NULL, NULL },
};

/* clang-format off */
#define ROUTE(methods_, path_, handle_, roles_, body_, id_, doc_, answers_, params_) \
  { .methods = methods_, .path = path_, .handle = handle_, .roles = roles_, .flags = ZM_ROUTE_ZAQAR, .body_most = body_, .id = id_, .doc = doc_, .answers = answers_, .params = params_ }

const ZmRoute zm_routes_zaqar[] = {
  ROUTE (ZM_GET, "/v2", zm_zaqar_home, 0, SMALL, "zaqarHomeShort", "What is served.", "200 A home document;" BAD, NULL),
  ROUTE (ZM_GET, "/v2/", zm_zaqar_home, 0, SMALL, "zaqarHome", "What is served.", "200 A home document;" BAD, NULL),
  ROUTE (ZM_GET, "/v2/ping", zm_zaqar_ping, 0, SMALL, "zaqarPing", "Is the store there?", "204 It is;" BAD LATER, NULL),
  ROUTE (ZM_GET, "/v2/health", zm_zaqar_health, ZM_ROLE_ADMIN, SMALL, "zaqarHealth", "Makes one of each operation, with admin_mode.", "200 How they went;404 Without admin_mode;" BAD, NULL),

  ROUTE (ZM_GET, "/v2/queues", zm_zaqar_queue_list, ANY, SMALL, "zaqarQueues", "Queues by name.", "200 A page of them;" BAD LATER, queues_params),
  ROUTE (ZM_PUT, Q, zm_zaqar_queue_put, ANY, LARGE, "zaqarQueuePut", "Makes a queue.", "201 Made;204 It was there;" BAD LATER, NULL),
  /* Before GET, which would answer it. */
  ROUTE (ZM_HEAD, Q, zm_zaqar_no_method, ANY, SMALL, "zaqarQueueHead", "Zaqar has no such method.", "405 No", NULL),
  ROUTE (ZM_GET, Q, zm_zaqar_queue_get, ANY, SMALL, "zaqarQueueGet", "Its metadata, with standards.", "200 Metadata;" BAD LATER, NULL),
  ROUTE (ZM_DELETE, Q, zm_zaqar_queue_delete, READ, SMALL, "zaqarQueueDelete", "Removes it with its messages.", "204 It is not there any more;" BAD LATER, NULL),
  ROUTE (ZM_PATCH, Q, zm_zaqar_queue_patch, ANY, LARGE, "zaqarQueuePatch", "Changes its metadata.", "200 Metadata;404 No such queue;409 No such member;415 Not a JSON patch;" BAD LATER, NULL),
  ROUTE (ZM_GET, Q "/stats", zm_zaqar_queue_stats, ANY, SMALL, "zaqarStats", "How many messages.", "200 Counts;" BAD LATER, NULL),
  ROUTE (ZM_POST, Q "/purge", zm_zaqar_queue_purge, READ, SMALL, "zaqarPurge", "Removes all messages.", "204 Done;" BAD LATER, NULL),
  ROUTE (ZM_POST, Q "/share", zm_zaqar_queue_share, ANY, SMALL, "zaqarShare", "Makes a pre-signed URL.", "200 The parts of it;403 Not all roles;" BAD, NULL),

  ROUTE (ZM_POST, Q "/messages", zm_zaqar_message_post, WRITE, LARGE, "zaqarPost", "Posts messages, all or none.", "201 Stored;" BAD LATER, NULL),
  ROUTE (ZM_GET, Q "/messages", zm_zaqar_message_list, READ, SMALL, "zaqarMessages", "Messages in order, or some by id.", "200 A page;404 None of these ids;" BAD LATER, list_params),
  ROUTE (ZM_DELETE, Q "/messages", zm_zaqar_message_delete_many, READ, SMALL, "zaqarDeleteMany", "Deletes some, or takes the first ones.", "204 Deleted;200 Taken;" BAD LATER, delete_params),
  ROUTE (ZM_GET, Q "/messages/{message}", zm_zaqar_message_get, READ, SMALL, "zaqarMessage", "One message.", "200 The message;404 It is not there;" BAD LATER, NULL),
  ROUTE (ZM_DELETE, Q "/messages/{message}", zm_zaqar_message_delete, READ, SMALL, "zaqarDelete", "Deletes one.", "204 It is not there any more;403 It is claimed;" BAD LATER, delete_one_params),

  ROUTE (ZM_POST, Q "/claims", zm_zaqar_claim_post, READ, SMALL, "zaqarClaim", "Claims messages.", "201 Claimed;204 There is none;" BAD LATER, claim_params),
  ROUTE (ZM_GET, Q "/claims/{claim}", zm_zaqar_claim_get, READ, SMALL, "zaqarClaimGet", "A claim with its messages.", "200 The claim;404 It is not there;" BAD LATER, NULL),
  ROUTE (ZM_PATCH, Q "/claims/{claim}", zm_zaqar_claim_patch, READ, SMALL, "zaqarClaimPatch", "Renews a claim.", "204 Renewed;404 It is not there;" BAD LATER, NULL),
  ROUTE (ZM_DELETE, Q "/claims/{claim}", zm_zaqar_claim_delete, READ, SMALL, "zaqarClaimDelete", "Releases a claim.", "204 It is not there any more;" BAD LATER, NULL),

  ROUTE (ZM_GET | ZM_POST, Q "/subscriptions", zm_zaqar_subscriptions, SUBS, SMALL, "zaqarSubscriptions", "Subscriptions; there are none.", "200 An empty list;404 Not served;" BAD, NULL),
  ROUTE (ZM_GET | ZM_PATCH | ZM_DELETE, Q "/subscriptions/{subscription}", zm_zaqar_subscription, SUBS, SMALL, "zaqarSubscription", "A subscription; there are none.", "204 It is not there;404 It is not there;" BAD, NULL),
  { .path = NULL },
};
/* clang-format on */
