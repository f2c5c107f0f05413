#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `zmanagerctl plugin new` writes builds without a warning, passes its own test, and is a plugin.
set -u

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
ZM_TEMPLATE_PATH=$ZM_SRCDIR/data/templates
export ZM_TEMPLATE_PATH
umask 022
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

for kind in component source store; do
  folder=$work/my-$kind
  check "$kind: plugin new" "$ZM_BUILDDIR/zmanagerctl" plugin new "my-$kind" --kind "$kind" --dir "$work"
  # Not CFLAGS of the tree: a plugin's author has none of them.
  check "$kind: make check" env -u CFLAGS -u MAKEFLAGS -u MAKELEVEL make -C "$folder" check CC="${ZM_TEST_CC%% *}" \
    CPPFLAGS="-I$ZM_SRCDIR/include" CFLAGS="-g -Wall -Wextra -Werror -pedantic"
  check "$kind: the probe takes it" sh -c '"$1" "$2" | grep "^stage end$"' - "$ZM_BUILDDIR/zmanager-probe" "$folder/my-$kind.so"
  # The error of an empty body would be the first thing that a plugin's author sees of it.
  check "$kind: make try" sh -c 'PATH=$1:$PATH make -C "$2" try CPPFLAGS="$3" CC="$4" | tee "$2/said" && ! grep ERROR "$2/said" &&
    grep "0 without an answer" "$2/said"' - "$ZM_BUILDDIR" "$folder" "-I$ZM_SRCDIR/include" "${ZM_TEST_CC%% *}"
  check "$kind: make install" env -u MAKEFLAGS -u MAKELEVEL make -C "$folder" install PLUGINDIR=/plugins DESTDIR="$work/root-$kind" \
    CPPFLAGS="-I$ZM_SRCDIR/include" CC="${ZM_TEST_CC%% *}"
  check "$kind: installed whole" test -f "$work/root-$kind/plugins/my-$kind.so"
  if [ $kind != store ]; then
    check "$kind: its mappings too" test -f "$work/root-$kind/plugins/my-$kind.actions.ini"
  fi
  check "$kind: no placeholder is left" sh -c '! grep -r "@[A-Z]*@" "$1" --include="*.c" --include=Makefile --include="*.ini"' - "$folder"
done
exit $failed
