# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits of hosts, what a plugin or a message that kills again and again comes to, and the end of the daemon beside calls of hosts."""

import json
import os
import re
import signal
import tempfile
import time

import zmq

from zmcase import LONG, case, run
from zmhosts import APART, HOST_LOG, ISOLATIONS, Isolated, Ledger, shown
from zmtest import PATIENCE, Daemon, Senders, sanitizer, wait_for

CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n[integration]\nhigh-water = 100000\n"
ACTIONS = {"v.ini": "[actionmapping]\n?Victim?Act = victim.act\n?Good?One = echo.echo\n"}


def victims(isolation, config="", expect=(), leaves=False, **options):
    return Isolated(isolation, ["victim"], config=CONFIG + config, actions=ACTIONS, sections={"victim": options} if options else None,
                    expect=[*HOST_LOG, *expect], leaves=leaves)


def ask(daemon, body, message_id=None):
    """An OK reply as it is, an error as its JSON. With an id the message has it, as one that a sender sends again."""
    key = f"~~~Victim~Act~{message_id}" if message_id else "?Victim?Act"
    status, reply = daemon.call(key, body)
    return reply if status == "OK" else json.loads(reply)


# ---- limits ----

@case
def a_host_over_its_memory_limit_is_replaced_without_an_error():
    for isolation in APART:
        with victims(isolation, expect=["over its limit"], memory="64M") as daemon:
            ledger = Ledger(daemon)
            before = daemon.hosts()
            message = lambda index, number: [f"~~~{'Good~One' if number % 2 else 'Victim~Act'}~{index}-{number}".encode(), b"sleep 1"]
            with Senders(daemon.endpoint("subject"), 2, make=message, pace=300) as senders:
                for _ in range(10):
                    assert ask(daemon, b"leak 10") == b"leak 10"
                daemon.wait_log("has [0-9]+ MiB, over its limit of 64 MiB")
                wait_for("a fresh host", lambda: len(now := daemon.hosts()) == len(before) and now != before)
                assert ask(daemon, b"ok") == b"ok"
                ends = [host["last_end"] for host in daemon.control("hosts")["hosts"]]
                assert "it was over its memory limit" in ends, ends
                sent = senders.stop()
                ledger.close(sent + 11)
            assert not ledger.errors, ledger.errors
            counters = daemon.counters()
            assert counters["zmanager_host_crashes_total"] == counters["zmanager_host_calls_lost_total"] == 0, counters


@case
def a_host_over_its_memory_limit_goes_on_beside_a_call_that_lasts():
    """To wait for that one before a fresh process is begun would cost all others."""
    with victims("private", expect=["over its limit"], memory="64M", threads=2) as daemon:
        before = daemon.hosts()
        sleeper = daemon.socket(zmq.DEALER)
        sleeper.connect(daemon.endpoint("call"))
        sleeper.send_multipart([b"1", b"CALL", b"?Victim?Act", b"sleep 4000"])
        for _ in range(7):
            assert ask(daemon, b"leak 10") == b"leak 10"
        daemon.wait_log("has [0-9]+ MiB, over its limit of 64 MiB")
        assert ask(daemon, b"ok") == b"ok"
        assert not sleeper.poll(0), "it was waited for"
        assert sleeper.recv_multipart()[1] == b"OK"
        wait_for("a fresh host", lambda: len(now := daemon.hosts()) == len(before) and now != before)


@case
def what_threads_need_is_not_taken_from_the_plugins_memory():
    for memory, threads, leaked in (64, 8, 7), (16, 16, 2):
        with victims("private", expect=["over its limit"], memory=f"{memory}M", threads=threads) as daemon:
            before = daemon.hosts()
            # All of it resident: were a limit of the system in the way, the host would stay below its own for ever.
            for _ in range(leaked):
                assert ask(daemon, b"leak 10") == b"leak 10"
            daemon.wait_log(f"has [0-9]+ MiB, over its limit of {memory} MiB")
            wait_for("a fresh host", lambda: len(now := daemon.hosts()) == len(before) and now != before)
            assert ask(daemon, b"ok") == b"ok"


@case
def descriptors_are_the_hosts_own():
    for isolation in APART:
        with victims(isolation, descriptors=40) as daemon:
            before = daemon.descriptors()
            opened = int(ask(daemon, b"files 100"))
            assert 10 < opened < 40, opened
            assert daemon.descriptors() <= before + 4
            assert ask(daemon, b"ok") == b"ok" and daemon.call("?Good?One", b"x") == ("OK", b"x")


HEAVY = """#include <zmanager/plugin.h>
#include <stdlib.h>
static char *volatile all;
static int start (void *state) { size_t size = 40 << 20; (void) state; all = malloc (size); if (all != NULL) memset (all, 1, size); return ZM_OK; }
ZM_ACTION (act) { return zm_reply_text (call, all != NULL ? "all" : "none"); }
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "heavy", .version = "1.0", .licence = "LGPL-2.1-or-later",
                                           .summary = "Needs much", .start = start };
ZM_PLUGIN_FULL ("heavy", "1.0", "LGPL-2.1-or-later", "Needs much", "", &descriptor);
"""


@case
def one_that_is_over_its_memory_from_the_start_is_replaced_ever_more_seldom():
    text = CONFIG + "[plugin heavy]\nisolation = private\nmemory = 32M\n"
    with Daemon(config=text, plugins={"heavy": HEAVY}, actions={"h.ini": "[actionmapping]\n?Heavy?Act = heavy.act\n"}, expect=["over its limit"]) as daemon:
        began, starts = time.monotonic(), lambda: daemon.counters()["zmanager_host_starts_total"]
        wait_for("the fourth process", lambda: daemon.call("?Heavy?Act", b"") == ("OK", b"all") and starts() == 4)
        # Replaced at once each time they are seen, three would have lived 3 s at most; pauses of 1 s and 2 s come to that.
        took = time.monotonic() - began
        assert took > 4, took
        daemon.wait_log("host heavy has [0-9]+ MiB, over its limit of 32 MiB, as soon after its start as the one before it.* is replaced in 2 s")
        status = daemon.control("status")
        assert status["state"] == "degraded" and "raise memory in [plugin heavy]" in json.dumps(status), status
        daemon.write("zmanager.conf", text.replace("32M", "256M"))
        daemon.control("reload")
        wait_for("no trouble", lambda: daemon.control("status")["state"] != "degraded")
        assert daemon.call("?Heavy?Act", b"") == ("OK", b"all")


def limit_of(pid, name):
    """A word; None: that process has just ended."""
    try:
        with open(f"/proc/{pid}/limits", encoding="utf-8") as limits:
            return next(line[len(name):].split()[0] for line in limits if line.startswith(name))
    except OSError:
        return None


@case
def a_reload_changes_the_limits_of_a_host_that_runs():
    stacks = 32 << 20  # of the threads that the old generation and the new one have at a time
    with victims("process", memory="512M", descriptors=60) as daemon:
        assert ask(daemon, b"ok") == b"ok"
        own = lambda name: limit_of(daemon.process.pid, name)
        host = lambda name: next((limit_of(pid, name) for pid in daemon.hosts()), None)
        (pid,) = daemon.hosts()
        # A sanitizer's shadow of all memory would count as data, so that there is no limit of that.
        data = 0 if sanitizer() else int(host("Max data size"))
        has_data = lambda mib: sanitizer() or abs(int(host("Max data size")) - data - (mib << 20)) < stacks
        with open(daemon.path("zmanager.conf"), encoding="utf-8") as file:
            text = file.read()

        def change(memory, files):
            memory = f"memory = {memory}M" if memory else ""
            files = f"descriptors = {files}" if files else ""
            daemon.write("zmanager.conf", text.replace("memory = 512M", memory).replace("descriptors = 60", files))
            daemon.control("reload")
            assert shown(daemon, "victim")["state"] in ("loaded", "starting")

        change(256, 40)
        wait_for("less memory", lambda: has_data(-512))
        wait_for("fewer files", lambda: host("Max open files") == "40")
        assert daemon.hosts() == [pid]
        change(1024, 40)
        wait_for("more memory", lambda: has_data(1024))
        assert daemon.hosts() == [pid]
        # More files than it was started with: by a fresh process, where the daemon has no privilege.
        change(1024, 50)
        wait_for("more files", lambda: host("Max open files") == "50")
        change(0, 0)
        wait_for("no limit", lambda: all(host(name) == own(name) for name in ("Max data size", "Max open files")))
        assert ask(daemon, b"files 100") == b"100"


@case
def a_plugin_that_logs_without_end_does_not_fill_the_log():
    counter = 'zmanager_plugin_lines_left_out_total{plugin="victim"}'
    for isolation in ISOLATIONS:
        with victims(isolation, expect=["lines are left out", "were left out"]) as daemon:
            written = lambda: sum(line.get("text", "").startswith("say 20000") for line in daemon.log_lines())
            began = time.monotonic()
            assert ask(daemon, b"say 20000") == b"say 20000"
            wait_for("all lines", lambda: written() + daemon.counters().get(counter, 0) == 20000)
            assert 1000 <= written() <= 1000 + 100 * (time.monotonic() - began + 1), written()
            daemon.wait_log("plugin victim logs more than 1000 lines at once and 100 a second: lines are left out")
            # With its next lines it is told how many, in parts where the flood lasted.
            told = lambda: sum(map(int, re.findall("([0-9]+) lines that plugin victim logged were left out", daemon.log_text())))
            wait_for("its next line", lambda: ask(daemon, b"log") == b"log" and told() == daemon.counters()[counter])


# ---- how they are ----

SLOW = """#include <zmanager/plugin.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int
there (const char *name)
{
  char path[4096];
  snprintf (path, sizeof path, "%s/%s", getenv ("ZM_TEST_FLAGS"), name);
  return access (path, F_OK) == 0;
}
static int
start (void *state)
{
  (void) state;
  if (there ("abort"))
    abort ();
  while (there ("hang"))
    poll (NULL, 0, 5);
  return there ("fail") ? ZM_E_MEMORY : ZM_OK;
}
ZM_ACTION (act)
{
  if (call->body_size == 5)
    abort ();
  return zm_reply_text (call, "done");
}
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "slow", .version = "1.0", .licence = "LGPL-2.1-or-later",
                                           .summary = "Starts as it is told", .start = start };
ZM_PLUGIN_FULL ("slow", "1.0", "LGPL-2.1-or-later", "Starts as it is told", "", &descriptor);
"""


@case
def hosts_and_plugins_tell_how_they_are():
    with tempfile.TemporaryDirectory() as flags:
        config = CONFIG + "[plugin slow]\nisolation = private\n"
        actions = {"s.ini": "[actionmapping]\n?Slow?Act = slow.act\n"}
        flag = lambda name: os.path.join(flags, name)
        with Daemon(config=config, plugins={"slow": SLOW}, actions=actions, env={"ZM_TEST_FLAGS": flags},
                    expect=[*HOST_LOG, "quarantine", "warning ZM1309"]) as daemon:
            states = lambda: (daemon.control("hosts")["hosts"][0]["state"], shown(daemon, "slow")["state"])
            assert daemon.call("?Slow?Act", b"") == ("OK", b"done") and states() == ("up", "loaded")
            # What hangs in its start takes no calls, whatever its process does.
            open(flag("hang"), "w").close()
            assert daemon.call("?Slow?Act", b"crash")[0] == "ERROR"
            wait_for("the next process", lambda: daemon.control("hosts")["hosts"][0]["starts"] == 2)
            for _ in range(20):
                assert states() == ("starting", "starting"), states()
            os.unlink(flag("hang"))
            assert daemon.call("?Slow?Act", b"") == ("OK", b"done") and states() == ("up", "loaded")
            # Codes and steps have names.
            open(flag("fail"), "w").close()
            assert daemon.call("?Slow?Act", b"crash")[0] == "ERROR"
            daemon.wait_log("could not be started again: its start failed with -4 .ZM_E_MEMORY.")
            os.unlink(flag("fail"))
            daemon.control("plugin-reload", name="slow")
            open(flag("abort"), "w").close()
            assert daemon.call("?Slow?Act", b"crash")[0] == "ERROR"
            daemon.wait_log("plugin slow ended its host in its start: signal 6")
            os.unlink(flag("abort"))


# ---- quarantine ----

def crash_until_quarantined(daemon):
    assert ask(daemon, b"log what the host said last") == b"log what the host said last"
    for number in range(5):
        error = ask(daemon, b"crash")
        assert (error["code"], error["plugin"]) == ("crashed", "victim"), (number, error)
    daemon.wait_log("plugin victim is in quarantine: 5 crashes")


@case
def five_crashes_without_a_good_call_are_quarantine():
    for isolation in APART:
        with victims(isolation, expect=["quarantine"]) as daemon:
            # A good call in between: nothing happens, however often.
            for _ in range(7):
                assert ask(daemon, b"crash")["code"] == "crashed"
                assert ask(daemon, b"ok") == b"ok"
            crash_until_quarantined(daemon)
            began = time.monotonic()
            for _ in range(20):
                error = ask(daemon, b"ok")
                assert (error["code"], error["plugin"]) == ("quarantined", "victim") and "signal 11" in error["text"], error
            # At once; ten times the figure.
            assert time.monotonic() - began < 2
            listed = shown(daemon, "victim")
            assert listed["state"] == "quarantined", listed
            for text in "5 crashes in ", "signal 11", "what the host said last", "plugin reload victim":
                assert text in listed["reason"], (text, listed["reason"])
            # Its neighbour goes on, in the shared host too.
            wait_for("echo", lambda: daemon.call("?Good?One", b"x") == ("OK", b"x"))
            daemon.control("plugin-reload", name="victim")
            assert ask(daemon, b"ok") == b"ok"
            assert shown(daemon, "victim")["state"] == "loaded"
            # It counts anew: four are not enough.
            for _ in range(4):
                assert ask(daemon, b"abort")["code"] == "crashed"
            assert ask(daemon, b"ok") == b"ok"


@case
def one_that_crashes_while_others_are_brought_up_costs_them_nothing():
    """What waits kills each host anew, as soon as it is up and before it has loaded its other plugins."""
    plugins = [f"other{number}=victim" for number in range(4)]
    actions = {"v.ini": ACTIONS["v.ini"] + "".join(f"?Other{number}?Act = other{number}.act\n" for number in range(4))}
    with Isolated("process", ["victim", *plugins], config=CONFIG, actions=actions, expect=[*HOST_LOG, "quarantine"]) as daemon:
        for number in range(5):
            daemon.send("?Victim?Act", b"crash")
        daemon.wait_log("plugin victim is in quarantine")
        for key in "?Good?One", *(f"?Other{number}?Act" for number in range(4)):
            assert daemon.call(key, b"ok") == ("OK", b"ok"), key


@case
def deferred_calls_that_end_well_are_good_calls_too():
    with victims("private") as daemon:
        for _ in range(7):
            assert ask(daemon, b"crash")["code"] == "crashed"
            assert ask(daemon, b"defer 1") == b"defer 1"


@case
def hangs_count_as_crashes():
    with victims("private", config="[workers]\ntimeout = 50ms\nhard-after = 50ms\n", expect=["quarantine"]) as daemon:
        for number in range(5):
            error = ask(daemon, b"hang")
            assert error["code"] == "timeout", error
            wait_for("its end", lambda: daemon.counters()["zmanager_host_crashes_total"] == number + 1)
        assert ask(daemon, b"ok")["code"] == "quarantined"


@case
def what_a_plugin_writes_over_the_shared_page_costs_its_own_host_only():
    for isolation in APART:
        with victims(isolation, config="[workers]\ntimeout = 300ms\nhard-after = 300ms\n", expect=["wrote over"], threads=2) as daemon:
            error = ask(daemon, b"page 0")
            assert error["code"] == "host-lost" and "it wrote over the memory that it shares with the daemon" in error["text"], error
            assert ask(daemon, b"ok") == b"ok"
            for when in b"page 1", b"page 2":
                began = time.monotonic()
                assert ask(daemon, when)["code"] == "timeout"
                assert 0.25 < time.monotonic() - began < 3
                wait_for("its end", lambda: not any("host" in call for call in daemon.control("running")["running"]))
                assert ask(daemon, b"ok") == b"ok"
            counters = daemon.counters()
            assert counters["zmanager_host_crashes_total"] == counters["zmanager_host_killed_total"] == 3, counters


@case
def what_a_plugin_writes_over_the_ways_of_its_host_ends_that_host():
    for isolation in APART:
        with victims(isolation, expect=["cannot be read", "wrote over the memory"]) as daemon:
            error = ask(daemon, b"page 3")
            # Whoever sees it first, the daemon or the host itself.
            assert error["code"] in ("host-lost", "crashed") and re.search("it sent what cannot be read|exit status 1", error["text"]), error
            wait_for("the next host", lambda: ask(daemon, b"ok") == b"ok" and daemon.call("?Good?One", b"x") == ("OK", b"x"))
            assert daemon.counters()["zmanager_host_crashes_total"] == 1


@case
def a_child_that_a_plugin_forks_says_nothing_in_its_hosts_name():
    for isolation in APART:
        with victims(isolation) as daemon:
            before = daemon.hosts()
            assert ask(daemon, b"fork") == b"fork"
            assert ask(daemon, b"ok") == b"ok" and daemon.hosts() == before
            assert daemon.counters()["zmanager_host_crashes_total"] == 0
            assert "of a child" not in daemon.log_text()


@case
def bodies_larger_than_the_ways_go_through_under_load():
    count, body = 1800 if LONG else 60, b"b" * (1 << 20)
    with Isolated("process", config="[zmanager]\nworkers = 2\n[integration]\nslow-subscriber = wait\n[plugin echo]\nthreads = 2\n", actions={"e.ini": "[actionmapping]\n?Good?One = echo.echo\n"}) as daemon:
        ledger = Ledger(daemon)
        for number in range(count):
            daemon.push_socket.send_multipart([b"~~~Good~One~%d" % number, body])
        ledger.close(count)
        assert len(ledger.results) == count and all(len(result) == len(body) for result in ledger.results.values()), ledger.codes()
        assert daemon.counters()["zmanager_host_crashes_total"] == 0


@case
def a_message_that_kills_three_times_is_set_aside():
    for isolation in APART:
        with victims(isolation, expect=["set aside"]) as daemon:
            for _ in range(3):
                assert ask(daemon, b"crash", "killer")["code"] == "crashed"
                # Others are taken meanwhile.
                assert ask(daemon, b"ok", "harmless") == b"ok"
            for _ in range(3):
                error = ask(daemon, b"crash", "killer")
                assert error["code"] == "set-aside" and "killer" in error["text"], error
            assert ask(daemon, b"ok") == b"ok"
            daemon.wait_log("message killer is set aside: it killed its host 3 times")
            counters = daemon.counters()
            assert counters["zmanager_host_crashes_total"] == 3 and counters["zmanager_messages_set_aside_total"] == 1, counters


# ---- stopping ----

def stop_beside_calls(isolation, how, drain, bodies, good, expect=(), first=0):
    """The daemon is told to end while hosts have all those calls; all that went in ends, and so do the hosts. Of the first ones
    a result is there before the others are sent, which may overtake them."""
    with victims(isolation, config=f"[workers]\ndrain = {drain}\ntimeout = 30s\n", expect=[*expect, "left", "drain", "shutdown", "stopped", "stays loaded: held by .*hung call"],
                 leaves=True, threads=2) as daemon:
        ledger = Ledger(daemon)
        for number, body in enumerate(bodies):
            daemon.push_socket.send_multipart([f"~~~Victim~Act~{number}".encode(), body])
            if number + 1 == first:
                wait_for("the first result", lambda: ledger.results)
        wait_for("all to be taken", lambda: daemon.control("status")["subject"]["received"] == len(bodies))
        wait_for("all to be with the hosts", lambda: daemon.control("status")["workers"]["queued"] == 0)
        hosts = daemon.hosts()
        began = time.monotonic()
        if how == "drain":
            daemon.send_control("drain")
        else:
            daemon.process.send_signal(how)
        daemon.ended()
        took = time.monotonic() - began
        assert hosts and took < 15, took
        ledger.close(len(bodies), PATIENCE / 3)
        assert set(ledger.codes()) <= {"shutdown"}, (ledger.codes(), list(ledger.errors.values())[:3])
        assert len(ledger.results) >= good, (len(ledger.results), ledger.codes())
        return len(ledger.errors)


@case
def a_drain_ends_what_hosts_run_have_deferred_and_queue():
    bodies = [b"defer 300", b"sleep 200", b"defer 100", b"sleep 100"] + [b"sleep 10"] * 40 + [b"ok"] * 200
    for isolation in APART:
        for how in signal.SIGTERM, "drain":
            assert stop_beside_calls(isolation, how, "20s", bodies, len(bodies)) == 0


@case
def after_its_budget_a_drain_ends_the_rest_with_shutdown():
    bodies = [b"defer -1", b"ok", b"hang", b"hang", b"sleep 10", b"ok", b"ok"]
    for isolation in APART:
        for how in signal.SIGTERM, "drain":
            assert stop_beside_calls(isolation, how, "500ms", bodies, 1, first=2) >= 3


run()
