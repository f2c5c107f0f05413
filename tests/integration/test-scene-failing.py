# SPDX-License-Identifier: LGPL-2.1-or-later
"""One action that fails in every way it can, and calls that hang: nobody else is the worse for it."""

import collections
import json

from zmcase import LONG, case, run
from zmtest import PATIENCE, Daemon, Senders, wait_for

FAILING = r"""
#include <zmanager/plugin.h>
#include <stdio.h>
#include <time.h>
static void nap (unsigned ms)
{
  struct timespec time = { ms / 1000, (long) (ms % 1000) * 1000000 };
  nanosleep (&time, 0);
}
static int fail_as (zm_call *call)
{
  zm_outcome good = { sizeof good, ZM_OK, "twice", 5, 0, 0, 0, 0 };
  zm_ticket ticket;
  switch (call->body_size ? *(const char *) call->body : 0) {
  case 'e': return zm_fail (call, "broken", "it broke");
  case 'r': return ZM_REJECT;
  case 'y': return ZM_RETRY;
  case 'u': return 4711;
  case 'n': return -4711;
  case 'd': return ZM_DEFERRED; /* without defer */
  case 'D': zm_call_defer (call); return ZM_OK; /* defer with another status */
  case 'k': zm_reply_text (call, "x"); return zm_reply_key (call, "no key at all") == ZM_E_INVALID ? zm_fail (call, "badkey", "x") : ZM_OK;
  case 'l': return zm_next (call, "?Fail?Loop"), ZM_OK;
  case 'm': return zm_next (call, "?Not?Mapped"), ZM_OK;
  case 't': ticket = zm_call_defer (call); (void) ticket; return ZM_DEFERRED; /* never completed */
  case '2': /* completes twice: the second is late */
    ticket = zm_call_defer (call);
    zm_complete (call->host, ticket, &good);
    if (zm_complete (call->host, ticket, &good) != ZM_E_LATE)
      zm_log (call->host, ZM_LOG_ERROR, "a second completion was taken");
    return ZM_DEFERRED;
  case 's': nap (5); return zm_reply_text (call, "slow");
  case 'h': while (!zm_cancelled (call)) nap (5); return zm_reply_text (call, "too late"); /* hangs past its deadline */
  default: return zm_reply_text (call, "none");
  }
}
ZM_ACTION_THREADSAFE (anyhow) { return fail_as (call); }
ZM_ACTION_THREADSAFE (loop) { return zm_next (call, "?Fail?Loop"), ZM_OK; }
ZM_PLUGIN ("failing", "1.0", "LGPL-2.1-or-later", "Fails");
"""
ACTIONS = {"f.ini": "[actionmapping]\n?Fail?Any = failing.anyhow\n?Fail?Loop = failing.loop\n?Good?One = echo.echo\n"
                    "?Gone?Plugin = nowhere.action\n?Gone?Symbol = failing.anyhow\n[action ?Fail?Any]\ntimeout = 300ms\n"}
ROOMY = "[zmanager]\nworkers = 2\nwatch = no\n[integration]\nhigh-water = 1000000\n"
# What each way ends in: error code, or None for a result. An action that names a key which is in no mapping is published.
WAYS = {"e": "broken", "r": "rejected", "y": "retry", "u": "bad-status", "n": "bad-status", "d": "bad-status", "D": "bad-status", "k": "badkey",
        "l": "loop", "m": None, "t": "timeout", "2": None, "h": "timeout"}


@case
def ten_thousand_good_ones_arrive_beside_it():
    good, rounds = 10000, 200 if LONG else 25
    expect = ["failing", "message refused", "hang", "suppressed", "nowhere", "ticket"]
    with Daemon(config=ROOMY, actions=ACTIONS, plugins={"failing": FAILING, "echo": None}, expect=expect) as daemon:
        tail = daemon.tail("")
        ways = "".join(WAYS) * rounds

        def make(index, number):
            if index == 0:
                return [b"?Good?One", b"good-%d" % number]
            if number % 2:
                return [b"?Nobody?Knows", b"x"] if number % 4 == 1 else [b"?Gone?Plugin", b"x"]
            return [b"~~~Fail~Any~way-%d" % (number // 2), ways[number // 2].encode()]

        bad = 2 * len(ways)
        # At most sixteen workers hang at a time: the good ones' sender is not told of the others.
        with Senders(daemon.endpoint("subject"), 1, each=good, make=make) as first, \
                Senders(daemon.endpoint("subject"), 1, each=bad, make=lambda index, number: make(1, number), pace=2000) as second:
            sent = first.done() + second.done()
            seen, codes, published = set(), collections.Counter(), {}
            while len(seen) + sum(codes.values()) + len(published) < sent:
                topic, _, body = tail.next()
                if body.startswith(b"good-"):
                    assert body not in seen, body
                    seen.add(body)
                elif topic.action == "error":
                    error = json.loads(body)
                    codes[error["code"]] += 1
                    if topic.id.startswith("way-"):
                        way = ways[int(topic.id[4:])]
                        assert error["code"] == WAYS[way], (way, error)
                else:
                    assert WAYS[ways[int(topic.id[4:])]] is None and topic.id not in published, (topic, body)
                    published[topic.id] = body
            assert len(seen) == good
            # Of each kind as many as there were.
            expected = collections.Counter(WAYS[way] for way in ways if WAYS[way])
            expected["unmapped"] += len(range(1, bad, 4))
            expected["unavailable"] += len(range(3, bad, 4))
            assert codes == expected, (codes, expected)
            assert len(published) == 2 * rounds
        status = daemon.settled(sent)
        workers = status["workers"]
        # Another completion of what is over already is refused and counted; calls that hung came back late too.
        wait_for("all hung calls to come back", lambda: daemon.control("status")["workers"]["late"] >= 2 * rounds)
        assert workers["results"] + workers["errors"] == sent and workers["dropped"] == 0, workers
        assert workers["errors"] == sum(codes.values()), (workers, codes)
        tail.none()
        routes = {route["key"]: route for route in daemon.control("routes")["routes"]}
        assert routes["?Good?One"]["errors"] == 0 and routes["?Good?One"]["calls"] == good, routes["?Good?One"]
        assert routes["?Gone?Plugin"]["state"] == "unavailable", routes["?Gone?Plugin"]
        assert daemon.call("?Good?One", b"still") == ("OK", b"still")


HANGER = r"""
#include <zmanager/plugin.h>
#include <unistd.h>
ZM_ACTION%s (hang) { (void) call; for (;;) pause (); }
ZM_ACTION%s (quick) { return zm_reply_text (call, "quick"); }
ZM_PLUGIN ("hanger", "1.0", "LGPL-2.1-or-later", "Hangs");
"""
HANG_ACTIONS = {"h.ini": "[actionmapping]\n?Hang?Now = hanger.hang\n?Hang?Not = hanger.quick\n?Good?One = echo.echo\n"}
HANG_CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n[workers]\ntimeout = 200ms\nhard-after = 200ms\ndrain = 300ms\nreplacements = %d\n"
HANG_LOG = ["hang", "stays loaded", "left behind at the end", "left at the end", "stuck", "suppressed", "did not (end|come back)"]


@case
def a_threadsafe_call_that_hangs_for_ever_costs_its_worker_only():
    with Daemon(config=HANG_CONFIG % 4, actions=HANG_ACTIONS, plugins={"hanger": HANGER % (("_THREADSAFE",) * 2), "echo": None},
                expect=HANG_LOG) as daemon:
        tail = daemon.tail("")
        for number in range(1, 5):
            status, body = daemon.call("?Hang?Now")
            error = json.loads(body)
            assert status == "ERROR" and error["code"] == "timeout" and error["plugin"] == "hanger", (status, body)
            wait_for("the replacement", lambda: daemon.control("status")["workers"]["replaced"] == number)
            daemon.wait_log("hanger.hang hangs in worker")
            # Two workers are at work as before.
            for _ in range(100):
                daemon.send("?Good?One", b"good")
            topics = [message[0].action for message in tail.take(101)]
            assert topics.count("One") == 100 and topics.count("error") == 1, topics
            assert daemon.call("?Hang?Not") == ("OK", b"quick")
            assert tail.next()[0].action == "Not"
        hung = [worker for worker in daemon.control("running")["running"] if worker["state"] == "hung"]
        assert len(hung) == 4 and all((call["plugin"], call["symbol"]) == ("hanger", "hang") for call in hung), hung
        # The fifth is not replaced before another has come back, as configured: one worker is left, and does all the work.
        assert daemon.call("?Hang?Now")[0] == "ERROR"
        daemon.wait_log("is not replaced before one of them has come back")
        assert daemon.call("?Good?One", b"last") == ("OK", b"last")
        status = daemon.settled()
        assert status["workers"]["errors"] == 5, status["workers"]


@case
def a_serial_one_is_copied_three_times_and_then_stuck():
    with Daemon(config=HANG_CONFIG % 16, actions=HANG_ACTIONS, plugins={"hanger": HANGER % ("", ""), "echo": None},
                expect=HANG_LOG) as daemon:
        for copy in 1, 2, 3:
            status, body = daemon.call("?Hang?Now")
            assert status == "ERROR" and json.loads(body)["code"] == "timeout", body
            # What waits behind it goes on with the fresh copy: nothing is lost.
            for _ in range(10):
                daemon.send("?Hang?Not", b"waits")
            daemon.wait_log(f"copy {copy} of at most 3")
            daemon.wait_log(f"hanger generation {copy + 1}")
            wait_for("the fresh copy", lambda: daemon.call("?Hang?Not") == ("OK", b"quick"))
        assert daemon.call("?Hang?Now")[0] == "ERROR"
        daemon.wait_log("it is stuck")
        for _ in range(20):
            status, body = daemon.call("?Hang?Not")
            assert status == "ERROR" and json.loads(body)["code"] == "stuck", body
        shown = [plugin for plugin in daemon.control("plugins")["plugins"] if plugin["name"] == "hanger" and plugin["state"] == "stuck"]
        assert len(shown) == 1 and "hung too often" in shown[0]["reason"], shown
        assert "stuck: its calls hung too often" in daemon.control("explain", key="?Hang?Not", text=True)["text"]
        assert daemon.call("?Good?One", b"x") == ("OK", b"x")
        status = daemon.control("status")
        assert status["state"] == "degraded" and any("hanger" in reason and "stuck" in reason for reason in status["reasons"]), status
        counted = status["workers"]
        assert status["counters"]["zmanager_worker_abandoned_total"] == 4, status["counters"]
        assert counted["results"] + counted["errors"] >= 4 + 30 + 20, counted
        # Put right by hand: it is replaced and takes calls again.
        daemon.install("hanger", (HANGER % ("", "")).replace("for (;;) pause ();", "return zm_reply_text (call, \"mended\");")
                       .replace("#include <unistd.h>", ""))
        daemon.control("plugin-reload", name="hanger")
        wait_for("the mended plugin", lambda: daemon.call("?Hang?Now") == ("OK", b"mended"))
        wait_for("ready", lambda: daemon.control("status")["state"] == "ready")


@case
def a_call_that_hangs_for_ever_does_not_keep_the_daemon_for_its_drain_budget():
    config = (HANG_CONFIG % 16).replace("drain = 300ms", f"drain = {int(PATIENCE * 100)}s")
    for kind in "_THREADSAFE", "":
        with Daemon(config=config, actions=HANG_ACTIONS, plugins={"hanger": HANGER % (kind, kind), "echo": None},
                    expect=HANG_LOG) as daemon:
            assert daemon.call("?Hang?Now")[0] == "ERROR"
            wait_for("the replacement", lambda: daemon.control("status")["workers"]["replaced"] == 1)
            if not kind:
                daemon.wait_log("hanger generation 2")
            # Ends within the harness's patience, which is far below the budget.
            daemon.stop()
            daemon.wait_log("left at the end: hanger generation 1")


run()
