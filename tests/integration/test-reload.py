# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reload: all or nothing, one line what changed, and no message lost while plugins are replaced."""

import json
import os
import signal
import subprocess
import threading

import zmq

from zmcase import LONG, ZMANAGERCTL, ZMANAGERD, case, run
from zmtest import Daemon, Refused, wait_for

NO_WATCH = "[zmanager]\nwatch = no\n"
MAPPING = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}

# A plugin that answers with its number.
NUMBERED = """
#include <zmanager/plugin.h>
ZM_ACTION (greet) { return zm_reply_text (call, "%d"); }
ZM_PLUGIN ("numbered", "1.%d", "LGPL-2.1-or-later", "Says a number");
"""
NUMBERED_MAPPING = {"numbered.ini": "[actionmapping]\n?Numbered?Greet = numbered.greet\n"}

# Answers what its configuration says, as it was at the last reload of its own.
TOLD = """
#include <zmanager/plugin.h>
#include <stdio.h>
static char word[64];
static void take_word (void)
{
  const char *value = zm_config (zm_plugin_host, "word", 0);
  snprintf (word, sizeof word, "%s", value ? value : "none");
}
static int start (void *state) { (void) state; take_word (); return ZM_OK; }
static int reload (void *state) { (void) state; take_word (); return ZM_OK; }
ZM_ACTION (say) { return zm_reply_text (call, word); }
static const zm_option_desc options[] = { { "word", ZM_OPTION_STRING, 0, "default", "What to say" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "told", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Says a word", .options = options, .start = start, .reload = reload };
ZM_PLUGIN_FULL ("told", "1.0", "LGPL-2.1-or-later", "Says a word", "kind=component\\n", &descriptor);
"""

# Needs a plugin that is not there.
NEEDY = """
#include <zmanager/plugin.h>
ZM_ACTION (greet) { return zm_reply_text (call, "greeted"); }
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "needy", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Needs nobody" };
ZM_PLUGIN_FULL ("needy", "1.0", "LGPL-2.1-or-later", "Needs nobody", "depends=nobody\\n", &descriptor);
"""

# Holds each call until it is told to let go.
HOLDER = """
#include <zmanager/plugin.h>
static zm_ticket held;
ZM_ACTION (hold) { held = zm_call_defer (call); return ZM_DEFERRED; }
ZM_ACTION (let_go) { zm_complete_text (call->host, held, "let go"); return zm_reply_text (call, "done"); }
ZM_PLUGIN ("holder", "1.0", "LGPL-2.1-or-later", "Holds calls");
"""


@case
def sighup_takes_a_new_mapping():
    with Daemon(config=NO_WATCH, actions=MAPPING, plugins=["hello"]) as daemon:
        daemon.write("actions.d/more.ini", "[actionmapping]\n?Hello?Again = hello.greet\n?Hello?Twice = hello.greet\n")
        daemon.process.send_signal(signal.SIGHUP)
        line = daemon.wait_log("^reloaded: ")
        assert "+2 mappings" in line["text"], line
        assert daemon.call("?Hello?Again", b"x") == ("OK", b"hello, x")


@case
def a_changed_main_file_is_seen():
    with Daemon(actions={"a.ini": "[actionmapping]\n"}) as daemon:
        daemon.write("zmanager.conf", "[workers]\ntimeout = 7s\n")
        daemon.wait_log("workers.timeout .* 7s")


@case
def changes_are_told():
    flows = {"f.flow": "[Greeting]\n?Greeting?Push\n?Hello?Greet\n??done\n"}
    with Daemon(config=NO_WATCH, actions=MAPPING, flows=flows, plugins=["hello"]) as daemon:
        assert daemon.control("reload") == {"text": "nothing changed", "changes": []}
        daemon.write("flows.d/f.flow", "[Greeting]\n?Greeting?Push\n?Hello?Greet\n?Hello?Greet\n??done\n")
        assert daemon.control("reload")["changes"] == ["flow Greeting changed"]
        daemon.write("actions.d/hello.ini", "[actionmapping]\n?Hello?Greet = hello.greet\n[action ?Hello?Greet]\ntimeout = 7s\n")
        assert daemon.control("reload")["changes"] == ["1 mapping changed (?Hello?Greet)"]
        os.unlink(daemon.path("flows.d", "f.flow"))
        assert daemon.control("reload")["text"] == "flow Greeting removed"
        daemon.write("conf.d/a.conf", "[workers]\ntimeout = 10s\nring = 128\n")
        changes = daemon.control("reload")["changes"]
        assert any("workers.timeout" in c and "next start" not in c for c in changes), changes
        assert any("workers.ring" in c and "next start" in c for c in changes), changes


@case
def a_refused_command_leaves_what_earlier_ones_asked_for():
    def loaded():
        return daemon.control("status")["plugins"]["loaded"] == 1

    def refused(command):
        daemon.write("actions.d/b.ini", "[actionmapping]\nno line\n")
        assert daemon.receive_control(daemon.send_control(command, name="hello"))[0] == "ERROR"
        os.unlink(daemon.path("actions.d", "b.ini"))
        daemon.control("reload")

    with Daemon(config=NO_WATCH, plugins=["hello"], expect=["^the reload was refused", "error ZM", "nothing names it"]) as daemon:
        daemon.control("plugin-load", name="hello")
        for command in "plugin-load", "plugin-unload":
            refused(command)
            assert loaded(), command
        daemon.write("actions.d/hello.ini", MAPPING["hello.ini"])
        daemon.control("plugin-unload", name="hello")
        refused("plugin-load")
        assert not loaded()


@case
def a_wrong_file_changes_nothing():
    with Daemon(config=NO_WATCH, actions=MAPPING, plugins=["hello"], expect=["^the reload was refused", "error ZM"]) as daemon:
        for name, text, place in [
            ("actions.d/z.ini", "[actionmapping]\n?Hello?New = hello.greet\n?Hello?Bad Key = hello.greet\n", "z.ini:3:"),
            ("actions.d/z.ini", "[actionmapping]\n?Hello?New = hello.greet\n?Hello?Bad = hello.nothing\n", "z.ini:3:"),
            ("actions.d/z.ini", "[actionmapping]\n?Hello?New = hello.greet\nnonsense\n", "z.ini:3:"),
            ("flows.d/z.flow", "[F]\n?F?Push\n?Hello?Greet?more\n", "z.flow:3:"),
            ("conf.d/z.conf", "[zmanager]\nworkrs = 3\n", "z.conf:2:"),
        ]:
            daemon.write(name, text)
            try:
                daemon.control("reload")
                raise AssertionError("taken: " + text)
            except Refused as refused:
                assert refused.code == "invalid", refused.reply
                assert any(place in problem["text"] for problem in refused.reply["problems"]), (place, refused.reply)
            status, body = daemon.call("?Hello?New", b"x")
            assert status == "ERROR", body
            assert daemon.call("?Hello?Greet", b"x") == ("OK", b"hello, x")
            os.unlink(daemon.path(name))
        assert daemon.control("reload")["text"] == "nothing changed"


@case
def a_refused_reload_degrades_until_a_good_one():
    """However it was asked for: by command, by signal, by a change that was seen."""
    bad = "[F]\n?F?Push\n?Hello?Greet?more\n??done\n"
    for config, ask in [
        (NO_WATCH, lambda daemon: daemon.send_control("reload", request_id=b"reload") and daemon.receive_control(b"reload")),
        (NO_WATCH, lambda daemon: daemon.process.send_signal(signal.SIGHUP)),
        ("", lambda daemon: None),
    ]:
        with Daemon(config=config, actions=MAPPING, plugins=["hello"], expect=["^the reload was refused", "error ZM"]) as daemon:
            daemon.write("flows.d/z.flow", bad)
            ask(daemon)
            daemon.wait_log("^the reload was refused")
            status = daemon.control("status")
            assert status["state"] == "degraded" and len(status["reasons"]) == 1, status
            assert status["reasons"][0].startswith("last reload refused: ") and "z.flow:3:" in status["reasons"][0], status
            daemon.write("flows.d/z.flow", bad.replace("?more", ""))
            ask(daemon)
            daemon.wait_log("^reloaded: ")
            assert daemon.control("status")["state"] == "ready", daemon.control("status")


@case
def a_plugin_that_is_dropped_in_is_taken_up():
    with Daemon() as daemon:
        tail = daemon.tail("")
        daemon.write("plugins/numbered.actions.ini", "[actionmapping]\n?Numbered?Greet = numbered.greet\n")
        daemon.expect("numbered")
        daemon.install("numbered", NUMBERED % (1, 1))
        daemon.wait_log("reloaded: .*plugin numbered loaded")
        daemon.send("?Numbered?Greet")
        assert tail.next()[2] == b"1"
        os.unlink(daemon.path("plugins", "numbered.actions.ini"))
        os.unlink(daemon.path("plugins", "numbered.so"))
        daemon.wait_log("reloaded: .*plugin numbered unloaded")
        assert daemon.call("?Numbered?Greet")[0] == "ERROR"


@case
def a_rebuilt_plugin_is_replaced():
    with Daemon(actions=NUMBERED_MAPPING, plugins={"numbered": NUMBERED % (1, 1)}, args=["--dev", "--log-format", "json"]) as daemon:
        assert daemon.call("?Numbered?Greet") == ("OK", b"1")
        daemon.install("numbered", NUMBERED % (2, 2))
        line = daemon.wait_log("reloaded: .*plugin numbered generation 2")
        assert daemon.call("?Numbered?Greet") == ("OK", b"2"), line


@case
def a_broken_plugin_leaves_the_old_one_running():
    with Daemon(config=NO_WATCH, actions=NUMBERED_MAPPING, plugins={"numbered": NUMBERED % (1, 1)}, expect=["numbered"]) as daemon:
        with open(daemon.path("plugins", "numbered.so.part"), "wb") as out:
            out.write(b"\x7fELF, but not really")
        os.chmod(daemon.path("plugins", "numbered.so.part"), 0o755)
        os.rename(daemon.path("plugins", "numbered.so.part"), daemon.path("plugins", "numbered.so"))
        daemon.control("reload")
        assert daemon.call("?Numbered?Greet") == ("OK", b"1")
        status = daemon.control("status")
        assert status["state"] == "degraded" and any("numbered" in reason for reason in status["reasons"]), status


@case
def a_missing_plugin_answers_unavailable_until_it_comes():
    mapping = {"numbered.ini": NUMBERED_MAPPING["numbered.ini"] + "?Numbered?Again = numbered.greet\n"}
    with Daemon(config=NO_WATCH, actions=mapping, expect=["numbered"]) as daemon:
        status = daemon.control("status")
        assert status["state"] == "degraded" and len([r for r in status["reasons"] if "numbered" in r]) == 1, status
        shown = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "status"], capture_output=True, text=True, timeout=60)
        assert shown.returncode == 6 and "numbered" in shown.stdout, shown
        told = [line for line in daemon.log_lines() if "numbered" in line["text"]]
        assert len(told) == 1 and told[0]["level"] == "warning", told
        check = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--check"], capture_output=True, text=True, timeout=60)
        assert check.returncode == 1 and check.stdout.count("ZM1300") == 2, check
        status, body = daemon.call("?Numbered?Greet")
        assert status == "ERROR" and json.loads(body)["code"] == "unavailable", (status, body)
        daemon.install("numbered", NUMBERED % (1, 1))
        daemon.control("reload")
        assert daemon.call("?Numbered?Greet") == ("OK", b"1")
        assert daemon.control("status")["state"] == "ready"


@case
def what_a_plugin_needs_is_checked_by_its_note():
    """The daemon runs without it; --check calls it an error."""
    actions = {"needy.ini": "[actionmapping]\n?Needy?Greet = needy.greet\n", **MAPPING}
    with Daemon(config=NO_WATCH, actions=actions, plugins={"needy": NEEDY, "hello": None}, expect=["needy", "nobody"]) as daemon:
        status = daemon.control("status")
        assert status["state"] == "degraded" and any("nobody" in reason for reason in status["reasons"]), status
        assert daemon.call("?Hello?Greet", b"you") == ("OK", b"hello, you")
        assert json.loads(daemon.call("?Needy?Greet")[1])["code"] == "unavailable"
        assert len([line for line in daemon.log_lines() if "needy" in line["text"]]) == 1, daemon.log_lines()
        check = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--check"], capture_output=True, text=True, timeout=60)
        assert check.returncode == 1 and "ZM1306" in check.stdout, check


@case
def sections_of_actions_stand_above_mapping_files():
    actions = {"slow.ini": "[actionmapping]\n?Slow?Work = slow.work\n[action ?Slow?Work]\ntimeout = 30s\n"}
    config = NO_WATCH + "[plugin slow]\ndelay = 5000\n[action ?Slow?Work]\ntimeout = 50ms\n[action ?Slow?Wrk]\ntimeout = 1s\n"
    with Daemon(config=config, actions=actions, plugins=["slow"], expect=["Slow", "slow.work"]) as daemon:
        status, body = daemon.call("?Slow?Work")
        assert status == "ERROR" and json.loads(body)["code"] == "timeout", (status, body)
        daemon.wait_log(r"zmanager.conf:8:[0-9]+: warning ZM1106: .*did you mean \[action \?Slow\?Work\]\?")


@case
def plugins_are_loaded_unloaded_and_replaced_by_command():
    with Daemon(config=NO_WATCH, actions=NUMBERED_MAPPING, plugins={"numbered": NUMBERED % (1, 1), "told": TOLD},
                expect=["numbered"]) as daemon:
        assert daemon.control("plugin-load", name="told")["changes"] == ["plugin told loaded"]
        assert daemon.control("plugin-unload", name="told")["changes"] == ["plugin told unloaded"]
        assert daemon.control("plugin-reload", name="numbered")["changes"] == ["plugin numbered generation 2"]
        assert daemon.control("plugin-unload", name="numbered")["changes"] == ["plugin numbered unloaded"]
        status, body = daemon.call("?Numbered?Greet")
        assert status == "ERROR" and json.loads(body)["code"] == "unavailable", (status, body)
        assert daemon.control("plugin-load", name="numbered")["changes"] == ["plugin numbered loaded"]
        assert daemon.call("?Numbered?Greet") == ("OK", b"1")


@case
def a_kept_plugin_is_told_of_its_new_configuration():
    actions = {"told.ini": "[actionmapping]\n?Told?Say = told.say\n"}
    with Daemon(config=NO_WATCH, actions=actions, plugins={"told": TOLD}) as daemon:
        assert daemon.call("?Told?Say") == ("OK", b"default")
        for word in "one", "two", "three":
            daemon.write("conf.d/told.conf", f"[plugin told]\nword = {word}\n")
            daemon.control("reload")
            wait_for(word, lambda: daemon.call("?Told?Say") == ("OK", word.encode()))
        assert [p["generation"] for p in daemon.control("plugins", name="told")["plugins"]] == [1]
        daemon.expect("error ZM|refused")
        daemon.write("conf.d/told.conf", "[plugin told]\nwrod = x\n")
        try:
            daemon.control("reload")
            raise AssertionError("an unknown key was taken")
        except Refused as refused:
            assert any("told.conf:2:" in problem["text"] for problem in refused.reply["problems"]), refused.reply
        assert daemon.call("?Told?Say") == ("OK", b"three")


@case
def who_holds_an_old_generation_is_named():
    actions = {"holder.ini": "[actionmapping]\n?Holder?Hold = holder.hold\n?Holder?Let = holder.let_go\n"}
    config = NO_WATCH + "[workers]\ndrain = 500ms\n"
    with Daemon(config=config, actions=actions, plugins={"holder": HOLDER}) as daemon:
        tail = daemon.tail("")
        daemon.send("?Holder?Hold")
        wait_for("the deferred call", lambda: daemon.control("status")["workers"]["deferred"] == 1)
        daemon.control("plugin-reload", name="holder")
        held = wait_for("the old generation", lambda: daemon.control("status")["plugins"]["held"])
        assert "holder generation 1" in held[0] and "deferred call" in held[0], held
        daemon.expect("holder|did not end in time")
        # The new copy knows nothing of the old one's ticket: the call ends at the drain.
        daemon.stop()
        assert tail.next()[0].action == "error"


@case
def replacing_under_load_loses_nothing():
    swaps, senders = (1000, 4) if LONG else (25, 2)
    # Topics are lossy at the high-water mark: it stands above what is sent.
    config = NO_WATCH + "[integration]\nhigh-water = 1000000\n"
    with Daemon(config=config, actions=NUMBERED_MAPPING, plugins={"numbered": NUMBERED % (0, 0)}) as daemon:
        tail = daemon.tail("~~numbered~")
        stop, sent, threads = threading.Event(), [0] * senders, []

        def push(index):
            # Stays open to the end: libzmq loses what a Unix socket holds when its sender goes under back-pressure.
            socket = daemon.socket(zmq.PUSH)
            socket.connect(daemon.endpoint("subject"))
            while not stop.is_set():
                socket.send_multipart([b"?Numbered?Greet", b""])
                sent[index] += 1
                if sent[index] % 50 == 0:
                    stop.wait(0.002)

        for index in range(senders):
            threads.append(threading.Thread(target=push, args=(index,)))
            threads[-1].start()
        try:
            for _ in range(swaps):
                daemon.control("plugin-reload", name="numbered")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for results in range(sum(sent)):
            try:
                topic, _, body = tail.next()
            except AssertionError as error:
                raise AssertionError(f"{results} of {sum(sent)}: {daemon.control('status')}") from error
            assert topic.action != "error" and body == b"0", (topic, body)
        status = daemon.control("status")
        assert status["workers"]["errors"] == 0 and status["workers"]["dropped"] == 0, status
        wait_for("old generations to go", lambda: daemon.control("status")["plugins"]["held"] == [])
        assert daemon.control("plugins", name="numbered")["plugins"][0]["generation"] == swaps + 1
        print(f"{swaps} swaps, {sum(sent)} messages")


run()
