/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "Did you mean": the nearest of some known words. */
#include "config.h"

#include "base/zm-base.h"

#include <string.h>

#define WORD_MOST 64 /* bytes; nobody mistypes a longer word into another one */

/*
 * How many insertions, deletions, replacements and swaps of neighbours turn a into b. Case does not count: somebody who
 * writes [Subject] means [subject]. Three rows of the usual table are enough, since a swap looks two back.
 */
static guint
distance (const char *a, gsize a_size, const char *b, gsize b_size)
{
  guint rows[3][WORD_MOST + 1];

  for (gsize j = 0; j <= b_size; j++)
    rows[0][j] = (guint) j;
  for (gsize i = 1; i <= a_size; i++) {
    const guint *before = rows[(i - 1) % 3];
    const guint *earlier = rows[(i + 1) % 3]; /* i - 2 */
    guint *row = rows[i % 3];

    row[0] = (guint) i;
    for (gsize j = 1; j <= b_size; j++) {
      char ca = g_ascii_tolower (a[i - 1]), cb = g_ascii_tolower (b[j - 1]);

      row[j] = MIN (MIN (before[j], row[j - 1]) + 1, before[j - 1] + (ca != cb));
      if (i > 1 && j > 1 && ca == g_ascii_tolower (b[j - 2]) && cb == g_ascii_tolower (a[i - 2]))
        row[j] = MIN (row[j], earlier[j - 2] + 1);
    }
  }
  return rows[a_size % 3][b_size];
}

gboolean
zm_similar (ZmSpan word, ZmSpan candidate, guint *away)
{
  gsize gap = MAX (word.size, candidate.size) - MIN (word.size, candidate.size);
  gsize most = (word.size + 2) / 3; /* one mistake in three letters is near */

  if (word.size == 0 || word.size > WORD_MOST || candidate.size == 0 || candidate.size > WORD_MOST ||
      gap > most)
    return FALSE;
  *away = distance (word.data, word.size, candidate.data, candidate.size);
  /* A word that shares no letter with the candidate is no misspelling of it. */
  return *away <= most && *away < MAX (word.size, candidate.size);
}

/* The first of those that are equally near: candidates come in an order that means something to who asks. */
const char *
zm_suggest (const char *word, const char *const *candidates)
{
  const char *best = NULL;
  guint least = G_MAXUINT, away;

  for (; *candidates != NULL; candidates++)
    if (zm_similar (zm_span_text (word), zm_span_text (*candidates), &away) && away < least) {
      least = away;
      best = *candidates;
    }
  return best;
}
