# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many services, many daemons, many subscribers; and the forms that a message may have on its way."""

import os
import struct
import subprocess

import zmq

from zmcase import LONG, ZMANAGERD, Skip, case, run
from zmtest import Daemon, Senders, wait_for

HELLO = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n?Echo?Back = echo.echo\n"}
ROOMY = "[integration]\nhigh-water = 1000000\n"


def envelope(*parts):
    """A batch of (topic, headers, body)."""
    return b"".join(struct.pack(">I", len(field)) + field for part in parts for field in part)


@case
def three_services_two_daemons_three_subscribers():
    each = 20000 if LONG else 2000
    with Daemon(config=ROOMY, actions=HELLO, plugins=["hello", "echo"]) as one, \
            Daemon(config=ROOMY, actions=HELLO, plugins=["hello", "echo"]) as two:
        tails = []
        for _ in range(3):
            tail = one.tail("~~hello~")
            tail.socket.connect(two.endpoint("topics"))
            wait_for("the subscription at the second daemon",
                     lambda n=len(tails): two.control("status")["integration"]["subscriptions"] >= n + 2)
            tails.append(tail)
        with Senders([one.endpoint("subject"), two.endpoint("subject")], 3, each=each,
                     make=lambda index, number: [b"?Hello?Greet", b"%d-%d" % (index, number)]) as senders:
            sent = senders.done()
            assert sent == 3 * each
            expected = {b"hello, %d-%d" % (index, number) for index in range(3) for number in range(each)}
            for tail in tails:
                bodies = [body for _, _, body in tail.take(sent)]
                assert len(bodies) == sent and set(bodies) == expected
                tail.none()
            parts = [daemon.settled()["workers"]["results"] for daemon in (one, two)]
            # libzmq hands a PUSH socket's messages round, so both had their share.
            assert sum(parts) == sent and min(parts) > sent // 4, parts


@case
def one_daemon_feeds_another():
    """The second daemon's Integration Manager connects to a collector that binds; services and Subject may bind too."""
    with Daemon(config=ROOMY, actions=HELLO, plugins=["hello", "echo"]) as daemon:
        push = daemon.socket(zmq.PUSH)
        push.bind("ipc://" + daemon.path("service"))
        sub = daemon.socket(zmq.SUB)
        sub.setsockopt(zmq.RCVHWM, 0)
        sub.setsockopt(zmq.SUBSCRIBE, b"~~hello~")
        sub.bind("ipc://" + daemon.path("collector"))
        config = ROOMY + f"connect = ipc://{daemon.path('collector')}\n[subject]\nconnect = ipc://{daemon.path('service')}\n"
        with Daemon(config=config, actions=HELLO, plugins=["hello", "echo"]) as second:
            # A socket that binds sends its subscriptions when its own thread looks at it.
            wait_for("the collector's subscription", lambda: sub.poll(1) == 0 and second.control("status")["integration"]["subscriptions"] >= 1)
            for number in range(2000):
                push.send_multipart([b"?Hello?Greet", b"%d" % number])
            for number in range(2000):
                assert sub.poll(30000)
                sub.recv_multipart()
            status = second.settled(2000)
            assert status["workers"]["results"] == 2000, status["workers"]
            # What is bound beside it works as ever.
            assert second.call("?Hello?Greet", b"x") == ("OK", b"hello, x")


@case
def an_integration_manager_feeds_a_subject_through_a_bridge_of_two_sockets():
    """The topics of the first go to the Subject of the second: SUB to PUSH, frame by frame, by anybody's four lines."""
    mapping = {"chain.ini": "[actionmapping]\nhello?Hello?Greet = echo.echo\n"}
    with Daemon(config=ROOMY, actions=HELLO, plugins=["hello", "echo"]) as first, \
            Daemon(config=ROOMY, actions=mapping, plugins=["echo"]) as second:
        feed, tail = first.tail("~~hello~"), second.tail("")
        for number in range(1000):
            first.send("?Hello?Greet", b"%d" % number)
        sent = {}
        for _ in range(1000):
            frames = feed.socket.recv_multipart()
            sent[frames[0].decode().rsplit("~", 1)[1]] = frames[-1]
            second.push_socket.send_multipart(frames)
        for _ in range(1000):
            topic, _, body = tail.next()
            # The id stays the same all the way.
            assert sent.pop(topic.id) == body, topic
        assert not sent
        tail.none()


@case
def zmanagers_single_frame_is_taken():
    with Daemon(actions=HELLO, plugins=["hello", "echo"]) as daemon:
        tail = daemon.tail("")
        for frame, body in [(b"~~~Hello~Greet~~old", b"hello, old"), (b"~~~Hello~Greet~my-id~with~tildes~", b"hello, with~tildes~"),
                            (b"~~~Hello~Greet~~", b"hello")]:
            daemon.push_socket.send(frame)
            topic, _, got = tail.next()
            assert got == body and (topic.id == "my-id") == (b"my-id" in frame), (topic, got)
        assert daemon.call_socket.send_multipart([b"1", b"CALL", b"~~~Hello~Greet~~called"]) is None
        assert daemon.call_socket.recv_multipart()[1::2] == [b"OK", b"hello, called"]


@case
def an_endpoint_may_publish_and_take_single_frames_only():
    config = "[integration]\nframes = single\n[subject]\nframes = single\n"
    with Daemon(config=config, actions=HELLO, plugins=["hello", "echo"], expect=["a message was refused: 2 frames"]) as daemon:
        tail = daemon.tail("~~hello~")
        daemon.push_socket.send(b"~~~Hello~Greet~an-id~single")
        assert tail.socket.poll(10000)
        assert tail.socket.recv_multipart() == [b"~~hello~Hello~Greet~an-id~hello, single"]
        daemon.push_socket.send_multipart([b"?Hello?Greet", b"two"])
        daemon.push_socket.send(b"~~~Hello~Greet~~after")
        assert tail.next()[2] == b"hello, after"
        assert daemon.control("status")["subject"]["malformed"] == 1


@case
def an_endpoint_may_take_multi_frames_only():
    with Daemon(config="[subject]\nframes = multi\n", actions=HELLO, plugins=["hello", "echo"],
                expect=["a message was refused: one frame where"]) as daemon:
        tail = daemon.tail("")
        daemon.push_socket.send(b"~~~Hello~Greet~an-id~single")
        daemon.send("?Hello?Greet", b"two")
        assert tail.next()[2] == b"hello, two"
        assert daemon.control("status")["subject"]["malformed"] == 1


@case
def a_bad_part_of_a_batch_fails_alone():
    with Daemon(config=ROOMY, actions=HELLO, plugins=["hello", "echo"], expect=["a message was refused", "suppressed: malformed"]) as daemon:
        tail = daemon.tail("")
        good = [(b"?Hello?Greet", b"", b"%d" % n) for n in range(3)]
        bad = [(b"?Hello Greet", b"", b"x"), (b"^batch~~~~~", b"", envelope(good[0])), (b"??done", b"", b"x"),
               (b"a~b", b"", b"x"), (b"?Hello?Greet", b"x" * 70000, b"x")]
        daemon.send("^batch~~~~~", envelope(good[0], *bad[:2], good[1], *bad[2:], good[2]))
        assert sorted(body for _, _, body in tail.take(3)) == [b"hello, 0", b"hello, 1", b"hello, 2"]
        status = daemon.settled(4)["subject"]
        assert (status["received"], status["malformed"], status["refused"]) == (4, 4, 1), status
        # One that ends early: what stands before is taken, the rest refused.
        daemon.send("^batch~~~~~", envelope(good[0]) + b"\0\0\0\xff")
        assert tail.next()[2] == b"hello, 0"
        daemon.send("^batch~~~~~", b"")
        daemon.send("^batch~~~~~", envelope(*[(b"?Hello?Greet", b"", b"n")] * 1025))
        assert {body for _, _, body in tail.take(1024)} == {b"hello, n"}
        tail.none()
        assert daemon.settled()["subject"]["malformed"] == 7


@case
def headers_go_along():
    with Daemon(actions=HELLO, plugins=["hello", "echo"]) as daemon:
        tail = daemon.tail("")
        daemon.send("?Echo?Back", b"{}", {"correlation-id": "c-1", "traceparent": "00-ab", "mine": "x", "ordering-key": 7})
        _, headers, body = tail.next()
        assert body == b"{}" and headers["correlation-id"] == "c-1" and headers["traceparent"] == "00-ab", headers


# ---- multicast ----

def refused(config):
    """What the daemon says when it does not start."""
    with_config = Daemon(config=config)
    try:
        done = subprocess.run([ZMANAGERD, "--dir", with_config.directory], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 1, done
        return done.stderr
    finally:
        with_config.close()


@case
def multicast_is_refused_with_a_reason():
    address = "epgm://127.0.0.1;239.192.7.7:5577"
    for config, why in [
        (f"[subject]\nbind = {address}\n", "topics only"),
        (f"[call]\nbind = {address}\n", "topics only"),
        (f"[subject]\nconnect = {address}\n[security]\nallow-multicast = yes\n", "topics only"),
        (f"[integration]\nbind = {address}\n", "allow-multicast"),
        (f"[integration]\nconnect = {address}\n", "allow-multicast"),
    ]:
        said = refused(config)
        assert "epgm" in said and why in said, (config, said)
    for config, why in [
        ("[subject]\nbind = tcp://0.0.0.0:5599\n", "CURVE"), ("[call]\nbind = tcp://*:5599\n", "CURVE"),
        ("[integration]\nbind = tcp://192.0.2.1:5599\n", "CURVE"), ("[subject]\nbind = inproc://x\n", "no endpoint|ipc"),
        ("[subject]\nbind = tcp://127.0.0.1\n", "port"), ("[subject]\nbind = ipc://\n", "PATH"),
    ]:
        said = refused(config)
        assert any(word in said for word in why.split("|")), (config, said)


@case
def multicast_reaches_who_listens():
    endpoint = f"epgm://127.0.0.1;239.192.{os.getpid() % 200 + 1}.7:{20000 + os.getpid() % 20000}"
    config = f"[integration]\nbind = {endpoint}\n[security]\nallow-multicast = yes\n"
    if not zmq.has("pgm"):
        assert "without pgm" in refused(config)
        return
    # libpgm itself says that the loopback interface is no multicast one, and carries it all the same.
    with Daemon(config=config, actions=HELLO, plugins=["hello", "echo"], expect=["^(Warn|Trace|Info): "],
                flows={"f.flow": "[Ask]\n?Ask?Push\nSubject?Ask@PUBLISH?it\n??done\n"}) as daemon:
        sub = daemon.socket(zmq.SUB)
        sub.setsockopt(zmq.SUBSCRIBE, b"Ask~")
        sub.connect(endpoint)
        # PGM has no subscriptions and no hello: a listener hears what is sent after it joined.
        for number in range(100):
            daemon.send("?Ask?Push", b"%d" % number)
            if sub.poll(100):
                break
        else:
            raise Skip("this machine carries no multicast")
        frames = sub.recv_multipart()
        assert frames[0].startswith(b"Ask~") and frames[-1].isdigit(), frames
        assert daemon.control("status")["endpoints"]["topics"][0].startswith("epgm://")


run()
