/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be wrong with queues that drive actions, and with retry policies, beyond what the schema says. */
#include "config.h"

#include "runtime/durable-private.h"

#include "base/zm-codes.h"
#include "plugin/zm-event.h"

#include <string.h>

#define RETRIES_MOST 1000

static void
add (const ZmConfig *config, const char *section, const char *key, ZmCode code, const char *expected,
     const char *todo, const char *what, ZmProblems *problems)
{
  const char *file = NULL;
  guint line = 0, column = 0;

  zm_config_place (config, section, key, &file, &line, &column);
  zm_problems_add (problems, ZM_PROBLEM_ERROR, code, file, line, column, expected, todo, "[%s] %s: %s",
                   section, key, what);
}

static void
check_action (const ZmConfig *config, const char *section, ZmProblems *problems)
{
  const char *action = zm_config_text (config, section, "action");
  g_autoptr (GError) error = NULL;
  ZmKey key;

  if (action != NULL && *action != '\0' && !zm_key_parse (zm_span_text (action), &key, NULL, &error))
    add (config, section, "action", ZM_CODE_BAD_KEY, NULL, "correct the key", error->message, problems);
}

static void
check_retry (const ZmConfig *config, const char *section, ZmProblems *problems)
{
  const char *retry = zm_config_text (config, section, "retry");
  g_autoptr (GError) error = NULL;
  ZmRetryPolicy policy;

  if (retry == NULL || *retry == '\0')
    return;
  zm_retry_policy_init (&policy);
  if (!zm_retry_policy_read (&policy, zm_span_text (retry), &error))
    add (config, section, "retry", ZM_CODE_BAD_RETRY_POLICY, NULL,
         "correct it: RETRY POLICIES in zmanager.conf(5)", error->message, problems);
  zm_retry_policy_clear (&policy);
}

static void
check_dead_letter (const ZmConfig *config, const char *section, ZmProblems *problems)
{
  const char *dead = zm_config_text (config, section, "dead-letter");
  g_autofree char *what = NULL;

  if (dead == NULL || *dead == '\0' || zm_queue_name_check (dead))
    return;
  what = g_strdup_printf ("\"%s\" is no queue's name", dead);
  add (config, section, "dead-letter", ZM_CODE_BAD_NAME, "1 to 64 of letters, digits, _ - and .",
       "correct the name", what, problems);
}

gboolean
zm_sends_read_retries (const char *text, gint64 *retries, ZmRetryPolicy *policy, GError **error)
{
  *retries = -1;
  if (*text == '{')
    return zm_retry_policy_read (policy, zm_span_text (text), error);
  if (!zm_parse_integer (text, 0, RETRIES_MOST, retries, error))
    return FALSE;
  zm_retry_policy_limit (policy, (guint) *retries);
  return TRUE;
}

static void
check_retries (const ZmConfig *config, const char *section, ZmProblems *problems)
{
  const char *text = zm_config_text (config, section, "retries");
  g_autoptr (GError) error = NULL;
  ZmRetryPolicy policy;
  gint64 retries;

  if (text == NULL)
    return;
  zm_retry_policy_init (&policy);
  if (!zm_sends_read_retries (text, &retries, &policy, &error))
    add (config, section, "retries", *text == '{' ? ZM_CODE_BAD_RETRY_POLICY : ZM_CODE_BAD_VALUE,
         "a number from 0 to 1000, or a retry policy", NULL, error->message, problems);
  zm_retry_policy_clear (&policy);
}

void
zm_sends_check (const ZmConfig *config, ZmProblems *problems)
{
  g_auto (GStrv) queues = zm_config_names (config, "queue");
  g_auto (GStrv) actions = zm_config_names (config, "action");

  for (char **name = queues; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("queue ", *name, NULL);

    check_action (config, section, problems);
    check_retry (config, section, problems);
    check_dead_letter (config, section, problems);
  }
  for (char **name = actions; *name != NULL; name++) {
    g_autofree char *section = g_strconcat ("action ", *name, NULL);

    check_retries (config, section, problems);
  }
}

/* The reader of mapping files, which knows nothing of policies, only saw that it is to be one. */
void
zm_sends_check_mappings (const GPtrArray *mappings, ZmProblems *problems)
{
  for (guint i = 0; i < mappings->len; i++) {
    const ZmMapping *mapping = mappings->pdata[i];
    g_autoptr (GError) error = NULL;
    ZmRetryPolicy policy;

    if (mapping->policy == NULL)
      continue;
    zm_retry_policy_init (&policy);
    if (!zm_retry_policy_read (&policy, zm_span_text (mapping->policy), &error))
      zm_problems_add (problems, ZM_PROBLEM_ERROR, ZM_CODE_BAD_RETRY_POLICY, mapping->file,
                       mapping->policy_line, mapping->policy_column, NULL,
                       "correct it: RETRY POLICIES in zmanager.conf(5)", "retries of %s: %s",
                       mapping->key_text, error->message);
    zm_retry_policy_clear (&policy);
  }
}
