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

# Started by make, the builds below must not take that one's choices and job server for theirs.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

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
  begun=$(date +%s)
  mkdir -p "$build" || die "cannot make $build"
  echo "$name: in $build, all it says in $log"
  verdict=clean
  # A build or a run that broke off left results of the last call behind, which are not to be taken for this one's.
  find "$build/tests" \( -name '*.trs' -o -name '*.log' \) -exec rm -f {} + 2>/dev/null
  # shellcheck disable=SC2086
  {
    cd "$build" &&
      { [ -f Makefile ] || "$top/configure" -q CFLAGS="-O1 -g" CXXFLAGS="-O1 -g" --enable-werror "$@"; } &&
      make -s -j"$jobs" &&
      make -k -j"$jobs" $what
  } >"$log" 2>&1 || { verdict="NOT clean, see $log"; failed=1; }
  cd "$place" || die "$place is gone"
  grep -E '^(FAIL|ERROR): |^fuzz-[a-z]+: |^not ok' "$log"
  summary="$summary
$name: $verdict; $(sum "$build"); $((($(date +%s) - begun + 59) / 60)) min"
}

# What the tests of that build came to, in one line.
sum () {
  if [ "$what" = "${what#fuzz}" ]; then
    (cd "$1" && find tests -name '*.trs' -exec "$top/tests/tally" {} + 2>/dev/null | tail -n 1)
  else
    echo "$(grep -c '^fuzz-[a-z]*: ' "$log") fuzzers"
  fi
}

[ -x "$top/configure" ] || die "there is no $top/configure yet: run autoreconf -i there"
[ ! -f "$top/config.status" ] || die "$top itself is configured, so no other folder can be: run make distclean there"
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
