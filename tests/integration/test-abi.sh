#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The public header in use, in each language and by each compiler that is here; and the ABI against its baseline.
# After an addition (which raises ZM_ABI_MINOR): tests/integration/test-abi.sh --update
set -u

source=$ZM_SRCDIR/tests/abi/surface.c
baseline=$ZM_SRCDIR/tests/abi/plugin-1.abi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
strict="-Wall -Wextra -Wpedantic -Wshadow -Wwrite-strings -Wundef -Werror -Wno-unused-function -fPIC -shared -fvisibility=hidden"
failed=0

check () { # NAME, COMMAND...
  name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    echo "ok - $name"
  else
    cat "$work/output"
    echo "not ok - $name"
    failed=1
  fi
}

build () { # COMPILER, STANDARD, LANGUAGE, MORE...
  compiler=$1 standard=$2 language=$3
  shift 3
  # shellcheck disable=SC2086
  check "$compiler -std=$standard $*" "$compiler" -std="$standard" -x "$language" $strict -I"$ZM_SRCDIR/include" "$@" \
    -Wl,-z,defs "$source" -o "$work/surface.so"
  check "$compiler -std=$standard $*: the note is there, stripped" sh -c \
    'strip "$1" && readelf -n "$1" | grep "zmanager"' - "$work/surface.so"
}

dump () { # OUTPUT
  # Names of this machine have no place in the baseline.
  (cd "$ZM_SRCDIR" && gcc -std=c11 -g -O0 -fPIC -shared -ffile-prefix-map="$PWD"=. -Iinclude tests/abi/surface.c \
    -o "$work/surface.so") &&
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs --no-architecture "$work/surface.so" >"$1"
}

if [ "${1-}" = --update ]; then
  dump "$baseline"
  exit
fi
for compiler in gcc clang; do
  if ! command -v $compiler >/dev/null; then
    echo "ok - $compiler # SKIP it is not installed"
    continue
  fi
  for standard in c99 c11 gnu17; do
    build $compiler $standard c
  done
  build $compiler c11 c -DTEST_PLAIN
  build $compiler c11 c -O2 -flto -ffunction-sections -Wl,--gc-sections
done
for compiler in g++ clang++; do
  if ! command -v $compiler >/dev/null; then
    echo "ok - $compiler # SKIP it is not installed"
    continue
  fi
  for standard in c++14 c++17 c++20; do
    build $compiler $standard c++
  done
  build $compiler c++14 c++ -DTEST_PLAIN
done

if ! command -v abidiff >/dev/null || ! command -v gcc >/dev/null || [ "$(uname -m)" != x86_64 ]; then
  echo "ok - the ABI is that of the baseline # SKIP needs abidiff and gcc on x86_64"
else
  dump "$work/now.abi" && check "the ABI is that of the baseline" abidiff --no-show-locs "$baseline" "$work/now.abi"
  # What the check is worth: a member put in the middle must be found.
  sed 's/^  void \*state;         /  void *intruder; &/' "$ZM_SRCDIR/include/zmanager/plugin.h" >"$work/plugin.h"
  mkdir -p "$work/include/zmanager" && mv "$work/plugin.h" "$work/include/zmanager/"
  cmp -s "$work/include/zmanager/plugin.h" "$ZM_SRCDIR/include/zmanager/plugin.h" && echo "not ok - the header could not be changed" && failed=1
  check "the changed header compiles" gcc -std=c11 -g -O0 -fPIC -shared -I"$work/include" -I"$ZM_SRCDIR/include" "$source" -o "$work/surface.so"
  check "a changed ABI is found" sh -c '! abidiff "$1" "$2"' - "$baseline" "$work/surface.so"
fi
exit $failed
