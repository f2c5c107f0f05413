/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzzer's corpus without libFuzzer: replay-NAME reads every file of tests/fuzz/corpus/NAME (or of the
 * directories given), and ends well if none of them crashes.
 */
#include "config.h"

#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static gboolean
replay_file (const char *path)
{
  g_autofree char *text = NULL;
  g_autofree uint8_t *exact = NULL;
  g_autoptr (GError) error = NULL;
  gsize size = 0;

  if (!g_file_get_contents (path, &text, &size, &error)) {
    g_printerr ("%s\n", error->message);
    return FALSE;
  }
  /* GLib adds a zero byte; in a copy of the exact size a read past the end is seen by the sanitizer. */
  exact = g_memdup2 (text, size);
  LLVMFuzzerTestOneInput (exact, size);
  return TRUE;
}

static int
replay_directory (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) directory = g_dir_open (path, 0, &error);
  const char *name;
  int count = 0;

  if (directory == NULL) {
    g_printerr ("%s\n", error->message);
    return -1;
  }
  while ((name = g_dir_read_name (directory)) != NULL) {
    g_autofree char *file = g_build_filename (path, name, NULL);

    if (!replay_file (file))
      return -1;
    count++;
  }
  printf ("%s: %d inputs\n", path, count);
  return count;
}

static char *
default_corpus (const char *program)
{
  g_autofree char *base = g_path_get_basename (program);
  const char *mark = strstr (base, "replay-");
  const char *source = g_getenv ("ZM_SRCDIR");

  return g_build_filename (source != NULL ? source : ".", "tests", "fuzz", "corpus",
                           mark != NULL ? mark + strlen ("replay-") : base, NULL);
}

int
main (int argc, char **argv)
{
  if (argc < 2) {
    g_autofree char *corpus = default_corpus (argv[0]);

    return replay_directory (corpus) > 0 ? 0 : 1;
  }
  for (int i = 1; i < argc; i++)
    if (replay_directory (argv[i]) <= 0)
      return 1;
  return 0;
}
