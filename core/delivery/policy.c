/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retry policies: how long to wait before which attempt. Nothing is listed: each delay is counted when it is asked for, so that a
 * policy of a million retries costs no memory.
 */
#include "config.h"

#include "delivery/zm-delivery.h"

#include <math.h>
#include <string.h>

/* Zaqar's fixed interval between the steps of a back-off. */
#define STEP_MS 5000

void
zm_retry_policy_init (ZmRetryPolicy *policy)
{
  *policy = (ZmRetryPolicy){
    .immediate = 3,
    .pre = 3,
    .pre_ms = 5000,
    .function = ZM_BACKOFF_LINEAR,
    .min_ms = 5000,
    .max_ms = 30000,
    .stepped = TRUE,
    .post = 3,
    .post_ms = 30000,
    .most = -1,
  };
}

void
zm_retry_policy_copy (ZmRetryPolicy *policy, const ZmRetryPolicy *from)
{
  *policy = *from;
  if (from->schedule != NULL)
    policy->schedule = g_memdup2 (from->schedule, from->n_schedule * sizeof *from->schedule);
}

void
zm_retry_policy_clear (ZmRetryPolicy *policy)
{
  g_free (policy->schedule);
  memset (policy, 0, sizeof *policy);
  policy->most = -1;
}

/* ---- how many ---- */

/* Zaqar's linear one counts up from min while it is below max, the others have a step for each whole interval. */
static guint
backoff_count (const ZmRetryPolicy *policy)
{
  gint64 range = policy->max_ms - policy->min_ms;

  if (!policy->stepped)
    return policy->backoff;
  if (range <= 0)
    return 0;
  return (guint) (policy->function == ZM_BACKOFF_LINEAR ? (range + STEP_MS - 1) / STEP_MS : range / STEP_MS);
}

static guint64
phases_count (const ZmRetryPolicy *policy)
{
  if (policy->schedule != NULL)
    return policy->n_schedule;
  return (guint64) policy->immediate + policy->pre + backoff_count (policy) + policy->post;
}

guint
zm_retry_policy_count (const ZmRetryPolicy *policy)
{
  guint64 n = phases_count (policy);

  return (guint) (policy->most >= 0 ? (guint64) policy->most : MIN (n, G_MAXUINT));
}

void
zm_retry_policy_limit (ZmRetryPolicy *policy, guint retries)
{
  policy->most = retries;
}

/* ---- how long ---- */

/* Zaqar's linear one in steps of 5 s, ours in n - 1 equal ones. */
static double
linear_ms (const ZmRetryPolicy *policy, guint n, guint i)
{
  double range = (double) (policy->max_ms - policy->min_ms);

  return (double) policy->min_ms + (policy->stepped ? (double) STEP_MS * i : range * i / (n - 1));
}

/* Each step is longer than the one before by the same amount. */
static double
arithmetic_ms (const ZmRetryPolicy *policy, guint n, guint i)
{
  double range = (double) (policy->max_ms - policy->min_ms);

  return (double) policy->min_ms + range * i * (i + 1.0) / ((double) n * (n - 1.0));
}

/* Ends exactly at max: the sum of i is n (n - 1) / 2. Zaqar's own formula is the same, and so ends at max as well. */
static double
geometric_ms (const ZmRetryPolicy *policy, guint n, guint i)
{
  /* From nothing no factor leads anywhere. */
  double least = (double) MAX (policy->min_ms, policy->stepped ? 1000 : 1);

  return least * pow ((double) policy->max_ms / least, (double) i / (n - 1));
}

/* Of step i, from 0, of n. Whole seconds are cut as Zaqar cuts them; what is a whole number but for a rounding error stays. */
static gint64
backoff_ms (const ZmRetryPolicy *policy, guint n, guint i)
{
  double ms;

  if (n < 2)
    return policy->min_ms;
  switch (policy->function) {
  case ZM_BACKOFF_ARITHMETIC: ms = arithmetic_ms (policy, n, i); break;
  case ZM_BACKOFF_GEOMETRIC:
  case ZM_BACKOFF_EXPONENTIAL: ms = geometric_ms (policy, n, i); break;
  default: ms = linear_ms (policy, n, i);
  }
  ms = MIN (ms, (double) MAX (policy->max_ms, policy->min_ms));
  if (!policy->stepped)
    return (gint64) (ms + 0.5);
  return (gint64) (ms / 1000 + 1e-6) * 1000;
}

/* Of retry i, from 0; i is within the phases. */
static gint64
phase_ms (const ZmRetryPolicy *policy, guint64 i)
{
  guint n = backoff_count (policy);

  if (policy->schedule != NULL)
    return policy->schedule[i];
  if (i < policy->immediate)
    return 0;
  i -= policy->immediate;
  if (i < policy->pre)
    return policy->pre_ms;
  i -= policy->pre;
  return i < n ? backoff_ms (policy, n, (guint) i) : policy->post_ms;
}

gint64
zm_retry_policy_delay (const ZmRetryPolicy *policy, guint attempt, double random)
{
  guint64 n = phases_count (policy);
  gint64 ms;

  if (attempt < 2 || attempt - 2 >= zm_retry_policy_count (policy))
    return -1;
  if (n == 0)
    return 0;
  ms = phase_ms (policy, MIN (attempt - 2, n - 1));
  return ms - (gint64) ((double) ms * MIN (policy->jitter, 100) / 100 * (1 - CLAMP (random, 0, 1)));
}

static gint64
backoff_longest (const ZmRetryPolicy *policy)
{
  guint n = backoff_count (policy);

  return n > 0 ? backoff_ms (policy, n, n - 1) : 0;
}

gint64
zm_retry_policy_longest (const ZmRetryPolicy *policy)
{
  gint64 longest = 0;

  if (policy->schedule == NULL)
    return MAX (MAX (policy->pre > 0 ? policy->pre_ms : 0, policy->post > 0 ? policy->post_ms : 0),
                backoff_longest (policy));
  for (guint i = 0; i < policy->n_schedule; i++)
    longest = MAX (longest, policy->schedule[i]);
  return longest;
}
