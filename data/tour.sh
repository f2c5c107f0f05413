#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tour: a daemon in a temporary directory, real link events of the kernel through plugin, flow and topic, and a plugin
# written from nothing. Needs zmanagerd and zmanagerctl on PATH and pkg-config's zmanager-plugin, as ./try.sh sets them up.
# Every scene checks what it shows; what is missing ends the tour with status 1.
#
# usage: tour.sh [--keep]      --keep leaves the daemon and its directory
set -u

keep=no
case ${1-} in
'') ;;
--keep) keep=yes ;;
*) echo "usage: tour.sh [--keep]" >&2 && exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
# What programs print is looked at below, so it has to be in one language.
LC_ALL=C.UTF-8
export LC_ALL

# ---- a network of its own: the same script again, inside
if [ -z "${ZM_TOUR_NETWORK-}" ]; then
  if unshare -rn ip link add zmtour0 type veth peer name zmtour1 2>/dev/null; then
    ZM_TOUR_NETWORK=own
    export ZM_TOUR_NETWORK
    exec unshare -rn sh "$0" "$@"
  fi
  ZM_TOUR_NETWORK=machine
fi

# ---- showing
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi
now () { date +%s%N; }
say () { printf '%s\n' "$@"; }
type_in () { say "$dim\$$plain $bold$*$plain"; }
indent () { awk '{ print "    " $0 }'; }
run () { # COMMAND...: shown as typed, then run; its output indented
  line=
  for word; do
    case $word in *[!A-Za-z0-9_./=-]*) word="'$word'" ;; esac
    line="$line${line:+ }$word"
  done
  type_in "$line"
  "$@" 2>&1 | indent
}

took=
scene=
begin=$(now)
scene () { # NAME, TITLE
  end_scene
  scene=$1
  begin=$(now)
  say "" "$bold== $2$plain"
}
end_scene () {
  [ -n "$scene" ] || return 0
  took="$took${took:+, }$scene $((($(now) - begin) / 1000000)) ms"
}

# ---- ending
dir=
pids=
clean_up () {
  trap '' INT TERM
  # shellcheck disable=SC2086
  [ -z "$pids" ] || { kill $pids 2>/dev/null && wait $pids; }
  [ -z "$dir" ] || rm -rf "$dir"
}
trap clean_up EXIT
trap 'say "" "tour: interrupted; everything it started is ended" >&2; exit 130' INT TERM

fail () { # WHAT SHOULD HAVE BEEN SEEN
  say "tour: the scene \"$scene\" did not show $1" >&2
  for log in daemon tail trace; do
    [ -s "$dir/$log.log" ] && say "--- the end of $log:" >&2 && tail -n 15 "$dir/$log.log" >&2
  done
  exit 1
}

# Tries a command every 50 ms until it succeeds, for at most 20 s.
await () { # WHAT, COMMAND...
  what=$1
  tries=400
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "$what"
    kill -0 "$daemon" 2>/dev/null || fail "$what: zmanagerd has ended"
    sleep 0.05
  done
}
published () { grep -q -- "$1" "$dir/tail.log"; }
traced () { grep -q -- "$1" "$dir/trace.log"; }

# ---- the daemon
for program in zmanagerd zmanagerctl cc pkg-config curl; do
  command -v $program >/dev/null || { say "tour: $program is not on PATH; run ./try.sh, which builds and finds all" >&2 && exit 1; }
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/zmanager-tour-XXXXXX") || exit 1
ZM_DIR=$dir
export ZM_DIR

scene start "A daemon: one directory, three files"
cp -R "$here/examples/links/." "$dir/"
# From a read-only tree the copies would be read-only, too.
chmod -R u+w "$dir"
mkdir -p "$dir/plugins"
for file in zmanager.conf actions.d/links.ini flows.d/links.flow; do
  say "$dir/$file"
  grep -v '^#' "$dir/$file" | grep -v '^$' | indent
done
start_daemon () {
  type_in "zmanagerd --dir $dir &"
  zmanagerd --dir "$dir" --log-format=human >>"$dir/daemon.log" 2>&1 </dev/null &
  daemon=$!
  pids="$pids $daemon"
  await "a daemon that answers" zmanagerctl status
}
start_daemon
zmanagerctl status | head -n 1 | indent

# What is published and what happens inside, from here to the end, is collected for the scenes. Each is there as soon as it
# tells of a message.
zmanagerctl tail >"$dir/tail.log" 2>/dev/null &
pids="$pids $!"
zmanagerctl trace >"$dir/trace.log" 2>/dev/null &
pids="$pids $!"
ready () { zmanagerctl call '?Hello?Greet' tour && published 'hello, tour' && traced 'hello.*greet'; }
await "the component hello" ready

# ---- scenes
scene hello "A component: call it, ask where its key leads, send to it and see the result on its topic"
run zmanagerctl call '?Hello?Greet' you
answer=$(zmanagerctl call '?Hello?Greet' you 2>&1)
[ "$answer" = "hello, you" ] || fail "the answer of hello, but: $answer"
run zmanagerctl explain '?Hello?Greet'
type_in "zmanagerctl send '?Hello?Greet' everybody"
id=$(zmanagerctl send '?Hello?Greet' everybody) || fail "a message that was sent"
await "the result on its topic" published "hello~Hello~Greet~$id"
say "    ${dim}what a subscriber gets (zmanagerctl tail):$plain"
grep -- "$id" "$dir/tail.log" | indent

# Shows one event of a link: which message, why it resolved so, what it went through, what came out.
show_event () { # KEY, PATTERN OF A PUBLICATION, INTERFACE
  await "a publication $2 about $3" published "$2.*\"$3\""
  event=$(grep -- "$2.*\"$3\"" "$dir/tail.log" | head -n 1)
  id=$(printf '%s\n' "$event" | sed 's/^[^ ]*~\([^~ ]*\) .*/\1/')
  say "" "key $bold$1$plain, message $id"
  run zmanagerctl explain "$1"
  await "the trace of $id" traced "$id.*result"
  say "${dim}what it went through (zmanagerctl trace $id):$plain"
  grep -- "$id" "$dir/trace.log" | indent
  say "${dim}what was published (zmanagerctl tail):$plain"
  grep -- "$id" "$dir/tail.log" | indent
}

scene links "Real events: the kernel tells of its links, a flow handles them"
if [ "$ZM_TOUR_NETWORK" = own ]; then
  say "${dim}(in a network namespace of its own: the machine's network is not touched)$plain"
  for command in "link add zmtour0 type veth peer name zmtour1" "link set zmtour1 up" "link set zmtour0 up"; do
    type_in "ip $command"
    # shellcheck disable=SC2086
    ip $command || fail "a veth pair"
  done
  link=zmtour0
  show_event 'Netlink?Link?Up' 'link-status~Link~Up~' $link
  say ""
  type_in "ip link set zmtour0 down"
  ip link set zmtour0 down || fail "a link that goes down"
else
  say "Network namespaces are not allowed here, so the source watches the machine's own interfaces:"
  known () { zmanagerctl call '?Links?Get' | grep -q interface; }
  await "an interface" known
  run zmanagerctl call '?Links?Get'
  say "None of them is touched; the event that a link went down is sent by hand:"
  link=tour0
  type_in "zmanagerctl send 'Netlink?Link?Down' '{\"interface\": \"$link\", \"state\": \"down\"}'"
  zmanagerctl send 'Netlink?Link?Down' "{\"interface\": \"$link\", \"state\": \"down\"}" | indent
fi
show_event 'Netlink?Link?Down' 'LinkDown~PUBLISH~~Link~Lost~' $link
await "the end of the flow" published "LinkDown~~~~done~$id"
traced "$id.*on_link_down" || fail "link-status.on_link_down in the trace"
say "" "The component has kept the state:"
run zmanagerctl call '?Links?Get' "{\"interface\": \"$link\"}"

scene plugin "A plugin from nothing: write it, compile it with one command, drop it in; the daemon keeps running"
mkdir "$dir/work"
cat >"$dir/work/shout.c" <<'END'
#include <zmanager/plugin.h>
#include <ctype.h>

ZM_ACTION (shout)
{
  char text[64] = "";
  const char *body = call->body;

  for (size_t i = 0; i < call->body_size && i < sizeof text - 2; i++)
    text[i] = (char) toupper ((unsigned char) body[i]);
  return zm_reply_text (call, strcat (text, "!"));
}

ZM_PLUGIN ("shout", "1.0", "LGPL-2.1-or-later", "Says it louder");
END
say "shout.c"
indent <"$dir/work/shout.c"
type_in "cc -shared -fPIC \$(pkg-config --cflags zmanager-plugin) shout.c -o shout.so"
# shellcheck disable=SC2046
(cd "$dir/work" && cc -shared -fPIC $(pkg-config --cflags zmanager-plugin) shout.c -o shout.so) || fail "a plugin that compiles"
type_in "mv shout.so $dir/plugins/"
mv "$dir/work/shout.so" "$dir/plugins/"
type_in "printf '[actionmapping]\\n?Demo?Shout = shout.shout\\n' > $dir/actions.d/shout.ini"
printf '[actionmapping]\n?Demo?Shout = shout.shout\n' >"$dir/work/shout.ini"
mv "$dir/work/shout.ini" "$dir/actions.d/"
await "the new plugin" zmanagerctl call '?Demo?Shout' test
run zmanagerctl call '?Demo?Shout' "it runs"
answer=$(zmanagerctl call '?Demo?Shout' "it runs" 2>&1)
[ "$answer" = 'IT RUNS!' ] || fail "the answer of the new plugin, but: $answer"
[ "$(zmanagerctl --json status | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1)" = "$daemon" ] ||
  fail "the same daemon as at the start"

scene durable "Messages that must not be lost: what was accepted is on disk, and outlives a kill -9"
say "The lost link of above is in the queue that is bound to its topic:"
run zmanagerctl queue peek lost-links
zmanagerctl --json queue peek lost-links | grep -q "$link" || fail "the lost link in its queue"
say "" "Another queue, made by its first message, over HTTP; the answer comes when the disk has it:"
post () { curl -sS --unix-socket "$dir/run/http.sock" "http://localhost/v1/queues/orders" -d "$1"; }
type_in "curl --unix-socket $dir/run/http.sock http://localhost/v1/queues/orders -d 'order 17'"
order=$(post 'order 17') || fail "an answer over HTTP"
say "    $order"
type_in "zmanagerctl send --durable '?Hello?Greet' durable"
zmanagerctl send --durable '?Hello?Greet' durable | indent
type_in "kill -9 $daemon"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
start_daemon
run zmanagerctl queue ls
run zmanagerctl queue get orders --body --pop
order=$(zmanagerctl --json queue peek lost-links) || fail "the queue after the crash"
printf '%s' "$order" | grep -q "$link" || fail "the lost link after the crash"
say "${dim}(zmanagerctl status, or a browser on [http] listen, show how queues are doing)$plain"

end_scene
say "" "took: $took"
if [ $keep = yes ]; then
  # The watchers end; the daemon and its directory stay.
  dir=
  pids=$(printf '%s\n' $pids | grep -vx "$daemon")
  say "" "The daemon keeps running (process $daemon). Ask it: zmanagerctl --dir $ZM_DIR status" \
    "End it: zmanagerctl --dir $ZM_DIR drain; rm -r $ZM_DIR"
else
  scene=
  say "" "How to go on:" \
    "  ./try.sh shell               a shell in which the programs are found" \
    "  zmanagerctl plugin new NAME  a plugin with its Makefile and test" \
    "  README.md                    your own plugin in five minutes, flows, services and workers in Python"
fi
