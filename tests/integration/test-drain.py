# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stopping: what was taken is finished and published before the daemon goes."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

import zmq

from zmcase import LONG, ZMANAGERCTL, case, run
from zmtest import Daemon, PATIENCE, wait_for

MAPPING = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}
SLEEPER = """
#include <zmanager/plugin.h>
#include <time.h>
ZM_ACTION_THREADSAFE (nap)
{
  struct timespec time = { 0, 20 * 1000 * 1000 };
  nanosleep (&time, 0);
  return zm_reply_text (call, "rested");
}
ZM_PLUGIN ("sleeper", "1.0", "LGPL-2.1-or-later", "Takes its time");
"""
SLEEPER_MAPPING = {"sleeper.ini": "[actionmapping]\n?Sleeper?Nap = sleeper.nap\n"}

# Emits numbered events until it is woken.
TICKER = """
#include <zmanager/plugin.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
typedef struct { const zm_host *host; int stop; } ticker;
static int open_it (void *state, const zm_host *host, void **source)
{
  ticker *t = calloc (1, sizeof *t);
  (void) state;
  t->host = host;
  *source = t;
  return t ? ZM_OK : ZM_E_MEMORY;
}
static int run (void *source)
{
  ticker *t = source;
  const char *limit = zm_config (t->host, "limit", 0);
  for (int i = 0; !__atomic_load_n (&t->stop, __ATOMIC_ACQUIRE); i++) {
    struct timespec time = { 0, 1000 * 1000 };
    if (i < atoi (limit))
      zm_emit_text (t->host, "?Tick?Own", "tick");
    nanosleep (&time, 0);
  }
  return ZM_OK;
}
static void wake (void *source) { __atomic_store_n (&((ticker *) source)->stop, 1, __ATOMIC_RELEASE); }
static void close_it (void *source) { free (source); }
static const zm_source_ops ops = { sizeof ops, 0, open_it, run, wake, close_it };
static const zm_option_desc options[] = { { "limit", ZM_OPTION_INTEGER, 0, "5", "Ticks" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "ticker", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Ticks", .options = options, .source = &ops };
ZM_PLUGIN_FULL ("ticker", "1.0", "LGPL-2.1-or-later", "Ticks", "kind=source\\n", &descriptor);
"""


def stops_with_everything_published(how):
    with Daemon(actions=SLEEPER_MAPPING, plugins={"sleeper": SLEEPER}) as daemon:
        tail = daemon.tail("")
        for index in range(100):
            daemon.send("?Sleeper?Nap", str(index).encode())
        tail.next()
        how(daemon)
        assert [message[2] for message in tail.take(99)] == [b"rested"] * 99
        daemon.ended()


@case
def sigterm_finishes_what_was_taken():
    stops_with_everything_published(lambda daemon: daemon.process.send_signal(signal.SIGTERM))


@case
def sigint_does_the_same():
    stops_with_everything_published(lambda daemon: daemon.process.send_signal(signal.SIGINT))


@case
def drain_is_answered_when_it_is_done():
    with Daemon(actions=SLEEPER_MAPPING, plugins={"sleeper": SLEEPER}) as daemon:
        tail = daemon.tail("")
        for index in range(100):
            daemon.send("?Sleeper?Nap", str(index).encode())
        tail.next()
        drain = daemon.send_control("drain")
        daemon.control_socket.send_multipart([b"status", b"{\"command\":\"status\"}"])
        status, reply = daemon.receive_control(b"status")
        assert status == "OK" and reply["state"] == "draining", reply
        status, reply = daemon.receive_control(drain)
        assert status == "OK" and reply["left"] == 0, reply
        tail.take(99)
        daemon.ended()


def plain_client(daemon):
    """A connection to the control socket without libzmq, which reads only what it is told to: the greeting of ZMTP 3.0, and READY."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(PATIENCE)
    client.connect(daemon.endpoint("control").removeprefix("ipc://"))
    client.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
    left = 64
    while left > 0:  # in pieces, as libzmq sends it; a socket with a time-out does not wait for all
        got = len(client.recv(left))
        assert got > 0
        left -= got
    client.sendall(bytes([4, len(ready)]) + ready)
    assert b"READY" in client.recv(256)
    return client


def plain_request(client, command):
    json_text = b'{"command":"%s"}' % command
    client.sendall(b"\x01\x02id" + bytes([0, len(json_text)]) + json_text)


@case
def the_answer_of_a_drain_leaves_before_the_daemon_goes():
    with Daemon(config="[zmanager]\nwatch = no\n", actions=MAPPING, plugins=["hello"]) as daemon:
        client = plain_client(daemon)
        for _ in range(900):
            plain_request(client, b"metrics")
        plain_request(client, b"drain")
        daemon.wait_log("^drained")
        # Longer than the daemon waits for clients to go, and than other replies are waited for at the end.
        time.sleep(1.5)
        said = b""
        while part := client.recv(1 << 20):
            said += part
        client.close()
        assert len(said) > 1000000, "not enough to fill what the system holds"
        assert b'{"text":"drained","left":0}' in said, said[-1000:]
        daemon.ended()


@case
def every_drain_is_answered():
    for turn in range(500 if LONG else 50):
        with Daemon(config="[zmanager]\nwatch = no\n", actions=MAPPING, plugins=["hello"]) as daemon:
            drain = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "drain"], capture_output=True, text=True, timeout=PATIENCE * 2)
            assert (drain.returncode, drain.stdout) == (0, "drained\n"), (turn, drain)
            daemon.ended()


@case
def nothing_is_reloaded_while_draining():
    with Daemon(actions=SLEEPER_MAPPING, plugins={"sleeper": SLEEPER}) as daemon:
        tail = daemon.tail("")
        for index in range(50):
            daemon.send("?Sleeper?Nap", str(index).encode())
        tail.next()
        daemon.send_control("drain", request_id=b"drain")
        daemon.send_control("reload", request_id=b"reload")
        status, reply = daemon.receive_control(b"reload")
        assert status == "ERROR" and reply["code"] == "unavailable", reply
        daemon.ended()


@case
def what_waits_at_the_end_is_told():
    flows = {"wait.flow": "[Waiting]\n?Waiting?Push\n?Waiting@ASYNC?answer\n??done\n"}
    with Daemon(config="[workers]\ndrain = 100ms\n", actions=MAPPING, flows=flows, plugins=["hello"],
                expect=["did not end in time"]) as daemon:
        tail = daemon.tail("Waiting~")
        daemon.send("?Waiting?Push", b"body")
        wait_for("the waiting flow", lambda: daemon.control("instances")["instances"])
        daemon.stop()
        topic, _, body = tail.next()
        assert topic.action == "error" and json.loads(body)["code"] == "shutdown", (topic, body)


WAIT_FLOW = {"wait.flow": "[Waiting]\n?Waiting?Push\n?Waiting@ASYNC?answer\n?Hello?Greet\n??done\n"}


@case
def what_waits_is_waited_for_while_draining():
    """Answers come in by both doors, what is new is refused at both."""
    with Daemon(actions=MAPPING, flows=WAIT_FLOW, plugins=["hello"], expect=["message refused: "]) as daemon:
        tail = daemon.tail("")

        def next_but_calls():
            """What was called before the door closed was answered, and its result published."""
            while (message := tail.next())[2] == b"hello, new":
                pass
            return message

        daemon.send("Waiting~~~Waiting~Push~one")
        daemon.send("Waiting~~~Waiting~Push~two")
        wait_for("the waiting flows", lambda: len(daemon.control("instances")["instances"]) == 2)
        drain = daemon.send_control("drain")
        wait_for("the drain", lambda: daemon.call("?Hello?Greet", b"new")[0] == "BUSY")
        daemon.control_socket.send_multipart([b"status", b"{\"command\":\"status\"}"])
        status, reply = daemon.receive_control(b"status")
        assert reply["state"] == "draining" and reply["subject"]["state"] == "answers", reply
        before = daemon.call("?Hello?Greet", b"new")
        assert before[0] == "BUSY" and json.loads(before[1])["code"] == "draining", before
        daemon.send("~~~Hello~Greet~late", b"new")
        topic, _, body = next_but_calls()
        assert topic.id == "late" and topic.action == "error" and json.loads(body)["code"] == "shutdown", (topic, body)
        daemon.send("Waiting~~~Waiting~answer~one", b"pushed")
        topic, _, body = next_but_calls()
        assert topic.text == "Waiting~~~~done~one" and body == b"hello, pushed", (topic, body)
        assert daemon.request("CALL", b"Waiting~~~Waiting~answer~two", b"called")[0] == "OK"
        topic, _, body = next_but_calls()
        assert topic.text == "Waiting~~~~done~two" and body == b"hello, called", (topic, body)
        status, reply = daemon.receive_control(drain)
        assert status == "OK" and reply["left"] == 0, reply
        daemon.ended()


@case
def a_worker_in_another_language_is_waited_for_while_draining():
    actions = {"w.ini": "[actionmapping]\n?Away?Work = worker:away\n"}
    with tempfile.TemporaryDirectory(prefix="zm-") as folder:
        endpoint = f"ipc://{folder}/worker"
        with Daemon(config=f"[worker away]\nbind = {endpoint}\n", actions=actions, expect=["unavailable"]) as daemon:
            work = daemon.socket(zmq.PULL)
            work.connect(endpoint)
            tail = daemon.tail("")

            def taken():
                daemon.send("?Away?Work", b"body")
                return work.poll(200)

            wait_for("work for the worker", taken)
            daemon.process.send_signal(signal.SIGTERM)
            wait_for("the doors to be open for answers only", lambda: daemon.control("status")["subject"]["state"] == "answers")
            while work.poll(200):
                daemon.send(work.recv_multipart()[0].decode(), b"worked")
            while (message := tail.next())[2] != b"worked":
                assert json.loads(message[2])["code"] == "unavailable", message
            daemon.ended()


@case
def a_source_runs_and_ends():
    config = "[source clock]\nplugin = ticker\nlimit = 7\nkey = ?Tick?Tock\n"
    actions = {"t.ini": "[actionmapping]\n?Tick?Tock = hello.greet\n"}
    with Daemon(config=config, actions=actions, plugins={"ticker": TICKER}) as daemon:
        daemon.expect("hello")
        daemon.install("hello")
        sources = wait_for("seven events", lambda: [s for s in daemon.control("sources")["sources"] if s["events"] == 7])
        assert sources[0]["name"] == "clock" and sources[0]["state"] == "running", sources
        daemon.write("conf.d/more.conf", "[source clock]\nlimit = 9\n")
        wait_for("the changed source", lambda: daemon.control("sources")["sources"][0]["events"] == 16)


@case
def events_that_nothing_maps_are_told():
    with Daemon(config="[source clock]\nplugin = ticker\nlimit = 500\n", plugins={"ticker": TICKER}, expect=["ticker"]) as daemon:
        line = daemon.wait_log("no mapping and no flow takes the key .Tick.Own")
        assert line["level"] == "notice", line
        wait_for("all of them", lambda: daemon.control("status")["workers"]["errors"] == 500)
        told = [line for line in daemon.log_lines() if "takes the key" in line["text"]]
        assert len(told) < 50, len(told)


@case
def a_wake_may_wait_for_its_run_to_return():
    """And nothing is closed under it: the source is freed by its close only."""
    patient = TICKER.replace("typedef struct { const zm_host *host; int stop; } ticker;",
                             "typedef struct { const zm_host *host; int stop, over; } ticker;")
    patient = patient.replace("  return ZM_OK;\n}\nstatic void wake", "  __atomic_store_n (&t->over, 1, __ATOMIC_RELEASE);\n  return ZM_OK;\n}\nstatic void wake")
    patient = patient.replace("stop, 1, __ATOMIC_RELEASE); }", """stop, 1, __ATOMIC_RELEASE);
  while (!__atomic_load_n (&((ticker *) source)->over, __ATOMIC_ACQUIRE));
  for (int i = 0; i < 20; i++) { struct timespec time = { 0, 1000 * 1000 }; nanosleep (&time, 0); }
  if (__atomic_load_n (&((ticker *) source)->stop, __ATOMIC_ACQUIRE) != 1) abort ();
}""")
    assert "abort" in patient and "over, 1" in patient
    patient = patient.replace("{ free (source); }", "{ ((ticker *) source)->stop = 2; free (source); }")
    with Daemon(config="[source clock]\nplugin = ticker\nlimit = 1\nkey = ?Hello?Greet\n", actions=MAPPING, plugins={"ticker": patient, "hello": None}) as daemon:
        for limit in range(2, 6):
            daemon.write("conf.d/more.conf", f"[source clock]\nlimit = {limit}\n")
            daemon.wait_log("^reloaded: .*limit")
        assert daemon.control("sources")["sources"][0]["state"] == "running", daemon.control("sources")


def stops_beside_a_source(wake):
    """All that was taken is published, although the source's thread has to be left behind."""
    stubborn = TICKER.replace("{ __atomic_store_n (&((ticker *) source)->stop, 1, __ATOMIC_RELEASE); }", wake)
    assert stubborn != TICKER
    config = "[source clock]\nplugin = ticker\nlimit = 0\n"
    with Daemon(config=config, actions=SLEEPER_MAPPING, plugins={"sleeper": SLEEPER, "ticker": stubborn}, expect=["does not return from run"]) as daemon:
        wait_for("the source", lambda: daemon.control("sources")["sources"][0]["state"] == "running")
        tail = daemon.tail("")
        for index in range(100):
            daemon.send("?Sleeper?Nap", str(index).encode())
        tail.next()
        daemon.process.send_signal(signal.SIGTERM)
        assert [message[2] for message in tail.take(99)] == [b"rested"] * 99
        daemon.ended()


@case
def a_source_that_ignores_its_wake_costs_no_message():
    stops_beside_a_source("{ (void) source; }")


@case
def a_source_that_hangs_in_its_wake_stops_nothing():
    stops_beside_a_source("{ for (;;) { struct timespec time = { 1, 0 }; nanosleep (&time, 0); (void) source; } }")


# Subscribes all, and says when the first has come and how many big ones came before nothing came any more.
LATE_READER = """
import sys, zmq
tail = zmq.Context().socket(zmq.SUB)
tail.setsockopt(zmq.RCVHWM, 0)
tail.setsockopt(zmq.SUBSCRIBE, b"")
tail.connect(sys.argv[1])
tail.recv_multipart()
print("up", flush=True)
count = 0
while count < 900 and tail.poll(20000):
    count += len(tail.recv_multipart()[-1]) == 20000
print(count)
"""


@case
def a_drain_beside_a_deaf_source_flushes_the_publisher():
    """The subscriber reads only when the drain is over: till then the backlog is the publisher's, and libzmq's."""
    deaf = TICKER.replace("{ __atomic_store_n (&((ticker *) source)->stop, 1, __ATOMIC_RELEASE); }", "{ (void) source; }")
    config = "[source clock]\nplugin = ticker\nlimit = 0\n[integration]\nslow-subscriber = wait\nhigh-water = 500\n"
    with Daemon(config=config, actions={"echo.ini": "[actionmapping]\n?Test?Echo = echo.echo\n"}, plugins={"echo": None, "ticker": deaf}, expect=["does not return from run"]) as daemon:
        wait_for("the source", lambda: daemon.control("sources")["sources"][0]["state"] == "running")
        tail = subprocess.Popen([sys.executable, "-c", LATE_READER, daemon.endpoint("topics")], stdout=subprocess.PIPE)

        def reads():
            daemon.send("?Test?Echo", b"first")
            return select.select([tail.stdout], [], [], 0.1)[0]

        wait_for("the subscriber", reads)
        before = daemon.settled()["subject"]["received"]
        tail.send_signal(signal.SIGSTOP)
        body = b"x" * 20000
        for _ in range(900):
            daemon.send("?Test?Echo", body)
        wait_for("all inside", lambda: daemon.counters()["zmanager_subject_received_total"] == before + 900)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_log("^drained")
        tail.send_signal(signal.SIGCONT)
        assert tail.communicate(timeout=PATIENCE)[0] == b"up\n900\n"
        daemon.ended()


@case
def the_service_manager_is_told():
    with tempfile.TemporaryDirectory(prefix="zm-") as folder:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(os.path.join(folder, "notify"))
        manager.settimeout(PATIENCE)
        environment = {"NOTIFY_SOCKET": os.path.join(folder, "notify"), "WATCHDOG_USEC": "200000"}
        with Daemon(config="[zmanager]\nwatch = no\n", actions=MAPPING, plugins=["hello"], env=environment) as daemon:
            said = manager.recv(4096).decode()
            assert said.startswith("READY=1\nSTATUS=1 mapping,"), said
            assert manager.recv(4096) == b"WATCHDOG=1"
            daemon.control("reload")
            said = ""
            while not said.startswith("RELOADING=1\nMONOTONIC_USEC="):
                said = manager.recv(4096).decode()
            while not said.startswith("READY=1"):
                said = manager.recv(4096).decode()
            daemon.process.send_signal(signal.SIGTERM)
            while not said.startswith("STOPPING=1"):
                said = manager.recv(4096).decode()
            daemon.ended()
        manager.close()


@case
def a_killed_daemon_leaves_nothing_in_the_way():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        daemon.process.kill()
        daemon.process.wait()
        os.unlink(daemon.path("run", "control"))
        daemon.start()
        assert daemon.call("?Hello?Greet", b"again") == ("OK", b"hello, again")


run()
