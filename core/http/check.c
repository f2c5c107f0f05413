/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that can be wrong in [http] and [zaqar] beyond the schema; in the daemon. Relative paths count from the instance's directory,
 * which is not known here: those are looked at when they are opened. */
#include "config.h"

#include "http/address.h"
#include "http/zm-tokens.h"
#include "http/zm-http.h"

#include "base/zm-codes.h"

#include <string.h>

static void
add (const ZmConfig *config, ZmProblems *problems, guint code, const char *section, const char *key,
     const char *todo, const char *what)
{
  const char *path = NULL;
  guint line = 0, column = 0;

  zm_config_place (config, section, key, &path, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, path, line, column, NULL, todo, "[%s] %s: %s", section,
                   key, what);
}

/* What anybody may reach wants tokens, and tokens want to be kept from who listens on the way: the second is only said. */
static void
check_place (const ZmConfig *config, const char *text, ZmProblems *problems)
{
  gboolean token = g_strcmp0 (zm_config_text (config, "http", "auth"), "token") == 0;
  g_autoptr (GError) error = NULL;
  ZmHttpAddress address;

  if (!zm_http_address_parse (text, "/run", &address, &error)) {
    add (config, problems, ZM_CODE_BAD_ENDPOINT, "http", "listen", "correct it", error->message);
  } else if (!address.loopback && !token) {
    g_autofree char *what =
        g_strdup_printf ("\"%s\" is open to other machines, and auth = none lets everybody in", text);

    add (config, problems, ZM_CODE_OPEN_HTTP_REFUSED, "http", "listen",
         "set auth = token, or listen on 127.0.0.1 or unix:PATH", what);
  }
}

static void
check_tls (const ZmConfig *config, ZmProblems *problems)
{
  const char *certificate = zm_config_text (config, "http", "tls-certificate");
  const char *key = zm_config_text (config, "http", "tls-key");

  if ((certificate != NULL) != (key != NULL))
    add (config, problems, ZM_CODE_MISSING_KEY, "http", certificate != NULL ? "tls-certificate" : "tls-key",
         "set both, or neither", "tls-certificate and tls-key belong together");
  else if (certificate != NULL && g_path_is_absolute (certificate) &&
           !g_file_test (certificate, G_FILE_TEST_IS_REGULAR))
    add (config, problems, ZM_CODE_NOT_READABLE, "http", "tls-certificate", "correct the path",
         "there is no such file");
  else if (key != NULL && g_path_is_absolute (key) && !g_file_test (key, G_FILE_TEST_IS_REGULAR))
    add (config, problems, ZM_CODE_NOT_READABLE, "http", "tls-key", "correct the path",
         "there is no such file");
}

static void
check_tokens (const ZmConfig *config, ZmProblems *problems)
{
  const char *path = zm_config_text (config, "http", "tokens");
  g_autoptr (GError) error = NULL;
  g_autoptr (ZmTokens) tokens =
      path != NULL && g_path_is_absolute (path) ? zm_tokens_read (path, &error) : NULL;

  if (error != NULL)
    add (config, problems, ZM_CODE_BAD_VALUE, "http", "tokens", "zmanagerctl token ls says the same",
         error->message);
}

/* A bound below its default would make every message without a TTL an error. */
static void
check_zaqar (const ZmConfig *config, ZmProblems *problems)
{
  static const struct {
    const char *standard, *most;
  } pairs[] = { { "default_message_ttl", "max_message_ttl" },
                { "default_message_delay", "max_message_delay" },
                { "default_claim_ttl", "max_claim_ttl" },
                { "default_claim_grace", "max_claim_grace" },
                { "min_length_client_id", "max_length_client_id" } };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (zm_config_integer (config, "zaqar", pairs[i].standard) >
        zm_config_integer (config, "zaqar", pairs[i].most)) {
      g_autofree char *what = g_strdup_printf ("it is above %s", pairs[i].most);

      add (config, problems, ZM_CODE_OUT_OF_RANGE, "zaqar", pairs[i].standard, "lower it, or raise the other",
           what);
    }
}

void
zm_http_check (const ZmConfig *config, ZmProblems *problems)
{
  const char *const *list = zm_config_list (config, "http", "listen");

  for (; *list != NULL; list++)
    check_place (config, *list, problems);
  check_tls (config, problems);
  check_tokens (config, problems);
  check_zaqar (config, problems);
}
