#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every test that tests/README.md names exists.
cd "$ZM_SRCDIR/tests" || exit 1

exists () {
  case $1 in
  *.py:*) grep -A1 -E '^@(case|each)$' "integration/${1%%:*}" | grep -q "^def ${1#*:}(" ;;
  *.py | *.sh) test -f "integration/$1" ;;
  *.*) cat unit/*.cc | tr '\n' ' ' | grep -qE "TEST(_F|_P)? \(${1%%.*}, ${1#*.}\)" ;;
  *) return 1 ;;
  esac
}

failed=0 named=0
# The tables' last column; statements have no backticks.
for name in $(sed -n 's/^| [^`]* | \(`.*`\) |$/\1/p' README.md | tr -d '`' | tr ' ' '\n' | sort -u); do
  named=$((named + 1))
  exists "$name" || { echo "not ok - tests/README.md names $name, which does not exist"; failed=1; }
done
if ! grep -q '^|' README.md || grep '^| ' README.md | grep -v '`\|^| statement\|^| decision'; then
  echo "not ok - each line of tests/README.md names a test"
  failed=1
fi
test "$named" -gt 100 || { echo "not ok - only $named tests are named"; failed=1; }
test $failed = 0 && echo "ok - the $named tests that tests/README.md names exist"
exit $failed
