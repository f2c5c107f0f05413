# SPDX-License-Identifier: LGPL-2.1-or-later
"""Flows of durable messages go on after kill -9 where they were: while they wait, between steps, inside a join, with changed files."""

import json
import os
import signal
import time

from zmcase import case, run
from zmtest import PATIENCE, Daemon, wait_for

# Writes each call into a file, waits while the file `hold-ACTION` is there, and adds the action's letter to the body.
LEDGER = """
#include <zmanager/plugin.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static int step (zm_call *call, char letter)
{
  const char *folder = zm_config (call->host, "folder", 0);
  char path[512], text[256];
  FILE *out;
  int n;
  snprintf (path, sizeof path, "%s/ledger", folder);
  out = fopen (path, "a");
  fprintf (out, "%c\\n", letter);
  fclose (out);
  snprintf (path, sizeof path, "%s/hold-%c", folder, letter);
  while (access (path, F_OK) == 0) {
    struct timespec time = { 0, 5 * 1000 * 1000 };
    nanosleep (&time, 0);
  }
  n = snprintf (text, sizeof text, "%.*s%c", (int) call->body_size, (const char *) call->body, letter);
  return zm_reply (call, text, n, "text/plain");
}
ZM_ACTION_THREADSAFE (a) { return step (call, 'a'); }
ZM_ACTION_THREADSAFE (b) { return step (call, 'b'); }
ZM_ACTION_THREADSAFE (c) { return step (call, 'c'); }
static const zm_option_desc options[] = { { "folder", ZM_OPTION_STRING, 0, "", "Where" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "ledger", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Notes", .options = options };
ZM_PLUGIN_FULL ("ledger", "1.0", "LGPL-2.1-or-later", "Notes", "kind=component\\n", &descriptor);
"""
MAPPING = "[actionmapping]\n?T?a = ledger.a\n?T?b = ledger.b\n?T?c = ledger.c\n"


class Flow(Daemon):
    def __init__(self, flow, config=""):
        super().__init__("[store]\ndriver = sqlite\n" + config, actions={"ledger.ini": MAPPING}, plugins={"ledger": LEDGER},
                         flows={"f.flow": flow})
        self.install("sqlite")
        self.write("conf.d/ledger.conf", f"[plugin ledger]\nfolder = {self.directory}\n")

    def begin(self):
        status, _, answer = self.request("SEND", b"F~~~F~Push~id-1", b"x")
        assert status == "ACCEPTED", (status, answer)

    def ran(self):
        try:
            with open(self.path("ledger")) as lines:
                return "".join(sorted(lines.read().split()))
        except FileNotFoundError:
            return ""

    def waits(self):
        wait_for("an instance that waits", lambda: self.control("status")["counters"]["zmanager_worker_waits_total"] >= 1)

    def written(self):
        wait_for("the store to have written", lambda: self.control("status")["store"]["waiting"] == 0)

    def crash(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for socket in self.sockets:
            socket.close(0)
        self.sockets.clear()
        self.start()
        return self.tail("F")

    def answer(self, step, body):
        self.send(f"F~~~{step}~id-1", body)


def done(tail):
    """The body of the flow's result, which is the next that is published."""
    topic, _, body = tail.next()
    assert (topic.action, topic.id) == ("done", "id-1"), (topic, body)
    return body


@case
def while_it_waits():
    with Flow("[F]\n?F?Push\n?T?a\n?C@ASYNC?answer\n?T?b\n??done\n") as daemon:
        daemon.begin()
        daemon.waits()
        tail = daemon.crash()
        daemon.waits()
        daemon.answer("C~answer", b"y")
        assert done(tail) == b"yb"
        assert daemon.ran() == "ab", daemon.ran()


@case
def a_question_is_not_asked_again():
    with Flow("[F]\n?F?Push\n?T?a\n?Svc?work\n?T?b\n??done\n") as daemon:
        tail = daemon.tail("F")
        daemon.begin()
        assert tail.next()[0].action == "work"
        daemon.waits()
        daemon.written()
        tail = daemon.crash()
        daemon.waits()
        daemon.answer("Svc~work", b"y")
        assert done(tail) == b"yb"
        assert daemon.ran() == "ab", daemon.ran()


@case
def between_steps():
    with Flow("[F]\n?F?Push\n?T?a\n?T?b\n?T?c\n??done\n") as daemon:
        daemon.write("hold-b", "")
        daemon.begin()
        wait_for("the second step", lambda: daemon.ran() == "ab")
        daemon.written()
        os.unlink(daemon.path("hold-b"))
        daemon.write("hold-c", "")
        wait_for("the third step", lambda: "c" in daemon.ran())
        daemon.written()
        tail = daemon.crash()
        os.unlink(daemon.path("hold-c"))
        assert done(tail) == b"xabc"
        assert daemon.ran() == "abcc", "the step that ran runs again, those before it do not"


@case
def inside_a_join():
    with Flow("[F]\n?F?Push\n?T?a & ?C@ASYNC?answer & ?T?b\n?T?c\n??done\n") as daemon:
        daemon.begin()
        daemon.waits()
        wait_for("the other branches", lambda: daemon.ran() == "ab")
        wait_for("all to stand still", lambda: daemon.control("status")["workers"]["queued"] == 0)
        daemon.written()
        tail = daemon.crash()
        daemon.waits()
        daemon.answer("C~answer", b"y")
        assert done(tail) == json.dumps(["xa", "y", "xb"], separators=(",", ":")).encode() + b"c"
        assert daemon.ran() == "abc", daemon.ran()
        tail.none()


@case
def in_its_own_definition():
    with Flow("[F]\n?F?Push\n?T?a\n?C@ASYNC?answer\n?T?b\n??done\n") as daemon:
        daemon.begin()
        daemon.waits()
        daemon.write("flows.d/f.flow", "[F]\n?F?Push\n?T?c\n??done\n")
        tail = daemon.crash()
        daemon.waits()
        daemon.answer("C~answer", b"y")
        assert done(tail) == b"yb"
        assert daemon.ran() == "ab", daemon.ran()


@case
def an_orderly_end_leaves_it_where_it_is():
    with Flow("[F]\n?F?Push\n?T?a\n?C@ASYNC?answer\n! ?T?c\n?T?b\n??done\n") as daemon:
        daemon.begin()
        daemon.waits()
        daemon.stop()
        for socket in daemon.sockets:
            socket.close(0)
        daemon.sockets.clear()
        daemon.start()
        tail = daemon.tail("F")
        daemon.waits()
        daemon.answer("C~answer", b"y")
        assert done(tail) == b"yb"
        assert daemon.ran() == "ab", daemon.ran()


def drains(daemon):
    """It has begun to: what need not end here was let go."""
    wait_for("the drain", lambda: daemon.control("status")["state"] == "draining")


def drained(daemon):
    """Ends it in order, and gives the seconds that it took; starts it again."""
    began = time.monotonic()
    daemon.stop()
    took = time.monotonic() - began
    daemon.check_log()
    for socket in daemon.sockets:
        socket.close(0)
    daemon.sockets.clear()
    daemon.start()
    return took


@case
def a_drain_does_not_wait_for_what_is_on_disk():
    with Flow("[F]\n?F?Push\n?T?a\n?C@ASYNC?answer\n! ?T?c\n?T?b\n??done\n", "[workers]\ndrain = 300s\n") as daemon:
        for number in range(20):
            assert daemon.request("SEND", b"F~~~F~Push~id-%d" % number, b"x")[0] == "ACCEPTED"
        wait_for("all to wait", lambda: daemon.control("status")["counters"]["zmanager_worker_waits_total"] >= 20)
        assert drained(daemon) < PATIENCE, "the drain waited for them"
        tail = daemon.tail("F")
        wait_for("all to wait", lambda: daemon.control("status")["counters"]["zmanager_worker_waits_total"] >= 20)
        for number in range(20):
            daemon.send(f"F~~~C~answer~id-{number}", b"y")
        assert sorted(tail.next()[0].id for _ in range(20)) == sorted(f"id-{number}" for number in range(20))
        tail.none()
        assert daemon.ran() == "a" * 20 + "b" * 20, daemon.ran()


@case
def a_drain_keeps_what_the_other_branches_did():
    with Flow("[F]\n?F?Push\n?T?a & ?C@ASYNC?answer & ?T?b\n?T?c\n??done\n", "[workers]\ndrain = 300s\n") as daemon:
        daemon.write("hold-b", "")
        daemon.begin()
        daemon.waits()
        wait_for("the other branches", lambda: daemon.ran() == "ab")
        # The branch that waits is let go while one still runs.
        daemon.process.send_signal(signal.SIGTERM)
        drains(daemon)
        os.unlink(daemon.path("hold-b"))
        daemon.ended()
        for socket in daemon.sockets:
            socket.close(0)
        daemon.sockets.clear()
        daemon.start()
        tail = daemon.tail("F")
        daemon.waits()
        daemon.answer("C~answer", b"y")
        assert done(tail) == json.dumps(["xa", "y", "xb"], separators=(",", ":")).encode() + b"c"
        assert daemon.ran() == "abc", daemon.ran()


@case
def a_drain_begins_nothing_that_is_on_disk():
    with Flow("[F]\n?F?Push\n?T?a\n??done\n", "[workers]\ndrain = 300s\n[zmanager]\nworkers = 1\n") as daemon:
        daemon.write("hold-a", "")
        for number in range(200):
            assert daemon.request("SEND", b"F~~~F~Push~id-%d" % number, b"x")[0] == "ACCEPTED"
        wait_for("the first", lambda: daemon.ran() == "a")
        daemon.process.send_signal(signal.SIGTERM)
        drains(daemon)
        os.unlink(daemon.path("hold-a"))
        daemon.ended()
        assert len(daemon.ran()) < 200, "all were done before it ended"
        for socket in daemon.sockets:
            socket.close(0)
        daemon.sockets.clear()
        daemon.start()
        wait_for("the rest", lambda: len(daemon.ran()) >= 200)
        daemon.settled()
        assert len(daemon.ran()) == 200, len(daemon.ran())


if __name__ == "__main__":
    run()
