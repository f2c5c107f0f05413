#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# From a clean clone to something that runs: packages, build (in build-try/), installation (in try/), tour.
set -eu

usage () {
  cat <<END
usage: ./try.sh [--yes] [--keep]   build, install into try/, and show what there is
       ./try.sh [--yes] shell      the same, then a shell in which the programs are found
       ./try.sh [--yes] check      the same, then every test

  --yes    install missing packages without asking
  --keep   leave the tour's daemon running
END
}

# ---- what it needs: the one list of packages (names of Debian and Ubuntu)
packages_build="gcc g++ make autoconf automake libtool autopoint gettext autoconf-archive pkg-config
  libzmq3-dev libglib2.0-dev libjson-glib-dev libgtest-dev scdoc
  libsqlite3-dev libmicrohttpd-dev libyajl-dev libssl-dev"
packages_run="python3 python3-zmq iproute2 curl"
# Tests that miss one of these are skipped.
packages_check="abigail-tools clang valgrind python3-zaqarclient sqlite3"

command=tour
yes=no
keep=
for argument; do
  case $argument in
  --yes) yes=yes ;;
  --keep) keep=--keep ;;
  tour | shell | check) command=$argument ;;
  -h | --help) usage && exit 0 ;;
  *)
    printf 'try.sh: unknown argument "%s"\n' "$argument" >&2
    usage >&2
    exit 2
    ;;
  esac
done

top=$(cd "$(dirname "$0")" && pwd)
build=$top/build-try
prefix=$top/try
took=
step=
ticker=
jobs=$(nproc 2>/dev/null || echo 1)
# Nobody to answer: no question.
if [ ! -t 0 ] || [ "${CI:-}" = true ]; then yes=yes; fi
if [ -t 1 ]; then terminal=yes; else terminal=no; fi
cd "$top"

# ---- steps: each is shown while it runs, timed, and explained when it fails
say () { printf '%s\n' "$@"; }

die () { # WHAT, WHAT TO DO
  stop_ticker
  printf 'try.sh: %s\n        %s\n' "$1" "$2" >&2
  exit 1
}

stop_ticker () {
  [ -z "$ticker" ] && return 0
  kill "$ticker" 2>/dev/null || :
  wait "$ticker" 2>/dev/null || :
  ticker=
  if [ $terminal = yes ]; then printf '\r\033[K'; fi
}

# Shows the last line of a log: on a terminal each second in place, else each half minute on a line of its own.
tick () { # NAME, LOG, START
  trap - EXIT
  nap=
  # A sleep left behind would hold the output open for who reads it.
  trap 'kill $nap 2>/dev/null; exit 0' INT TERM
  if [ $terminal = yes ]; then pause=1; else pause=30; fi
  while :; do
    sleep $pause >/dev/null 2>&1 &
    nap=$!
    wait $nap
    line=$(tail -n 1 "$2" 2>/dev/null | tr -d '\r\t' | cut -c 1-60) || :
    if [ $terminal = yes ]; then
      printf '\r\033[K%s: %s s  %s' "$1" $(($(date +%s) - $3)) "$line"
    else
      printf '%s: %s s  %s\n' "$1" $(($(date +%s) - $3)) "$line"
    fi
  done
}

finish_step () { # START
  seconds=$(($(date +%s) - $1))
  took="$took${took:+, }$step $seconds s"
  say "$step: done ($seconds s)"
}

# run_step NAME HINT COMMAND...: the command's output goes to a log, whose end is shown if it fails.
run_step () {
  step=$1
  hint=$2
  shift 2
  log=$build/try-$step.log
  start=$(date +%s)
  if [ $terminal = no ]; then say "$step ..."; fi
  : >"$log"
  tick "$step" "$log" "$start" &
  ticker=$!
  status=0
  # In a subshell, so that an interruption is reported outside of the log.
  ("$@") >"$log" 2>&1 </dev/null || status=$?
  stop_ticker
  if [ $status -ne 0 ]; then
    tail -n 30 "$log" >&2
    die "the step \"$step\" failed (status $status); all it said: $log" "$hint"
  fi
  finish_step "$start"
}

interrupted () {
  trap - INT TERM
  stop_ticker
  say "" "try.sh: interrupted${step:+ during \"$step\"}; it may be run again at any time" >&2
  exit 130
}
trap stop_ticker EXIT
trap interrupted INT TERM

# ---- packages
missing_of () { # PACKAGES: those not installed
  for package in $1; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

confirm () { # PACKAGES
  [ $yes = no ] || return 0
  printf 'To be installed with apt-get: %s\nGo on? [Y/n] ' "$1"
  read -r answer || answer=n
  case $answer in
  "" | [yYjJ]*) ;;
  *) die "nothing was installed" "install these packages yourself and run ./try.sh again: $1" ;;
  esac
}

as_root () {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

apt_get () { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }

apt_install () {
  # The lists of a fresh machine are empty; without network what is cached may still do.
  apt_get update || say "apt-get update failed; going on with the lists that are there"
  # shellcheck disable=SC2086
  if [ -n "$missing" ]; then apt_get install -y --no-install-recommends $missing || return 1; fi
  for package in $optional; do
    apt_get install -y --no-install-recommends "$package" || say "without $package; the tests that need it are skipped"
  done
}

install_packages () {
  wanted="$packages_build $packages_run"
  optional=
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "No apt here. What is needed, by its names in Debian:" "$wanted $packages_check"
    return 0
  fi
  missing=$(missing_of "$wanted")
  if [ "$command" = check ]; then optional=$(missing_of "$packages_check"); fi
  [ -n "$missing$optional" ] || return 0
  confirm "$missing$optional"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "packages are missing and there is no sudo" "as root: apt-get install $missing$optional"
    # The password is asked here, where it can be typed.
    sudo true || die "sudo refused" "as root: apt-get install $missing$optional"
  fi
  run_step packages "is there a network? Otherwise install them yourself: apt-get install $missing$optional" apt_install
}

# ---- build
bootstrap () { (cd "$top" && autoreconf -i); }

# Autotools files are there and newer than what they are made from.
bootstrapped () {
  [ -x configure ] && [ -f Makefile.in ] && [ -f config.h.in ] && [ -f po/Makefile.in.in ] &&
    [ -z "$(find configure.ac -newer configure)" ]
}

# What a configuration depends on: where it is, and what is installed.
fingerprint () {
  say "$top"
  # shellcheck disable=SC2086
  dpkg-query -W $packages_build $packages_run 2>/dev/null || :
}

configure () {
  cd "$build"
  rm -f fingerprint
  "$top/configure" --prefix="$prefix" CFLAGS="-O2 -g" CXXFLAGS="-O2 -g"
  fingerprint >"$build/fingerprint"
}

build () { make -C "$build" -j"$jobs"; }

# The instance of ./try.sh shell stays; everything installed is replaced. Where nothing was built since, nothing is
# touched: a daemon of another ./try.sh shell may be running from it.
install_tree () {
  if [ -e "$prefix/.installed" ] && [ -z "$(find "$build" -newer "$prefix/.installed" -type f \( -perm -u+x -o -name '*.so' \) -print -quit)" ] &&
    [ -z "$(find "$top/data" "$top/include" "$top/plugins" -newer "$prefix/.installed" -type f -print -quit)" ]; then
    echo "nothing new to install"
    return
  fi
  for entry in "$prefix"/*; do
    [ "$entry" = "$prefix/instance" ] || rm -rf "$entry"
  done
  make -C "$build" install || return
  touch "$prefix/.installed"
}

check_place () {
  case $top in
  *[!A-Za-z0-9_./+,@%:=-]*) die "the path $top has a character that Autotools cannot handle" "move the clone to a plain path" ;;
  esac
  [ ! -f config.status ] || die "the source tree is configured in place" "make distclean, then run ./try.sh again"
  mkdir -p "$build" "$prefix" 2>/dev/null || :
  for place in "$top" "$build" "$prefix"; do
    [ -w "$place" ] || die "$place cannot be written" "it may be another user's (sudo?): sudo chown -R $(id -un) $top"
  done
}

set_up () {
  check_place
  install_packages
  bootstrapped || run_step prepare "are the packages of ./try.sh installed? autoreconf -fi starts afresh" bootstrap
  if [ ! -f "$build/Makefile" ] || [ "$(fingerprint)" != "$(cat "$build/fingerprint" 2>/dev/null)" ]; then
    run_step configure "its last lines name what is missing; rm -rf build-try starts afresh" configure
  fi
  run_step build "rm -rf build-try starts afresh" build
  run_step install "rm -rf build-try try starts afresh" install_tree
  PATH=$prefix/bin:$PATH
  PKG_CONFIG_PATH=$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
  MANPATH=$prefix/share/man:${MANPATH:-}
  export PATH PKG_CONFIG_PATH MANPATH
}

# ---- the three ends
tour () {
  step=tour
  start=$(date +%s)
  status=0
  if [ -f data/tour.sh ]; then
    # shellcheck disable=SC2086
    sh data/tour.sh $keep || status=$?
  else
    zmanagerd --version || status=$?
  fi
  [ $status -eq 0 ] || die "the tour failed (status $status)" "./try.sh check tests everything one by one"
  finish_step "$start"
  say "took: $took" "" "Go on with ./try.sh shell, or README.md."
}

shell () {
  ZM_DIR=$prefix/instance
  export ZM_DIR
  mkdir -p "$ZM_DIR"
  say "" "This shell finds the programs in try/, and its instance in ZM_DIR=$ZM_DIR. Type next:" \
    "  zmanagerd --dev 2>\"\$ZM_DIR/log\" &" \
    "  zmanagerctl status" \
    "  zmanagerctl plugin new NAME" \
    "zmanagerctl log shows what the daemon says; exit leaves the shell."
  # A python3 of pyenv, conda or a virtual environment does not see Debian's modules.
  python3 -c 'import zmq' 2>/dev/null ||
    say "$(command -v python3 || echo python3) has no zmq, which README's two Python examples need: pip install pyzmq"
  trap - INT TERM
  stop_ticker
  exec "${SHELL:-/bin/sh}"
}

# First built, so that a compiler's error is told apart from a test's.
build_tests () { make -C "$build" -j"$jobs" check TESTS=; }

check () {
  run_step build-tests "rm -rf build-try starts afresh" build_tests
  step=tests
  start=$(date +%s)
  status=0
  make -C "$build" --no-print-directory check VERBOSE=1 || status=$?
  finish_step "$start"
  say "took: $took"
  # Make's own message may follow what it ran; the tally is the last line.
  tally=$(make -C "$build" --no-print-directory -s tally 2>/dev/null) || status=1
  say "${tally:-0 passed, 1 failed, 0 skipped}"
  exit $status
}

set_up
$command
