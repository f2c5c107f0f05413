/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The documents that say what is served, and answers for what is not. */
#include "config.h"

#include "http/zaqar-private.h"

#include <string.h>

void
zm_zaqar_versions (ZmRequest *request)
{
  zm_request_answer_json (
      request, 300,
      "{\"versions\": [{\"id\": \"2\", \"status\": \"CURRENT\", \"updated\": \"2014-9-24T04:06:47Z\", "
      "\"media-types\": [{\"base\": \"application/json\", "
      "\"type\": \"application/vnd.openstack.messaging-v2+json\"}], "
      "\"links\": [{\"href\": \"/v2/\", \"rel\": \"self\"}]}]}");
}

/* ---- home document ---- */

typedef struct Resource {
  const char *rel, *href;
  const char *vars;  /* "name=parameter …", names of the template; NULL: no template */
  const char *allow; /* methods */
  gboolean posts, admin;
} Resource;

#define QUEUE     "/v2/queues/{queue_name}"
#define QUEUE_VAR "queue_name=queue_name"

static const Resource resources[] = {
  { "queues", "/v2/queues{?marker,limit,detailed,name,with_count}",
    "marker=marker limit=queue_limit detailed=detailed name=name with_count=with_count", "GET", FALSE,
    FALSE },
  { "queue", QUEUE, QUEUE_VAR, "GET PUT DELETE PATCH", FALSE, FALSE },
  { "queue_stats", QUEUE "/stats", QUEUE_VAR, "GET", FALSE, FALSE },
  { "queue_share", QUEUE "/share", QUEUE_VAR, "POST", TRUE, FALSE },
  { "queue_purge", QUEUE "/purge", QUEUE_VAR, "POST", TRUE, FALSE },
  { "messages", QUEUE "/messages{?marker,limit,echo,include_claimed,include_delayed}",
    QUEUE_VAR " marker=marker limit=messages_limit echo=echo include_claimed=include_claimed "
              "include_delayed=include_delayed",
    "GET", FALSE, FALSE },
  { "post_messages", QUEUE "/messages", QUEUE_VAR, "POST", TRUE, FALSE },
  { "messages_delete", QUEUE "/messages{?ids,pop,claim_ids}",
    QUEUE_VAR " ids=ids pop=pop claim_ids=claim_ids", "DELETE", FALSE, FALSE },
  { "message_delete", QUEUE "/messages/{message_id}{?claim_id}",
    QUEUE_VAR " message_id=message_id claim_id=claim_id", "DELETE", FALSE, FALSE },
  { "message_get", QUEUE "/messages/{message_id}", QUEUE_VAR " message_id=message_id", "GET", FALSE, FALSE },
  { "claim", QUEUE "/claims/{claim_id}", QUEUE_VAR " claim_id=claim_id", "GET", FALSE, FALSE },
  { "post_claim", QUEUE "/claims{?limit}", QUEUE_VAR " limit=claim_limit", "POST", TRUE, FALSE },
  { "patch_claim", QUEUE "/claims/{claim_id}", QUEUE_VAR " claim_id=claim_id", "PATCH", TRUE, FALSE },
  { "delete_claim", QUEUE "/claims/{claim_id}", QUEUE_VAR " claim_id=claim_id", "DELETE", FALSE, FALSE },
  { "subscriptions_get", QUEUE "/subscriptions{?marker,limit}",
    QUEUE_VAR " marker=marker limit=subscription_limit", "GET", FALSE, FALSE },
  { "subscriptions_post", QUEUE "/subscriptions", QUEUE_VAR, "POST", TRUE, FALSE },
  { "subscription", QUEUE "/subscriptions/{subscription_id}", QUEUE_VAR " subscription_id=subscription_id",
    "GET DELETE", FALSE, FALSE },
  { "subscription_patch", QUEUE "/subscriptions/{subscription_id}",
    QUEUE_VAR " subscription_id=subscription_id", "PATCH", TRUE, FALSE },
  { "ping", "/v2/ping", NULL, "GET HEAD", FALSE, FALSE },
  { "health", "/v2/health", NULL, "GET", FALSE, TRUE },
};

static void
append_vars (GString *out, const char *vars)
{
  g_auto (GStrv) list = g_strsplit (vars, " ", -1);

  g_string_append (out, ", \"href-vars\": {");
  for (guint i = 0; list[i] != NULL; i++) {
    char *cut = strchr (list[i], '=');

    *cut = '\0';
    g_string_append_printf (out, "%s\"%s\": \"param/%s\"", i > 0 ? ", " : "", list[i], cut + 1);
  }
  g_string_append_c (out, '}');
}

static void
append_hints (GString *out, const Resource *resource)
{
  g_auto (GStrv) allow = g_strsplit (resource->allow, " ", -1);
  g_autofree char *methods = g_strjoinv ("\", \"", allow);

  g_string_append_printf (out,
                          ", \"hints\": {\"allow\": [\"%s\"], \"formats\": {\"application/json\": {}}%s}",
                          methods, resource->posts ? ", \"accept-post\": [\"application/json\"]" : "");
}

void
zm_zaqar_home (ZmRequest *request)
{
  gboolean admin = zm_config_boolean (zm_request_config (request), "zaqar", "admin_mode");
  GString *out = g_string_new ("{\"resources\": {");

  for (guint i = 0; i < G_N_ELEMENTS (resources); i++) {
    const Resource *resource = &resources[i];

    if (resource->admin && !admin)
      continue;
    g_string_append_printf (out, "%s\"rel/%s\": {\"%s\": \"%s\"", i > 0 ? ", " : "", resource->rel,
                            resource->vars != NULL ? "href-template" : "href", resource->href);
    if (resource->vars != NULL)
      append_vars (out, resource->vars);
    append_hints (out, resource);
    g_string_append_c (out, '}');
  }
  g_string_append (out, "}}");
  zm_request_add_header (request, "Cache-Control", "max-age=86400");
  zm_request_answer_take (request, 200, "application/json-home", out);
}

/* ---- what is not served ---- */

void
zm_zaqar_nothing (ZmRequest *request)
{
  zm_request_answer_json (request, 404, "{\"title\": \"404 Not Found\"}");
}

void
zm_zaqar_no_method (ZmRequest *request)
{
  zm_request_add_header (request, "Allow", "GET, PUT, DELETE, PATCH");
  zm_request_answer_json (request, 405, "{\"title\": \"405 Method Not Allowed\"}");
}

/* There are none yet: lists are empty, and what is not there can be deleted. */
void
zm_zaqar_subscriptions (ZmRequest *request)
{
  if (request->method == ZM_GET || request->method == ZM_HEAD)
    zm_request_answer_json (request, 200, "{\"subscriptions\": [], \"links\": []}");
  else
    zm_zaqar_not_found (request,
                        "Subscriptions are not served here. Read the queue's messages, or claim them.");
}

void
zm_zaqar_subscription (ZmRequest *request)
{
  if (request->method == ZM_DELETE)
    zm_zaqar_no_content (request);
  else
    zm_zaqar_not_found (request, "Subscription %.*s does not exist.", (int) request->part[1].size,
                        request->part[1].data);
}
