# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plugins that load and are bad in what they do, in worker threads of a real daemon: each is contained, with a reason, and the daemon goes on. Those that are refused: tests/unit/test-plugin.cc."""

import contextlib
import json
import os
import re
import signal
import tempfile

from zmcase import case, run
from zmtest import Daemon, sanitizer_options, wait_for

SOURCES = os.path.join(os.environ["ZM_SRCDIR"], "tests", "bad-plugins")
# Plugin, action, body -> what its caller gets: a result, or the code of an error.
CALLS = [
    ("error-action", "reject", b"", "no-good"),
    ("error-action", "reject_silently", b"", "rejected"),
    ("error-action", "retry", b"", "retry"),
    ("error-action", "negative", b"", "bad-status"),
    ("error-action", "bad_next", b"", b""),
    ("complete-twice", "twice", b"", b"first"),
    ("complete-twice", "deferred_without", b"", "bad-status"),
    ("complete-twice", "defer_and_return", b"", "bad-status"),
    ("complete-twice", "strange_status", b"", "bad-status"),
    ("complete-twice", "forged", b"", b"-3"),
    ("complete-late", "never", b"", "timeout"),
    ("complete-late", "late", b"1", b"late"),
    ("complete-late", "late", b"400", "timeout"),
    ("hang-action", "hang_safe", b"", "timeout"),
    ("hang-action", "polite", b"", "timeout"),
    ("leak-action", "leak", b"", b"leaked"),
    ("write-request", "scribble", b"request", b""),
    ("thread-left", "greet", b"", b"hello"),
    ("slow-stop", "greet", b"", b"hello"),
    ("hang-stop", "greet", b"", b"hello"),
    ("thread-deaf", "greet", b"", b"hello"),
]
NAMES = sorted({name for name, *_ in CALLS})


def source(name):
    with open(os.path.join(SOURCES, name + ".c"), encoding="utf-8") as file:
        return file.read()


def bad_ones(**more):
    mapping = "[actionmapping]\n?Good?One = echo.echo\n" + "".join(f"?{name}?{action} = {name}.{action}\n" for name, action in sorted({(n, a) for n, a, *_ in CALLS}))
    config = "[workers]\ntimeout = 200ms\nhard-after = 20s\ndrain = 500ms\n[zmanager]\nworkers = 2\n"
    daemon = Daemon(config=config, actions={"bad.ini": mapping}, plugins={"echo": None, **{name: source(name) for name in NAMES}},
                    expect=["completed a call", "hang", "late", "completion", "held by", "has not ended", "stop", "thread", "left"], **more)
    daemon.env["ZM_TEST_HANG"] = daemon.path("hang")
    with open(daemon.path("hang"), "w", encoding="utf-8"):
        pass
    return daemon


@case
def each_is_contained_and_the_daemon_goes_on():
    # One of them leaks, on purpose.
    with bad_ones(env=sanitizer_options("detect_leaks=0")) as daemon:
        for name, action, body, expected in CALLS:
            status, answer = daemon.call(f"?{name}?{action}", body)
            if isinstance(expected, bytes):
                assert (status, answer) == ("OK", expected), (name, action, status, answer)
            else:
                assert status == "ERROR" and json.loads(answer)["code"] == expected, (name, action, status, answer)
                assert json.loads(answer)["plugin"] == name, answer
            assert daemon.call("?Good?One", b"good") == ("OK", b"good"), (name, action)
        os.remove(daemon.path("hang"))


@case
def one_that_writes_to_its_request_is_found_while_developing():
    daemon = Daemon(actions={"w.ini": "[actionmapping]\n?Write?It = write-request.scribble\n?Good?One = echo.echo\n"},
                    plugins={"echo": None, "write-request": source("write-request")}, args=["--dev", "--log-format", "json"],
                    # The crash is to be seen as one, whatever a sanitizer would say about it.
                    env=sanitizer_options("handle_segv=0:handle_sigbus=0"))
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.close)
        daemon.start()
        assert daemon.call("?Good?One", b"good") == ("OK", b"good")
        assert daemon.call("?Write?It", b"") == ("OK", b""), "nothing to write to"
        daemon.send("?Write?It", b"request")
        assert daemon.process.wait(timeout=30) in (-signal.SIGSEGV, -signal.SIGBUS), daemon.log_text()


@case
def bad_ends_are_named_and_hold_nobody():
    with bad_ones() as daemon:
        for name in "thread-left", "slow-stop", "hang-stop", "thread-deaf":
            assert daemon.call(f"?{name}?greet")[0] == "OK"
        daemon.control("plugin-reload", name="slow-stop")
        os.remove(daemon.path("actions.d", "bad.ini"))
        daemon.control("reload")
        for name, holder in ("hang-stop", "its stop, which has not ended"), ("thread-deaf", "thread deaf"), ("thread-left", "thread [0-9]+, which it started behind the host's back"):
            wait_for(name, lambda: re.search(f"{name} generation 1 stays loaded: held by .*{holder}", daemon.log_text()))
        assert mapped(daemon, "hang-stop") and mapped(daemon, "thread-deaf")
        os.remove(daemon.path("hang"))
        wait_for("the two that let go at last", lambda: not mapped(daemon, "hang-stop") and not mapped(daemon, "thread-deaf"))
        assert mapped(daemon, "thread-left"), "its code runs for ever"


def mapped(daemon, name):
    with open(f"/proc/{daemon.process.pid}/maps", encoding="utf-8") as maps:
        return any(os.path.basename(line).startswith(name) for line in maps)


# Its constructor leaves a process behind, in a session of its own and with all that the helper had open.
FORKER = r"""
#define _GNU_SOURCE
#include <zmanager/plugin.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__ ((constructor)) static void begin (void)
{
  int ready[2];
  char byte = 0;
  FILE *file;
  if (!strstr (program_invocation_short_name, "probe") || pipe (ready) != 0)
    return;
  if (fork () > 0) {
    if (read (ready[0], &byte, 1) != 1)
      abort ();
    return;
  }
  file = fopen (getenv ("ZM_TEST_STRAY"), "w");
  setsid ();
  fprintf (file, "%d\n", (int) getpid ());
  fclose (file);
  if (write (ready[1], &byte, 1) == 1)
    pause ();
}
ZM_ACTION (greet) { return zm_reply_text (call, "hello"); }
ZM_PLUGIN ("forker", "1.0", "LGPL-2.1-or-later", "Leaves a process behind");
"""


@case
def a_process_that_outlives_the_probe_holds_nobody_up():
    daemon = Daemon(actions={"f.ini": "[actionmapping]\n?Fork?Greet = forker.greet\n"}, plugins={"forker": FORKER})
    with tempfile.NamedTemporaryFile(delete=False) as stray:
        daemon.env["ZM_TEST_STRAY"] = stray.name
    try:
        with daemon:
            assert daemon.call("?Fork?Greet") == ("OK", b"hello")
    finally:
        daemon.close()
        with open(stray.name, encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        os.unlink(stray.name)


run()
