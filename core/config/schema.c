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

  TEXT     ("worker", "exec", .doc = "Command line of the process, split as a shell does; not set: started elsewhere."),
  TEXT     ("worker", "bind", .doc = "Endpoint that the processes connect to; ipc://RUN/worker-NAME where not set."),
  YESNO    ("worker", "restart", .standard = "yes", .doc = "Start the process again when it ends."),

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
  static const char *const named[] = { "action", "plugin", "source", "worker", NULL };

  return g_strv_contains (named, section);
}
