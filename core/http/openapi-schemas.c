/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What answers look like, for openapi.json: the members that stay. More may come beside them, so nothing is told to be closed. */
#include "config.h"

#include "http/server.h"

#include <string.h>

#define TEXT    "{\"type\":\"string\"}"
#define INTEGER "{\"type\":\"integer\"}"
#define BOOLEAN "{\"type\":\"boolean\"}"
#define OBJECT  "{\"type\":\"object\"}"

/* A name that other schemas refer to by "#NAME". */
static const char *const schemas[][2] = {
  { "Error", "{\"type\":\"object\",\"required\":[\"code\",\"text\"],\"properties\":{\"code\":" TEXT
             ",\"text\":" TEXT ",\"member\":" TEXT "}}" },
  { "ZaqarError", "{\"type\":\"object\",\"required\":[\"title\"],\"properties\":{\"title\":" TEXT
                  ",\"description\":" TEXT "}}" },
  { "Id", "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":" TEXT "}}" },
  { "Message",
    "{\"type\":\"object\",\"description\":\"body is JSON or text; bytes that are neither are in base64.\","
    "\"required\":[\"id\",\"age\",\"ttl\",\"claim_count\"],\"properties\":{\"id\":" TEXT ",\"age\":" INTEGER
    ",\"ttl\":" INTEGER ",\"key\":" TEXT ",\"topic\":" TEXT ",\"headers\":" OBJECT ",\"claim\":" TEXT
    ",\"claim_count\":" INTEGER ",\"body\":{},\"base64\":" TEXT "}}" },
  { "Messages", "{\"type\":\"object\",\"required\":[\"messages\"],\"properties\":{\"claim\":" TEXT
                ",\"messages\":{\"type\":\"array\",\"items\":\"#Message\"},\"more\":" BOOLEAN "}}" },
  { "Queue",
    "{\"type\":\"object\",\"required\":[\"name\",\"messages\",\"bytes\",\"configured\",\"metadata\"],"
    "\"properties\":{\"name\":" TEXT ",\"messages\":" INTEGER ",\"bytes\":" INTEGER ",\"configured\":" BOOLEAN
    ",\"metadata\":" OBJECT "}}" },
  { "Queues", "{\"type\":\"object\",\"required\":[\"queues\"],\"properties\":{\"queues\":{\"type\":\"array\","
              "\"items\":\"#Queue\"}}}" },
  { "Ends", "{\"type\":\"object\",\"required\":[\"id\",\"age\"],\"properties\":{\"id\":" TEXT
            ",\"age\":" INTEGER "}}" },
  { "QueueStats",
    "{\"type\":\"object\",\"required\":[\"free\",\"claimed\",\"delayed\",\"total\",\"bytes\",\"put\","
    "\"taken\","
    "\"expired\",\"dropped\",\"dead\",\"duplicates\",\"kind\"],\"properties\":{\"free\":" INTEGER
    ",\"claimed\":" INTEGER ",\"delayed\":" INTEGER ",\"total\":" INTEGER ",\"bytes\":" INTEGER
    ",\"put\":" INTEGER ",\"taken\":" INTEGER ",\"expired\":" INTEGER ",\"dropped\":" INTEGER
    ",\"dead\":" INTEGER ",\"duplicates\":" INTEGER
    ",\"kind\":{\"enum\":[\"fifo\",\"latest\"]},\"oldest\":\"#Ends\",\"newest\":\"#Ends\"}}" },
  { "Purged", "{\"type\":\"object\",\"required\":[\"purged\"],\"properties\":{\"purged\":" INTEGER "}}" },
  { "Replayed", "{\"type\":\"object\",\"required\":[\"text\",\"n\"],\"properties\":{\"text\":" TEXT
                ",\"n\":" INTEGER "}}" },
  { "Plugin", "{\"type\":\"object\",\"required\":[\"name\",\"state\"],\"properties\":{\"name\":" TEXT
              ",\"path\":" TEXT ",\"state\":" TEXT ",\"generation\":" INTEGER ",\"version\":" TEXT
              ",\"summary\":" TEXT ",\"kind\":" TEXT ",\"isolation\":" TEXT "}}" },
  { "Plugins", "{\"type\":\"object\",\"required\":[\"plugins\"],\"properties\":{\"plugins\":{\"type\":"
               "\"array\",\"items\":\"#Plugin\"}}}" },
  { "Route",
    "{\"type\":\"object\",\"required\":[\"key\",\"state\",\"calls\",\"errors\"],\"properties\":{\"key\":" TEXT
    ",\"plugin\":" TEXT ",\"symbol\":" TEXT ",\"state\":" TEXT ",\"calls\":" INTEGER ",\"errors\":" INTEGER
    ",\"mean_us\":" INTEGER ",\"highest_us\":" INTEGER "}}" },
  { "Routes", "{\"type\":\"object\",\"properties\":{\"routes\":{\"type\":\"array\",\"items\":\"#Route\"}}}" },
  { "Flows", "{\"type\":\"object\",\"required\":[\"flows\"],\"properties\":{\"flows\":{\"type\":\"array\","
             "\"items\":" OBJECT "}}}" },
  { "Instances", "{\"type\":\"object\",\"required\":[\"instances\"],\"properties\":{\"instances\":{\"type\":"
                 "\"array\",\"items\":" OBJECT "}}}" },
  { "Status",
    "{\"type\":\"object\",\"required\":[\"node\",\"version\",\"pid\",\"state\",\"uptime_s\",\"reasons\","
    "\"endpoints\",\"counters\"],\"properties\":{\"node\":" TEXT ",\"version\":" TEXT ",\"pid\":" INTEGER
    ",\"state\":" TEXT ",\"uptime_s\":" INTEGER ",\"reasons\":{\"type\":\"array\",\"items\":" TEXT
    "},\"endpoints\":" OBJECT ",\"http\":" OBJECT ",\"counters\":" OBJECT "}}" },
  { "Alive", "{\"type\":\"object\",\"required\":[\"alive\"],\"properties\":{\"alive\":" BOOLEAN "}}" },
  { "Ready",
    "{\"type\":\"object\",\"required\":[\"ready\",\"degraded\",\"reasons\"],\"properties\":{"
    "\"ready\":" BOOLEAN ",\"degraded\":" BOOLEAN ",\"reasons\":{\"type\":\"array\",\"items\":" TEXT "}}}" },
};

/* operationId, status, schema. */
static const char *const answers[][3] = {
  { "send", "202", "Id" },         { "queues", "200", "Queues" },
  { "put", "201", "Id" },          { "take", "200", "Messages" },
  { "peek", "200", "Messages" },   { "queue_stats", "200", "QueueStats" },
  { "purge", "200", "Purged" },    { "replay", "200", "Replayed" },
  { "flows", "200", "Flows" },     { "instances", "200", "Instances" },
  { "plugins", "200", "Plugins" }, { "plugin", "200", "Plugins" },
  { "routes", "200", "Routes" },   { "status", "200", "Status" },
  { "alive", "200", "Alive" },     { "ready", "200", "Ready" },
  { "ready", "503", "Ready" },
};

/* "\"#Name\"" becomes a reference. */
static void
append_schema (GString *out, const char *text)
{
  for (const char *hash; (hash = strstr (text, "\"#")) != NULL;) {
    gsize size = strcspn (hash + 2, "\"");

    g_string_append_len (out, text, hash - text);
    g_string_append_printf (out, "{\"$ref\":\"#/components/schemas/%.*s\"}", (int) size, hash + 2);
    text = hash + 2 + size + 1;
  }
  g_string_append (out, text);
}

void
zm_openapi_append_schemas (GString *out)
{
  g_string_append (out, "\"schemas\":{");
  for (guint i = 0; i < G_N_ELEMENTS (schemas); i++) {
    g_string_append_printf (out, "%s\n\"%s\":", i > 0 ? "," : "", schemas[i][0]);
    append_schema (out, schemas[i][1]);
  }
  g_string_append_c (out, '}');
}

const char *
zm_openapi_schema (const ZmRoute *route, const char *status)
{
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    if (strcmp (answers[i][0], route->id) == 0 && strncmp (answers[i][1], status, 3) == 0)
      return answers[i][2];
  if (*status < '4')
    return NULL;
  return (route->flags & ZM_ROUTE_ZAQAR) != 0 ? "ZaqarError" : "Error";
}
