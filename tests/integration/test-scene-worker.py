# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers in other languages: two lines of configuration; killed and restarted; and secrets, which are shown nowhere."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import zmq

from zmcase import SOURCE, ZMANAGERCTL, ZMANAGERD, case, run
from zmtest import Daemon, PATIENCE, wait_for

EXAMPLE = os.path.join(SOURCE, "data", "examples", "worker.py")
ACTIONS = {"python.ini": "[actionmapping]\n?Text?Shout = worker:shout\n?Echo?Back = echo.echo\n"}
FLOWS = {"s.flow": "[Shouting]\n?Shouting?Push\n?Echo?Back\n?Text?Shout\n?Echo?Back\n??done\n"}
# Two lines of configuration; the rest is for the test.
CONFIG = f"[worker shout]\nexec = {sys.executable} {EXAMPLE}\n[zmanager]\nwatch = no\n[workers]\nwait-timeout = 1500ms\n"
# As the example, but "sleep" makes it busy for ever, and its process number is known.
BUSY = '''
import os, sys, time, zmq
context = zmq.Context()
pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
pull.connect(os.environ["ZM_WORKER_CONNECT"]); push.connect(os.environ["ZM_SUBJECT"])
while True:
    frames = pull.recv_multipart()
    if frames[-1] == b"sleep":
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(1000)
    if frames[-1] == b"exit":
        print("ends", flush=True)
        sys.exit(3)
    if frames[-1] == b"die":
        os.kill(os.getpid(), 9)
    flow, decorator, sender, part, action, number = frames[0].decode().split("~")
    push.send_multipart(["~".join((flow, "", sender, part, action, number)).encode(), b"pid %d: " % os.getpid() + frames[-1].upper()])
'''


def connected(daemon, key="?Text?Shout", body=b"hello"):
    """Waits until a process has connected: a call that nobody takes says unavailable at once; what goes to one that was killed, and
    is not known to be gone yet, does so once its end is."""
    return wait_for("the worker's process", lambda: (answer := daemon.call(key, body, {"timeout": 1000})) and answer[0] == "OK" and answer)


@case
def a_plugin_in_python_in_two_lines():
    with Daemon(config=CONFIG, actions=ACTIONS, flows=FLOWS, plugins=["echo"]) as daemon:
        assert connected(daemon)[1] == b"HELLO"
        tail = daemon.tail("Shouting~~~~")
        other = daemon.tail("~~")
        # In a flow, between other steps.
        for number in range(200):
            daemon.send(f"Shouting~~~Shouting~Push~id-{number}", b"text %d" % number)
        done = {topic.id: (topic.action, body) for topic, _, body in tail.take(200)}
        assert done == {f"id-{n}": ("done", b"TEXT %d" % n) for n in range(200)}, done
        # Outside a flow its result is published like any other's.
        daemon.send("~~~Text~Shout~alone", b"quiet")
        while (message := other.next())[0].id != "alone":
            pass
        assert message[2] == b"QUIET" and message[0].action == "Shout", message
        workers = daemon.control("workers")["workers"]
        assert len(workers) == 1 and workers[0]["name"] == "shout", workers
        status = daemon.settled()
        assert status["workers"]["waiting"] == 0 and status["workers"]["dropped"] == 0, status["workers"]
        # It counts behind the sending, when the answer may have come already.
        wait_for("all to be counted", lambda: daemon.counters()["zmanager_worker_sent_total{worker=\"shout\"}"] >= 202)


def busy_daemon():
    """Its programs run in the directory of the instance."""
    daemon = Daemon(config=f"[worker shout]\nexec = {sys.executable} busy.py pid\n[zmanager]\nwatch = no\n", actions=ACTIONS, flows=FLOWS,
                    plugins=["echo"], expect=["worker shout"])
    daemon.write("busy.py", BUSY)
    return daemon


@case
def killed_while_working_it_is_restarted_and_its_message_fails_at_once():
    with busy_daemon() as daemon:
        first = connected(daemon)[1].split(b":")[0]
        tail = daemon.tail("Shouting~~~~")
        for kill in range(3):
            if os.path.exists(daemon.path("pid")):
                os.unlink(daemon.path("pid"))
            daemon.send(f"Shouting~~~Shouting~Push~victim-{kill}", b"sleep")
            wait_for("the worker to begin", lambda: os.path.exists(daemon.path("pid")) and open(daemon.path("pid")).read())
            os.kill(int(open(daemon.path("pid")).read()), signal.SIGKILL)
            # Started again, it serves others.
            answer = connected(daemon)
            assert answer[1].split(b":")[0] != first, answer
            first = answer[1].split(b":")[0]
        errors = {}
        for _ in range(3):
            topic, _, body = tail.next()
            error = json.loads(body)
            errors[topic.id] = (topic.action, error["code"])
            assert "its process ended before it answered: signal 9 (Killed)" in error["text"], error
        assert errors == {f"victim-{kill}": ("error", "unavailable") for kill in range(3)}, errors
        # One that ends by itself comes back too, and what it said is in the log.
        daemon.send("?Text?Shout", b"exit")
        daemon.wait_log("ends")
        assert connected(daemon)[1].split(b":")[0] != first
        shown = daemon.control("workers")["workers"][0]
        assert shown["starts"] >= 5 and shown["last_end"] == "exit status 3", shown
        table = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "workers"], capture_output=True, text=True, timeout=60).stdout.splitlines()
        heads, row = table[0].split(), table[1].split()
        assert heads[:4] == ["NAME", "STATE", "PROCESS", "STARTS"] and heads[-2:] == ["LAST", "END"], table
        assert int(row[3]) == shown["starts"] and table[1].endswith("exit status 3"), table
        wait_for("the last one's error", lambda: daemon.control("status")["workers"]["waiting"] == 0)


@case
def one_that_dies_of_its_message_fails_it_at_once_and_in_a_flow_too():
    # Nothing waits for a timeout: that would be 60 s.
    with busy_daemon() as daemon:
        connected(daemon)
        tail = daemon.tail("Shouting~~~~")
        began = time.monotonic()
        status, body = daemon.call("?Text?Shout", b"die")
        assert status == "ERROR" and json.loads(body)["code"] == "unavailable", body
        assert "worker shout: its process ended before it answered: signal 9 (Killed)" in json.loads(body)["text"], body
        connected(daemon)
        daemon.send("Shouting~~~Shouting~Push~in-a-flow", b"die")
        topic, _, body = tail.next()
        assert topic.action == "error" and json.loads(body)["code"] == "unavailable", body
        assert time.monotonic() - began < 30
        connected(daemon)
        # One answer a process: what it pushed just before it ended still counts.
        daemon.write("busy.py", BUSY + "    sys.exit(0)\n")
        daemon.call("?Text?Shout", b"exit")
        for number in range(5):
            assert connected(daemon, body=b"n%d" % number)[1].endswith(b": N%d" % number)


@case
def a_program_that_is_not_there_is_shown_and_found_when_it_comes():
    config = "[worker shout]\nexec = ./late.sh\n[zmanager]\nwatch = no\n"
    text = "there is no program {}/./late.sh; install it, or give its full path"
    with Daemon(config=config, actions=ACTIONS, plugins=["echo"], expect=["worker shout: cannot be started"]) as daemon:
        text = "exec: " + text.format(os.path.realpath(daemon.directory))
        wait_for("the reason", lambda: daemon.control("status")["reasons"] == ["worker shout: " + text])
        assert daemon.control("status")["state"] == "degraded"
        shown = daemon.control("workers")["workers"]
        assert [(w["name"], w["state"], w["last_end"]) for w in shown] == [("shout", "failed", text)], shown
        status, body = daemon.call("?Text?Shout", b"x")
        assert status == "ERROR" and json.loads(body)["text"].endswith("worker shout: " + text), body
        table = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "workers"], capture_output=True, text=True, timeout=60).stdout
        assert text in table and "failed" in table, table
        # The check says it beforehand, with the place.
        check = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--check"], capture_output=True, text=True, timeout=60)
        assert check.returncode != 0 and ":2:8: error ZM1021: [worker shout]: " + text in check.stdout, check.stdout
        program = f"#!/bin/sh\nexec {sys.executable} {EXAMPLE}\n"
        daemon.write("late.sh", program)
        os.chmod(daemon.path("late.sh"), 0o700)
        assert connected(daemon)[1] == b"HELLO"
        assert daemon.control("status")["state"] == "ready"
        check = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--check"], capture_output=True, text=True, timeout=60)
        assert check.returncode == 0, check.stdout


@case
def the_process_ends_with_the_daemon():
    with busy_daemon() as daemon:
        number = int(connected(daemon)[1].split(b":")[0].split()[1])
        daemon.stop()
        wait_for("the process to go", lambda: not os.path.exists(f"/proc/{number}"))


@case
def a_worker_that_is_started_elsewhere_only_binds():
    with Daemon(config="[worker shout]\n[zmanager]\nwatch = no\n", actions=ACTIONS, plugins=["echo"]) as daemon:
        status, body = daemon.call("?Text?Shout", b"nobody")
        assert status == "ERROR" and json.loads(body)["code"] == "unavailable", body
        workers = []
        try:
            for _ in range(2):
                workers.append(subprocess.Popen([sys.executable, EXAMPLE], env={**os.environ, "ZM_SUBJECT": daemon.endpoint("subject"),
                                                                                "ZM_WORKER_CONNECT": daemon.endpoint("worker-shout")}))
            connected(daemon)
            for number in range(100):
                assert daemon.call("?Text?Shout", b"n%d" % number) == ("OK", b"N%d" % number)
        finally:
            for worker in workers:
                worker.terminate()
                # It may have been told before it had begun to listen to signals.
                assert worker.wait(PATIENCE) in (0, -signal.SIGTERM)


@case
def a_reload_keeps_the_socket_and_may_exchange_endpoints():
    actions = {"w.ini": "[actionmapping]\n?W?One = worker:one\n?W?Two = worker:two\n"}
    with Daemon(config="[worker one]\n[worker two]\n", actions=actions, expect=["did not end in time"]) as daemon:
        # Not ipc, where libzmq takes a path away from who has it.
        free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ends = ["tcp://127.0.0.1:%d" % one.getsockname()[1] for one in free]
        for one in free:
            one.close()

        def configure(one, two, more=""):
            daemon.write("zmanager.conf", f"[zmanager]\nwatch = no\n[worker one]\nbind = {one}\n{more}[worker two]\nbind = {two}\n")
            daemon.control("reload")
            return {worker["name"]: worker for worker in daemon.control("workers")["workers"]}

        def served(key, process):
            return wait_for(key, lambda: daemon.send(key, b"x") or (process.poll(200) and process.recv_multipart()[0].decode()))

        configure(*ends)
        process = daemon.socket(zmq.PULL)
        process.connect(ends[0])
        assert "~One~" in served("?W?One", process)
        shown = configure(*ends, more="exec = sleep 1000\n")
        assert shown["one"]["exec"] == "sleep 1000" and shown["one"]["sent"] >= 1, shown
        # Still the same connection, and nothing of what was sent is lost.
        assert "~One~" in served("?W?One", process)
        shown = configure(ends[1], ends[0])
        assert [shown[name]["endpoint"] for name in ("one", "two")] == ends[::-1], shown
        assert daemon.control("status")["state"] == "ready", daemon.control("status")
        wait_for("the step at its new place", lambda: "~Two~" in served("?W?Two", process))


# ---- secrets ----

SECRETIVE = r"""
#include <zmanager/plugin.h>
#include <stdio.h>
ZM_ACTION (compare)
{
  const char *first = zm_config (call->host, "password", 0), *second = zm_config (call->host, "token", 0);
  char text[256];
  int same = first && call->body_size == strlen (first) && memcmp (call->body, first, call->body_size) == 0;
  snprintf (text, sizeof text, "%s %d", same ? "same" : "other", second ? (int) strlen (second) : -1);
  return zm_reply_text (call, text);
}
static const zm_option_desc options[] = {
  { "password", ZM_OPTION_STRING, ZM_OPTION_SECRET, 0, "A secret" }, { "token", ZM_OPTION_STRING, 0, 0, "Given by file" },
  { "pin", ZM_OPTION_STRING, ZM_OPTION_SECRET, 0, "A secret by its schema alone" },
  { "key", ZM_OPTION_STRING, 0, 0, "Given by environment" }, { "open", ZM_OPTION_STRING, 0, 0, "No secret" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "secretive", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Keeps secrets", .options = options };
ZM_PLUGIN_FULL ("secretive", "1.0", "LGPL-2.1-or-later", "Keeps secrets", "kind=component\n", &descriptor);
"""
SECRETS = ["hunter2-in-the-open", "token-of-a-file", "key-of-the-environment", "pass-of-an-address", "hunter3-after-a-reload", "word-that-nothing-but-the-schema-hides"]


@case
def secrets_are_shown_nowhere():
    actions = {"s.ini": "[actionmapping]\n?Secret?Compare = secretive.compare\n"}
    with Daemon(actions=actions, plugins={"secretive": SECRETIVE},
                config="[zmanager]\nwatch = no\nlog-level = debug\n", env={"ZM_TEST_KEY": SECRETS[2]}) as daemon:
        with open(daemon.path("token"), "w") as out:
            out.write(SECRETS[1] + "\n")
        os.chmod(daemon.path("token"), 0o600)
        conf = f"[plugin secretive]\npassword = {SECRETS[0]}\ntoken = file:{daemon.path('token')}\nkey = env:ZM_TEST_KEY\n" \
               f"pin = {SECRETS[5]}\nopen = amqp://user:{SECRETS[3]}@127.0.0.1/x\n"
        daemon.write("conf.d/s.conf", conf)
        daemon.control("reload")
        wait_for("the configuration", lambda: daemon.call("?Secret?Compare", SECRETS[0].encode()) == ("OK", b"same %d" % len(SECRETS[1])))
        daemon.write("conf.d/s.conf", conf.replace(SECRETS[0], SECRETS[4]))
        changes = daemon.control("reload")
        # Its schema is not read again where it stays loaded.
        daemon.write("conf.d/u.conf", "[workers]\nhard-after = 7s\n")
        daemon.control("reload")
        # A reload that is refused for a line beside it; a value of the wrong type where a secret stands.
        daemon.expect("error ZM|refused|is not right")
        daemon.write("conf.d/t.conf", f"[plugin secretive]\npassword = {SECRETS[0]}\nnope = {SECRETS[0]}-x\n[workers]\ntimeout = 1s\n")
        refused = daemon.receive_control(daemon.send_control("reload"))
        assert refused[0] == "ERROR", refused
        os.unlink(daemon.path("conf.d", "t.conf"))
        shown = {"changes": changes, "refused": refused}
        for command in "status", "config", "plugins", "metrics", "routes", "log-recent", "sources", "workers", "running":
            shown[command] = daemon.control(command)
        shown["dump"] = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--dump"], capture_output=True, text=True, timeout=60,
                                       env={**os.environ, "ZM_TEST_KEY": SECRETS[2]}).stdout
        shown["dump json"] = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--dump", "--json"], capture_output=True, text=True,
                                            timeout=60, env={**os.environ, "ZM_TEST_KEY": SECRETS[2]}).stdout
        shown["check"] = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--check"], capture_output=True, text=True, timeout=60).stdout
        for arguments in ["status"], ["plugin", "ls"], ["--json", "plugin", "ls"], ["plugin", "info", "secretive"], ["explain", "?Secret?Compare"]:
            done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *arguments], capture_output=True, text=True, timeout=60)
            shown[" ".join(arguments)] = done.stdout + done.stderr
        assert "secretive" in shown["dump"] and "password" in shown["dump"], shown["dump"]
        daemon.stop()
        shown["log"] = daemon.log_text()
        for place, text in shown.items():
            text = text if isinstance(text, str) else json.dumps(text)
            # No plugin is looked at for a dump: there only a name can tell.
            for secret in SECRETS[:5] if place.startswith("dump") else SECRETS:
                assert secret not in text, (place, secret, text[max(0, text.find(secret) - 200):text.find(secret) + 60])


run()
