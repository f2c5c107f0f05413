#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every test under the tools that see what a test alone does not, each in a build folder of its own, below this one:
#   tests/sanitize.sh [address] [thread] [valgrind] [fuzz]     (none named: all four)
# JOBS is how many things are built and tested at a time (as many as there are processors), FUZZ_SECONDS how long each
# fuzzer runs (60). Ends with one line for each tool, and with 1 if one of them found something.
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
place=$(pwd)
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}
summary=
failed=0

# What the tools ask of the tests: they are slow, so patience is larger.
ZM_TEST_PATIENCE=${ZM_TEST_PATIENCE:-120}
export ZM_TEST_PATIENCE

die () {
  printf 'sanitize.sh: %s\n' "$1" >&2
  exit 2
}

# run NAME WHAT CONFIGURE-OPTION...: configures and builds in build-NAME, then makes WHAT there.
run () {
  name=$1
  what=$2
  shift 2
  build=$place/build-$name
  log=$build/sanitize.log
  mkdir -p "$build" || die "cannot make $build"
  echo "$name: in $build, all it says in $log"
  verdict=clean
  (
    set -e
    cd "$build"
    [ -f Makefile ] || "$top/configure" -q CFLAGS="-O1 -g" CXXFLAGS="-O1 -g" --enable-werror "$@"
    make -s -j"$jobs"
    # shellcheck disable=SC2086
    make -k -j"$jobs" $what
  ) >"$log" 2>&1 || { verdict="NOT clean, see $log"; failed=1; }
  grep -E '^(FAIL|ERROR): |^# (PASS|FAIL|ERROR): |^fuzz-[a-z]+: |^not ok' "$log"
  summary="$summary
$name: $verdict"
}

[ -x "$top/configure" ] || die "there is no $top/configure yet: run autoreconf -i there"
[ $# -gt 0 ] || set -- address thread valgrind fuzz
for tool; do
  case $tool in
  address) run address check --enable-asan --enable-ubsan ;;
  thread) run thread check CC=clang CXX=clang++ --enable-tsan ;;
  valgrind) run valgrind check-valgrind ;;
  fuzz) run fuzz "fuzz-run FUZZ_SECONDS=${FUZZ_SECONDS:-60}" CC=clang CXX=clang++ --enable-asan --enable-ubsan --enable-fuzz ;;
  *) die "$tool is none of address, thread, valgrind, fuzz" ;;
  esac
done
printf '%s\n' "$summary"
exit $failed
