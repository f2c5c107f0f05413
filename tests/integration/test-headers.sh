#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every header compiles alone; the doors of the rooms also as C++; the public ones as C99 and C++14, with nothing but
# themselves.
set -u

failed=0
try () { # NAME, COMPILER...
  name=$1
  shift
  if printf '#include "%s"\n' "$header" | "$@" -fsyntax-only -Wall -Wextra -Werror -; then
    echo "ok - $name"
  else
    echo "not ok - $name"
    failed=1
  fi
}

# Compilers and flags are lists of words.
# shellcheck disable=SC2086
for header in "$ZM_SRCDIR"/core/*/*.h; do
  short=${header#"$ZM_SRCDIR"/}
  try "$short as C" $ZM_TEST_CC -std=gnu11 $ZM_TEST_CPPFLAGS -x c
  # C11's atomics are no C++: a room's private headers are for its own C files.
  case ${header##*/} in
  zm-*private.h) continue ;;
  zm-*) ;;
  *) continue ;;
  esac
  try "$short as C++" $ZM_TEST_CXX -std=gnu++17 $ZM_TEST_CPPFLAGS -x c++
done
# shellcheck disable=SC2086
for header in "$ZM_SRCDIR"/include/zmanager/*.h; do
  short=${header#"$ZM_SRCDIR"/}
  try "$short as C99" $ZM_TEST_CC -std=c99 -pedantic -I"$ZM_SRCDIR/include" -x c
  try "$short as C++14" $ZM_TEST_CXX -std=c++14 -pedantic -I"$ZM_SRCDIR/include" -x c++
done
exit $failed
