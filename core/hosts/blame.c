/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a crash costs a plugin (decision 28): a pause, then quarantine; and the report that is left of it. */
#include "config.h"

#include "hosts/hosts-private.h"

#include <glib/gstdio.h>
#include <string.h>

#define PAUSE_US     (100 * 1000) /* before the second restart in a row; doubled for each further one */
#define REPORTS_MOST 20

gint64
zm_carried_backoff (const ZmCarried *carried)
{
  return carried->crashes < 2 ? 0 : (gint64) PAUSE_US << (MIN (carried->crashes, ZM_CRASHES_MOST) - 2);
}

/* The oldest one is forgotten where those that count lie too far apart. */
static void
count_crash (ZmCarried *carried, gint64 now_us)
{
  if (carried->crashes == ZM_CRASHES_MOST) {
    memmove (carried->crash_us, carried->crash_us + 1, (ZM_CRASHES_MOST - 1) * sizeof carried->crash_us[0]);
    carried->crashes--;
  }
  carried->crash_us[carried->crashes++] = now_us;
}

gboolean
zm_carried_blame (ZmCarried *carried, ZmHost *host, const char *what, gint64 now_us)
{
  g_autofree char *lines = NULL;

  carried->kills++;
  count_crash (carried, now_us);
  if (carried->crashes < ZM_CRASHES_MOST || now_us - carried->crash_us[0] > ZM_CRASHES_US ||
      carried->quarantine != NULL)
    return FALSE;
  lines = zm_host_last_lines (host);
  carried->quarantine =
      g_strdup_printf ("%u crashes in %" G_GINT64_FORMAT
                       " s without a good call in between, the last one: %s%s%s; it is tried again by "
                       "zmanagerctl plugin reload %s, or when its file changes",
                       ZM_CRASHES_MOST, (now_us - carried->crash_us[0]) / G_USEC_PER_SEC, what,
                       lines != NULL ? "; its host said: " : "", lines != NULL ? lines : "",
                       zm_generation_name (carried->generation));
  zm_log_write (host->hosts->config.log, ZM_LEVEL_ERROR, "host", "plugin %s is in quarantine: %s",
                zm_generation_name (carried->generation), carried->quarantine);
  return TRUE;
}

/* ---- the report ---- */

static void
append_member (GString *out, const ZmCarried *member)
{
  const ZmManifest *manifest = zm_generation_manifest (member->generation);

  g_string_append_printf (
      out, "plugin %s %s generation %u isolation %s build-id %s\n", zm_generation_name (member->generation),
      manifest->version != NULL ? manifest->version : "-", zm_generation_number (member->generation),
      zm_isolation_name (zm_generation_placement (member->generation)->isolation),
      manifest->build_id != NULL ? manifest->build_id : "-");
}

/* Of which message: who looks for the cause wants to send it again. Ids and keys come from senders. */
static void
append_message (GString *out, const ZmHostSlot *slot)
{
  const zm_call *call = slot->call != NULL ? slot->call->call : NULL;
  g_autofree char *key = call != NULL ? zm_dead_key (call) : g_strdup (slot->key);
  g_autofree char *shown_id =
      zm_printable (call != NULL ? zm_span (call->id.data, call->id.size) : zm_span_text (slot->id), 256);
  g_autofree char *shown_key = zm_printable (zm_span_text (key), 256);

  g_string_append_printf (out, ": message %s key %s\n", *shown_id ? shown_id : "-",
                          *shown_key ? shown_key : "-");
}

static void
append_running (GString *out, ZmHost *host, gint64 now_us)
{
  for (guint i = 0; host->page != NULL && i < ZM_PAGE_SLOTS; i++) {
    const ZmHostSlot *slot = &host->slots[i];
    const char *symbol = slot->call != NULL ? slot->call->symbol : slot->symbol;

    if (slot->carried == NULL)
      continue;
    if ((atomic_load (&host->page->slots[i].word) & 3) != ZM_SLOT_IS_STARTED)
      continue;
    g_string_append_printf (out, "running %s.%s for %" G_GINT64_FORMAT " us",
                            zm_generation_name (slot->carried->generation), symbol,
                            now_us - zm_slot_began (host, i, now_us));
    append_message (out, slot);
  }
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Names have the time in front, so that the oldest come first. */
static void
make_room (const char *directory)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) entries = g_dir_open (directory, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    if (g_str_has_prefix (name, "crash-"))
      g_ptr_array_add (names, g_build_filename (directory, name, NULL));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i + REPORTS_MOST <= names->len; i++)
    g_unlink (g_ptr_array_index (names, i));
}

char *
zm_host_report (ZmHost *host, const char *how)
{
  GString *out = g_string_new (NULL);

  g_string_append_printf (out,
                          "%s\nhost %s process %d, its process number %" G_GUINT64_FORMAT
                          ", lived %" G_GINT64_FORMAT " ms, memory %" G_GSIZE_FORMAT " bytes\n",
                          how, host->name, (int) host->child.pid, host->life,
                          (zm_now_us () - host->started_us) / 1000, host->rss);
  for (guint i = 0; i < host->group->members->len; i++)
    append_member (out, g_ptr_array_index (host->group->members, i));
  append_running (out, host, zm_now_us ());
  for (guint i = 0; i < ZM_HOST_LINES; i++) {
    const char *line = host->lines[(host->next_line + i) % ZM_HOST_LINES];

    if (line != NULL)
      g_string_append_printf (out, "said %s\n", line);
  }
  return g_string_free (out, FALSE);
}

/* Failing to write it costs the report only; the log has the main thing. */
void
zm_host_write_report (const ZmHost *host, pid_t pid, const char *text)
{
  const char *directory = host->hosts->config.report_directory;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y%m%dT%H%M%S.%f");
  g_autofree char *name = g_strdup_printf ("crash-%s-%d.txt", time, (int) pid);
  g_autofree char *path = NULL;

  if (directory == NULL)
    return;
  make_room (directory);
  path = g_build_filename (directory, name, NULL);
  if (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    zm_log_write (host->hosts->config.log, ZM_LEVEL_NOTICE, "host", "host %s: the report is %s", host->name,
                  path);
}
