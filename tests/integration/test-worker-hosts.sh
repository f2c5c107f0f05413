#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The worker's own tests, with their plugin in a host: what a plugin's author sees is the same in each isolation. Left out is
# what is told of workers' threads and of this process's memory: hooks, hung workers, a generation kept by a buffer, tickets
# completed past the plugin, and bounds that hosts have of their own.
set -eu

leave='*Hook*:Authorised*:Staying.AHungWorkerIsReplacedWhenThereIsRoom:Staying.OrderIsKeptBeforeAFullStrand'
leave="$leave:Staying.ResultsForAHungPluginAreDroppedAndCounted:Worker.ABufferKeepsItsGeneration"
leave="$leave:Worker.ADeferredCallEndsAfterItsPluginWasReplaced:Worker.DeferredCallsAreBounded"
leave="$leave:Worker.DeferredCallsOfAStuckPluginFailAtOnce"

if [ ! -x "$ZM_BUILDDIR/tests/unit/test-worker" ]; then
  echo "ok - the worker's tests in hosts # SKIP GoogleTest is not there"
  exit 0
fi
# Each case in a process of its own: under ThreadSanitizer one that has replaced many plugins cannot fork any more.
tests=$("$ZM_BUILDDIR/tests/unit/test-worker" --gtest_list_tests --gtest_filter="-$leave" |
  awk '/^[^ ]/ { suite = $1; next } { print suite $1 }')
failed=0
[ -n "$tests" ] || failed=1
for isolation in process private; do
  for test in $tests; do
    ZM_TEST_ISOLATION=$isolation "$ZM_BUILDDIR/tests/unit/test-worker" --gtest_filter="$test" || failed=1
  done
done
exit $failed
