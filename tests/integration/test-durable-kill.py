# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 at random times under load: what was accepted runs, and nothing runs twice in one life of the daemon.

The ledger of what was accepted is written by another process, that of what ran by the action; neither asks the daemon."""

import os
import random
import signal
import subprocess
import sys
import time

import zmq

from zmcase import LONG, case, run
from zmtest import Daemon, wait_for

KILLS = 1000 if LONG else 20
WINDOW = 64      # sends without an answer, at a time
PATIENCE_MS = 1500

LEDGER = """
#include <zmanager/plugin.h>
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
ZM_ACTION_THREADSAFE (note)
{
  char path[512], line[256];
  int n, out;
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


@case
def nothing_accepted_is_lost():
    seed = int(os.environ.get("ZM_SEED", "0")) or random.randrange(1 << 32)
    print(f"# ZM_SEED={seed}", flush=True)
    chance = random.Random(seed)
    daemon = Daemon("[store]\ndriver = sqlite\n", actions={"order.ini": "[actionmapping]\n?Order?New = ledger.note\n"},
                    plugins={"ledger": LEDGER})
    daemon.install("sqlite")
    daemon.write("conf.d/ledger.conf", f"[plugin ledger]\nfolder = {daemon.directory}\n")
    with daemon:
        lives = [daemon.process.pid]
        stop = daemon.path("stop")
        sender = subprocess.Popen([sys.executable, os.path.abspath(__file__), "send", daemon.endpoint("call"),
                                   daemon.path("accepted"), stop])
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.02, 0.3))
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            restart(daemon)
            lives.append(daemon.process.pid)
        open(stop, "w").close()
        assert sender.wait(120) == 0
        accepted = [ident for (ident,) in read(daemon.path("accepted"))]
        assert len(set(accepted)) == len(accepted) >= KILLS, len(accepted)
        wait_for("the backlog", lambda: {entry[0] for entry in read(daemon.path("ran"))} >= set(accepted), 60)
        again = judge(accepted, read(daemon.path("ran")), lives)
        print(f"# {KILLS} kills, {len(accepted)} accepted, 0 lost, {again} ran again", flush=True)
        assert again <= KILLS * 4096, "more than what can be in flight"


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        Sender(sys.argv[2], sys.argv[3]).main(sys.argv[4])
    else:
        run()
