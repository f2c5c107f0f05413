#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tour in the build tree: the programs as built, the plugins in one folder as when installed. With its own network and,
# as where namespaces are forbidden, without.
set -u

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
. "$ZM_SRCDIR/tests/integration/built-tree.sh"
built_tree "$folder"

report () { # NAME, STATUS
  if [ "$2" = 0 ]; then
    echo "ok - $1"
  else
    sed 's/^/  /' "$folder/output"
    echo "not ok - $1"
    failed=1
  fi
}

# A tour that hangs is a failure too.
tour () { timeout 120 sh "$ZM_SRCDIR/data/tour.sh" "$@" >"$folder/output" 2>&1; }

if unshare -rn ip link add zmtour0 type veth peer name zmtour1 2>/dev/null; then
  tour
  report "the tour, in a network of its own" $?
else
  echo "ok - the tour, in a network of its own # SKIP no network namespaces or no veth here"
fi

ZM_TOUR_NETWORK=machine tour
report "the tour, beside the machine's own interfaces" $?

ZM_TOUR_NETWORK=machine tour --keep
status=$?
kept=$(sed -n 's/.*zmanagerctl --dir \([^ ]*\) status$/\1/p' "$folder/output")
[ $status = 0 ] && zmanagerctl --dir "$kept" drain >>"$folder/output" 2>&1
report "--keep leaves a daemon that answers" $?
[ -n "$kept" ] && rm -rf "$kept"

# A daemon that does nothing: the tour says what is missing.
mkdir "$folder/broken"
printf '#!/bin/sh\nexit 0\n' >"$folder/broken/zmanagerd"
chmod +x "$folder/broken/zmanagerd"
PATH=$folder/broken:$PATH ZM_TOUR_NETWORK=machine tour
[ $? = 1 ] && grep -q 'did not show a daemon that answers' "$folder/output"
report "a scene that fails ends the tour" $?
tour --nonsense
[ $? = 2 ]
report "a wrong option is refused" $?
exit $failed
