# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first thing an operator does: a plugin, a mapping, a message, a result on its topic. And what the control socket says."""

import json
import os
import shutil
import subprocess
import tempfile

import zmq

from zmcase import SOURCE, ZMANAGERD, case, run
from zmtest import Daemon, Refused

MAPPING = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}


def command(*arguments, env=None):
    return subprocess.run([ZMANAGERD, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})


@case
def result_is_published_on_its_topic():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        tail = daemon.tail("")
        daemon.send("?Hello?Greet", b"world")
        topic, _, body = tail.next()
        assert body == b"hello, world", body
        assert (topic.flow, topic.sender, topic.context, topic.action) == ("", "hello", "Hello", "Greet"), topic
        assert len(topic.id) == 36, topic


@case
def call_is_answered():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        assert daemon.call("?Hello?Greet", b"you") == ("OK", b"hello, you")


@case
def no_configuration_file_is_needed():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        os.unlink(daemon.path("zmanager.conf"))
        assert daemon.control("reload")["text"] == "nothing changed"


@case
def a_flow_runs_to_done():
    flows = {"greet.flow": "[Greeting]\n?Greeting?Push\n?Hello?Greet\n??done\n"}
    with Daemon(actions=MAPPING, flows=flows, plugins=["hello"]) as daemon:
        tail = daemon.tail("Greeting~")
        daemon.send("?Greeting?Push", b"flow")
        topic, _, body = tail.next()
        assert topic.action == "done" and body == b"hello, flow", (topic, body)


@case
def a_forged_done_publishes_nothing():
    with Daemon(actions=MAPPING, plugins=["hello"], expect=["reserved", "refused"]) as daemon:
        tail = daemon.tail("")
        daemon.send("Greeting~~~~done~1", b"forged")
        daemon.send("?Hello?Greet", b"after")
        topic, _, body = tail.next()
        assert body == b"hello, after", (topic, body)


@case
def status_tells_the_state():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        status = daemon.control("status")
        assert status["state"] == "ready" and status["reasons"] == [], status
        assert status["pid"] == daemon.process.pid, status
        assert status["table"]["routes"] == 1 and status["plugins"]["loaded"] == 1, status
        assert status["endpoints"]["subject"] == [daemon.endpoint("subject")], status
        explained = daemon.control("explain", key="?Hello?Greet")
        assert "hello" in json.dumps(explained), explained
        assert [plugin["name"] for plugin in daemon.control("plugins")["plugins"] if plugin.get("state") == "loaded"] == ["hello"]


@case
def bad_commands_are_refused_and_nothing_else_happens():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        for name, arguments, code in [
            ("no-such-command", {}, "invalid"),
            ("explain", {}, "invalid"),
            ("explain", {"key": "a b"}, "invalid"),
            ("explain", {"key": 7}, "invalid"),
            ("flow", {"name": "none"}, "not-found"),
            ("plugins", {"name": "none"}, "not-found"),
            ("plugin-load", {"name": "none"}, "not-found"),
            ("log-level", {"level": "loud"}, "invalid"),
            ("top", {"interval_ms": 1}, "invalid"),
            ("cancel", {}, "not-found"),
        ]:
            try:
                reply = daemon.control(name, **arguments)
            except Refused as refused:
                assert refused.code == code and refused.reply["text"], (name, refused.reply)
            else:
                raise AssertionError((name, arguments, reply))
        assert daemon.control("status")["state"] == "ready"


@case
def malformed_frames_on_the_control_socket_are_answered():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        socket = daemon.control_socket
        for frames in [[b"1"], [b"1", b"x", b"y"], [b"1", b"{}", b"3", b"4", b"5"], [b"x" * 300, b"{}"], [b"1", b"{" * 1000],
                       [b"1", b"[" * 500000], [b"1", b"\xff\xfe"], [b"1", b""], [b"1", b"{\"command\":\"\\ud800\"}"]]:
            socket.send_multipart(frames)
            assert socket.poll(10000), frames[0][:20]
            assert socket.recv_multipart()[1] == b"ERROR", frames
        # REQ puts an empty frame in front, and wants it back.
        req = daemon.socket(zmq.REQ)
        req.connect(daemon.endpoint("control"))
        req.send_multipart([b"7", b"{\"command\":\"status\"}"])
        assert req.poll(10000)
        assert req.recv_multipart()[:2] == [b"7", b"OK"]


@case
def streams_follow_and_end():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        trace = daemon.send_control("trace")
        daemon.control_socket.send_multipart([b"sync", b"{\"command\":\"status\"}"])
        assert daemon.receive_control(b"sync")[0] == "OK"
        daemon.send("?Hello?Greet", b"traced")
        status, part = daemon.receive_control(trace)
        assert status == "PART" and part["id"], part
        daemon.send_control("cancel", request_id=trace)
        while status == "PART":
            status, part = daemon.receive_control(trace)
        assert status == "OK", (status, part)
        top = daemon.send_control("top", interval_ms=100)
        for _ in range(3):
            status, part = daemon.receive_control(top)
            assert status == "PART" and part["routes"][0]["key"] == "?Hello?Greet", part


@case
def too_many_streams_are_refused():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        for _ in range(16):
            daemon.send_control("log", level="error")
        last = daemon.send_control("log", level="error")
        status, reply = daemon.receive_control(last)
        assert status == "ERROR" and reply["code"] == "unavailable", reply


@case
def second_daemon_on_the_same_directory_is_refused():
    with Daemon(actions=MAPPING, plugins=["hello"]) as daemon:
        done = command("--dir", daemon.directory)
        assert done.returncode == 1 and str(daemon.process.pid) in done.stderr, done
        assert daemon.control("status")["state"] == "ready"


@case
def missing_directory_is_one_clear_message():
    done = command("--dir", "/nonexistent/zm")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "mkdir -p /nonexistent/zm" in done.stderr, done


@case
def a_long_directory_gets_a_short_socket():
    parent = tempfile.mkdtemp(prefix="zm-")
    try:
        directory = os.path.join(parent, "d" * 100)
        os.mkdir(directory)
        with Daemon(actions=MAPPING, plugins=["hello"], directory=directory, env={"XDG_RUNTIME_DIR": parent}) as daemon:
            assert os.path.islink(daemon.path("run", "control"))
            assert daemon.call("?Hello?Greet", b"far") == ("OK", b"hello, far")
    finally:
        shutil.rmtree(parent)


@case
def check_finds_every_problem_at_its_place():
    with tempfile.TemporaryDirectory(prefix="zm-") as directory:
        os.makedirs(os.path.join(directory, "actions.d"))
        os.makedirs(os.path.join(directory, "plugins"))
        with open(os.path.join(directory, "zmanager.conf"), "w") as out:
            out.write("[zmanager]\nworkrs = 3\n[nonsense]\n")
        with open(os.path.join(directory, "actions.d", "a.ini"), "w") as out:
            out.write("[actionmapping]\n?A?B = nowhere.action\n?A?B C = nowhere.action\n")
        done = command("--dir", directory, "--check", env={"ZM_PLUGIN_PATH": ""})
        assert done.returncode == 1, done
        for place in "zmanager.conf:2:1: error ZM1001", "zmanager.conf:3:", "a.ini:2:", "a.ini:3:":
            assert place in done.stdout, (place, done.stdout)
        done = command("--dir", directory, "--check", "--json")
        report = json.loads(done.stdout)
        assert report["errors"] >= 4 and all(p["code"].startswith("ZM") for p in report["problems"]), report
        done = command("--dir", directory)
        assert done.returncode == 1 and "ZM1001" in done.stderr, done


@case
def dump_shows_values_with_their_origin():
    with tempfile.TemporaryDirectory(prefix="zm-") as directory:
        done = command("--dir", directory, "--dump", "--set", "zmanager.workers=3")
        assert done.returncode == 0 and "workers" in done.stdout and "--set" in done.stdout, done
        done = command("--dir", directory, "--dump", "--json")
        assert json.loads(done.stdout), done


@case
def the_example_configuration_is_right():
    with tempfile.TemporaryDirectory(prefix="zm-") as directory:
        example = os.path.join(SOURCE, "data", "examples", "zmanager.conf")
        done = command("--dir", directory, "--config", example, "--check", env={"ZM_PLUGIN_PATH": ""})
        assert done.returncode == 0 and "0 errors, 0 warnings" in done.stdout, done


run()
