# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bytes that steer a terminal, forge a line or turn text around come from every peer, plugin and file, and reach no log line, metric or terminal raw."""

import contextlib
import json
import os
import pty
import re
import subprocess
import threading

import zmq

from zmcase import ZMANAGERCTL, ZMANAGERD, case, run
from zmtest import Daemon, Refused, wait_for

# Colour, a line of its own, C1, right-to-left override, isolates, delete; and what is no UTF-8.
EVIL = "e\x1b[31m\r\nFORGED\u2028\u2029\t\x9b31m\u202ev\u2066i\u2069l\x7f"
BYTES = EVIL.encode() + b"\xff\xfe\xc3"
FOUND = []
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069\udc80-\udcff]")

PLUGIN = r"""
#include <zmanager/plugin.h>
#define EVIL "e\x1b[31m\r\nFORGED\xe2\x80\xa8\t\xc2\x9b" "31m\xe2\x80\xaev\xe2\x81\xa6i\xe2\x81\xa9l\x7f\xff\xfe\xc3"
static const zm_host *keeper;
static int init (const zm_host *host, void **state)
{
  *state = NULL;
  keeper = host;
  return ZM_OK;
}
ZM_ACTION (says) { keeper->log (keeper, ZM_LOG_ERROR, EVIL); return zm_reply_text (call, "said"); }
ZM_ACTION (counts)
{
  keeper->metric (keeper, 0, EVIL, 1);
  keeper->metric (keeper, 1, "good_one", 1);
  return zm_reply_text (call, "counted");
}
ZM_ACTION (fails) { return zm_fail (call, EVIL, EVIL); }
static const zm_option_desc options[] = { { "word", ZM_OPTION_INTEGER, 0, "1", EVIL }, { NULL, 0, 0, NULL, NULL } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "evil", .version = "1.0" EVIL, .licence = "LGPL-2.1-or-later", .summary = EVIL, .options = options, .init = init };
ZM_PLUGIN_FULL ("evil", "1.0", "LGPL-2.1-or-later", "Is " "\xe2\x80\xae" "evil", "kind=component\n", &descriptor);
"""


def safe(what, text):
    """Nothing in it is obeyed by a terminal; lines end in line feeds."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="surrogateescape")
    found = BAD.search(text)
    if found:
        FOUND.append((what, text[max(found.start() - 80, 0):found.end() + 80]))
    if re.search("^FORGED", text, re.M):
        FOUND.append((what, "a forged line"))


def on_terminal(*words):
    """What a terminal of its own would get."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    got = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            got += piece
    os.close(ours)
    process.wait(30)
    return got.replace(b"\r\n", b"\n")


def everything(log_format):
    daemon = Daemon(config="[zmanager]\nlog-level = debug\n[worker w]\nexec = ./worker.sh\n[plugin evil]\nload = yes\n", plugins={"echo": None, "evil": PLUGIN},
                    actions={"a.ini": "[actionmapping]\n?Good?One = echo.echo\n" + "".join(f"?Evil?{name} = evil.{name}\n" for name in ("says", "counts", "fails"))},
                    args=["--log-format", log_format], expect=["."])
    with open(daemon.path("worker.sh"), "wb") as file:
        file.write(b"#!/bin/sh\nprintf '%s' '" + BYTES + b"\n'\nprintf '%s' '" + BYTES + b"\n' >&2\nsleep 1000\n")
    os.chmod(daemon.path("worker.sh"), 0o755)
    name = EVIL.replace("\n", "")
    for place in f"plugins/{name}.so", f"actions.d/{name}.ini", f"flows.d/{name}.flow", f"conf.d/{name}.conf":
        with open(daemon.path(place), "wb") as file:
            file.write(b"")
    os.chmod(daemon.path("plugins", name + ".so"), 0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.close)
        daemon.start()
        tail = daemon.tail("")
        sniffer = threading.Thread(target=lambda: seen.append(on_terminal(ZMANAGERCTL, "--dir", daemon.directory, "--no-color", "tail", "--for", "3s")), daemon=True)
        seen = []
        sniffer.start()
        for key in "says", "counts", "fails":
            daemon.call(f"?Evil?{key}", BYTES)
        status, answer = daemon.call("?Evil?fails", b"")
        assert status == "ERROR"
        json.loads(answer)
        # Keys, flows, ids, headers and requests of peers.
        for frames in ([BYTES, b"x"], [b"?Good?" + BYTES, b"x"], [b"~~~" + BYTES + b"~One~id", b"x"], [BYTES + b"~~~Good~One~" + BYTES, b"x"],
                       [b"?Good?One", json.dumps({"correlation-id": EVIL, EVIL: EVIL}).encode(), BYTES], [b"?Good?One", BYTES, b"x"], [BYTES] * 5):
            daemon.push_socket.send_multipart(frames)
        for verb in b"HELLO", BYTES:
            for body in (json.dumps({"name": EVIL, "patterns": [EVIL], "nonce": EVIL, "heartbeat_ms": 0}).encode(), BYTES):
                with contextlib.suppress(AssertionError):
                    daemon.request(verb.decode("latin-1"), body)
        for command, arguments in ((EVIL, {}), ("plugin-load", {"name": EVIL}), ("log-level", {"level": EVIL}), ("service-command", {"service": EVIL, "verb": EVIL, "argument": EVIL}), ("explain", {"key": EVIL})):
            with contextlib.suppress(Refused):
                daemon.control(command, **arguments)
        for place in f"actions.d/{name}.ini", f"flows.d/{name}.flow", f"conf.d/{name}.conf":
            with open(daemon.path(place), "wb") as file:
                file.write(BYTES + b" = " + BYTES + b"\n[" + BYTES + b"]\n")
        with contextlib.suppress(Refused):
            daemon.control("reload")
        for words in (["status"], ["status", "--verbose"], ["config"], ["plugin", "ls"], ["plugin", "inspect", "evil"], ["plugin", "inspect", "--options", daemon.path("plugins", "evil.so")], ["plugin", "inspect", daemon.path("plugins", name + ".so")],
                      ["plugin", "load", EVIL], ["reload"], ["check"], ["services"], ["service", "ls"], ["worker", "ls"], ["running"], ["routes"], ["explain", EVIL], ["explain", "?Evil?fails"], ["call", "?Evil?fails"], ["log", "--recent"],
                      ["flow", "show", EVIL], ["flow", "ls"], ["metrics"], ["completion", name], [name], ["--dir", name, "status"]):
            safe(words, on_terminal(ZMANAGERCTL, "--dir", daemon.directory, "--no-color", *words))
        for what in "--check", "--dump":
            safe(what, on_terminal(ZMANAGERD, "--dir", daemon.directory, what))
        safe("metrics", json.dumps(daemon.control("metrics"), ensure_ascii=False))
        for line in daemon.log_lines() if log_format == "json" else []:
            assert not BAD.search(json.dumps(line, ensure_ascii=False)), line
        sniffer.join(30)
        safe("tail", seen[0])
        assert tail is not None
        with open(daemon.log_path, "rb") as file:
            text = file.read()
        safe("log", text)
        assert b"FORGED" in text, "it came through"
        wait_for("the worker's output", lambda: "worker w: e" in daemon.log_text())
    assert not FOUND, "\n".join(map(repr, FOUND))


@case
def nothing_reaches_a_json_log_a_metric_or_a_terminal_raw():
    everything("json")


@case
def nothing_reaches_a_log_for_people_raw():
    everything("human")


run()
