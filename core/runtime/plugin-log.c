/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins log, wherever they run. One that logs without end would fill the disk, so each has a budget of lines; what is
 * over it is counted, and told with its next line, or when it goes.
 */
#include "config.h"

#include "runtime/hosting-private.h"
#include "runtime/private.h"

#define BURST    1000
#define EACH_US  (G_USEC_PER_SEC / 100)
#define TELL_US  G_USEC_PER_SEC
#define QUIET_US (60 * G_USEC_PER_SEC) /* after that it is told anew that lines are left out from now on */

/* Of one plugin, under the lock of its hosting. */
typedef struct Budget {
  gint64 used_us; /* each line takes EACH_US; at most BURST of them ahead of the clock */
  gint64 told_us, warned_us;
  guint64 left_out; /* since it was told */
  ZmCounter *counter;
} Budget;

/* What is to be said of a plugin besides its line. */
typedef struct Said {
  gboolean line, warning;
  guint64 left_out;
} Said;

static Budget *
find_budget (ZmHosting *hosting, const char *plugin)
{
  Budget *budget = g_hash_table_lookup (hosting->budgets, plugin);

  if (budget == NULL) {
    budget = g_new0 (Budget, 1);
    g_hash_table_insert (hosting->budgets, g_strdup (plugin), budget);
  }
  return budget;
}

static void
leave_out (ZmHosting *hosting, const char *plugin, Budget *budget, gint64 now_us, Said *said)
{
  if (budget->counter == NULL)
    budget->counter =
        zm_metrics_counter (hosting->runtime->metrics, "zmanager_plugin_lines_left_out_total",
                            "Lines that a plugin logged and that were over its limit", "plugin", plugin);
  zm_counter_add (budget->counter, 1);
  said->warning = budget->warned_us == 0 || now_us - budget->warned_us >= QUIET_US;
  budget->warned_us = now_us;
  if (budget->left_out++ == 0)
    budget->told_us = now_us;
}

static Said
ask_budget (ZmHosting *hosting, const char *plugin)
{
  gint64 now_us = zm_now_us ();
  Said said = { 0 };
  Budget *budget;

  pthread_mutex_lock (&hosting->lock);
  budget = find_budget (hosting, plugin);
  budget->used_us = MAX (budget->used_us, now_us);
  if (budget->used_us - now_us > (BURST - 1) * (gint64) EACH_US) {
    leave_out (hosting, plugin, budget, now_us, &said);
  } else {
    budget->used_us += EACH_US;
    said.line = TRUE;
    if (budget->left_out > 0 && now_us - budget->told_us >= TELL_US) {
      said.left_out = budget->left_out;
      budget->left_out = 0;
    }
  }
  pthread_mutex_unlock (&hosting->lock);
  return said;
}

static void
tell_left_out (const ZmHosting *hosting, const char *plugin, guint64 n)
{
  const char *fields[] = { "plugin", plugin, NULL };
  g_autofree char *text = g_strdup_printf (
      "%" G_GUINT64_FORMAT " lines that plugin %s logged were left out: it logs too much", n, plugin);

  zm_log_line (hosting->runtime->log, ZM_LEVEL_WARNING, "plugin", text, fields);
}

/* A level that is not logged costs nothing of the budget. */
void
zm_hosting_log (ZmHosting *hosting, const char *plugin, ZmLevel level, const char *text)
{
  const char *fields[] = { "plugin", plugin, NULL };
  ZmLog *log = hosting->runtime->log;
  Said said;

  if (!zm_log_enabled (log, level))
    return;
  said = ask_budget (hosting, plugin);
  if (said.warning)
    zm_log_write (log, ZM_LEVEL_WARNING, "plugin",
                  "plugin %s logs more than %d lines at once and %d a second: lines are left out", plugin,
                  BURST, (int) (G_USEC_PER_SEC / EACH_US));
  if (said.left_out > 0)
    tell_left_out (hosting, plugin, said.left_out);
  if (said.line)
    zm_log_line (log, level, "plugin", text, fields);
}

/* TRUE: this plugin is not there any more. */
static gboolean
forget_budget (gpointer plugin, gpointer value, gpointer user)
{
  gpointer *context = user;
  ZmHosting *hosting = context[0];
  const Budget *budget = value;

  if (context[1] != NULL && zm_plugin_set_find (context[1], plugin) != NULL)
    return FALSE;
  if (budget->left_out > 0)
    tell_left_out (hosting, plugin, budget->left_out);
  if (budget->counter != NULL)
    zm_metrics_remove (hosting->runtime->metrics, budget->counter);
  return TRUE;
}

void
zm_hosting_forget_logs (ZmHosting *hosting, ZmPluginSet *now)
{
  gpointer context[] = { hosting, now };

  g_hash_table_foreach_remove (hosting->budgets, forget_budget, context);
}
