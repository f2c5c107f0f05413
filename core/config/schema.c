/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every section and key of the configuration. The reader checks against this table, --dump walks it, and a test compares
 * the manual page zmanager.conf(5) with it: a key is added here, in the manual, and nowhere else.
 */
#include "config.h"

#include "config/zm-config.h"

#include <string.h>

#define COUNT_MOST  G_GINT64_CONSTANT (1000000)
#define DAY_MS      G_GINT64_CONSTANT (86400000)
#define MESSAGE_MIN G_GINT64_CONSTANT (1024)
#define ZAQAR_MOST  G_GINT64_CONSTANT (2147483647)
#define MESSAGE_MAX G_GINT64_CONSTANT (1073741824)
#define MEMORY_MIN  (G_GINT64_CONSTANT (16) << 20)
#define MEMORY_MAX  (G_GINT64_CONSTANT (1) << 50)
#define ISOLATIONS  "thread|process|private" /* in the order of ZmIsolation */

/* What is not given is 0: FALSE, no bound, no default. */
#define TEXT(s, k, ...)                                         \
  {                                                             \
    .section = s, .key = k, .type = ZM_TYPE_STRING, __VA_ARGS__ \
  }
#define LIST(s, k, ...)                                                       \
  {                                                                           \
    .section = s, .key = k, .type = ZM_TYPE_STRING, .list = TRUE, __VA_ARGS__ \
  }
#define YESNO(s, k, ...)                                         \
  {                                                              \
    .section = s, .key = k, .type = ZM_TYPE_BOOLEAN, __VA_ARGS__ \
  }
#define CHOICE(s, k, ...)                                       \
  {                                                             \
    .section = s, .key = k, .type = ZM_TYPE_CHOICE, __VA_ARGS__ \
  }
#define NUMBER(s, k, ...)                                        \
  {                                                              \
    .section = s, .key = k, .type = ZM_TYPE_INTEGER, __VA_ARGS__ \
  }
#define DURATION(s, k, ...)                                       \
  {                                                               \
    .section = s, .key = k, .type = ZM_TYPE_DURATION, __VA_ARGS__ \
  }
#define SIZE(s, k, ...)                                       \
  {                                                           \
    .section = s, .key = k, .type = ZM_TYPE_SIZE, __VA_ARGS__ \
  }

/* clang-format off */
static const ZmKeySpec schema[] = {
  TEXT     ("zmanager", "node", .doc = "Name of this daemon in status and logs; the host's name where not set."),
  LIST     ("zmanager", "plugin-path", .doc = "Directories searched for plugins before the standard ones."),
  YESNO    ("zmanager", "system-plugins", .standard = "yes", .doc = "Search the site's and the system's plugin directories too."),
  NUMBER   ("zmanager", "workers", .standard = "0", .most = 64, .doc = "Worker threads; 0: one a CPU."),
  YESNO    ("zmanager", "watch", .standard = "yes", .doc = "Reload when a file changes in a watched directory."),
  CHOICE   ("zmanager", "log-level", .standard = "info", .choices = "error|warning|notice|info|debug",
            .doc = "The least important lines that are logged."),
  CHOICE   ("zmanager", "log-format", .standard = "auto", .choices = "auto|human|json|journal",
            .doc = "Form of the log; auto: journal under systemd, human on a terminal, else JSON lines."),
  CHOICE   ("zmanager", "third-party-isolation", .standard = "thread", .choices = ISOLATIONS,
            .doc = "Where plugins outside the system's directory run that say nothing else."),
  TEXT     ("zmanager", "audit-log", .doc = "File that gets a JSON line for each administrative act, beside the log."),

  LIST     ("subject", "bind", .doc = "Endpoints where services push; ipc://RUN/subject where none is given."),
  LIST     ("subject", "connect", .doc = "Endpoints that the Subject connects to."),
  NUMBER   ("subject", "high-water", .standard = "1000", .least = 1, .most = COUNT_MOST,
            .doc = "Messages queued a connection before the sender has to wait."),
  SIZE     ("subject", "max-message", .standard = "16M", .least = MESSAGE_MIN, .most = MESSAGE_MAX,
            .doc = "Largest frame; a peer that sends more is disconnected."),
  NUMBER   ("subject", "connections", .standard = "1024", .least = 1, .most = COUNT_MOST,
            .doc = "Connections of one endpoint; over it, it is closed for a second, which ends all of them."),
  CHOICE   ("subject", "frames", .standard = "auto", .choices = "auto|multi|single",
            .doc = "Form of the messages that are accepted."),

  LIST     ("call", "bind", .doc = "Endpoints for calls and durable sends; ipc://RUN/call where none is given."),
  LIST     ("call", "connect", .doc = "Endpoints that the call socket connects to."),
  NUMBER   ("call", "high-water", .standard = "1000", .least = 1, .most = COUNT_MOST,
            .doc = "Messages queued a connection in each direction."),
  SIZE     ("call", "max-message", .standard = "16M", .least = MESSAGE_MIN, .most = MESSAGE_MAX,
            .doc = "Largest frame; a peer that sends more is disconnected."),
  NUMBER   ("call", "connections", .standard = "1024", .least = 1, .most = COUNT_MOST,
            .doc = "Connections of one endpoint; over it, it is closed for a second, which ends all of them."),
  NUMBER   ("call", "limit", .standard = "10000", .least = 1, .most = COUNT_MOST,
            .doc = "Calls waiting at one time; further ones are answered BUSY."),
  DURATION ("call", "timeout", .standard = "30s", .least = 1, .most = DAY_MS,
            .doc = "Deadline of a call that names none."),

  LIST     ("integration", "bind", .doc = "Endpoints where topics are published; ipc://RUN/topics where none is given."),
  LIST     ("integration", "connect", .doc = "Endpoints that the Integration Manager connects to."),
  NUMBER   ("integration", "high-water", .standard = "1000", .least = 1, .most = COUNT_MOST,
            .doc = "Messages queued a subscriber."),
  NUMBER   ("integration", "connections", .standard = "1024", .least = 1, .most = COUNT_MOST,
            .doc = "Connections of one endpoint; over it, it is closed for a second, which ends all of them."),
  CHOICE   ("integration", "frames", .standard = "multi", .choices = "multi|single", .doc = "Form of what is published."),
  CHOICE   ("integration", "slow-subscriber", .standard = "drop", .choices = "drop|wait",
            .doc = "At a subscriber's high-water mark: drop its messages (counted), or make all wait for it."),

  CHOICE   ("workers", "ordering", .standard = "none", .choices = "none|context|key",
            .doc = "What is kept in order: nothing, messages of one context, or of one ordering key."),
  DURATION ("workers", "timeout", .standard = "30s", .least = 1, .most = DAY_MS, .doc = "Soft deadline of an action."),
  DURATION ("workers", "hard-after", .standard = "5s", .least = 1, .most = DAY_MS,
            .doc = "A call that runs this long after its soft deadline loses its worker, which is replaced."),
  DURATION ("workers", "wait-timeout", .standard = "60s", .least = 1, .most = DAY_MS,
            .doc = "How long a flow waits at ASYNC and hand-over steps."),
  DURATION ("workers", "wait-for-taker", .standard = "0", .most = DAY_MS,
            .doc = "How long such a step waits for a subscriber; 0: no-taker at once."),
  NUMBER   ("workers", "ring", .standard = "4096", .least = 64, .most = COUNT_MOST,
            .doc = "Messages waiting for workers; then senders wait and calls are BUSY."),
  NUMBER   ("workers", "deferred-limit", .standard = "65536", .least = 1, .most = COUNT_MOST,
            .doc = "Deferred calls at one time; then defer fails."),
  NUMBER   ("workers", "replacements", .standard = "16", .most = 192,
            .doc = "Hung workers replaced at one time; then the pool runs with fewer."),
  DURATION ("workers", "drain", .standard = "30s", .most = DAY_MS,
            .doc = "How long stopping, and a replaced plugin, may wait for running work."),

  DURATION ("action", "timeout", .least = 1, .most = DAY_MS, .doc = "Soft deadline of this mapping; [workers] timeout where not set."),
  CHOICE   ("action", "ordering", .choices = "none|context|key", .doc = "Ordering of this mapping; [workers] ordering where not set."),
  TEXT     ("action", "retries", .doc = "Retries of durable messages: a number, or a retry policy; that of the mapping file where not set."),
  CHOICE   ("action", "isolation", .choices = ISOLATIONS,
            .doc = "Where its plugin runs for this mapping; where the plugin runs else, if not set."),

  YESNO    ("plugin", "load", .standard = "no", .doc = "Load it although no mapping or source names it."),
  NUMBER   ("plugin", "priority", .standard = "100", .most = 1000, .doc = "Order of hooks: lower is asked first."),
  CHOICE   ("plugin", "isolation", .choices = ISOLATIONS,
            .doc = "Where it runs: in the daemon, in a process with others, in one of its own."),
  NUMBER   ("plugin", "instances", .standard = "1", .least = 1, .most = 64,
            .doc = "Processes that run it at one time; more than one needs an action that is THREADSAFE."),
  NUMBER   ("plugin", "threads", .standard = "1", .least = 1, .most = 64,
            .doc = "Calls that each of its processes runs at one time."),
  SIZE     ("plugin", "memory", .least = MEMORY_MIN, .most = MEMORY_MAX,
            .doc = "Memory of its process above which that is replaced; no limit where not set."),
  NUMBER   ("plugin", "descriptors", .least = 16, .most = COUNT_MOST,
            .doc = "Open files of its process; as many as the daemon may have where not set."),

  TEXT     ("source", "plugin", .doc = "The plugin that takes events in; NAME where not set."),
  TEXT     ("source", "uri", .doc = "What the plugin connects to, in its own words."),
  TEXT     ("source", "key", .doc = "Action key of its events, where the plugin leaves it open."),
  TEXT     ("source", "queue", .doc = "Queue that its events go into, durably, in place of the Subject."),

  TEXT     ("worker", "exec", .doc = "Command line of the process, split as a shell does; not set: started elsewhere."),
  TEXT     ("worker", "bind", .doc = "Endpoint that the processes connect to; ipc://RUN/worker-NAME where not set."),
  YESNO    ("worker", "restart", .standard = "yes", .doc = "Start the process again when it ends."),

  TEXT     ("store", "driver", .standard = "sqlite", .doc = "The store plugin: sqlite, memory, or one of yours; none: no store."),
  TEXT     ("store", "uri", .doc = "Where it keeps its data, in its own words; a file in the state directory where not set."),
  TEXT     ("store", "key", .secret = TRUE,
            .doc = "Key (64 hexadecimal digits) of queues whose metadata ask for encryption and that have none of their own."),

  CHOICE   ("queue", "kind", .standard = "fifo", .choices = "fifo|latest", .doc = "All messages in order, or at most one a key."),
  LIST     ("queue", "topics", .doc = "Action keys, empty parts are any, whose publications are appended."),
  TEXT     ("queue", "project", .doc = "Project that it belongs to; [zaqar] project where not set."),
  DURATION ("queue", "ttl", .standard = "14d", .least = 1000, .most = 36500 * DAY_MS, .doc = "How long a message is kept that names no time. In queues without a section that is [zaqar] default_message_ttl; dead letters are kept 14 days there."),
  DURATION ("queue", "delay", .standard = "0", .most = DAY_MS * 15, .doc = "How long a message is held back that names no time."),
  NUMBER   ("queue", "max-messages", .standard = "0", .most = G_GINT64_CONSTANT (1000000000000),
            .doc = "Most messages; 0: no bound but the disk's."),
  SIZE     ("queue", "max-bytes", .standard = "0", .most = G_GINT64_CONSTANT (1) << 50, .doc = "Most bytes of records (bodies, headers, some 50 bytes each); 0: no bound but the disk's."),
  CHOICE   ("queue", "on-full", .standard = "refuse", .choices = "refuse|drop-new|drop-oldest",
            .doc = "At a bound: tell the sender, or drop one and count it; what comes from a topic has no sender."),
  CHOICE   ("queue", "retain", .standard = "ttl", .choices = "ttl|consumed",
            .doc = "Keep messages for their time, or until each consumer had them."),
  CHOICE   ("queue", "durability", .standard = "sync", .choices = "sync|batch|memory",
            .doc = "Answer after the disk has it, before (at most 10 ms are lost), or keep it in memory only."),
  TEXT     ("queue", "dead-letter", .doc = "Queue for messages that could not be dealt with; NAME.dead where not set."),
  TEXT     ("queue", "encrypt", .secret = TRUE, .doc = "Key (64 hexadecimal digits) that its messages are encrypted with on disk."),
  TEXT     ("queue", "action", .doc = "Action key that its messages are handed to, with retries."),
  TEXT     ("queue", "retry", .doc = "Retry policy of its action: a JSON object."),
  NUMBER   ("queue", "concurrency", .standard = "8", .least = 1, .most = 65536, .doc = "Messages that its action has at one time."),

  LIST     ("http", "listen", .doc = "ADDRESS:PORT or unix:PATH, where HTTP is served; nothing where not set."),
  CHOICE   ("http", "auth", .standard = "none", .choices = "none|token", .doc = "Who may ask; none only on loopback and unix sockets."),
  TEXT     ("http", "tokens", .doc = "File with the tokens, hashed; tokens in the configuration's directory where not set."),
  TEXT     ("http", "tls-certificate", .doc = "PEM file with the certificate and its chain; TLS is spoken where it is set."),
  TEXT     ("http", "tls-key", .doc = "PEM file with its key."),
  NUMBER   ("http", "threads", .standard = "2", .least = 1, .most = 64, .doc = "Threads that serve connections."),
  NUMBER   ("http", "connections", .standard = "1000", .least = 4, .most = 65536, .doc = "Connections at one time."),
  NUMBER   ("http", "connections-per-address", .standard = "200", .least = 1, .most = 65536, .doc = "The same of one address; unix sockets have no such bound."),
  NUMBER   ("http", "streams", .standard = "256", .least = 1, .most = 65536, .doc = "Event streams at one time."),
  SIZE     ("http", "max-body", .standard = "16M", .least = MESSAGE_MIN, .most = MESSAGE_MAX, .doc = "Largest body of a request."),
  DURATION ("http", "header-timeout", .standard = "10s", .least = 10, .most = DAY_MS, .doc = "How long the head of a request may take."),
  DURATION ("http", "body-timeout", .standard = "30s", .least = 10, .most = DAY_MS, .doc = "How long its body may take."),
  DURATION ("http", "idle-timeout", .standard = "60s", .least = 10, .most = DAY_MS, .doc = "How long a connection without a request is kept."),

  TEXT     ("zaqar", "project", .standard = "default", .doc = "Project of queues that the configuration and /v1 make."),
  NUMBER   ("zaqar", "default_message_ttl", .standard = "3600", .least = 1, .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "default_message_delay", .standard = "0", .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "max_message_ttl", .standard = "1209600", .least = 60, .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "max_message_delay", .standard = "900", .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "default_claim_ttl", .standard = "300", .least = 60, .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "default_claim_grace", .standard = "60", .least = 60, .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "max_claim_ttl", .standard = "43200", .least = 60, .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "max_claim_grace", .standard = "43200", .least = 60, .most = ZAQAR_MOST, .doc = "Seconds."),
  NUMBER   ("zaqar", "max_queues_per_page", .standard = "20", .least = 1, .most = 1000, .doc = "Largest limit of a list of queues."),
  NUMBER   ("zaqar", "max_messages_per_page", .standard = "20", .least = 1, .most = 1000, .doc = "Largest limit of a list of messages."),
  NUMBER   ("zaqar", "max_messages_per_claim_or_pop", .standard = "20", .least = 1, .most = 1000, .doc = "Largest limit of a claim or pop."),
  NUMBER   ("zaqar", "max_queue_metadata", .standard = "65536", .least = 64, .most = ZAQAR_MOST, .doc = "Bytes."),
  NUMBER   ("zaqar", "max_messages_post_size", .standard = "262144", .least = 64, .most = MESSAGE_MAX, .doc = "Bytes of a post."),
  YESNO    ("zaqar", "message_delete_with_claim_id", .standard = "no", .doc = "Bulk deletes have to name claims."),
  YESNO    ("zaqar", "client_id_uuid_safe", .standard = "yes", .doc = "Client-ID has to be a UUID."),
  NUMBER   ("zaqar", "min_length_client_id", .standard = "10", .least = 1, .most = 36, .doc = "Of a Client-ID that may be any text."),
  NUMBER   ("zaqar", "max_length_client_id", .standard = "36", .least = 1, .most = 36, .doc = "Of a Client-ID that may be any text."),
  YESNO    ("zaqar", "enable_checksum", .standard = "no", .doc = "Messages carry the MD5 of their body."),
  YESNO    ("zaqar", "admin_mode", .standard = "no", .doc = "The calls for administrators are served."),
  TEXT     ("zaqar", "secret_key", .secret = TRUE, .doc = "Key of pre-signed URLs; without it there are none."),

  YESNO    ("security", "allow-multicast", .standard = "no",
            .doc = "Allow epgm:// for topics: everyone on that network reads them."),
  { .section = NULL },
};
/* clang-format on */

const ZmKeySpec *
zm_config_schema (void)
{
  return schema;
}

gboolean
zm_config_section_named (const char *section)
{
  static const char *const named[] = { "action", "plugin", "queue", "source", "worker", NULL };

  return g_strv_contains (named, section);
}
