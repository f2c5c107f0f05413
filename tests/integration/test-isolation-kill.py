# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts are killed at random under load: each message ends once, as a result or as an error that tells of the host."""

import os
import random
import signal
import time

from zmcase import LONG, case, run
from zmhosts import APART, HOST_LOG, Isolated, Ledger
from zmtest import PATIENCE, Senders, sanitizer, wait_for

SECONDS = 60 if LONG else 4
NAMES = ["victim", "second=victim"]
CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n[integration]\nhigh-water = 100000\nslow-subscriber = wait\n"
ACTIONS = {"v.ini": "[actionmapping]\n?Victim?Act = victim.act\n?Second?Act = second.act\n?Good?One = echo.echo\n"}
# Some calls last, some are deferred, so that a kill finds each kind.
BODIES = [b"ok", b"ok", b"sleep 1", b"ok", b"defer 2", b"ok", b"ok", b"sleep 3"]


def message(index, number):
    name = [b"~~~Victim~Act", b"~~~Second~Act", b"~~~Good~One"][number % 3]
    return [name + b"~%d-%d" % (index, number), BODIES[number // 3 % len(BODIES)]]


def kill_at_random(daemon, chance):
    """For some seconds; how many were killed."""
    killed, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        hosts = daemon.hosts()
        if hosts:
            try:
                os.kill(chance.choice(hosts), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        # Between two kills as long as a start takes, and longer.
        time.sleep(chance.uniform(0.001, 0.2))
    return killed


def each_message_ends_once(isolation, seed):
    chance = random.Random(seed)
    sections = {name: {"instances": 2, "threads": 2} for name in ("victim", "second")}
    with Isolated(isolation, NAMES, config=CONFIG, actions=ACTIONS, sections=sections, expect=HOST_LOG) as daemon:
        ledger = Ledger(daemon)
        before = daemon.descriptors(), len(daemon.hosts()), daemon.rss_mb()
        with Senders(daemon.endpoint("subject"), 3, make=message, pace=800) as senders:
            killed = kill_at_random(daemon, chance)
            sent = senders.stop()
            ledger.close(sent)
        status = daemon.settled(sent)
        workers, counters = status["workers"], status["counters"]
        assert workers["results"] == len(ledger.results) and workers["errors"] == len(ledger.errors), (workers, ledger.codes())
        # A kill is nobody's fault: nothing is in quarantine, nothing set aside, and only what had started is lost.
        assert set(ledger.codes()) <= {"host-lost"}, ledger.codes()
        assert counters["zmanager_host_calls_lost_total"] == len(ledger.errors), (counters, ledger.codes())
        for error in ledger.errors.values():
            assert "signal 9" in error["text"] and f"host of plugin {error['plugin']} was lost" in error["text"], error
        deaths = counters["zmanager_host_crashes_total"]
        assert killed >= deaths > killed / 2, (killed, deaths)
        wait_for("hosts and descriptors as before",
                 lambda: (len(daemon.hosts()), daemon.descriptors() <= before[0] + 4) == (before[1], True))
        assert daemon.rss_mb() < before[2] + 32 or sanitizer(), (before, daemon.rss_mb())
        for key in "?Victim?Act", "?Second?Act", "?Good?One":
            assert daemon.call(key, b"ok") == ("OK", b"ok"), key
        print(f"# {isolation}, seed {seed}: {killed} killed, {sent} messages, {len(ledger.errors)} lost with their host,"
              f" {counters['zmanager_host_calls_requeued_total']} went elsewhere, {before[2]:.0f} -> {daemon.rss_mb():.0f} MB")


@case
def killing_the_shared_host():
    each_message_ends_once("process", int(os.environ.get("ZM_TEST_SEED", "1")))


@case
def killing_hosts_of_their_own():
    each_message_ends_once("private", int(os.environ.get("ZM_TEST_SEED", "2")))


@case
def a_host_that_is_stopped_is_taken_for_dead_and_what_it_had_not_begun_goes_on():
    actions = {"v.ini": "[actionmapping]\n?Victim?Act = victim.act\n"}
    with Isolated("private", ["victim"], built=(), config=CONFIG, actions=actions, expect=HOST_LOG + ["has not answered"]) as daemon:
        host = daemon.hosts()[0]
        ledger = Ledger(daemon)
        os.kill(host, signal.SIGSTOP)
        with Senders(daemon.endpoint("subject"), 1, make=lambda index, number: [b"~~~Victim~Act~%d-%d" % (index, number), b"ok"], pace=50) as senders:
            wait_for("another host", lambda: daemon.hosts() not in ([], [host]), PATIENCE + 20)
            sent = senders.stop()
            ledger.close(sent)
        assert not ledger.errors, ledger.codes()


@case
def ordered_calls_of_one_host_do_not_wait_for_another():
    actions = {"v.ini": "[actionmapping]\n?Victim?Act = victim.act\n"}
    with Isolated("private", ["victim"], built=(), config=CONFIG + "[workers]\nordering = key\n", actions=actions,
                  sections={"victim": {"instances": 2}}, expect=HOST_LOG) as daemon:
        stopped, _ = daemon.hosts()
        ledger = Ledger(daemon)
        os.kill(stopped, signal.SIGSTOP)
        try:
            # More for each of them than may be with a host and wait in front of others.
            for number in range(2000):
                key = b'{"ordering-key":"%d"}' % (number % 64)
                daemon.push_socket.send_multipart([b"~~~Victim~Act~%d" % number, key, b"ok"])
            wait_for("the calls of the other one", lambda: ledger.total > 700, 5)
        finally:
            os.kill(stopped, signal.SIGCONT)
        ledger.close(2000)
        assert not ledger.errors, ledger.codes()


@case
def a_process_for_the_last_calls_of_one_that_was_replaced_is_not_started_again():
    actions = {"v.ini": "[actionmapping]\n?Victim?Act = victim.act\n"}
    with Isolated("private", ["victim"], built=(), config=CONFIG, actions=actions, expect=HOST_LOG) as daemon:
        host = daemon.hosts()[0]
        ledger = Ledger(daemon)
        daemon.push_socket.send_multipart([b"~~~Victim~Act~1", b"sleep 20000"])
        wait_for("the call", lambda: [call for call in daemon.control("running")["running"] if "host" in call])
        daemon.control("plugin-reload", name="victim")
        assert daemon.call("?Victim?Act", b"ok") == ("OK", b"ok") and len(daemon.hosts()) == 2
        os.kill(host, signal.SIGKILL)
        ledger.close(2)
        assert ledger.codes() == {"host-lost": 1}, ledger.codes()
        wait_for("the old one to be gone", lambda: len(daemon.control("plugins")["plugins"]) == 1 and len(daemon.hosts()) == 1)
        assert daemon.counters()["zmanager_host_starts_total"] == 2, daemon.counters()


run()
