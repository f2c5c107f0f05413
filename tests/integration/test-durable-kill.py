# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 at random times under load: what was accepted runs or is in its queue, and nothing runs twice in one life of the daemon.

The ledgers of what was accepted are written by other processes, that of what ran by the action, and that of what was taken out of
queues by who took it; none asks the daemon."""

import http.client
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

import zmq

from zmcase import LONG, case, run
from zmhttp import ZAQAR, Http, free_port
from zmtest import Daemon, wait_for

KILLS = int(os.environ.get("ZM_KILLS", "0")) or (1000 if LONG else 20)
BACKLOG = 100000
READY_S = 2      # after a kill, with that backlog
WINDOW = 64      # sends without an answer, at a time
PATIENCE_MS = 1500

LEDGER = """
#include <zmanager/plugin.h>
#include <stdio.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
ZM_ACTION_THREADSAFE (note)
{
  char path[512], line[256];
  int n, out;
  snprintf (path, sizeof path, "%s/hold", zm_config (call->host, "folder", 0));
  while (access (path, F_OK) == 0) {
    struct timespec time = { 0, 5 * 1000 * 1000 };
    nanosleep (&time, 0);
  }
  snprintf (path, sizeof path, "%s/ran", zm_config (call->host, "folder", 0));
  n = snprintf (line, sizeof line, "%.*s %d\\n", (int) call->id.size, call->id.data, (int) getpid ());
  out = open (path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (out < 0 || write (out, line, n) != n)
    return ZM_RETRY;
  close (out);
  return ZM_OK;
}
static const zm_option_desc options[] = { { "folder", ZM_OPTION_STRING, 0, "", "Where" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "ledger", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Notes", .options = options };
ZM_PLUGIN_FULL ("ledger", "1.0", "LGPL-2.1-or-later", "Notes", "kind=component\\n", &descriptor);
"""


class Sender:
    """Sends with ids of its own; what is not answered in time is sent again under the same id."""

    def __init__(self, endpoint, path):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 20)
        self.socket.connect(endpoint)
        self.accepted = open(path, "w", buffering=1)
        self.waiting = {}
        self.next = 0

    def send(self, number):
        self.waiting[number] = time.monotonic()
        try:
            self.socket.send_multipart([str(number).encode(), b"SEND", b"~~~Order~New~m-%d" % number, b"x" * 100], zmq.DONTWAIT)
        except zmq.Again:
            pass  # nobody is there: it is sent again when its time is over

    def receive(self):
        request, status, _, _ = self.socket.recv_multipart()
        if self.waiting.pop(int(request), None) is None:
            return
        if status in (b"ACCEPTED", b"DUPLICATE"):
            self.accepted.write(f"m-{int(request)}\n")
        else:
            self.waiting[int(request)] = time.monotonic()  # BUSY, or an error of the moment: again later

    def main(self, stop):
        while not (os.path.exists(stop) and not self.waiting):
            while len(self.waiting) < WINDOW and not os.path.exists(stop):
                self.send(self.next)
                self.next += 1
            if self.socket.poll(50):
                self.receive()
            while self.socket.poll(0):
                self.receive()
            late = time.monotonic() - PATIENCE_MS / 1000
            for number in [number for number, when in self.waiting.items() if when < late]:
                self.send(number)
        self.accepted.close()


class Poster:
    """Posts into a queue over HTTP, by /v1 or by Zaqar's API. What is not answered is not known, and not sent again."""

    def __init__(self, port, kind, path):
        self.port, self.kind = port, kind
        self.accepted = open(path, "w", buffering=1)
        self.http = None

    def ask(self, *request):
        """The answer, or None where the daemon is not there."""
        try:
            self.http = self.http or Http(self.port, ZAQAR, patience=5)
            return self.http(*request)
        except (OSError, http.client.HTTPException):
            self.http = None
            time.sleep(0.005)
            return None

    def post(self, number):
        ident = f"{self.kind}-{number}"
        if self.kind == "jobs":
            answer = self.ask("POST", "/v1/queues/jobs", ident, {"Content-Type": "text/plain"})
        else:
            answer = self.ask("POST", "/v2/queues/letters/messages", {"messages": [{"body": ident, "ttl": 3600}]})
        if answer is not None and answer.status == 201:
            self.accepted.write(ident + "\n")

    def main(self, stop):
        number = 0
        while not os.path.exists(stop):
            self.post(number)
            number += 1
        self.accepted.close()


class Taker(Poster):
    """Takes out of a queue what it claims, and writes down `took ID` before, and `gone ID` when the daemon said that it is."""

    def claim(self):
        """[(id, path to remove it)]"""
        if self.kind == "jobs":
            answer = self.ask("GET", "/v1/queues/jobs?limit=10&ttl=600&wait=1")
            if answer is None or answer.status != 200:
                return []
            return [(one["body"], f"/v1/queues/jobs/{one['id']}?claim={answer.json['claim']}") for one in answer.json["messages"]]
        answer = self.ask("POST", "/v2/queues/letters/claims?limit=10", {"ttl": 600, "grace": 60})
        if answer is None or answer.status != 201:
            return []
        return [(one["body"], one["href"]) for one in answer.json["messages"]]

    def main(self, stop):
        while not os.path.exists(stop):
            for ident, path in self.claim():
                self.accepted.write(f"took {ident}\n")
                answer = self.ask("DELETE", path)
                if answer is not None and answer.status == 204:
                    self.accepted.write(f"gone {ident}\n")
        self.accepted.close()


def restart(daemon):
    for socket in daemon.sockets:
        socket.close(0)
    daemon.sockets.clear()
    daemon.start()


def read(path):
    with open(path) as lines:
        return [line.split() for line in lines if line.endswith("\n")]


def judge(accepted, ran, lives):
    """Every accepted one ran; no one twice in one life; twice only in lives that follow one another."""
    runs = {}
    for ident, pid in ran:
        runs.setdefault(ident, []).append(lives.index(int(pid)))
    lost = [ident for ident in accepted if ident not in runs]
    assert not lost, f"{len(lost)} of {len(accepted)} accepted ones never ran, such as {lost[:5]}"
    for ident, where in runs.items():
        assert len(set(where)) == len(where), f"{ident} ran twice in one life: {where}"
        assert max(where) - min(where) == len(where) - 1, f"{ident} ran again after it was done: {where}"
    return sum(len(where) - 1 for where in runs.values())


def still_there(port, queue):
    """What is in the queue, claimed or not."""
    found, path = [], f"/v2/queues/{queue}/messages?limit=20&echo=true&include_claimed=true"
    with Http(port, ZAQAR) as http_:
        while True:
            answer = http_("GET", path)
            assert answer.status == 200, answer
            if not answer.json["messages"]:
                return found
            found += [message["body"] for message in answer.json["messages"]]
            path = answer.json["links"][0]["href"]


def judge_queue(kind, accepted, taken, there):
    """Accepted is gone or still there; what was said to be gone never comes again. Gives how many were taken more than once."""
    gone, again = set(), []
    took = []
    for what, ident in taken:
        if what == "gone":
            gone.add(ident)
            continue
        took.append(ident)
        if ident in gone:
            again.append(ident)
    assert not again, f"{kind}: came again after they were removed: {again[:5]}"
    assert not gone & set(there), f"{kind}: still there after they were removed: {sorted(gone & set(there))[:5]}"
    assert len(set(there)) == len(there), f"{kind}: there twice"
    # Taken, but the answer to the removal was lost in a kill: it may have happened.
    lost = set(accepted) - gone - set(there) - set(took)
    assert not lost, f"{kind}: {len(lost)} of {len(accepted)} accepted ones are nowhere, such as {sorted(lost)[:5]}"
    unknown = set(took) - gone - set(there)
    assert len(unknown) <= KILLS + 1, f"{kind}: {len(unknown)} were taken and are not there, more than were under way at a kill"
    return len(took) - len(set(took))


def a_daemon(config=""):
    daemon = Daemon("[store]\ndriver = sqlite\n" + config, actions={"order.ini": "[actionmapping]\n?Order?New = ledger.note\n"},
                    plugins={"ledger": LEDGER})
    daemon.install("sqlite")
    daemon.write("conf.d/ledger.conf", f"[plugin ledger]\nfolder = {daemon.directory}\n")
    return daemon


def helper(*words):
    return subprocess.Popen([sys.executable, os.path.abspath(__file__), *words])


@case
def nothing_accepted_is_lost():
    seed = int(os.environ.get("ZM_SEED", "0")) or random.randrange(1 << 32)
    print(f"# ZM_SEED={seed}", flush=True)
    chance = random.Random(seed)
    port = free_port()
    with a_daemon(f"[http]\nlisten = 127.0.0.1:{port}\n") as daemon:
        lives, slowest = [daemon.process.pid], 0
        stop = daemon.path("stop")
        others = [helper("send", daemon.endpoint("call"), daemon.path("accepted"), stop)]
        for kind in "jobs", "letters":
            others.append(helper("post", str(port), kind, daemon.path(kind), stop))
            others.append(helper("take", str(port), kind, daemon.path(kind + "-taken"), stop))
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.02, 0.3))
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            began = time.monotonic()
            restart(daemon)
            slowest = max(slowest, time.monotonic() - began)
            lives.append(daemon.process.pid)
        wait_for("all kinds to be accepted", lambda: all(os.path.getsize(daemon.path(name)) for name in ("accepted", "jobs", "letters")))
        open(stop, "w").close()
        for other in others:
            assert other.wait(120) == 0
        accepted = [ident for (ident,) in read(daemon.path("accepted"))]
        assert len(set(accepted)) == len(accepted) >= KILLS, len(accepted)
        wait_for("the backlog", lambda: {entry[0] for entry in read(daemon.path("ran"))} >= set(accepted), 60)
        again = judge(accepted, read(daemon.path("ran")), lives)
        figures = [f"{len(accepted)} sends accepted, 0 lost, {again} ran again"]
        assert again <= KILLS * 4096, "more than what can be in flight"
        for kind in "jobs", "letters":
            posted, there = [ident for (ident,) in read(daemon.path(kind))], still_there(port, kind)
            twice = judge_queue(kind, posted, read(daemon.path(kind + "-taken")), there)
            figures.append(f"{len(posted)} {kind} accepted, 0 lost, {twice} taken again, {len(there)} still there")
        print(f"# {KILLS} kills; ready again after {slowest:.2f} s at most; " + "; ".join(figures), flush=True)


@case
def with_a_backlog_it_is_soon_ready_again():
    with a_daemon() as daemon:
        daemon.write("hold", "")
        for first in range(0, BACKLOG, 1000):
            batch = b""
            for number in range(first, first + 1000):
                for field in b"~~~Order~New~m-%d" % number, b"", b"x" * 100:
                    batch += struct.pack(">I", len(field)) + field
            status, _, answer = daemon.request("SEND", b"^batch~~~~~", batch)
            assert status == "ACCEPTED" and json.loads(answer) == {"count": 1000}, (status, answer)
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        os.unlink(daemon.path("hold"))
        began = time.monotonic()
        restart(daemon)
        assert daemon.control("status")["state"] == "ready"
        ready = time.monotonic() - began
        wait_for("the first delivery", lambda: os.path.exists(daemon.path("ran")))
        first = time.monotonic() - began
        print(f"# {BACKLOG} messages of backlog: ready after {ready:.2f} s, the first delivery after {first:.2f} s", flush=True)
        assert first < READY_S * 10, first
        wait_for("all to run", lambda: os.path.getsize(daemon.path("ran")) >= BACKLOG * 7 and
                 {entry[0] for entry in read(daemon.path("ran"))} >= {f"m-{number}" for number in range(BACKLOG)}, 300)
        assert len(read(daemon.path("ran"))) == BACKLOG, "some ran twice"


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        Sender(sys.argv[2], sys.argv[3]).main(sys.argv[4])
    elif sys.argv[1:2] in (["post"], ["take"]):
        (Poster if sys.argv[1] == "post" else Taker)(int(sys.argv[2]), sys.argv[3], sys.argv[4]).main(sys.argv[5])
    else:
        run()
