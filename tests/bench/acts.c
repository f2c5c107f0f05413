/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * acts: a thousand actions that do nothing, act_000 to act_999, for the benchmarks of tables and of the dispatch itself.
 *
 * Options   none
 * Example   ?Bench?Nothing = acts.act_000
 * Threads   none; all may run in several workers at once
 */
#include <zmanager/plugin.h>

/* The formatter takes the macros apart. */
/* clang-format off */
#define DO_NOTHING(symbol) ZM_ACTION_THREADSAFE (symbol) { return ZM_OK; }
#define ACT(n) DO_NOTHING (act_##n)
#define TEN(n) \
  ACT (n##0) ACT (n##1) ACT (n##2) ACT (n##3) ACT (n##4) ACT (n##5) ACT (n##6) ACT (n##7) ACT (n##8) ACT (n##9)
#define HUNDRED(n) \
  TEN (n##0) TEN (n##1) TEN (n##2) TEN (n##3) TEN (n##4) TEN (n##5) TEN (n##6) TEN (n##7) TEN (n##8) TEN (n##9)

HUNDRED (0) HUNDRED (1) HUNDRED (2) HUNDRED (3) HUNDRED (4)
HUNDRED (5) HUNDRED (6) HUNDRED (7) HUNDRED (8) HUNDRED (9)

ZM_PLUGIN ("acts", "1.0", "LGPL-2.1-or-later", "A thousand actions that do nothing");
