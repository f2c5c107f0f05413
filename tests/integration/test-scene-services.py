# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services: processes that speak the wire, the steps that they answer, their commands, and what happens without them."""

import json
import os
import signal
import subprocess
import sys

import zmq

from zmcase import SOURCE, ZMANAGERCTL, case, run
from zmtest import Daemon, PATIENCE, Refused, wait_for

# One service as a process of its own: name, key patterns, heartbeat, what to answer. Prints a line for all that it does.
SERVICE = r'''
import json, sys, time, uuid, zmq
run, name, patterns, beat, way = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
context = zmq.Context()
push, call, sub = (context.socket(kind) for kind in (zmq.PUSH, zmq.DEALER, zmq.SUB))
for socket, end in (push, "subject"), (call, "call"), (sub, "topics"):
    socket.connect("ipc://" + run + "/" + end)

def ask(verb, body):
    call.send_multipart([b"1", verb, json.dumps(body).encode()])
    reply = call.recv_multipart()
    assert reply[1] == b"OK", reply
    return json.loads(reply[3])

def subscribe(new, old=()):
    for prefix in set(new) - set(old): sub.subscribe(prefix)
    for prefix in set(old) - set(new): sub.unsubscribe(prefix)
    return list(new)

me = {"name": name, "version": "1.0", "patterns": patterns, "heartbeat_ms": beat}
answer = ask(b"HELLO", me)
sub.subscribe(answer["command_prefix"])
prefixes = subscribe(answer["prefixes"])
nonce = uuid.uuid4().hex
sub.subscribe("^hello~" + nonce)
ask(b"HELLO", dict(me, nonce=nonce))
print("ready", json.dumps(prefixes), flush=True)
due = time.monotonic() + beat / 1000
while True:
    if sub.poll(20):
        frames = sub.recv_multipart()
        flow, decorator, sender, contextpart, action, number = frames[0].decode().split("~")
        headers = json.loads(frames[1]) if len(frames) == 3 else {}
        if flow == "command_" + name:
            argument = json.loads(frames[-1]) if frames[-1] else None
            print("command", action, json.dumps(argument), flush=True)
            if action == "changed_topics": prefixes = subscribe(argument["prefixes"], prefixes)
            elif action == "get_health": ask(b"HEARTBEAT", {"name": name, "state": "DEGRADED", "received": 10, "errors": 1, "busy_ms": 20})
            elif action in ("add_topic", "remove_topic"):
                key = argument if isinstance(argument, str) else argument["key"]
                patterns = patterns + [key] if action == "add_topic" else [p for p in patterns if p != key]
                prefixes = subscribe(ask(b"HELLO", dict(me, patterns=patterns))["prefixes"], prefixes)
                print("prefixes", json.dumps(sorted(prefixes)), flush=True)
            elif action == "get_topics": ask(b"HELLO", dict(me, patterns=patterns))
            elif action == "stop_service":
                ask(b"HEARTBEAT", {"name": name, "state": "STOPPED"})
                break
            continue
        body = frames[-1]
        print("step", frames[0].decode(), headers.get("sequence"), flush=True)
        if way == "silent": continue
        if way == "async":
            # Asked by the PUBLISH step, answers the ASYNC step.
            push.send_multipart(["~".join((flow, "", "", contextpart, "get_service_topics_response", number)).encode(), b'["a","b"]'])
        elif way == "echo-header":
            # Knows only the key: the header says which flow waits.
            push.send_multipart(["~".join(("", "", sender, contextpart, action, number)).encode(),
                                 json.dumps({"prev-flow": headers["prev-flow"]}).encode(), b"by header: " + body])
        else:
            push.send_multipart(["~".join((flow, "", sender, contextpart, action, number)).encode(), way.encode() + b": " + body])
    if beat and time.monotonic() > due:
        ask(b"HEARTBEAT", {"name": name, "state": "RUNNING"})
        due = time.monotonic() + beat / 1000
'''


class Service:
    """The process, known to the daemon when this returns."""

    def __init__(self, daemon, name, patterns, beat=0, way="served"):
        self.process = subprocess.Popen([sys.executable, "-c", SERVICE, daemon.path("run"), name, json.dumps(patterns), str(beat), way],
                                        stdout=subprocess.PIPE, text=True)
        line = self.line()
        assert line.startswith("ready "), line
        self.prefixes = json.loads(line[6:])

    def line(self):
        """The next that it says."""
        return self.process.stdout.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ctl(daemon, *arguments, code=0):
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done
    return done.stdout


# The seed's two flows, word for word, and the action that the second one's first step names.
SEED = {
    "iam.flow": "[IAMConnection]\n?IAMConnection?Push\nSubject?IAMConnection?Connection\n??done\n",
    "topics.flow": "[ServiceManagement_GetServiceTopics]\n?ServiceManagement_GetServiceTopics?Push\n"
                   "Subject?ServiceManagement__GetServiceTopics@PUBLISH?get_service_topics\n"
                   "?ServiceManagement__GetServiceTopics@ASYNC?get_service_topics_response\n??done\n",
}
FLOWS = {
    "f.flow": "[Hand]\n?Hand?Push\n?Echo?Back\n?Desk?Approve\n?Echo?Back\n??done\n"
              "[Help]\n?Help?Push\n?Desk?Approve\n! ?Ops?Alert\n??done\n"
              "[Outer]\n?Outer?Push\n?Echo?Back\n?Hand?Push\n??done\n"
              "[Join]\n?Join?Push\n?Echo?Back & ?Desk?Approve & ?Desk@ASYNC?Later\n??done\n"
              "[Wait]\n?Wait?Push\n?Wait@ASYNC?Answer\n??done\n",
}
ACTIONS = {"e.ini": "[actionmapping]\n?Echo?Back = echo.echo\n?Ops?Alert = echo.echo\n"}
CONFIG = "[zmanager]\nwatch = no\n"
# What ?Desk?Approve means: the flows that have it as a step, and the key outside flows.
DESK = ["Hand~~~Desk~Approve~", "Help~~~Desk~Approve~", "Join~~~Desk~Approve~", "~~~Desk~Approve~"]


def serving(config="", flows=None, **more):
    return Daemon(config=CONFIG + config, actions=ACTIONS, flows={**SEED, **FLOWS, **(flows or {})}, plugins=["echo"], **more)


def error_of(message):
    topic, _, body = message
    assert topic.action == "error", message
    return json.loads(body)


@case
def the_seeds_connection_flow_is_served():
    with serving() as daemon, Service(daemon, "iam", ["Subject?IAMConnection?Connection"]) as service:
        # The step of the flow, and the same key outside flows.
        assert sorted(service.prefixes) == ["IAMConnection~~Subject~IAMConnection~Connection~", "~~Subject~IAMConnection~Connection~"]
        tail = daemon.tail("IAMConnection~~~~")
        for number in range(100):
            daemon.send("IAMConnection~~~IAMConnection~Push~id-%d" % number, b"%d" % number)
        done = {topic.id: (topic.action, body) for topic, _, body in tail.take(100)}
        assert done == {f"id-{n}": ("done", b"served: %d" % n) for n in range(100)}, done
        # Called, it is answered by the flow's end.
        assert daemon.call("IAMConnection~~~IAMConnection~Push~called", b"x") == ("OK", b"served: x")
        # What a registered service gets is numbered, so that it sees gaps.
        assert service.line().endswith(" 1") and service.line().endswith(" 2")


@case
def the_seeds_topics_flow_is_served():
    with serving() as daemon, Service(daemon, "topics", ["Subject?ServiceManagement__GetServiceTopics?get_service_topics"], way="async") as service:
        flow = "ServiceManagement_GetServiceTopics"
        tail = daemon.tail(flow + "~~~~")
        for number in range(50):
            daemon.send(f"{flow}~~~{flow}~Push~id-{number}", b"which?")
        done = sorted((topic.id, topic.action, body) for topic, _, body in tail.take(50))
        assert done == sorted((f"id-{n}", "done", b'["a","b"]') for n in range(50)), done
        assert service.line().split()[1].startswith(f"{flow}~PUBLISH~Subject~ServiceManagement__GetServiceTopics~get_service_topics~id-")
        assert daemon.control("instances")["instances"] == []


@case
def the_example_service_works_as_it_is():
    flows = {"w.flow": "[Welcome]\n?Welcome?Push\n?Greeter?Greet\n??done\n"}
    with serving(flows=flows) as daemon:
        example = subprocess.Popen([sys.executable, os.path.join(SOURCE, "data", "examples", "greeter.py"), daemon.directory],
                                   stdout=subprocess.PIPE, text=True)
        try:
            assert example.stdout.readline() == "greeter: ready\n"
            tail = daemon.tail("Welcome~~~~")
            daemon.send("?Welcome?Push", b"world")
            topic, _, body = tail.next()
            assert topic.action == "done" and body == b"Hello, world!", (topic, body)
            daemon.control("service-command", service="greeter", verb="stop_service")
            daemon.expect("service greeter: STOPPED")
            assert example.wait(PATIENCE) == 0
            assert [s["state"] for s in daemon.control("services")["services"] if s["name"] == "greeter"] == ["STOPPED"]
        finally:
            example.kill()
            example.wait()
            example.stdout.close()


@case
def a_step_nobody_takes_fails_at_once():
    with serving(expect=["no-taker"]) as daemon:
        tail = daemon.tail("Hand~~~~")
        daemon.send("?Hand?Push", b"x")
        assert error_of(tail.next())["code"] == "no-taker"
        with Service(daemon, "desk", ["?Desk?Approve"]) as service:
            daemon.send("?Hand?Push", b"y")
            topic, _, body = tail.next()
            assert topic.action == "done" and body == b"served: y", (topic, body)
            service.process.kill()
            service.process.wait()
            # libzmq takes its subscriptions away with the connection.
            wait_for("its subscriptions to go", lambda: daemon.control("status")["integration"]["subscriptions"] <= 2)
            daemon.send("?Hand?Push", b"z")
            assert error_of(tail.next())["code"] == "no-taker"
        # The error step runs instead, with the error as its body, and the flow goes on.
        tail = daemon.tail("Help~~~~")
        daemon.send("?Help?Push", b"x")
        topic, _, body = tail.next()
        assert topic.action == "done" and json.loads(body)["code"] == "no-taker", (topic, body)


@case
def a_taker_is_waited_for_where_that_is_configured():
    with serving("[workers]\nwait-for-taker = 20s\n") as daemon:
        tail = daemon.tail("Hand~~~~")
        daemon.send("?Hand?Push", b"patient")
        wait_for("the flow", lambda: daemon.control("status")["workers"]["inside"] == 1)
        with Service(daemon, "desk", ["?Desk?Approve"]):
            topic, _, body = tail.next()
            assert topic.action == "done" and body == b"served: patient", (topic, body)


@case
def async_ends_with_an_error_after_its_time():
    with serving("[workers]\nwait-timeout = 2s\n") as daemon:
        tail = daemon.tail("Wait~~~~")
        daemon.send("Wait~~~Wait~Push~one", b"x")
        error = error_of(tail.next())
        assert error["code"] == "timeout", error
        # Answered too late: no instance waits any more, and that is said.
        daemon.expect("message refused")
        daemon.send("Wait~~~Wait~Answer~one", b"late")
        assert error_of(tail.next())["code"] == "no-such-instance"
        daemon.send("Wait~~~Wait~Push~two", b"x")
        wait_for("the instance", lambda: daemon.control("instances")["instances"])
        daemon.send("Wait~~~Wait~Push~two", b"again")
        assert error_of(tail.next())["code"] == "duplicate"
        daemon.send("Wait~~~Wait~Answer~two", b"in time")
        topic, _, body = tail.next()
        assert (topic.action, topic.id, body) == ("done", "two", b"in time"), (topic, body)


@case
def flows_nest_around_a_service():
    with serving() as daemon, Service(daemon, "desk", ["?Desk?Approve"]):
        tail = daemon.tail("Outer~~~~")
        daemon.send("Outer~~~Outer~Push~n-1", b"deep")
        topic, _, body = tail.next()
        assert (topic.action, topic.id, body) == ("done", "n-1", b"served: deep"), (topic, body)


@case
def a_join_waits_for_its_service_and_its_answer():
    with serving() as daemon, Service(daemon, "desk", ["?Desk?Approve"]):
        tail = daemon.tail("Join~~~~")
        daemon.send("Join~~~Join~Push~j-1", b'{"n":1}')
        wait_for("the branch that waits", lambda: [i["key"] for i in daemon.control("instances")["instances"]] == ["?Desk?Later"])
        daemon.send("Join~~~Desk~Later~j-1", b"came")
        topic, headers, body = tail.next()
        assert topic.action == "done" and headers["content-type"] == "application/json", (topic, headers)
        first, second, third = json.loads(body)
        assert second == 'served: {"n":1}' and third == "came" and first in ({"n": 1}, '{"n":1}'), body


@case
def who_echoes_prev_flow_need_not_know_the_flow():
    with serving() as daemon, Service(daemon, "desk", ["?Desk?Approve"], way="echo-header"):
        tail = daemon.tail("Hand~~~~")
        daemon.send("?Hand?Push", b"x")
        topic, _, body = tail.next()
        assert topic.action == "done" and body == b"by header: x", (topic, body)
        tail = daemon.tail("Outer~~~~")
        daemon.send("?Outer?Push", b"y")
        topic, _, body = tail.next()
        assert topic.action == "done" and body == b"by header: y", (topic, body)


@case
def commands_reach_the_service():
    with serving(expect=["service desk: (DEGRADED|STOPPED)"]) as daemon, Service(daemon, "desk", ["?Desk?Approve"]) as service:
        def command(verb, argument=None, said=None):
            daemon.control("service-command", service="desk", verb=verb, **({"argument": argument} if argument else {}))
            assert service.line() == f"command {verb} {json.dumps(said)}", verb

        command("get_health")
        shown = wait_for("its health", lambda: [s for s in daemon.control("services")["services"] if s["state"] == "DEGRADED"])[0]
        assert (shown["received"], shown["errors"], shown["ratio"], shown["mean_ms"]) == (10, 1, 0.1, 2.0), shown
        listed = json.loads(ctl(daemon, "--json", "services"))
        assert "DEGRADED" in json.dumps(listed), listed
        command("add_topic", "?Desk?Later", "?Desk?Later")
        assert set(json.loads(service.line().split(" ", 1)[1])) - set(DESK) >= {"~~~Desk~Later~"}
        command("remove_topic", json.dumps({"key": "?Desk?Later"}), {"key": "?Desk?Later"})
        assert json.loads(service.line().split(" ", 1)[1]) == DESK
        command("get_topics")
        for verb, name, code in [("explode", "desk", "invalid"), ("get_health", "nobody", "not-found")]:
            try:
                daemon.control("service-command", service=name, verb=verb)
                raise AssertionError((verb, name))
            except Refused as refused:
                assert refused.code == code, refused.reply
        command("stop_service")
        wait_for("its end", lambda: [s["state"] for s in daemon.control("services")["services"]] == ["STOPPED"])
        assert service.process.wait(PATIENCE) == 0
        assert daemon.counters()["zmanager_service_commands_total"] == 5


@case
def a_reload_tells_services_what_changed():
    with serving() as daemon, Service(daemon, "desk", ["?Desk?Approve"]) as service:
        assert sorted(service.prefixes) == DESK, service.prefixes
        daemon.write("flows.d/new.flow", "[New]\n?New?Push\n?Desk?Approve\n??done\n")
        daemon.control("reload")
        verb, argument = service.line().split(" ", 1)[1].split(" ", 1)
        assert verb == "changed_topics" and "New~~~Desk~Approve~" in json.loads(argument)["prefixes"], argument
        tail = daemon.tail("New~~~~")
        # Its five prefixes, its commands, and those of the tail.
        wait_for("the service to subscribe", lambda: daemon.control("status")["integration"]["subscriptions"] >= 9)
        daemon.send("?New?Push", b"x")
        topic, _, body = tail.next()
        assert topic.action == "done" and body == b"served: x", (topic, body)
        # A reload that changes nothing for it says nothing to it.
        daemon.write("actions.d/more.ini", "[actionmapping]\n?Echo?More = echo.echo\n")
        daemon.control("reload")
        os.unlink(daemon.path("flows.d", "new.flow"))
        daemon.control("reload")
        while not (line := service.line()).startswith("command"):
            assert line.startswith("step"), line
        assert "New~" not in line and "changed_topics" in line, line


@case
def lost_heartbeats_make_it_unknown_and_hello_mends_it():
    with serving(expect=["service desk: UNKNOWN"]) as daemon:
        with Service(daemon, "desk", ["?Desk?Approve"], beat=100) as service:
            # It beats: four times the interval later it is known as running.
            until = wait_for("heartbeats", lambda: [s for s in daemon.control("services")["services"] if s["last_seen_ms"] < 100])
            assert until[0]["state"] == "RUNNING", until
            os.kill(service.process.pid, signal.SIGSTOP)
            line = daemon.wait_log("service desk: UNKNOWN")
            assert line["level"] == "warning", line
            assert [s["state"] for s in daemon.control("services")["services"]] == ["UNKNOWN"]
            os.kill(service.process.pid, signal.SIGCONT)
            wait_for("running again", lambda: [s["state"] for s in daemon.control("services")["services"]] == ["RUNNING"])
        wait_for("unknown again", lambda: [s["state"] for s in daemon.control("services")["services"]] == ["UNKNOWN"])
        with Service(daemon, "desk", ["?Desk?Approve"], beat=100):
            assert [s["state"] for s in daemon.control("services")["services"]] == ["RUNNING"]


run()
