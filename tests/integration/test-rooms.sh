#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A room uses the rooms below it, never the other way round, and only through their doors; plugins see the public headers.
set -u

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# A room and the rooms that it may use. HACKING.md has the same as a picture.
cat >"$work/rooms" <<'END'
base
message base
config base message
hostwire base
plugin base message config hostwire
hosted base message config hostwire plugin
routing base message config plugin
hosts base message hostwire plugin
worker base message config plugin routing hosts
integration base message config
subject base message config plugin routing worker integration
store base
queue base message config store
delivery base message config store queue
http base message config store queue delivery
runtime base message config plugin routing hosts worker integration subject store queue delivery http
ctl base message config plugin routing http runtime
client
zmanagerd.c base runtime
zmanager-probe.c
zmanager-host.c base hosted
END
# Headers that other rooms may include though their names do not begin with zm-.
shared='base/i18n.h base/version.h integration/endpoint.h integration/waker.h'

# The includes below a directory of rooms, against the table: prints what is wrong.
check () { # DIRECTORY
  (cd "$1" && grep -rn '^#include "[^"]*/' --include='*.[ch]' .) |
    awk -v rooms="$work/rooms" -v shared="$shared" '
      BEGIN {
        while ((getline line < rooms) > 0) {
          n = split(line, word, " ")
          known[word[1]] = 1
          for (i = 2; i <= n; i++) may[word[1] " " word[i]] = 1
        }
        n = split(shared, word, " ")
        for (i = 1; i <= n; i++) door[word[i]] = 1
      }
      {
        split($0, field, ":")
        split(substr(field[1], 3), path, "/")
        header = $0
        sub(/^[^"]*"/, "", header)
        sub(/".*/, "", header)
        split(header, part, "/")
        from = path[1]
        to = part[1]
        where = substr(field[1], 3) ":" field[2]
        if (!(from in known)) { print where ": " from " is no room that this test knows: say what it may use"; next }
        if (to == from || to == "zmanager") next
        if (!((from " " to) in may)) print where ": " from " may not use " to " (" header ")"
        else if (!(header in door) && part[2] !~ /^zm-/ || part[2] ~ /private\.h$/)
          print where ": " header " is no door of " to
      }'
}

report () { # NAME, FILE THAT HAS TO BE EMPTY
  if [ -s "$2" ]; then
    cat "$2"
    echo "not ok - $1"
    failed=1
  else
    echo "ok - $1"
  fi
}

check "$ZM_SRCDIR/core" >"$work/found"
report "each room uses the rooms below it, by their doors" "$work/found"

(cd "$ZM_SRCDIR" && ls -d core/*/ | sed 's|core/\(.*\)/|\1|' | while read -r room; do
  grep -q "^$room\( \|\$\)" "$work/rooms" || echo "core/$room is no room that this test knows"
done) >"$work/found"
report "each folder is a room" "$work/found"

# Their own: what plugins of one kind share stands in that kind's folder.
(cd "$ZM_SRCDIR" && grep -rnE '^#include "[^"]*/|^#include <zmanager/client' plugins include --include='*.[ch]' |
  grep -vE '^(plugins/[a-z]+/)[^:]*:[0-9]+:#include "\1') >"$work/found"
report "plugins include the public header and their own, nothing else of ours" "$work/found"

(cd "$ZM_SRCDIR" && grep -rnE '^#include "(base|message|config|plugin|routing|worker|integration|subject|runtime|ctl)/' core/client) >"$work/found"
report "libzmanager-client stands alone" "$work/found"

(cd "$ZM_SRCDIR" && grep -rnE 'pthread_create|pthread_condattr_setclock|pthread_cond_timedwait|g_thread_new|thrd_create' core --include='*.[ch]' |
  grep -v '^core/base/thread\.c:' | grep -v '^core/base/zm-thread\.h:') >"$work/found"
report "threads and conditions on the monotonic clock are made by base/zm-thread.h" "$work/found"

# And it would be seen.
mkdir -p "$work/bad/base" "$work/bad/subject" "$work/bad/attic"
echo '#include "worker/zm-pool.h"' >"$work/bad/base/upwards.c"
echo '#include "worker/internal.h"' >"$work/bad/subject/window.c"
echo '#include "plugin/zm-plugin-private.h"' >"$work/bad/subject/private.c"
echo '#include "base/zm-base.h"' >"$work/bad/attic/unknown.c"
echo '#include "base/zm-base.h"' >"$work/bad/subject/good.c"
check "$work/bad" >"$work/seen"
for wrong in base/upwards.c subject/window.c subject/private.c attic/unknown.c; do
  grep -q "^$wrong:" "$work/seen" || echo "$wrong was not seen"
done >"$work/found"
grep '^subject/good.c' "$work/seen" >>"$work/found"
report "a wrong include is seen" "$work/found"
exit $failed
