# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plugin in hosts is replaced, and moved between the daemon and hosts, while others push: nothing is lost, doubled, or out of order."""

import time

from zmcase import LONG, case, run
from zmhosts import APART, Isolated, Ledger, section, shown
from zmtest import Senders, wait_for

SWAPS = 200 if LONG else 20
KEYS = 5  # ordering keys of each sender
CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n[integration]\nhigh-water = 100000\nslow-subscriber = wait\n[workers]\nordering = key\n"
ACTIONS = {"n.ini": "[actionmapping]\n?Numbered?Greet = numbered.greet\n?Numbered?Hold = numbered.hold\n"}
# Gives its body back. A SERIAL one looks whether another call of it runs, in whatever process: each makes a file and takes
# it away again, and who finds it there says so.
NUMBERED = r"""
#include <zmanager/plugin.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
ZM_ACTION%s (greet)
{
  const char *mark = getenv ("ZM_TEST_LOCK");
  int alone = %d, fd = alone ? open (mark, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
  usleep (%d);
  if (alone && fd < 0)
    return zm_fail (call, "twice", "another call of it runs");
  if (fd >= 0) {
    close (fd);
    unlink (mark);
  }
  return zm_reply (call, call->body, call->body_size, 0);
}
ZM_ACTION (hold) { zm_call_defer (call); return ZM_DEFERRED; }
ZM_PLUGIN ("numbered", "1.0", "LGPL-2.1-or-later", "Gives its body back");
"""


def numbered(index, number):
    """Each sender has a few ordering keys."""
    key = b'{"ordering-key":"%d-%d"}' % (index, number % KEYS)
    return [b"~~~Numbered~Greet~%d-%d" % (index, number), key, b"%d-%d" % (index, number)]


def check_order(order):
    """Of each key the results came in the order in which they were sent."""
    last = {}
    for name in order:
        index, number = map(int, name.split("-"))
        key = index, number % KEYS
        assert last.get(key, -1) < number, (key, last[key], number)
        last[key] = number


def use(daemon):
    return {"hosts": len(daemon.hosts()), "descriptors": daemon.descriptors(), "libraries": len({line.split()[-1] for line in daemon.maps() if "numbered" in line})}


def under_load(daemon, steps, ordered=True, pace=2500):
    """Four senders push while the steps are taken, one after the other; all is accounted for then. How many were sent."""
    ledger = Ledger(daemon)
    with Senders(daemon.endpoint("subject"), 4, make=numbered, pace=pace) as senders:
        wait_for("load", lambda: ledger.total > 100)
        for step in steps:
            seen = ledger.total
            step()
            # The next one not before the new generation has had calls.
            wait_for("calls", lambda: ledger.total > seen + pace // 50)
        sent = senders.stop()
        ledger.close(sent)
    assert not ledger.errors, (ledger.codes(), list(ledger.errors.items())[:3])
    if ordered:
        check_order(ledger.order)
    status = daemon.settled(sent)
    assert status["workers"]["results"] == sent and status["workers"]["errors"] == 0, status["workers"]
    return sent


def swapping(isolation, safe, nap_us=0, **options):
    source = NUMBERED % ("_THREADSAFE" if safe else "", not safe, nap_us)
    config = CONFIG + section("numbered", isolation, **options)
    daemon = Isolated(built={"numbered": source}, config=config, actions=ACTIONS)
    daemon.write("zmanager.conf", config)
    daemon.env["ZM_TEST_LOCK"] = daemon.path("lock")
    return daemon


def swaps_lose_nothing(isolation, safe, **options):
    with swapping(isolation, safe, **options) as daemon:
        before = use(daemon)
        began = time.monotonic()
        sent = under_load(daemon, [lambda: daemon.control("plugin-reload", name="numbered")] * SWAPS)
        took = time.monotonic() - began
        wait_for(f"as before: {before}, {use(daemon)}", lambda: (now := use(daemon)) and now["hosts"] == before["hosts"] and now["descriptors"] <= before["descriptors"] + 4)
        assert shown(daemon, "numbered")["generation"] == SWAPS + 1 and daemon.control("status")["plugins"]["held"] == []
        assert len([plugin for plugin in daemon.control("plugins")["plugins"] if plugin["name"] == "numbered"]) == 1
        print(f"# {isolation}: {SWAPS} swaps, {sent} messages in {took:.1f} s, {before} -> {use(daemon)}")


@case
def a_threadsafe_plugin_in_the_shared_host_is_swapped():
    swaps_lose_nothing("process", True)


@case
def a_threadsafe_plugin_in_hosts_of_its_own_is_swapped():
    swaps_lose_nothing("private", True, instances=2)


@case
def a_serial_plugin_in_the_shared_host_never_runs_twice():
    swaps_lose_nothing("process", False)


@case
def a_serial_plugin_in_a_host_of_its_own_never_runs_twice():
    swaps_lose_nothing("private", False)


@case
def a_serial_plugin_is_swapped_beside_a_deferred_call():
    """The call that began is over once it is deferred: the new generation does not wait for its completion."""
    for isolation in APART:
        with swapping(isolation, False) as daemon:
            daemon.push_socket.send_multipart([b"?Numbered?Hold", b'{"timeout":"1500"}', b""])
            wait_for("the deferred call", lambda: daemon.control("status")["workers"]["calls"] == 1)
            # In order, so that the one above is deferred by then.
            assert daemon.call("?Numbered?Greet", b"before") == ("OK", b"before")
            began = time.monotonic()
            daemon.control("plugin-reload", name="numbered")
            assert daemon.call("?Numbered?Greet", b"after") == ("OK", b"after")
            assert time.monotonic() - began < 0.75, time.monotonic() - began


def moves_lose_nothing(safe, places, nap_us, pace):
    with swapping("thread", safe, nap_us) as daemon:
        before = use(daemon)

        def move(isolation):
            daemon.write("zmanager.conf", CONFIG + section("numbered", isolation))
            daemon.control("reload")
            assert shown(daemon, "numbered")["generation"] == move.generation + 1, shown(daemon, "numbered")
            move.generation += 1

        move.generation = 1
        sent = under_load(daemon, [lambda isolation=isolation: move(isolation) for isolation in places], ordered=False, pace=pace)
        wait_for(f"as before: {before}, {use(daemon)}", lambda: (now := use(daemon)) and now["hosts"] == 0 and now["descriptors"] <= before["descriptors"] + 4)
        assert use(daemon)["libraries"] == 1
        print(f"# {len(places)} moves, {sent} messages, {before} -> {use(daemon)}")


PLACES = ["process", "private", "thread", "private", "process", "thread"] * (10 if LONG else 2)


@case
def a_threadsafe_plugin_is_moved_while_it_is_called():
    moves_lose_nothing(True, PLACES, 0, 2500)


@case
def a_serial_plugin_is_moved_and_never_runs_twice():
    """Its calls last, so that one runs at each move: the next place waits for it."""
    moves_lose_nothing(False, PLACES, 3000, 60)


run()
