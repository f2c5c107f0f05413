# SPDX-License-Identifier: LGPL-2.1-or-later
"""Durable messages: accepted is on disk, and runs, in spite of failures and kill -9."""

import http.client
import json
import os
import signal
import struct
import subprocess
import threading

import zmq

from zmcase import LONG, ZMANAGERCTL, case, run
from zmhttp import ZAQAR, Http, free_port
from zmtest import Daemon, wait_for

STORE = "[store]\ndriver = sqlite\n"

# Writes each call into a file (key, id, attempt, body), and does what the body says: ok, retry N (until attempt N), never,
# reject, fail, hold (until the file `go` is there).
LEDGER = """
#include <zmanager/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
ZM_ACTION_THREADSAFE (note)
{
  const char *folder = zm_config (call->host, "folder", 0);
  char path[512], body[64], line[512];
  int attempt = (int) call->attempt, until = 0, n;
  FILE *out;
  snprintf (path, sizeof path, "%s/ledger", folder);
  snprintf (body, sizeof body, "%.*s", (int) call->body_size, (const char *) call->body);
  n = snprintf (line, sizeof line, "%.*s %d %s\\n", (int) call->id.size, call->id.data, attempt, body);
  out = fopen (path, "a");
  fwrite (line, 1, n, out);
  fclose (out);
  snprintf (path, sizeof path, "%s/go", folder);
  while (strncmp (body, "hold", 4) == 0 && access (path, F_OK) != 0) {
    struct timespec time = { 0, 5 * 1000 * 1000 };
    nanosleep (&time, 0);
  }
  if (sscanf (body, "retry %d", &until) == 1 && attempt < until)
    return ZM_RETRY;
  if (strncmp (body, "never", 5) == 0)
    return zm_fail (call, "unlucky", "not today"), ZM_RETRY;
  if (strncmp (body, "reject", 6) == 0)
    return zm_fail (call, "bad-order", "no such article"), ZM_REJECT;
  return zm_reply_text (call, "noted");
}
ZM_ACTION_THREADSAFE (dead)
{
  char path[512];
  FILE *out;
  snprintf (path, sizeof path, "%s/dead", zm_config (call->host, "folder", 0));
  out = fopen (path, "a");
  fprintf (out, "%.*s\\n", (int) call->headers.size, call->headers.data);
  fclose (out);
  return ZM_OK;
}
/* Sends itself a number greater by one; waits at 50. */
ZM_ACTION_THREADSAFE (circle)
{
  char path[512], text[32];
  zm_event event = { .struct_size = sizeof event, .key = "?Order?Circle", .headers = "{\\"own\\": 1}", .body = text };
  int number = 0, status;
  FILE *out;
  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  number = atoi (text);
  snprintf (path, sizeof path, "%s/ledger", zm_config (call->host, "folder", 0));
  out = fopen (path, "a");
  fprintf (out, "id %d %d %.*s\\n", (int) call->attempt, number, (int) call->headers.size, call->headers.data);
  fclose (out);
  snprintf (path, sizeof path, "%s/go", zm_config (call->host, "folder", 0));
  while (number == 50 && access (path, F_OK) != 0) {
    struct timespec time = { 0, 5 * 1000 * 1000 };
    nanosleep (&time, 0);
  }
  event.body_size = snprintf (text, sizeof text, "%d", number + 1);
  status = zm_emit_durable (call->host, &event, 0, 0);
  if (status == ZM_E_DENIED)
    return zm_fail (call, "loop", "round and round"), ZM_REJECT;
  return status == ZM_OK ? ZM_OK : ZM_RETRY;
}
static const zm_option_desc options[] = { { "folder", ZM_OPTION_STRING, 0, "", "Where" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "ledger", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Notes", .options = options };
ZM_PLUGIN_FULL ("ledger", "1.0", "LGPL-2.1-or-later", "Notes", "kind=component\\n", &descriptor);
"""
MAPPING = """[actionmapping]
?Order?New = ledger.note
?Order?Short = ledger.note
?Order?Policy = ledger.note
?Order?Site = ledger.note
?Order?Queued = ledger.note
?Order?Dead = ledger.dead
?Order?Circle = ledger.circle

[action ?Order?Short]
retries = 2

[action ?Order?Policy]
retries = {"schedule": [0]}

[action ?Order?Site]
retries = 1000
"""


class Durable(Daemon):
    def __init__(self, config="", **more):
        super().__init__(STORE + config, actions={"ledger.ini": MAPPING}, plugins={"ledger": LEDGER},
                         expect=["dead-letter", "went to queue", "no mapping and no flow", "asked to be tried again", "a call was refused", "in a circle"], **more)
        self.install("sqlite")
        self.write("conf.d/ledger.conf", f"[plugin ledger]\nfolder = {self.directory}\n")

    def durable(self, key, body=b"", ident=None, headers=None):
        topic = key if ident is None else "~~~" + key.strip("?").replace("?", "~") + "~" + ident
        frames = [topic.encode(), *([json.dumps(headers).encode()] if headers else []), body]
        status, _, answer = self.request("SEND", *frames)
        return status, json.loads(answer)

    def put(self, queue, *bodies):
        """Into a queue, one after the other."""
        for body in bodies:
            subprocess.run([ZMANAGERCTL, "--dir", self.directory, "queue", "put", queue, body], check=True, capture_output=True)

    def ledger(self):
        """(id, attempt, body) of every call so far."""
        try:
            with open(self.path("ledger")) as lines:
                return [(line.split(" ", 2)[0], int(line.split(" ", 2)[1]), line.split(" ", 2)[2].strip()) for line in lines]
        except FileNotFoundError:
            return []

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def again(self):
        for socket in self.sockets:
            socket.close(0)
        self.sockets.clear()
        return self.start()


@case
def accepted_is_stored_runs_once_and_is_published():
    with Durable() as daemon:
        tail = daemon.tail("")
        status, answer = daemon.durable("?Order?New", b"one", "id-1")
        assert status == "ACCEPTED" and answer == {"id": "id-1"}, (status, answer)
        message = tail.next()
        assert message[2] == b"noted" and message[0].id == "id-1", message
        assert daemon.ledger() == [("id-1", 1, "one")], daemon.ledger()


@case
def the_same_id_is_a_duplicate_and_does_not_run_again():
    with Durable() as daemon:
        tail = daemon.tail("")
        assert daemon.durable("?Order?New", b"one", "id-1")[0] == "ACCEPTED"
        tail.next()
        status, answer = daemon.durable("?Order?New", b"one", "id-1")
        assert status == "DUPLICATE" and answer["id"] == "id-1", (status, answer)
        daemon.durable("?Order?New", b"two", "id-2")
        tail.next()
        assert [entry[0] for entry in daemon.ledger()] == ["id-1", "id-2"], daemon.ledger()


@case
def a_retry_comes_again_with_the_same_id_and_counts():
    with Durable() as daemon:
        tail = daemon.tail("")
        daemon.durable("?Order?New", b"retry 3", "id-1")
        message = tail.next()
        assert message[2] == b"noted", message
        assert daemon.ledger() == [("id-1", attempt, "retry 3") for attempt in (1, 2, 3)], daemon.ledger()
        tail.none()


@case
def after_the_last_attempt_one_error_is_published_and_the_letter_is_dead():
    with Durable() as daemon:
        tail = daemon.tail("")
        daemon.durable("?Order?Short", b"never", "id-1", {"correlation-id": "c"})
        message = tail.next()
        assert message[0].action == "error", message
        error = json.loads(message[2])
        assert error["code"] == "unlucky" and error["text"] == "not today", error
        assert [entry[1] for entry in daemon.ledger()] == [1, 2, 3], daemon.ledger()
        tail.none()


@case
def an_action_has_its_own_policy():
    with Durable("[action ?Order?Site]\nretries = {\"immediate\": 3}\n") as daemon:
        tail = daemon.tail("")
        for key, attempts in ("?Order?Policy", 2), ("?Order?Site", 4):
            before = len(daemon.ledger())
            daemon.durable(key, b"never")
            assert tail.next()[0].action == "error"
            assert [entry[1] for entry in daemon.ledger()[before:]] == [*range(1, attempts + 1)], daemon.ledger()


@case
def the_policy_of_a_queue_wins_against_that_of_its_action():
    queue = "[queue work]\naction = ?Order?Policy\nretry = {\"immediate\": 3}\n"
    with Durable(queue) as daemon:
        tail = daemon.tail("")
        daemon.put("work", "never")
        assert tail.next()[0].action == "error"
        assert [entry[1] for entry in daemon.ledger()] == [1, 2, 3, 4], daemon.ledger()


@case
def one_at_a_time_keeps_the_order_over_retries():
    queue = "[queue work]\naction = ?Order?New\nconcurrency = 1\nretry = {\"pre\": {\"n\": 3, \"delay\": \"200ms\"}}\n"
    with Durable(queue) as daemon:
        daemon.put("work", "one", "retry 3", "two", "never", "three")
        wait_for("the last one", lambda: daemon.ledger()[-1:] and daemon.ledger()[-1][2] == "three")
        assert [entry[2] for entry in daemon.ledger()] == ["one", *["retry 3"] * 3, "two", *["never"] * 4, "three"], daemon.ledger()


@case
def a_rejected_or_unmapped_message_is_dead_at_once():
    with Durable() as daemon:
        tail = daemon.tail("")
        daemon.durable("?Order?New", b"reject", "id-1")
        assert json.loads(tail.next()[2])["code"] == "bad-order"
        daemon.durable("?Nobody?Knows", b"x", "id-2")
        assert json.loads(tail.next()[2])["code"] == "unmapped"
        assert len(daemon.ledger()) == 1, daemon.ledger()
        status = daemon.control("status")
        assert (status["delivery"]["dead"], status["delivery"]["in_flight"], status["delivery"]["waiting"]) == (2, 0, 0), status["delivery"]
        assert [consumer["queue"] for consumer in status["delivery"]["consumers"]] == ["^sends"], status["delivery"]
        assert status["counters"]["zmanager_delivery_dead_total"] == 2, status["counters"]
        shown = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "status"], capture_output=True, text=True).stdout
        assert "gone to dead letters 2" in shown, shown


@case
def status_and_metrics_show_what_is_on_its_way():
    with Durable() as daemon:
        daemon.durable("?Order?New", b"hold")
        daemon.durable("?Order?New", b"never")
        wait_for("one in flight, one waiting", lambda: {"in_flight": 1, "waiting": 1}.items() <= daemon.control("status")["delivery"].items())
        assert daemon.control("status")["delivery"]["retried"] >= 3
        counters = {entry["name"]: entry["value"] for entry in daemon.control("metrics")["metrics"]}
        assert (counters["zmanager_delivery_in_flight"], counters["zmanager_delivery_waiting"]) == (1, 1), counters
        open(daemon.path("go"), "w").close()
        wait_for("the delivery", lambda: daemon.control("status")["delivery"]["delivered"] == 1)


@case
def killed_between_accepting_and_running_it_runs_after_the_restart():
    with Durable() as daemon:
        assert daemon.durable("?Order?New", b"hold", "id-1")[0] == "ACCEPTED"
        wait_for("the call", lambda: daemon.ledger())
        daemon.kill()
        open(daemon.path("go"), "w").close()
        daemon.again()
        wait_for("the second call", lambda: len(daemon.ledger()) == 2)
        assert [entry[0] for entry in daemon.ledger()] == ["id-1", "id-1"], daemon.ledger()
        status, _ = daemon.durable("?Order?New", b"hold", "id-1")
        assert status == "DUPLICATE", "the window is rebuilt"


@case
def attempts_are_counted_on_over_a_restart():
    with Durable() as daemon:
        daemon.durable("?Order?New", b"never", "id-1")
        wait_for("the attempts without delay", lambda: len(daemon.ledger()) == 4)
        daemon.kill()
        daemon.again()
        wait_for("the fifth", lambda: len(daemon.ledger()) == 5)
        assert [entry[1] for entry in daemon.ledger()] == [1, 2, 3, 4, 5], daemon.ledger()


def batch(parts):
    out = b""
    for topic, headers, body in parts:
        for field in topic, headers, body:
            out += struct.pack(">I", len(field)) + field
    return out


@case
def a_circle_ends_also_over_a_restart():
    with Durable() as daemon:
        daemon.durable("?Order?Circle", b"0")
        wait_for("half of it", lambda: len(daemon.ledger()) == 51)
        daemon.kill()
        daemon.again()
        tail = daemon.tail("")
        open(daemon.path("go"), "w").close()
        wait_for("the other half", lambda: len(daemon.ledger()) == 102)
        assert json.loads(tail.next()[2])["code"] == "loop"
        assert [int(entry[2].split()[0]) for entry in daemon.ledger()] == [*range(51), *range(50, 101)], daemon.ledger()
        assert all("hops" not in entry[2] for entry in daemon.ledger()), daemon.ledger()
        assert all('"own": 1' in entry[2] for entry in daemon.ledger()[1:]), daemon.ledger()


@case
def a_batch_is_stored_whole_or_not_at_all():
    with Durable() as daemon:
        tail = daemon.tail("")
        parts = [(b"~~~Order~New~b-%d" % number, b"", b"part %d" % number) for number in range(20)]
        status, _, body = daemon.request("SEND", b"^batch~~~~~", batch(parts))
        assert status == "ACCEPTED" and json.loads(body) == {"count": 20}, (status, body)
        tail.take(20)
        assert sorted(entry[2] for entry in daemon.ledger()) == sorted(f"part {number}" for number in range(20))
        status, _, body = daemon.request("SEND", b"^batch~~~~~", batch([(b"~~~Order~New~c", b"", b"good"), (b"no topic", b"", b"bad")]))
        assert status == "ERROR" and json.loads(body)["code"] == "malformed", (status, body)
        assert "topic" in json.loads(body)["text"] or "column" in json.loads(body)["text"], body
        status, _, body = daemon.request("SEND", b"^batch~~~~~", batch([(b"~~~Order~New~c", b"", b"good"), (b"~~~a~done~x", b"", b"bad")]))
        assert status == "ERROR" and json.loads(body)["code"] == "reserved", (status, body)
        tail.none()
        assert len(daemon.ledger()) == 20


@case
def a_result_is_in_the_bound_queue_once_and_its_action_runs():
    queue = "[queue work]\ntopics = ledger?Order?New\naction = ?Order?Queued\n"
    with Durable(queue) as daemon:
        tail = daemon.tail("~~ledger~Order~Queued~")
        daemon.durable("?Order?New", b"durable", "id-1")
        tail.next()
        daemon.send("?Order?New", b"volatile")
        tail.next()
        tail.none()
        assert sorted(entry[2] for entry in daemon.ledger()) == ["durable", "noted", "noted", "volatile"], daemon.ledger()


@case
def dead_letters_tell_their_history():
    queue = "[queue dead]\naction = ?Order?Dead\n"
    with Durable(queue) as daemon:
        daemon.durable("?Order?Short", b"never", "id-1", {"correlation-id": "c"})
        wait_for("the dead letter", lambda: os.path.exists(daemon.path("dead")))
        headers = json.loads(wait_for("its headers", lambda: open(daemon.path("dead")).read().strip()))
        letter = headers["dead-letter"]
        assert headers["correlation-id"] == "c", headers
        assert letter["code"] == "unlucky" and letter["text"] == "not today" and letter["attempts"] == 3, letter
        assert letter["queue"] == "^sends" and letter["sender-id"] == "id-1", letter
        assert [entry["attempt"] for entry in letter["history"]] == [1, 2, 3], letter
        assert letter["first"] <= letter["last"], letter


@case
def a_queue_has_its_own_policy_and_dead_letter_queue():
    queue = """[queue work]
topics = ledger?Order?New
action = ?Nobody?Knows
retry = {"immediate": 1}
[queue work.dead]
action = ?Order?Dead
"""
    with Durable(queue) as daemon:
        daemon.durable("?Order?New", b"x", "id-1")
        letter = json.loads(wait_for("the dead letter", lambda: os.path.exists(daemon.path("dead")) and
                                     open(daemon.path("dead")).read().strip()))["dead-letter"]
        assert letter["queue"] == "work" and letter["code"] == "unmapped" and letter["attempts"] == 1, letter


@case
def an_action_of_a_queue_is_changed_while_the_workers_are_full():
    few = "[workers]\nring = 64\n[zmanager]\nworkers = 1\n"
    with Durable(few + "[queue work]\naction = ?Order?Queued\n") as daemon:
        for _ in range(200):
            daemon.send("?Order?New", b"hold")
        wait_for("a full ring", lambda: daemon.control("status")["workers"]["queued"] >= 64)
        daemon.put("work", "waits")
        for key in 10 * ("?Order?Short", "?Order?Queued"):
            daemon.write("zmanager.conf", STORE + few + f"[queue work]\naction = {key}\n")
            daemon.control("reload")
            assert daemon.control("status")["workers"]["queued"] >= 64
        open(daemon.path("go"), "w").close()
        wait_for("the message of the queue", lambda: [entry for entry in daemon.ledger() if entry[2] == "waits"])


@case
def without_a_store_send_says_so():
    with Daemon() as daemon:
        status, _, body = daemon.request("SEND", b"?a?b", b"x")
        assert status == "ERROR" and json.loads(body)["code"] == "no-store", (status, body)


@case
def the_command_sends_durably():
    with Durable() as daemon:
        command = [ZMANAGERCTL, "--dir", daemon.directory, "send", "--durable", "--id", "id-1", "?Order?New", "one"]
        first = subprocess.run(command, capture_output=True, text=True)
        assert (first.returncode, first.stdout) == (0, "ACCEPTED id-1\n"), first
        second = subprocess.run([*command, "--json"], capture_output=True, text=True)
        answer = json.loads(second.stdout)
        assert second.returncode == 0 and answer["status"] == "DUPLICATE" and answer["duplicates"] == 1, second
        many = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "send", "--durable", "--count", "5", "?Order?New", "x", "--json"],
                              capture_output=True, text=True)
        assert json.loads(many.stdout)["accepted"] == 5, many
        wait_for("all calls", lambda: len(daemon.ledger()) == 6)


@case
def a_drain_leaves_what_is_not_in_flight_in_the_store():
    with Durable("[workers]\ndrain = 1s\n[zmanager]\nworkers = 1\n") as daemon:
        for number in range(5):
            daemon.durable("?Order?New", b"hold", f"id-{number}")
        wait_for("the first call", lambda: daemon.ledger())
        daemon.process.send_signal(signal.SIGTERM)
        open(daemon.path("go"), "w").close()
        daemon.process.wait(30)
        daemon.again()
        wait_for("all of them", lambda: {entry[0] for entry in daemon.ledger()} == {f"id-{number}" for number in range(5)})


class Open:
    """Somebody who waits in an HTTP request, as long as the daemon lets him."""

    def __init__(self, port, method, path, headers=None):
        self.http, self.status = Http(port, headers), None
        self.http.connection.request(method, path, headers=headers or {})
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.thread.start()

    def main(self):
        try:
            answer = self.http.connection.getresponse()
            self.status = answer.status
            answer.read()
        except (OSError, http.client.HTTPException):
            self.status = self.status or 0


class Load:
    """Sends under ids of its own until the daemon goes; .accepted are those that it answered for."""

    def __init__(self, daemon, life):
        self.socket = daemon.socket(zmq.DEALER)
        self.socket.connect(daemon.endpoint("call"))
        self.accepted, self.life, self.flag = set(), life, threading.Event()
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.thread.start()

    def main(self):
        number, waiting = 0, 0
        while not self.flag.is_set():
            while waiting < 32:
                name = f"l{self.life}-{number}"
                self.socket.send_multipart([name.encode(), b"SEND", b"~~~Order~New~" + name.encode(), b"x"])
                number, waiting = number + 1, waiting + 1
            while self.socket.poll(20):
                request, status, *_ = self.socket.recv_multipart()
                waiting -= 1
                if status == b"ACCEPTED":
                    self.accepted.add(request.decode())
        while self.socket.poll(200):
            request, status, *_ = self.socket.recv_multipart()
            if status == b"ACCEPTED":
                self.accepted.add(request.decode())


@case
def an_orderly_end_warns_of_nothing_and_does_all_once():
    port = free_port()
    config = f"""
[http]
listen = 127.0.0.1:{port}
[queue work]
topics = ledger?Order?New
action = ?Order?Queued
[queue empty]
"""
    with Durable(config) as daemon:
        accepted = set()
        for life in range(20 if LONG else 4):
            waits = [Open(port, "GET", "/v1/queues/empty?wait=60"), Open(port, "POST", "/v2/queues/empty/claims?wait=60", ZAQAR),
                     Open(port, "GET", "/v2/queues/empty/messages?wait=60", ZAQAR), Open(port, "GET", "/v1/topics/"),
                     Open(port, "GET", "/v1/live")]
            load = Load(daemon, life)
            wait_for("some to be accepted", lambda: len(load.accepted) > 100)
            daemon.process.send_signal(signal.SIGTERM)
            daemon.ended()
            daemon.check_log()
            load.flag.set()
            load.thread.join()
            accepted |= load.accepted
            for wait in waits:
                wait.thread.join(30)
                assert not wait.thread.is_alive() and wait.status in (0, 200, 204, 503), wait.status
            daemon.again()
        # Each result is a message of the queue, under an id of its own.
        wait_for("all to run", lambda: [entry[2] for entry in daemon.ledger()].count("noted") >= len(accepted) and
                 {entry[0] for entry in daemon.ledger()} >= accepted)
        daemon.settled()
        runs = [(entry[0], entry[2]) for entry in daemon.ledger()]
        twice = len(runs) - len(set(runs))
        assert twice == 0, f"{twice} of {len(runs)} ran twice"
        assert sum(body == "noted" for _, body in runs) == sum(body == "x" for _, body in runs), "a result is missing in the queue"


if __name__ == "__main__":
    run()
