/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A flow as it was written: reference counted, immutable, without any tie to a table or a plugin. */
#include "config.h"

#include "routing/table-private.h"

#include <stdatomic.h>

ZmFlow *
zm_flow_ref (ZmFlow *flow)
{
  atomic_fetch_add_explicit ((_Atomic int *) &flow->refs, 1, memory_order_relaxed);
  return flow;
}

static void
branch_clear (ZmBranch *branch)
{
  g_free (branch->text);
}

void
zm_routing_step_clear (ZmStep *step)
{
  for (guint i = 0; i < step->n_branches; i++)
    branch_clear (&step->branches[i]);
  g_free (step->branches);
  if (step->on_error != NULL)
    branch_clear (step->on_error);
  g_free (step->on_error);
}

void
zm_flow_unref (ZmFlow *flow)
{
  if (flow == NULL)
    return;
  /* acq_rel: whoever frees sees what every other holder did before it let go. */
  if (atomic_fetch_sub_explicit ((_Atomic int *) &flow->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (guint i = 0; i < flow->n_steps; i++)
    zm_routing_step_clear (&flow->steps[i]);
  g_free (flow->steps);
  g_free (flow->name);
  g_free (flow->file);
  g_free (flow->hash);
  g_free (flow);
}

gboolean
zm_routing_same_step (const ZmKey *a, const ZmKey *b)
{
  return zm_span_equal (a->action, b->action) && zm_span_equal (a->context, b->context) &&
         zm_span_equal (a->sender, b->sender);
}

guint
zm_flow_find_step (const ZmFlow *flow, const ZmKey *key, guint *branch)
{
  for (guint i = 1; i < flow->n_steps; i++) {
    const ZmStep *step = &flow->steps[i];

    /* `done` belongs to the runtime: nobody enters a flow there. */
    if (step->kind == ZM_STEP_DONE)
      continue;
    for (guint b = 0; b < step->n_branches; b++)
      if (zm_routing_same_step (&step->branches[b].key, key)) {
        if (branch != NULL)
          *branch = b;
        return i;
      }
  }
  return 0;
}
