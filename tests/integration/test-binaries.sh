#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The programs export nothing of ours: a plugin's own function of the same name would silently bind to the host's.
set -eu

if ! command -v nm >/dev/null; then
  echo "ok - exported symbols # SKIP nm is not installed"
  exit 77
fi
failed=0
for program in "$ZM_BUILDDIR/zmanagerd" "$ZM_BUILDDIR/zmanagerctl" "$ZM_BUILDDIR/zmanager-host"; do
  name=$(basename "$program")
  exported=$(nm -D --defined-only "$program" | grep ' zm_\| main$') || exported=
  if [ -z "$exported" ]; then
    echo "ok - $name exports nothing of ours"
  else
    printf '%s\n' "$exported"
    echo "not ok - $name exports nothing of ours (is -rdynamic among the flags?)"
    failed=1
  fi
done
exit $failed
