/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Endpoints of sockets: which transports may be used where, and why others are refused. */
#include "config.h"

#include "config/config-private.h"

#include "base/zm-codes.h"

#include <string.h>

typedef struct Refusal {
  guint code; /* 0: accepted */
  const char *what, *expected, *todo;
} Refusal;

static gboolean
loopback (const char *host)
{
  static const char *const names[] = { "localhost", "lo", "[::1]", NULL };

  return g_strv_contains (names, host) ||
         (g_str_has_prefix (host, "127.") && g_hostname_is_ip_address (host));
}

/* 1 … 65535; * or 0 let the system choose, which makes sense for the side that binds. */
static gboolean
port_fits (const char *port, gboolean bind)
{
  gint64 number;

  if (bind && (strcmp (port, "*") == 0 || strcmp (port, "!") == 0 || strcmp (port, "0") == 0))
    return TRUE;
  return zm_parse_integer (port, 1, 65535, &number, NULL);
}

/* libzmq cannot bound what a plain tcp peer may send, so that such a peer must be one of our own machine. */
static Refusal
check_tcp (const char *address, gboolean bind)
{
  const char *colon = strrchr (address, ':');
  g_autofree char *host = colon != NULL ? g_strndup (address, (gsize) (colon - address)) : NULL;

  if (colon == NULL || host[0] == '\0' || !port_fits (colon + 1, bind))
    return (Refusal){ ZM_CODE_BAD_ENDPOINT, "has no host and port", "tcp://127.0.0.1:PORT",
                      "write a port from 1 to 65535" };
  if (!loopback (host))
    return (Refusal){ ZM_CODE_OPEN_TCP_REFUSED,
                      "leaves this machine, where tcp needs CURVE, which this version does not have",
                      "a loopback address or ipc://PATH",
                      "use 127.0.0.1, and a tunnel to reach other machines" };
  return (Refusal){ 0, NULL, NULL, NULL };
}

static Refusal
check_multicast (const ZmConfig *config, const ZmEntry *entry)
{
  if (strcmp (entry->section, "integration") != 0)
    return (Refusal){ ZM_CODE_MULTICAST_REFUSED, "is multicast, which carries topics only",
                      "ipc://PATH or tcp://127.0.0.1:PORT", "use it in [integration]" };
  if (!zm_config_boolean (config, "security", "allow-multicast"))
    return (Refusal){ ZM_CODE_MULTICAST_REFUSED,
                      "is multicast: it is not encrypted, and everyone on that network reads it",
                      "[security] allow-multicast = yes beside it", "allow it, or use ipc or tcp" };
  return (Refusal){ 0, NULL, NULL, NULL };
}

void
zm_config_endpoint_check (const ZmConfig *config, const ZmEntry *entry, const ZmValue *value,
                          const char *endpoint, ZmProblems *problems)
{
  Refusal refusal = { ZM_CODE_BAD_ENDPOINT, "is no endpoint", "ipc://PATH or tcp://127.0.0.1:PORT",
                      "choose one of these" };

  if (g_str_has_prefix (endpoint, "tcp://"))
    refusal = check_tcp (endpoint + strlen ("tcp://"), strcmp (entry->key, "bind") == 0);
  else if (g_str_has_prefix (endpoint, "epgm://"))
    refusal = check_multicast (config, entry);
  else if (g_str_has_prefix (endpoint, "ipc://") && endpoint[strlen ("ipc://")] != '\0')
    refusal.code = 0;
  if (refusal.code != 0)
    zm_problems_add (problems, ZM_PROBLEM_ERROR, refusal.code, value->file, value->line, value->column,
                     refusal.expected, refusal.todo, "[%s] %s: \"%s\" %s", entry->section, entry->key,
                     endpoint, refusal.what);
}
