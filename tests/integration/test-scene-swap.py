# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plugins and configuration are replaced, and the daemon is stopped, while others push: nothing is lost or doubled."""

import json
import signal
import subprocess
import threading

from zmcase import LONG, ZMANAGERCTL, case, run
from zmtest import Daemon, PATIENCE, Refused, Senders, sanitizer, wait_for

# The publisher waits for the subscriber, so that what is received can be compared with what was sent.
CONFIG = "[zmanager]\nwatch = no\n[integration]\nhigh-water = 10000\nslow-subscriber = wait\n"
NUMBERED = """
#include <zmanager/plugin.h>
#include <stdlib.h>
static char *kept;
static int start (void *state) { (void) state; kept = malloc (4096); return ZM_OK; }
static void stop (void *state, unsigned deadline_ms) { (void) state; (void) deadline_ms; free (kept); }
ZM_ACTION%s (greet) { return zm_reply (call, call->body, call->body_size, 0); }
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "numbered", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Gives its body back", .start = start, .stop = stop };
ZM_PLUGIN_FULL ("numbered", "1.0", "LGPL-2.1-or-later", "Gives its body back", "kind=component\\n", &descriptor);
"""
HOLDER = """
#include <zmanager/plugin.h>
#include <stdlib.h>
static zm_ticket held;
static void late (void *user) { (void) user; }
ZM_ACTION (hold) { held = zm_call_defer (call); (void) late; return ZM_DEFERRED; }
ZM_ACTION (let_go) { zm_complete_text (call->host, held, "let go"); return zm_reply_text (call, "done"); }
ZM_PLUGIN ("holder", "1.0", "LGPL-2.1-or-later", "Holds calls");
"""
MAPPING = {"numbered.ini": "[actionmapping]\n?Numbered?Greet = numbered.greet\n"}


class Receiver(threading.Thread):
    """Counts the results of a tail, each by its body: index of the sender and number."""

    def __init__(self, tail):
        super().__init__(daemon=True)
        self.tail, self.ended = tail, threading.Event()
        self.seen, self.doubled, self.errors = set(), 0, []
        self.start()

    def run(self):
        while True:
            if not self.tail.socket.poll(200):
                if self.ended.is_set():
                    return
                continue
            topic, _, body = self.tail.next()
            if topic.action == "error":
                self.errors.append(body)
            elif body in self.seen:
                self.doubled += 1
            else:
                self.seen.add(body)

    def audit(self, sent, patience=PATIENCE * 3):
        """Waits until as many came as were sent, and finds nothing lost, doubled or failed."""
        wait_for("all results",
                 lambda: len(self.seen) + self.doubled + len(self.errors) >= sent, patience)
        self.ended.set()
        self.join(PATIENCE)
        assert not self.errors, self.errors[:3]
        assert self.doubled == 0 and len(self.seen) == sent, (sent, len(self.seen), self.doubled)


def numbered(index, number):
    return [b"?Numbered?Greet", b"%d-%d" % (index, number)]


def swaps_lose_nothing(safe, swaps):
    with Daemon(config=CONFIG, actions=MAPPING, plugins={"numbered": NUMBERED % safe}) as daemon:
        receiver = Receiver(daemon.tail("~~numbered~"))
        with Senders(daemon.endpoint("subject"), 4, make=numbered, pace=2500) as senders:
            warm = swaps // 5
            for swap in range(swaps):
                if swap == warm:
                    daemon_use = use(daemon)
                daemon.control("plugin-reload", name="numbered")
            sent = senders.stop()
            receiver.audit(sent)
        status = daemon.settled(sent)
        assert status["subject"]["received"] == sent and status["workers"]["results"] == sent, status
        assert status["workers"]["errors"] == status["workers"]["dropped"] == status["workers"]["late"] == 0, status
        wait_for("the old generations to go", lambda: daemon.control("status")["plugins"]["held"] == [])
        wait_for("descriptors, maps and threads to be as before", lambda: flat(use(daemon), daemon_use))
        loaded = daemon.control("plugins", name="numbered")["plugins"][0]
        assert loaded["generation"] == swaps + 1, loaded
        print(f"# {swaps} swaps, {sent} messages, {daemon_use} -> {use(daemon)}")


def use(daemon):
    maps = daemon.maps()
    return {"descriptors": daemon.descriptors(), "libraries": len({line.split()[-1] for line in maps if "numbered" in line}),
            "rss": daemon.rss_mb(), "maps": len(maps)}


def flat(now, before):
    """One copy of the plugin is mapped; descriptors may differ by a socket in the making; the allocator's arenas by a few maps.

    A sanitizer keeps what was freed, in maps of its own; one that looks for leaks does so at the end."""
    memory = now["maps"] <= before["maps"] + 12 and now["rss"] <= before["rss"] + 16
    return now["descriptors"] <= before["descriptors"] + 2 and now["libraries"] <= 1 and (memory or sanitizer() != "")


@case
def a_serial_plugin_is_swapped_under_load():
    swaps_lose_nothing("", 1000 if LONG else 100)


@case
def a_threadsafe_plugin_is_swapped_under_load():
    swaps_lose_nothing("_THREADSAFE", 1000 if LONG else 100)


@case
def who_holds_the_old_one_is_named_and_goes_with_it():
    actions = {"h.ini": "[actionmapping]\n?Holder?Hold = holder.hold\n?Holder?Let = holder.let_go\n"}
    config = "[zmanager]\nwatch = no\n[workers]\ndrain = 300ms\ntimeout = 3s\n"
    with Daemon(config=config, actions=actions, plugins={"holder": HOLDER}) as daemon:
        tail = daemon.tail("")
        daemon.send("?Holder?Hold")
        wait_for("the deferred call", lambda: daemon.control("status")["workers"]["deferred"] == 1)
        daemon.expect("holder")
        for swap in range(5):
            daemon.control("plugin-reload", name="holder")
        wait_for("the others to go", lambda: len(daemon.control("status")["plugins"]["held"]) == 1)
        held = daemon.control("status")["plugins"]["held"]
        assert "holder generation 1" in held[0] and "deferred call" in held[0], held
        listed = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "--json", "plugin", "ls"], capture_output=True, timeout=60)
        assert listed.returncode == 0, listed
        listed = json.loads(listed.stdout)["plugins"]
        assert [(p["generation"], p["state"]) for p in listed] == [(6, "loaded"), (1, "retired")], listed
        assert listed[1]["holders"] == {"deferred call": 1}, listed
        # At the deadline of the call nobody holds it any more: its caller is told, and it goes.
        topic, _, body = tail.next()
        assert topic.action == "error" and json.loads(body)["code"] == "timeout", body
        wait_for("nothing is held", lambda: daemon.control("status")["plugins"]["held"] == [])
        assert len({line.split()[-1] for line in daemon.maps() if "holder" in line}) == 1


@case
def reloads_by_signal_lose_nothing():
    reloads = 1000 if LONG else 100
    with Daemon(config=CONFIG, actions=MAPPING, plugins={"numbered": NUMBERED % ""}) as daemon:
        receiver = Receiver(daemon.tail("~~numbered~"))
        with Senders(daemon.endpoint("subject"), 4, make=numbered, pace=2500) as senders:
            for reload in range(reloads):
                if reload == reloads // 5:
                    before = use(daemon)
                # Each time another table, with the same answer for what is pushed.
                daemon.write("actions.d/more.ini", f"[actionmapping]\n?Numbered?Other{reload} = numbered.greet\n")
                serial = daemon.control("status")["table"]["serial"]
                daemon.process.send_signal(signal.SIGHUP)
                wait_for("the new table", lambda: daemon.control("status")["table"]["serial"] > serial)
            sent = senders.stop()
            receiver.audit(sent)
        status = daemon.settled(sent)
        assert status["workers"]["results"] == sent and status["workers"]["errors"] == 0, status
        assert daemon.call(f"?Numbered?Other{reloads - 1}", b"x") == ("OK", b"x")
        wait_for("descriptors and memory as before", lambda: flat(use(daemon), before))
        # The plugin is the same file: it was not loaded again.
        assert daemon.control("plugins", name="numbered")["plugins"][0]["generation"] == 1
        print(f"# {reloads} reloads, {sent} messages, {before} -> {use(daemon)}")


@case
def a_storm_of_signals_is_no_more_than_reloads():
    with Daemon(config=CONFIG, actions=MAPPING, plugins={"numbered": NUMBERED % ""}) as daemon:
        for _ in range(500):
            daemon.process.send_signal(signal.SIGHUP)
        assert daemon.call("?Numbered?Greet", b"x") == ("OK", b"x")
        assert daemon.control("status")["state"] == "ready"


@case
def a_broken_configuration_is_refused_whole_under_load():
    with Daemon(config=CONFIG, actions=MAPPING, plugins={"numbered": NUMBERED % ""}, expect=["refused", "error ZM"]) as daemon:
        receiver = Receiver(daemon.tail("~~numbered~"))
        with Senders(daemon.endpoint("subject"), 2, make=numbered, pace=2000) as senders:
            serial = daemon.control("status")["table"]["serial"]
            for number in range(20):
                # One good change beside one that is wrong: neither is taken.
                daemon.write("actions.d/good.ini", f"[actionmapping]\n?Numbered?Good{number} = numbered.greet\n")
                daemon.write("flows.d/bad.flow", "[Bad]\n?Bad?Push\nnonsense here\n")
                try:
                    daemon.control("reload")
                    raise AssertionError("a broken flow was taken")
                except Refused as refused:
                    assert refused.code == "invalid" and "bad.flow:3:" in refused.reply["problems"][0]["text"], refused.reply
                status, body = daemon.call(f"?Numbered?Good{number}", b"x")
                assert status == "ERROR" and json.loads(body)["code"] == "unmapped", body
            status = daemon.control("status")
            assert status["table"]["serial"] == serial, status
            daemon.expect("message refused")
            sent = senders.stop()
            receiver.audit(sent)


@case
def what_was_handed_over_before_sigterm_is_published():
    """The senders have ended, so all is with the daemon: in its rings, in libzmq, or in the kernel's buffers."""
    for _ in range(20 if LONG else 5):
        # With room for all, as libzmq loses of a peer that ended what it had no room for.
        with Daemon(config=CONFIG + "[subject]\nhigh-water = 20000\n", actions=MAPPING, plugins={"numbered": NUMBERED % ""}) as daemon:
            receiver = Receiver(daemon.tail("~~numbered~"))
            with Senders(daemon.endpoint("subject"), 4, make=numbered, each=3000, high_water=10000) as senders:
                sent = senders.done()
                senders.join()
                daemon.process.send_signal(signal.SIGTERM)
                daemon.ended()
            receiver.audit(sent, PATIENCE)


@case
def sigterm_under_load_finishes_what_it_took():
    """Senders go on pushing over connections that ZeroMQ gives no way to end in peace. What the daemon took, it publishes."""
    for _ in range(5 if LONG else 2):
        with Daemon(config=CONFIG, actions=MAPPING, plugins={"numbered": NUMBERED % ""}) as daemon:
            receiver = Receiver(daemon.tail("~~numbered~"))
            metrics = daemon.send_control("top", interval_ms=100)
            with Senders(daemon.endpoint("subject"), 4, make=numbered, pace=4000) as senders:
                wait_for("load", lambda: len(receiver.seen) > 2000)
                drain = daemon.send_control("drain")
                while (answer := daemon.control_socket.recv_multipart())[0] != drain:
                    assert answer[0] == metrics, answer
                assert answer[1] == b"OK" and json.loads(answer[2])["left"] == 0, answer
                daemon.ended()
                line = daemon.wait_log("^drained")
                assert line["level"] == "notice", line
                for process in senders.processes:
                    process.kill()
                    process.join()
            receiver.ended.set()
            receiver.join(PATIENCE)
            assert not receiver.errors and receiver.doubled == 0
            # In order from each sender up to where it stopped: nothing in between is missing, but what two workers had.
            for index in range(4):
                numbers = sorted(int(body.split(b"-")[1]) for body in receiver.seen if body.startswith(b"%d-" % index))
                assert numbers == list(range(len(numbers))), (index, len(numbers), numbers[-1])


run()
