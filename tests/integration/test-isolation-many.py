# SPDX-License-Identifier: LGPL-2.1-or-later
"""Thousands of calls, one at a time a host, of which each hundredth kills its host: exactly those fail, and how soon the next is answered."""

import json
import statistics
import time

import zmq

from zmcase import LONG, case, run
from zmhosts import HOST_LOG, Isolated
from zmtest import PATIENCE, sanitizer, wait_for

CALLS, INSTANCES, GOOD_BETWEEN = 3000, 3, 100
# One in a hundred, each in its turn: its body, and the code of its error.
BAD = [(b"crash", "crashed"), (b"abort", "crashed"), (b"exit", "crashed"), (b"_exit", "crashed"), (b"stack", "crashed"), (b"hang", "timeout")]
# Seconds. Asserted as they are in the long form; ten times as much beside what else runs.
RECOVERY, GAP = 0.05, 0.1
CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n[workers]\nhard-after = 100ms\n"
# A sanitizer needs its time for a full stack.
TIMEOUT = "1s" if sanitizer() else "100ms"
ACTIONS = {"v.ini": f"[actionmapping]\n?Victim?Act = victim.act\n?Good?One = echo.echo\n[action ?Victim?Act]\ntimeout = {TIMEOUT}\n"}


class Caller:
    """One call after the other: the next is sent when the last was answered. What it saw: (when, number, body, status, reply)."""

    def __init__(self, daemon, index, count, key):
        self.socket, self.index, self.count, self.key = daemon.socket(zmq.DEALER), index, count, key
        self.socket.connect(daemon.endpoint("call"))
        self.number, self.seen, self.sent_at = 0, [], 0.0

    def body(self):
        """In its turn a bad one: each caller begins elsewhere, so that they do not come together."""
        place = self.number + self.index * (GOOD_BETWEEN // INSTANCES)
        return BAD[place // GOOD_BETWEEN % len(BAD)][0] if place % GOOD_BETWEEN == GOOD_BETWEEN - 1 else b"ok %d" % self.number

    def send(self):
        body = self.body() if self.key == "Victim~Act" else b"ok %d" % self.number
        self.socket.send_multipart([b"%d" % self.number, b"CALL", f"~~~{self.key}~{self.index}-{self.number}".encode(), body])
        self.sent, self.sent_at = body, time.monotonic()

    def receive(self):
        request, status, _, reply = self.socket.recv_multipart()
        assert request == b"%d" % self.number, (request, self.number)
        self.seen.append((time.monotonic(), self.number, self.sent, status.decode(), reply, self.sent_at))
        self.number += 1
        if self.number < self.count:
            self.send()
        return self.number >= self.count


def run_callers(callers):
    poller = zmq.Poller()
    for caller in callers:
        poller.register(caller.socket, zmq.POLLIN)
        caller.send()
    while callers:
        ready = dict(poller.poll(PATIENCE * 1000))
        assert ready, [(caller.index, caller.number) for caller in callers]
        for caller in [caller for caller in callers if caller.socket in ready]:
            if caller.receive():
                poller.unregister(caller.socket)
                callers.remove(caller)


def check(caller):
    """Exactly the bad ones failed, each as it should. Gives how many, and how long each took until the next good answer."""
    codes, failed, recoveries, died = dict(BAD), 0, [], None
    for when, number, body, status, reply, _ in caller.seen:
        if body in codes:
            error = json.loads(reply)
            assert status == "ERROR" and (error["code"], error["plugin"]) == (codes[body], "victim"), (number, body, error)
            failed, died = failed + 1, when
            continue
        assert (status, reply) == ("OK", body), (number, body, status, reply)
        if died is not None:
            recoveries.append(when - died)
            died = None
    return failed, recoveries


def exactly_those_fail(instances):
    most = 1 if LONG and not sanitizer() else 10
    sections = {"victim": {"instances": instances}}
    with Isolated("private", ["victim"], config=CONFIG, actions=ACTIONS, sections=sections,
                  expect=[*HOST_LOG, "came back"]) as daemon:
        # As many calls at a time as there are hosts; those of another plugin go on beside them.
        callers = [Caller(daemon, index, CALLS // instances, "Victim~Act") for index in range(instances)]
        other = Caller(daemon, 9, CALLS, "Good~One")
        began = time.monotonic()
        run_callers([*callers, other])
        took = time.monotonic() - began
        checked = [check(caller) for caller in callers]
        failed, recoveries = sum(n for n, _ in checked), [each for _, list_ in checked for each in list_]
        gaps = sorted(later[0] - max(earlier[0], later[5]) for earlier, later in zip(other.seen, other.seen[1:]))
        lost = [(body, reply) for _, _, body, status, reply, _ in other.seen if (status, reply) != ("OK", body)]
        assert failed == CALLS // 100, failed
        assert not lost, lost[:3]
        status = daemon.settled()
        workers = status["workers"]
        assert workers["errors"] == failed and workers["results"] + failed == CALLS + other.count, (workers, failed)
        wait_for("all ends", lambda: daemon.counters()["zmanager_host_crashes_total"] == failed)
        print(f"# {instances} hosts: {failed} of {CALLS} failed in {took:.1f} s; recovery {statistics.median(recoveries) * 1000:.1f} ms in the median,"
              f" {max(recoveries) * 1000:.1f} ms at most; the others' longest gap {gaps[-1] * 1000:.1f} ms")
        assert statistics.median(recoveries) < RECOVERY * most and gaps[-1] < GAP * most, (recoveries, gaps[-5:])


@case
def exactly_those_fail_of_one_host():
    exactly_those_fail(1)


@case
def exactly_those_fail_of_three_hosts():
    exactly_those_fail(INSTANCES)


run()
