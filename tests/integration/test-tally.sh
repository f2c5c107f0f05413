#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The sum at the end of ./try.sh check: what it counts, and that nothing which went wrong can be missed.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

expect () { # NAME, STATUS, LAST LINE, RESULT...
  name=$1 status=$2 line=$3
  shift 3
  got=0
  output=$("$ZM_SRCDIR/tests/tally" "$@") || got=$?
  last=$(printf '%s\n' "$output" | tail -n 1)
  if [ "$got" = "$status" ] && [ "$last" = "$line" ]; then
    echo "ok - $name"
  else
    printf 'status %s:\n%s\n' "$got" "$output" | sed 's/^/  /'
    echo "not ok - $name"
    failed=1
  fi
}

result () { # NAME, RESULT; the log comes on standard input
  cat >"$folder/$1.log"
  printf ':test-result: %s\n:global-test-result: %s\n' "$2" "$2" >"$folder/$1.trs"
}

result google FAIL <<'END'
[ RUN      ] A.Good
[       OK ] A.Good (0 ms)
[ RUN      ] A.Noisy
text without an end[       OK ] A.Noisy (1 ms)
[ RUN      ] A.Left
[  SKIPPED ] A.Left (0 ms)
[ RUN      ] A.Bad/3
[  FAILED  ] A.Bad/3, where GetParam() = 3 (2 ms)
[  FAILED  ] 1 test, listed below:
[  FAILED  ] A.Bad/3, where GetParam() = 3
END
result crashed FAIL <<'END'
[ RUN      ] B.Good
[       OK ] B.Good (0 ms)
[ RUN      ] B.Crash
END
result lines FAIL <<'END'
ok - one
ok 2 - two # SKIP not here
not ok - three
END
result leak FAIL <<'END'
[ RUN      ] C.Good
[       OK ] C.Good (0 ms)
leaked 8 bytes
END
result plain PASS </dev/null
result absent SKIP </dev/null
result ended_early ERROR </dev/null

expect "GoogleTest cases" 1 "2 passed, 1 failed, 1 skipped" "$folder/google.trs"
expect "a crash inside a case" 1 "1 passed, 1 failed, 0 skipped" "$folder/crashed.trs"
expect "ok and not ok lines" 1 "1 passed, 1 failed, 1 skipped" "$folder/lines.trs"
expect "failure outside of every case" 1 "1 passed, 1 failed, 0 skipped" "$folder/leak.trs"
expect "a test without cases" 0 "1 passed, 0 failed, 0 skipped" "$folder/plain.trs"
expect "nothing passed" 1 "0 passed, 0 failed, 1 skipped" "$folder/absent.trs"
expect "an error" 1 "0 passed, 1 failed, 0 skipped" "$folder/ended_early.trs"
expect "no result at all" 1 "0 passed, 1 failed, 0 skipped" "$folder/missing.trs"
expect "the sum" 1 "5 passed, 3 failed, 3 skipped" "$folder/google.trs" "$folder/crashed.trs" "$folder/lines.trs" \
  "$folder/plain.trs" "$folder/absent.trs"
exit $failed
