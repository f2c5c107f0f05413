# SPDX-License-Identifier: LGPL-2.1-or-later
"""zmanagerctl against a daemon that answers whatever the test wants: refusals, nonsense, silence, full queues."""

import json
import os
import shutil
import subprocess
import tempfile
import threading

import zmq

from zmcase import ZMANAGERCTL, Skip, case, run

# A wrong type that GLib would only grumble about ends the program here.
os.environ["G_DEBUG"] = "fatal-criticals"
DIR = tempfile.mkdtemp(prefix="zmctl-")
os.mkdir(os.path.join(DIR, "run"))
CONTEXT = zmq.Context()


def endpoint(name):
    return f"ipc://{DIR}/run/{name}"


STATUS = {
    "node": "fake",
    "state": "ready",
    "endpoints": {name: [endpoint(name)] for name in ("subject", "call", "topics")},
}


class Fake:
    """A ROUTER that gives each request to answer (frames after the id) -> list of replies (frames after the id)."""

    def __init__(self, name, answer):
        self.socket = CONTEXT.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint(name))
        self.answer = answer
        self.stopping = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.stopping:
            if not self.socket.poll(20):
                continue
            peer, ident, *rest = self.socket.recv_multipart()
            for reply in self.answer(rest):
                self.socket.send_multipart([peer, ident, *reply])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.socket.close()


def control(**answers):
    """status is answered as above, other commands by name: a list of (status, JSON text or value)."""

    def answer(rest):
        command = json.loads(rest[0])["command"]
        replies = answers.get(command, [("OK", STATUS)])
        return [[s.encode(), v if isinstance(v, bytes) else json.dumps(v).encode()] for s, v in replies]

    return Fake("control", answer)


def ctl(*arguments, status=0):
    done = subprocess.run(
        [ZMANAGERCTL, "--dir", DIR, *arguments], capture_output=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == status, (arguments, done)
    return done


@case
def codes_of_the_daemon_become_exit_statuses():
    table = {"not-found": 5, "refused": 4, "invalid": 1, "failed": 1, "unavailable": 1, "something new": 1}
    for code, status in table.items():
        with control(reload=[("ERROR", {"code": code, "text": "because\x1b[31m"})]):
            done = ctl("reload", status=status)
            assert b"because" in done.stderr and b"\x1b" not in done.stderr, done


@case
def degraded_is_told():
    with control(status=[("OK", {**STATUS, "state": "degraded", "reasons": ["plugin x: no"]})]):
        assert b"plugin x: no" in ctl("status", status=6).stdout
        assert json.loads(ctl("status", "--json", status=6).stdout)["state"] == "degraded"


@case
def nonsense_is_survived():
    values = [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"[" * 5000, b'{"endpoints":5}', b'{"endpoints":{"subject":[1]}}']
    values += [b'{"state":5,"reasons":"x","counters":[],"endpoints":[]}', b'{"flows":[1,null,{"steps":5}]}', b'{"plugins":{}}']
    for value in values:
        with control(status=[("OK", value)], flows=[("OK", value)], plugins=[("OK", value)], explain=[("OK", value)]):
            for arguments in (["status"], ["send", "?A?B"], ["flow", "ls"], ["plugin", "ls"], ["explain", "?A?B"]):
                for extra in ([], ["--json"]):
                    done = subprocess.run(
                        [ZMANAGERCTL, "--dir", DIR, *arguments, *extra], capture_output=True, timeout=60
                    )
                    assert done.returncode in (0, 1, 5), (value, arguments, done)


@case
def nonsense_in_streams_is_survived():
    parts = [("PART", v) for v in (b"", b"{", b"[1]", b"5", b"{}", b'{"routes":[1]}', b'{"routes":{"a":1},"time_us":"x"}')]
    parts += [("PART", {"missed": 3}), ("OK", {"text": "ended"})]
    with control(top=parts, trace=parts, log=parts):
        for name in ("top", "trace", "log"):
            assert b"3 lines were missed" in ctl(name).stdout or name == "top"
            ctl(name, "--json")


@case
def a_stream_that_is_refused_says_why():
    with control(log=[("ERROR", {"code": "unavailable", "text": "16 streams are open already"})]):
        assert b"16 streams" in ctl("log", status=1).stderr


@case
def busy_denied_and_errors_of_calls():
    replies = {
        ("BUSY", b'{"code":"busy"}'): (4, b"busy: "),
        ("ERROR", b'{"code":"denied","text":"not you"}'): (4, b"error denied: not you"),
        ("ERROR", b'{"code":"timeout","text":"too late"}'): (1, b"error timeout: too late"),
        ("ERROR", b"no json"): (1, b"error unknown: no json"),
        ("OK", b"the result"): (0, b""),
    }
    for (word, body), (status, text) in replies.items():
        with control(), Fake("call", lambda rest: [[word.encode(), b"", body]]):
            done = ctl("call", "?A?B", "x", status=status)
            assert text in done.stderr and (status != 0 or done.stdout == body), done
            assert json.loads(ctl("call", "--json", "?A?B", "x", status=status).stdout)["status"] == word


@case
def a_call_carries_key_headers_and_deadline():
    seen = []

    def answer(rest):
        seen.append(rest)
        return [[b"OK", b"", b""]]

    with control(), Fake("call", answer):
        ctl("call", "Me?Test@FAST?Go", "body", "--flow", "F", "--id", "i-1", "--header", "a=b=c", "--timeout", "7s")
    verb, topic, headers, body = seen[0]
    assert (verb, topic, body) == (b"CALL", b"F~FAST~Me~Test~Go~i-1", b"body"), seen
    assert json.loads(headers) == {"timeout": 7000, "a": "b=c"}, seen


@case
def silence_ends_with_the_deadline():
    with control(), Fake("call", lambda rest: []):
        assert b"no answer within the time" in ctl("call", "?A?B", "--timeout", "100ms", status=1).stderr


@case
def a_refused_registration_is_told():
    topics = CONTEXT.socket(zmq.XPUB)
    topics.bind(endpoint("topics"))
    with control(), Fake("call", lambda rest: [[b"ERROR", b"", b'{"code":"malformed","text":"no"}']]):
        done = ctl("tail", status=4)
        assert b"refused the registration" in done.stderr and b"tailing" not in done.stderr, done
    topics.close(0)


def tailed(*arguments, publish, status=0):
    """A tail of a daemon that publishes these (topic, headers, body) as soon as its subscriptions are active."""
    topics = CONTEXT.socket(zmq.XPUB)
    topics.linger = 0
    topics.bind(endpoint("topics"))

    def answer(rest):
        hello = json.loads(rest[1])
        if "nonce" in hello:
            while topics.recv() != b"\x01^hello~" + hello["nonce"].encode():
                pass
            for frames in publish:
                topics.send_multipart([f if isinstance(f, bytes) else json.dumps(f).encode() for f in frames])
        return [[b"OK", b"", json.dumps({"prefixes": ["~~A~B~", "F~~A~B~", "~~~~error~"]}).encode()]]

    try:
        with control(), Fake("call", answer):
            return ctl("tail", *arguments, status=status)
    finally:
        topics.close()


def numbered(topic, *numbers):
    return [(f"{topic}i".encode(), {"sequence": n}, b"x") for n in numbers]


@case
def tail_tells_what_it_missed():
    messages = numbered("~~A~B~~", 7, 8, 11) + numbered("F~~A~B~~", 1) + numbered("~~A~B~~", 20, 1, 2)
    done = tailed("A?B?", "--count", "7", publish=messages)
    assert done.stdout.count(b"\n") == 7 and b"sequence" not in done.stdout, done
    assert b"\nmissed 2\n" in done.stderr and b"7 printed, 10 missed: " in done.stderr, done
    lines = [json.loads(line) for line in tailed("A?B?", "--count", "7", "--json", publish=messages).stdout.splitlines()]
    assert sum(line.get("missed", 0) for line in lines) == 10 and len(lines) == 9, lines
    assert lines[0]["headers"] == {"sequence": 7}, lines
    assert b"missed" not in tailed("A?B?", "--count", "2", publish=messages).stderr


@case
def tail_of_a_key_shows_its_errors():
    def failed(ident, body):
        return (b"~~~~error~" + ident, body)

    done = tailed("A?B?", "--count", "3", "--json", publish=[
        failed(b"other", {"code": "no", "key": "Z?Z?Z"}),
        failed(b"ours", {"code": "unmapped", "key": "A?B?C"}),
        failed(b"step", {"code": "failed", "key": "Z?Z?Z", "step": "A?B?D"}),
        failed(b"nonsense", b"{"),
        (b"~~A~B~~id", b"result"),
    ])
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["ours", "step", "id"], done


@case
def tail_says_what_it_waits_for():
    done = tailed("A?B?", "--count", "3", "--for", "3500ms", publish=numbered("~~A~B~~", 1), status=1)
    assert b"waiting: 1 of 3 messages came" in done.stderr, done
    done = tailed("A?B?", "--for", "3500ms", publish=[])
    assert b"nothing came yet; zmanagerctl explain 'A?B?'" in done.stderr, done


@case
def send_says_when_the_daemon_takes_nothing():
    subject = CONTEXT.socket(zmq.PULL)
    subject.rcvhwm = 1
    subject.setsockopt(zmq.RCVBUF, 4096)
    subject.bind(endpoint("subject"))
    body = os.path.join(DIR, "body")
    with open(body, "wb") as file:
        file.write(b"x" * 1000000)
    with control():
        done = ctl("send", "?A?B", "@" + body, "--count", "2000", "--timeout", "500ms", status=4)
        assert b"takes no messages now" in done.stderr, done
        assert json.loads(ctl("send", "?A?B", "@" + body, "--count", "2000", "--timeout", "500ms", "--json", status=4).stdout)[
            "error"
        ]["code"] == "busy"
    subject.close(0)


@case
def who_may_not_connect_is_told():
    """The socket itself, the directory of sockets, and the instance's: none of them is "no daemon is there"."""
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    inside = os.path.join(DIR, "instance")
    os.makedirs(os.path.join(inside, "run"))
    socket = CONTEXT.socket(zmq.ROUTER)
    socket.bind(f"ipc://{inside}/run/control")
    os.chmod(DIR, 0o755)
    command = [ZMANAGERCTL, "--dir", inside, "status", "--timeout", "50ms"]
    try:
        subprocess.run([ZMANAGERCTL, "version"], check=True, capture_output=True, **other)
    except (PermissionError, subprocess.CalledProcessError) as why:
        raise Skip("another user may not run the built program") from why
    # Not "inside/.", which its owner could not open again: to find the dot takes the right to look into it.
    for path in [f"{inside}/run/control", f"{inside}/run", inside]:
        os.chmod(path, 0)
        done = subprocess.run(command, capture_output=True, timeout=30, cwd="/", **other)
        os.chmod(path, 0o755)
        assert done.returncode == 4 and b"you may not connect to " in done.stderr, (path, done)
    socket.close(0)


try:
    run()
finally:
    shutil.rmtree(DIR, ignore_errors=True)
