# SPDX-License-Identifier: LGPL-2.1-or-later
"""zmanagerctl of plugins in hosts: hosts, running, dead ls|show|rm, status and what explains it; real crashes."""

import json
import os
import re
import subprocess
import time

import zmq

from zmcase import SOURCE, ZMANAGERCTL, case, run
from zmtest import Daemon, real_crashes, wait_for

ACTIONS = {"a.ini": "[actionmapping]\n?Bad?Crash = crash-action.crash\n?Good?Greet = hello.greet\n?Good?Slow = slow.work\n"}
CONFIG = "".join(f"[plugin {name}]\nisolation = {kind}\n" for name, kind in
                 {"crash-action": "private", "hello": "process", "slow": "process"}.items())
DEATHS = ["ended", "crash", "set aside", "quarantine", "is replaced", "killed", "hangs in host", "came back after its deadline"]


def bad_plugin(name):
    with open(os.path.join(SOURCE, "tests", "bad-plugins", name + ".c"), encoding="utf-8") as file:
        return file.read()


def isolated():
    plugins = {"crash-action": bad_plugin("crash-action"), "hello": None, "slow": None}
    return Daemon(config=CONFIG, actions=ACTIONS, plugins=plugins, expect=DEATHS, env=real_crashes())


def ctl(daemon, *arguments, status=0):
    environment = {key: value for key, value in os.environ.items() if key not in ("ZM_DIR", "NO_COLOR")}
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *arguments], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == status, (arguments, done)
    return done


def ctl_json(daemon, *arguments, status=0):
    return json.loads(ctl(daemon, "--json", *arguments, status=status).stdout)


def hosts(daemon):
    return {host["name"]: host for host in ctl_json(daemon, "hosts")["hosts"]}


def crash(daemon, ident, code="crashed", body="the body"):
    """Sends the crashing message under this id. The text of its error, which has this code."""
    error = ctl(daemon, "call", "--id", ident, "?Bad?Crash", body, status=1).stderr
    assert error.startswith(f"error {code}: "), error
    return error


def good_again(daemon, starts):
    """Waits until the host of the crashing plugin is there again, which takes longer after each crash in a row."""
    wait_for("the next process", lambda: (h := hosts(daemon)["crash-action"])["state"] == "up" and h["starts"] == starts)


@case
def without_hosts_a_sentence_says_so():
    with Daemon(actions={"h.ini": "[actionmapping]\n?Good?Greet = hello.greet\n"}, plugins=["hello"]) as daemon:
        assert ctl(daemon, "hosts").stdout == "all plugins run in the daemon itself\n"
        assert ctl_json(daemon, "hosts") == {"hosts": []}
        assert ctl(daemon, "dead", "ls").stdout == "no message is dead or set aside\n"
        assert ctl_json(daemon, "dead", "ls") == {"dead": []}
        assert ctl(daemon, "dead", "rm", "--all").stdout == "forgot 0 messages that were set aside\n"
        text = ctl(daemon, "status").stdout
        assert "hosts" not in text and "set aside" not in text, text


@case
def hosts_are_listed_with_what_they_have():
    with isolated() as daemon:
        assert ctl(daemon, "call", "?Good?Greet", "Ada").stdout == "hello, Ada"
        rows = hosts(daemon)
        assert set(rows) == {"shared", "crash-action"}, rows
        shared = rows["shared"]
        assert shared["state"] == "up" and sorted(shared["plugins"]) == ["hello", "slow"], shared
        assert shared["starts"] == 1 and shared["last_end"] == "" and shared["calls"] == 0, shared
        with open(f"/proc/{shared['pid']}/comm", encoding="utf-8") as file:
            assert file.read().startswith("zmanager-host"), shared
        wait_for("its size to be measured", lambda: hosts(daemon)["shared"]["rss"] > 1 << 20)
        heading, *lines = ctl(daemon, "hosts").stdout.splitlines()
        assert heading.split()[:5] == ["NAME", "STATE", "PROCESS", "UP", "CALLS"], heading
        line = next(line for line in lines if line.startswith("shared "))
        assert str(shared["pid"]) in line and "hello, slow" in line and " s " in line, line
        text = ctl(daemon, "status").stdout
        assert "\nhosts        processes 2, started 2\n" in text and "not up" not in text and "trouble" not in text, text
        metrics = {m["name"]: m["value"] for m in daemon.control("metrics")["metrics"]}
        assert metrics["zmanager_hosts"] == 2 and metrics["zmanager_messages_aside"] == 0, metrics
        assert metrics["zmanager_host_starts_total"] == 2 and metrics["zmanager_host_crashes_total"] == 0, metrics


@case
def calls_in_hosts_are_counted_and_timed():
    with isolated() as daemon:
        for n in range(200):
            daemon.call("?Good?Greet", b"%d" % n)
        ctl(daemon, "call", "--header", "delay=20", "?Good?Slow")
        crash(daemon, "one")
        routes = {route["key"]: route for route in daemon.control("routes")["routes"]}
        greet, slow, bad = (routes[key] for key in ("?Good?Greet", "?Good?Slow", "?Bad?Crash"))
        assert greet["calls"] == 200 and greet["errors"] == 0 and greet["mean_us"] < 20000, greet
        assert slow["calls"] == 1 and 20000 <= slow["mean_us"] == slow["highest_us"], slow
        assert bad["calls"] == 1 and bad["errors"] == 1, bad


@case
def a_call_in_a_host_is_seen_running():
    with isolated() as daemon:
        daemon.call_socket.send_multipart([b"9", b"CALL", b"~~~Good~Slow~", b'{"delay": "60000", "timeout": "1500"}', b""])

        def running():
            return [call for call in ctl_json(daemon, "running")["running"] if "host" in call]

        call = wait_for("the call", running)[0]
        assert call["host"] == "shared" and call["plugin"] == "slow" and call["symbol"] == "work", call
        assert call["state"] == "calling" and 0 <= call["us"] and 0 < call["deadline_in_us"] <= 1500000, call
        line = next(line for line in ctl(daemon, "running").stdout.splitlines() if "shared" in line)
        assert line.split()[:4] == ["-", "calling", "slow", "work"] and re.search(r" shared +in (1\.\d s|\d+ ms)$", line), line
        assert hosts(daemon)["shared"]["calls"] == 1
        assert "\nhosts        processes 2, calls there 1, started 2\n" in ctl(daemon, "status").stdout


@case
def a_message_that_crashes_is_set_aside_and_let_in_again():
    with isolated() as daemon:
        text = crash(daemon, "poison")
        assert "crash-action" in text and "signal 11" in text, text
        good_again(daemon, 2)
        host = hosts(daemon)["crash-action"]
        assert "signal 11" in host["last_end"], host
        crash(daemon, "poison")
        good_again(daemon, 3)
        assert ctl_json(daemon, "dead", "ls") == {"dead": []}
        crash(daemon, "poison")
        good_again(daemon, 4)
        crash(daemon, "poison", "set-aside")
        dead = ctl_json(daemon, "dead", "ls")["dead"]
        assert [(d["id"], d["plugin"], d["action"], d["key"], d["kills"], d["size"]) for d in dead] == [
            ("poison", "crash-action", "crash", "?Bad?Crash", 3, 8)], dead
        assert abs(dead[0]["since"] / 1000 - time.time()) < 600 and "body" not in dead[0], dead
        line = ctl(daemon, "dead", "ls").stdout.splitlines()[1]
        assert line.split()[:4] == ["poison", "crash-action", "crash", "3"] and line.endswith("?Bad?Crash"), line
        message = ctl_json(daemon, "dead", "show", "poison")["message"]
        assert message["body"] == "the body" and len(message["history"]) == 3, message
        shown = ctl(daemon, "dead", "show", "poison").stdout
        assert shown.startswith("id: poison\nkey: ?Bad?Crash\n") and shown.count("signal 11") == 3, shown
        assert shown.endswith("\n\nthe body\n") and "\nkills: 3\n" in shown and "cut" not in shown, shown
        # One form of time for all.
        assert len(re.findall(r"^  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d crash-action\.crash: ", shown, re.MULTILINE)) == 3, shown
        assert re.search(r"^since: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", shown, re.MULTILINE), shown
        assert ctl(daemon, "completion", "dead").stdout == "poison\n"
        text = ctl(daemon, "status").stdout
        assert "crashed 3, messages set aside 1\n" in text and "hosts crashed 3, calls lost with their host 3" in text, text
        metrics = {m["name"]: m["value"] for m in daemon.control("metrics")["metrics"]}
        assert metrics["zmanager_messages_aside"] == 1 and metrics["zmanager_messages_set_aside_total"] == 1, metrics
        assert "no message with the id \"nobody\" is set aside" in ctl(daemon, "dead", "rm", "nobody", status=5).stderr
        assert "no message" in ctl(daemon, "dead", "show", "nobody", status=5).stderr
        assert ctl_json(daemon, "dead", "rm", "nobody", status=5)["error"]["code"] == "not-found"
        assert "either an ID, or --all" in ctl(daemon, "dead", "rm", status=2).stderr
        assert "either an ID, or --all" in ctl(daemon, "dead", "rm", "poison", "--all", status=2).stderr
        assert len(ctl_json(daemon, "dead", "ls")["dead"]) == 1
        assert ctl_json(daemon, "dead", "rm", "poison")["forgotten"] == 1
        crash(daemon, "poison")
        assert ctl(daemon, "dead", "ls").stdout == "no message is dead or set aside\n"


@case
def a_body_that_is_no_text_is_shown_as_it_is():
    with isolated() as daemon:
        for n in range(3):
            assert daemon.request("CALL", b"~~~Bad~Crash~bytes", b"", b"\xff\x00\x1b[2J")[0] == "ERROR"
            good_again(daemon, n + 2)
        assert ctl_json(daemon, "dead", "show", "bytes")["message"]["base64"] == "/wAbWzJK"
        text = ctl(daemon, "dead", "show", "bytes").stdout
        assert "\x1b" not in text and text.endswith("\nbody: no text; what follows is base64 of it\n\n/wAbWzJK\n"), text
        assert ctl(daemon, "dead", "rm", "--all").stdout == "forgot 1 message that was set aside\n"


@case
def a_body_that_is_kept_in_part_says_so():
    with isolated() as daemon:
        for n in range(3):
            crash(daemon, "long", body="x" * 70000)
            good_again(daemon, n + 2)
        text = ctl(daemon, "dead", "show", "long").stdout
        assert "\nbytes: 70000\nbody: cut; only its first 65536 bytes are kept\n\nxxx" in text and text.endswith("x\n"), text[:500]


@case
def a_report_of_a_crash_names_the_message_and_its_figures_have_units():
    with isolated() as daemon:
        crash(daemon, "culprit")
        good_again(daemon, 2)
        folder = daemon.path("state")
        names = [name for name in os.listdir(folder) if name.startswith("crash-")]
        assert len(names) == 1, names
        with open(os.path.join(folder, names[0]), encoding="utf-8") as file:
            report = file.read()
        assert re.search(r"^running crash-action\.crash for \d+ us: message culprit key \?Bad\?Crash$", report, re.MULTILINE), report
        assert re.search(r"^host crash-action process \d+, its process number 1, lived \d+ ms, memory \d+ bytes$", report, re.MULTILINE), report
        shown = ctl(daemon, "plugin", "inspect", "crash-action").stdout
        assert re.search(r"uptime: (\d+ ms|[\d.]+ s)\n", shown) and re.search(r"rss: [\d.]+\s([MK]iB|bytes)\n", shown), shown


@case
def quarantine_is_a_reason_and_a_reload_lifts_it():
    with isolated() as daemon:
        for n in range(5):
            crash(daemon, f"id-{n}")
            if n < 4:
                good_again(daemon, n + 2)
        text = crash(daemon, "id-5", "quarantined")
        assert "5 crashes in " in text and "zmanagerctl plugin reload crash-action" in text, text
        status = ctl(daemon, "status", status=6).stdout
        assert ": degraded, " in status and "\n  plugin crash-action is in quarantine: 5 crashes" in status, status
        assert "in quarantine 1\n" in status and "\nhosts        processes 1, " in status, status
        host = hosts(daemon)["crash-action"]
        assert host["state"] == "ended" and host["plugins"] == ["crash-action"] and "signal 11" in host["last_end"], host
        assert ctl(daemon, "call", "?Good?Greet", "Ada").stdout == "hello, Ada"
        ctl(daemon, "plugin", "reload", "crash-action")
        assert ": ready, " in ctl(daemon, "status").stdout
        crash(daemon, "id-6")


@case
def a_copy_in_quarantine_is_reloaded_by_the_name_that_its_reason_gives():
    # No section moves the plugin: its own copy runs in the daemon, that of the mapping apart.
    actions = {"a.ini": "[actionmapping]\n?Bad?Crash = crash-action.crash\n?Bad?Here = crash-action.crash\n[action ?Bad?Crash]\nisolation = private\n"}
    with Daemon(config="[plugin crash-action]\nisolation = thread\n", actions=actions, plugins={"crash-action": bad_plugin("crash-action")}, expect=DEATHS) as daemon:
        for n in range(5):
            crash(daemon, f"id-{n}")
            if n < 4:
                wait_for("the next process", lambda: (h := hosts(daemon)["crash-action@private"])["state"] == "up" and h["starts"] == n + 2)
        name = re.search("zmanagerctl plugin reload ([^ ;:,]+)", crash(daemon, "id-5", "quarantined")).group(1)
        assert name == "crash-action@private", name
        done = ctl(daemon, "plugin", "reload", name)
        assert "plugin crash-action@private generation 2" in done.stdout and "plugin crash-action generation 2" in done.stdout, done
        assert ": ready, " in ctl(daemon, "status").stdout
        assert "there is no plugin" in ctl(daemon, "plugin", "reload", "no-such@private", status=5).stderr
        assert "there is no plugin" in ctl(daemon, "plugin", "unload", name, status=5).stderr


@case
def codes_of_hosts_are_explained():
    with isolated() as daemon:
        for code in "crashed", "host-lost", "quarantined", "set-aside", "bad-key", "memory":
            text = ctl(daemon, "explain", code).stdout
            assert text.startswith(code + "  ") and "\n\nCure: " in text, text


run()
