# SPDX-License-Identifier: LGPL-2.1-or-later
"""What belongs to the runtime cannot be forged on any socket; what no peer should send harms nobody and is told."""

import json
import os
import random
import socket as sockets
import struct
import subprocess

import zmq

from zmcase import LONG, ZMANAGERCTL, case, run
from zmtest import Daemon, PATIENCE, wait_for

HELLO = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n?Forge?Do = forger.forge\n"}
FLOWS = {"f.flow": "[Trusted]\n?Trusted?Push\n?Hello?Greet\n??done\n"}

# Does what the body says with the key behind it, and answers what its host said: e KEY, f FLOW, r KEY, n KEY.
FORGER = r"""
#include <zmanager/plugin.h>
#include <stdio.h>
static void nothing (void *user, int status, const void *body, size_t size)
{
  (void) user, (void) status, (void) body, (void) size;
}
ZM_ACTION (forge)
{
  char text[256], answer[32];
  int status = -99;
  zm_event event = { sizeof event, 0, text + 2, 0, 0, 0, "forged", 6 };
  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  if (*text == 'e')
    status = zm_emit (call->host, &event);
  if (*text == 'f') {
    event.key = "?Trusted?Push";
    event.flow = text + 2;
    status = zm_emit (call->host, &event);
  }
  if (*text == 'r')
    status = zm_reply_key (call, text + 2);
  if (*text == 'n')
    status = zm_next (call, text + 2);
  if (*text == 'a')
    status = zm_call_action (call->host, &event, 1000, nothing, 0);
  snprintf (answer, sizeof answer, "%d", status);
  return zm_reply_text (call, answer);
}
ZM_PLUGIN ("forger", "1.0", "LGPL-2.1-or-later", "Forges");
"""

# As the first frame, or its beginning.
TOPICS = ["Trusted~~~~done~1", "Trusted~~~~error~1", "~~~~done~", "~~~~error~", "Trusted~~s~c~done~1", "~d~s~c~error~",
          "^batch~~~~x~1", "^hello~~~~x~", "^~~~~x~", "Trusted~^x~~c~a~", "~~^s~c~a~", "~~~^c~a~", "~~~c~^a~", "^Trusted~~~Trusted~Push~"]
KEYS = ["??done", "??error", "?Hello?done", "Hello??error", "a?b@c?done", "^?a?b", "?^a?b", "?a?^b", "?a@^b?c", "^x?y?z"]


def forged_daemon(**more):
    return Daemon(actions=HELLO, flows=FLOWS, plugins={"hello": None, "forger": FORGER}, **more)


def nothing_but_the_good_one(daemon, tail, good=b"hello, good"):
    daemon.send("?Hello?Greet", b"good")
    topic, _, body = tail.next()
    assert body == good and topic.action == "Greet", (topic, body)
    daemon.settled()
    tail.none(0.05)


def refused_lines(daemon, pattern):
    return [line for line in daemon.log_lines() if pattern in line.get("text", "")]


@case
def pushed_forgeries_publish_nothing():
    with forged_daemon(expect=["a message was refused", "suppressed: (refused|malformed)"]) as daemon:
        tail = daemon.tail("")
        sent = 0
        for first in TOPICS + KEYS:
            frame = first.encode()
            daemon.push_socket.send_multipart([frame, b"forged"])
            daemon.push_socket.send_multipart([frame, b"{}", b"forged"])
            part = b"".join(struct.pack(">I", len(field)) + field for field in (frame, b"", b"forged"))
            daemon.push_socket.send_multipart([b"^batch~~~~~", part])
            sent += 3
        for first in TOPICS:
            daemon.push_socket.send(first.encode() + b"~forged")
            sent += 1
        nothing_but_the_good_one(daemon, tail)
        subject = daemon.control("status")["subject"]
        assert subject["refused"] + subject["malformed"] == sent and subject["dropped"] == 0, (sent, subject)
        # Only what is read as a batch, and what is no topic at all, counts as malformed.
        assert subject["refused"] >= sent * 3 // 4, subject
        # Rate limited: at most five lines of a kind in ten seconds, and what was left out is said.
        assert 1 <= len(refused_lines(daemon, "a message was refused")) <= 20
        daemon.stop()
        assert refused_lines(daemon, "suppressed: refused"), daemon.log_text()


@case
def called_forgeries_are_answered():
    with forged_daemon(expect=["a call was refused", "suppressed: (refused|malformed)-call"]) as daemon:
        tail = daemon.tail("")
        answered = 0
        for first in TOPICS + KEYS:
            for frames in [first.encode(), b"forged"], [first.encode(), b"{}", b"forged"], [first.encode() + b"~forged"]:
                if len(frames) == 1 and "~" not in first:
                    continue
                status, _, body = daemon.request("CALL", *frames)
                code = json.loads(body)["code"]
                assert status == "ERROR" and code in ("reserved", "malformed"), (first, status, body)
                answered += 1
        for first in KEYS:
            status, _, body = daemon.request("SEND", first.encode(), b"forged")
            assert status == "ERROR" and json.loads(body)["code"] == "reserved", (first, status, body)
            answered += 1
        nothing_but_the_good_one(daemon, tail)
        subject = daemon.control("status")["subject"]
        assert subject["refused"] + subject["malformed"] == answered and subject["calls"]["waiting"] == 0, (answered, subject)


@case
def forgeries_of_plugins_are_refused():
    with forged_daemon(expect=["plugin forger: a message was refused", "forger.forge gave a key", "suppressed: (emit-reserved|reserved-key)"]) as daemon:
        tail = daemon.tail("")
        for what in "ernfa":
            for key in KEYS if what != "f" else ["^x", "^batch", "^hello"]:
                status, body = daemon.call("?Forge?Do", f"{what} {key}".encode())
                # What was refused has no effect: the result goes out under the action's own key.
                topic, _, published = tail.next()
                assert status == "OK" and body == published and topic.action == "Do", (what, key, topic, published)
                assert body == b"-5", (what, key, body)
        nothing_but_the_good_one(daemon, tail)
        counters = daemon.counters()
        assert counters["zmanager_emit_denied_total"] == 2 * len(KEYS) + 3, counters
        assert counters["zmanager_worker_denied_total"] == 2 * len(KEYS), counters
        assert 1 <= len(refused_lines(daemon, "forger")) <= 20


@case
def the_control_socket_sends_nothing():
    with forged_daemon() as daemon:
        tail = daemon.tail("")
        for command in "send", "call", "publish", "emit", "done", "^batch~~~~~", "Trusted~~~~done~1", "error":
            status, reply = daemon.receive_control(daemon.send_control(command, key="??done", topic="Trusted~~~~done~1", body="forged"))
            assert status == "ERROR" and reply["code"] == "invalid", (command, reply)
        for key in KEYS:
            done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "send", key, "forged"], capture_output=True, timeout=60)
            assert done.returncode != 0 and done.stderr, (key, done)
        nothing_but_the_good_one(daemon, tail)


@case
def services_cannot_take_the_runtimes_names():
    with forged_daemon(expect=["a call was refused", "suppressed: malformed-call"]) as daemon:
        for name in "^batch", "^", "a~b", "", "a b", "x" * 300:
            status, _, body = daemon.request("HELLO", json.dumps({"name": name, "patterns": []}).encode())
            assert status == "ERROR" and json.loads(body)["code"] == "malformed", (name, body)
        assert daemon.control("services") == {"services": []}
        # Nobody speaks for zmanager: a command to a service that a peer pushes enters no flow and reaches nobody.
        daemon.expect("message refused|refused")
        tail = daemon.tail("command_")
        daemon.send("command_greeter~~zmanager~service~stop_service~1", b"")
        daemon.send("?Hello?Greet", b"x")
        daemon.settled(1)
        published = []
        while tail.socket.poll(100):
            published.append(tail.next())
        assert all(topic.action == "error" for topic, _, _ in published), published


# ---- malformed peers ----

def frames_tables():
    """(what is wrong, frames) for the subject."""
    good = b"?Hello?Greet"
    return [
        ("no frames with anything", [b""]), ("an empty topic", [b"", b"x"]), ("one frame, no tildes", [b"hello"]),
        ("five tildes", [b"a~b~c~d~e~f"]), ("four frames", [good, b"{}", b"x", b"y"]), ("headers are no JSON", [good, b"{", b"x"]),
        ("a space", [b"?Hello Greet?x", b""]), ("a third ?", [b"?a?b?c", b""]), ("two @", [b"?a@b@c?d", b""]),
        ("a dot", [b"A?B?C.D", b""]), ("a long key", [b"?" + b"x" * 2000 + b"?y", b""]), ("a long part", [b"?" + b"x" * 256 + b"?y", b""]),
        ("a zero byte", [b"?a\0?b", b""]), ("bad UTF-8", [b"?\xff\xfe?b", b""]), ("a bad id", [b"~~~Hello~Greet~a b", b""]),
        ("a long id", [b"~~~Hello~Greet~" + b"i" * 65, b""]), ("seven fields", [b"~~~Hello~Greet~i~more", b""]),
        ("a line end", [b"?Hello?Greet\n", b""]), ("long headers", [good, b"{" + b" " * 70000 + b"}", b""]),
        ("a batch of nothing", [b"^batch~~~~~", b""]), ("a cut batch", [b"^batch~~~~~", b"\0\0"]),
        ("a batch with headers", [b"^batch~~~~~", b"{}", b"x"]), ("a batch in one frame", [b"^batch~~~~~~x"]),
    ]


@case
def malformed_pushes_are_counted_and_told():
    with forged_daemon(expect=["refused|suppressed"]) as daemon:
        tail = daemon.tail("")
        errors = 0
        for number, (what, frames) in enumerate(frames_tables()):
            before = daemon.control("status")["subject"]
            daemon.push_socket.send_multipart(frames)
            daemon.send("?Hello?Greet", b"%d" % number)
            if what == "headers are no JSON":
                # Headers are read where something needs them: this one runs.
                assert {body for _, _, body in tail.take(2)} == {b"hello, x", b"hello, %d" % number}
                continue
            topic, _, body = tail.next()
            assert body == b"hello, %d" % number, (what, topic, body)
            errors += 1
            after = daemon.control("status")["subject"]
            assert after["malformed"] + after["refused"] - before["malformed"] - before["refused"] == 1, (what, before, after)
        assert errors >= 20


@case
def malformed_calls_are_answered():
    with forged_daemon(expect=["a call was refused", "suppressed"]) as daemon:
        for what, frames in frames_tables():
            status, _, body = daemon.request("CALL", *frames)
            if what == "four frames" or status != "OK":
                reply = json.loads(body)
                assert status == "ERROR" and reply["code"] == "malformed" and len(reply["text"]) > 10, (what, status, body)
        for what, raw in [("no verb", [b"1"]), ("an unknown verb", [b"1", b"GIVE", b"?a?b", b""]), ("an empty verb", [b"1", b"", b"?a?b", b""]),
                          ("no message", [b"1", b"CALL"]), ("a small letter", [b"1", b"call", b"?a?b", b""]),
                          ("HELLO without JSON", [b"1", b"HELLO"]), ("HELLO with a list", [b"1", b"HELLO", b"[]"]),
                          ("HELLO twice", [b"1", b"HELLO", b"{}", b"{}"]), ("HEARTBEAT of nobody", [b"1", b"HEARTBEAT", b"{}"]),
                          ("a bad timeout", [b"1", b"CALL", b"?Hello?Greet", b'{"timeout":"soon"}', b""]),
                          ("a timeout of 0", [b"1", b"CALL", b"?Hello?Greet", b'{"timeout":0}', b""]),
                          ("headers that are a list", [b"1", b"CALL", b"?Hello?Greet", b"[1]", b""])]:
            daemon.call_socket.send_multipart(raw)
            assert daemon.call_socket.poll(PATIENCE * 1000), what
            reply = daemon.call_socket.recv_multipart()
            assert reply[0] == b"1" and reply[1] == b"ERROR" and json.loads(reply[3])["text"], (what, reply)
        # A DEALER's request id may not be empty: that would be a REQ's delimiter, and the rest is read behind it.
        daemon.call_socket.send_multipart([b"", b"CALL", b"?Hello?Greet", b"x"])
        assert daemon.call_socket.recv_multipart()[:3] == [b"", b"CALL", b"ERROR"]
        assert daemon.call("?Hello?Greet", b"x") == ("OK", b"hello, x")


@case
def ten_thousand_frames_and_too_large_ones():
    n = 100000 if LONG else 10000
    with forged_daemon(config="[subject]\nmax-message = 64k\n[call]\nmax-message = 64k\n", expect=["refused|suppressed"]) as daemon:
        tail = daemon.tail("")
        memory = daemon.rss_mb()
        for endpoint, head in [("subject", []), ("call", [b"1", b"CALL"]), ("control", [b"1"])]:
            peer = daemon.socket(zmq.DEALER if endpoint != "subject" else zmq.PUSH)
            peer.connect(daemon.endpoint(endpoint))
            peer.send_multipart(head + [b"?Hello?Greet"] * n)
            if endpoint != "subject":
                assert peer.poll(PATIENCE * 1000), endpoint
                assert peer.recv_multipart()[1] == b"ERROR", endpoint
            # Over max-message: the peer is disconnected, and nothing of it is read.
            peer.send_multipart(head + [b"?Hello?Greet", b"x" * (2 << 20)])
        nothing_but_the_good_one(daemon, tail)
        assert daemon.call("?Hello?Greet", b"x") == ("OK", b"hello, x")
        assert tail.next()[2] == b"hello, x"
        tail.none(0.05)
        assert daemon.rss_mb() < memory + 64, (memory, daemon.rss_mb())


@case
def random_frames_on_every_socket():
    """From a fixed seed; what the daemon takes for good is known by what it publishes and answers."""
    random.seed(20260101)
    rounds = 20000 if LONG else 1500
    alphabet = [b"", b"?", b"~", b"^", b"@", b"\0", b"\xff", b"{", b"}", b"[", b'"', b"Hello", b"Greet", b"done", b"batch", b"CALL",
                b"HELLO", b"command", b"\xc3\xa9", b"status", b":", b",", b"\n", b"1" * 40, b"x" * 1000]

    def garbage():
        if random.random() < 0.3:
            return random.randbytes(random.randrange(0, 300))
        return b"".join(random.choice(alphabet) for _ in range(random.randrange(0, 12)))

    with forged_daemon(expect=["refused|suppressed|service"]) as daemon:
        tail = daemon.tail("~~hello~")
        peers = []
        for endpoint, kind in ("subject", zmq.PUSH), ("call", zmq.DEALER), ("control", zmq.DEALER), ("topics", zmq.XSUB):
            peer = daemon.socket(kind)
            peer.setsockopt(zmq.RCVHWM, 0)
            peer.connect(daemon.endpoint(endpoint))
            peers.append(peer)
        for _ in range(rounds):
            for peer in peers:
                peer.send_multipart([garbage() for _ in range(random.randrange(1, 6))])
        # Each request has its answer: the call and the control socket are behind what they were sent.
        for peer, last in (peers[1], [b"last", b"CALL", b"?Hello?Greet", b"end"]), (peers[2], [b"last", b'{"command":"status"}']):
            peer.send_multipart(last)

            def answered(peer=peer):
                while peer.poll(0):
                    if peer.recv_multipart()[0] == b"last":
                        return True
                return False

            wait_for("the last answer", answered)
        assert tail.next()[2] == b"hello, end"
        daemon.send("?Hello?Greet", b"good")
        assert tail.next()[2] == b"hello, good"
        status = daemon.settled()
        assert status["state"] == "ready" and status["subject"]["calls"]["waiting"] == 0, status


@case
def bad_requests_on_the_control_socket_are_refused_with_a_text():
    table = [
        b"", b"x", b"{", b"}", b"[]", b"[1,2]", b"1", b"null", b"true", b'"status"', b"{}", b'{"command":1}', b'{"command":null}',
        b'{"command":""}', b'{"command":"Status"}', b'{"command":"stat us"}', b'{"command":["status"]}', b'{"command":{}}',
        b'{"comand":"status"}', b'{"command":"status"} x', b'{"command":"explain"}', b'{"command":"explain","key":""}',
        b'{"command":"explain","key":"a?b?c?d"}', b'{"command":"explain","key":{"a":1}}', b'{"command":"flow"}',
        b'{"command":"flow","name":"../../etc/passwd"}', b'{"command":"flow","name":""}', b'{"command":"plugins","name":7}',
        b'{"command":"plugin-load"}', b'{"command":"plugin-load","name":"../hello"}', b'{"command":"plugin-load","name":"/bin/ls"}',
        b'{"command":"plugin-load","name":"hello\\u0000x"}', b'{"command":"plugin-unload","name":"nobody"}',
        b'{"command":"plugin-reload","name":""}', b'{"command":"log-level"}', b'{"command":"log-level","level":5}',
        b'{"command":"service-command"}', b'{"command":"service-command","service":"nobody","verb":"get_health"}',
        b'{"command":"service-command","service":"nobody","verb":"explode"}', b'{"command":"top","interval_ms":0}',
        b'{"command":"top","interval_ms":-1}', b'{"command":"top","interval_ms":1e300}', b'{"command":"top","interval_ms":"1s"}',
        b'{"command":"log","level":"loud"}', b'{"command":"cancel"}',
        b'{"command":"\xff\xfe"}', b"\xef\xbb\xbf{\"command\":1}", b'{"a":' * 3000 + b"1" + b"}" * 3000, b"[" * 100000,
        b'{"command":"' + b"x" * 100000 + b'"}', b"\0" * 1000, b" " * (1 << 20) + b"{}", b"x" * (2 << 20),
    ]
    with forged_daemon() as daemon:
        for number, request in enumerate(table):
            request_id = b"r%d" % number
            peer = daemon.socket(zmq.DEALER)
            peer.connect(daemon.endpoint("control"))
            peer.send_multipart([request_id, request])
            if not peer.poll(5000):
                # Only what is larger than the socket takes has no answer: that peer is disconnected.
                assert len(request) > (1 << 20), request[:60]
            else:
                answered, status, body = peer.recv_multipart()
                reply = json.loads(body)
                assert answered == request_id and status == b"ERROR" and len(reply["text"]) > 5, (request[:60], status, reply)
                assert reply["code"] in ("invalid", "not-found", "refused", "failed"), (request[:60], reply)
            peer.close()
        assert daemon.control("status")["state"] == "ready"
        assert [p["name"] for p in daemon.control("plugins")["plugins"] if p["state"] == "loaded"] in (["hello", "forger"], ["forger", "hello"])


@case
def raw_bytes_instead_of_zmtp():
    """Peers that speak no ZeroMQ at all, and those that go away in the middle."""
    # What does not begin as ZMTP 3 is read as ZMTP 1, where any bytes may turn out to be frames.
    with forged_daemon(expect=["a (message|call) was refused", "suppressed", "a reply could not be sent"]) as daemon:
        tail = daemon.tail("")
        greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00NULL" + b"\0" * 48
        before = daemon.descriptors()
        for name in "subject", "call", "topics", "control":
            for text in b"", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, os.urandom(4096), greeting[:20], greeting + b"\x04\xff" * 10, \
                    greeting + b"\x06" + b"\xff" * 8 + b"x" * 100:
                peer = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
                peer.connect(daemon.endpoint(name)[len("ipc://"):])
                try:
                    peer.sendall(text)
                except OSError:
                    pass
                peer.close()
        nothing_but_the_good_one(daemon, tail)
        assert daemon.control("status")["state"] == "ready"
        wait_for("the descriptors to be closed", lambda: daemon.descriptors() <= before)


@case
def a_frame_over_the_bound_ends_its_connection_at_every_door():
    """Before any of it has come: no door makes room for what a stranger only announces."""
    with forged_daemon() as daemon:
        for name, peer_type in ("subject", b"PUSH"), ("call", b"DEALER"), ("topics", b"SUB"), ("control", b"DEALER"):
            with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as peer:
                peer.settimeout(PATIENCE)
                peer.connect(daemon.endpoint(name)[len("ipc://"):])
                ready = b"\x05READY\x0bSocket-Type" + len(peer_type).to_bytes(4, "big") + peer_type
                peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
                peer.sendall(bytes([4, len(ready)]) + ready + b"\x02" + (1 << 30).to_bytes(8, "big"))
                said = b""
                try:
                    while part := peer.recv(4096):
                        said += part
                        # Who is asked whether it is still there was not sent away.
                        assert b"PING" not in said, name
                except ConnectionResetError:
                    pass
        assert daemon.control("status")["state"] == "ready"


run()
