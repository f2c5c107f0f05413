/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks, medians and rows of the benchmarks. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double
bench_now (void)
{
  return (double) g_get_monotonic_time () / G_USEC_PER_SEC;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return (x > y) - (x < y);
}

double
bench_percentile (GArray *values, double p)
{
  if (!values->len)
    return 0;
  g_array_sort (values, compare);
  guint index = (guint) (p * (values->len - 1));
  return g_array_index (values, double, index);
}

double
bench_median (GArray *values)
{
  return bench_percentile (values, 0.5);
}

gint64
bench_option (int argc, char **argv, const char *name, gint64 standard)
{
  for (int i = 1; i + 1 < argc; i++)
    if (g_str_has_prefix (argv[i], "--") && strcmp (argv[i] + 2, name) == 0)
      return g_ascii_strtoll (argv[i + 1], NULL, 10);
  return standard;
}

static void
print_row (const char *job, const char *unit, const double figures[5], gboolean good, gboolean best)
{
  g_autofree char *must = isinf (figures[3]) ? g_strdup ("-") : g_strdup_printf ("%.3g", figures[3]);
  printf ("%-28s %12.1f %12.1f %-10s %8.3f %8s %8.3g  %s\n", job, figures[0], figures[1], unit, figures[2],
          must, figures[4],
          best           ? "goal"
          : !good        ? "BELOW"
          : *must == '-' ? ""
                         : "must");
  fflush (stdout);
}

gboolean
bench_row (const char *job, const char *unit, double baseline, double product, double ratio, double must,
           double goal)
{
  gboolean higher = goal >= must;
  gboolean good = higher ? ratio >= must : ratio <= must;
  gboolean best = higher ? ratio >= goal : ratio <= goal;
  print_row (job, unit, (double[]){ baseline, product, ratio, must, goal }, good, best);
  return good;
}

gboolean
bench_row_figure (const char *job, const char *unit, double baseline, double product, double ratio,
                  double must, double goal)
{
  print_row (job, unit, (double[]){ baseline, product, ratio, must, goal }, product <= must, product <= goal);
  return product <= must;
}

/* ---- pairs ---- */

BenchPairs *
bench_pairs_new (void)
{
  BenchPairs *pairs = g_new (BenchPairs, 1);
  pairs->baseline = g_array_new (FALSE, FALSE, sizeof (double));
  pairs->product = g_array_new (FALSE, FALSE, sizeof (double));
  pairs->ratios = g_array_new (FALSE, FALSE, sizeof (double));
  return pairs;
}

void
bench_pairs_add (BenchPairs *pairs, double baseline, double product)
{
  double ratio = baseline > 0 ? product / baseline : 0;
  g_array_append_val (pairs->baseline, baseline);
  g_array_append_val (pairs->product, product);
  g_array_append_val (pairs->ratios, ratio);
}

void
bench_pairs_free (BenchPairs *pairs)
{
  g_array_unref (pairs->baseline);
  g_array_unref (pairs->product);
  g_array_unref (pairs->ratios);
  g_free (pairs);
}

gboolean
bench_pairs_row (BenchPairs *pairs, const char *job, const char *unit, double must, double goal)
{
  gboolean good = bench_row (job, unit, bench_median (pairs->baseline), bench_median (pairs->product),
                             bench_median (pairs->ratios), must, goal);
  bench_pairs_free (pairs);
  return good;
}

gboolean
bench_pairs_row_figure (BenchPairs *pairs, const char *job, const char *unit, double must, double goal)
{
  gboolean good = bench_row_figure (job, unit, bench_median (pairs->baseline), bench_median (pairs->product),
                                    bench_median (pairs->ratios), must, goal);
  bench_pairs_free (pairs);
  return good;
}
