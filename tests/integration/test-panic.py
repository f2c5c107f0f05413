# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a daemon leaves behind when a plugin that runs in it ends it: its log and a file name the culprit, it dies of the same signal, and the next start works."""

import contextlib
import glob
import json
import os
import signal

from zmcase import case, run, Skip
from zmtest import Daemon, sanitizer

SOURCES = os.path.join(os.environ["ZM_SRCDIR"], "tests", "bad-plugins")

# A fault of the processor, one that leaves no stack to stand on, and ones behind the host's back.
FAULTS = r"""
#define _GNU_SOURCE
#include <zmanager/plugin.h>
#include <pthread.h>
#include <stdlib.h>
static volatile int depth;
static int fall (volatile char *before)
{
  volatile char here[4096];
  here[0] = before[0];
  depth++;
  return depth < 100000000 ? fall (here) + here[0] : 0;
}
static void *stray (void *user)
{
  pthread_setname_np (pthread_self (), "stray-thread");
  *(volatile int *) user = 1;
  return NULL;
}
ZM_ACTION (null_pointer) { *(volatile int *) (call->body_size + 8) = 1; return ZM_OK; }
ZM_ACTION (deep) { volatile char top = 1; (void) call; fall (&top); return ZM_OK; }
ZM_ACTION (behind)
{
  pthread_t thread;
  (void) call;
  pthread_create (&thread, NULL, stray, (void *) 16);
  pthread_join (thread, NULL);
  return ZM_OK;
}
ZM_PLUGIN ("faults", "2.5-\"x\"", "LGPL-2.1-or-later", "Ends the process in several ways");
"""


def source(name):
    with open(os.path.join(SOURCES, name + ".c"), encoding="utf-8") as file:
        return file.read()


def reports(daemon):
    return sorted(glob.glob(daemon.path("state", "panic-*.txt")))


@contextlib.contextmanager
def dying(plugin, text, action, **more):
    """A daemon in which one action waits in another plugin while the bad one is called."""
    if sanitizer():
        raise Skip("the sanitizer's own report is better")
    daemon = Daemon(config="[zmanager]\nworkers = 2\nsystem-plugins = no\n", plugins={"echo": None, "slow": None, plugin: text},
                    actions={"a.ini": f"[actionmapping]\n?Good?One = echo.echo\n?Slow?One = slow.work\n?Bad?One = {plugin}.{action}\n"}, **more)
    try:
        daemon.start()
        assert daemon.call("?Good?One", b"good") == ("OK", b"good")
        yield daemon
    finally:
        daemon.close()


def dies(plugin, text, action, number, culprit, **more):
    with dying(plugin, text, action, **more) as daemon:
        daemon.send("?Bad?One", b"x")
        assert daemon.process.wait(timeout=30) == number, (daemon.process.returncode, daemon.log_text())
        (report,) = reports(daemon)
        assert os.stat(report).st_mode & 0o777 == 0o600, report
        with open(report, encoding="utf-8") as file:
            text = file.read()
        # The log is JSON to its last line, and says the same.
        told = [line["text"] for line in map(json.loads, daemon.log_text().splitlines()) if line["room"] == "panic"]
        assert told == text.splitlines(), (told, text)
        for line in culprit:
            assert any(t.startswith(line) for t in told), (line, told)
        assert any(t.startswith("plugin echo, version ") and ", generation 1, isolation thread, build " in t for t in told), told
        # The next one starts, in the same place.
        os.remove(daemon.path("actions.d", "a.ini"))
        daemon.sockets.clear()
        daemon.start()
        daemon.control("status")
        daemon.stop()
        assert reports(daemon) == [report], "an end that was meant is no panic"


@case
def a_signal_that_an_action_raises_is_told_with_the_action():
    dies("crash-action", source("crash-action"), "crash", -signal.SIGSEGV,
         ["zmanagerd dies of SIGSEGV in thread zm-worker-", "running here: crash-action.crash, version 1.0, generation 1", "plugin crash-action, version 1.0, generation 1"])
    dies("abort-action", source("abort-action"), "give_up", -signal.SIGABRT,
         ["zmanagerd dies of SIGABRT in thread zm-worker-", "running here: abort-action.give_up, version 1.0, generation 1"])


@case
def a_fault_of_the_processor_and_the_end_of_the_stack_are_told():
    dies("faults", FAULTS, "null_pointer", -signal.SIGSEGV,
         ["zmanagerd dies of SIGSEGV in thread zm-worker-", 'running here: faults.null_pointer, version 2.5-?x?, generation 1'])
    dies("faults", FAULTS, "deep", -signal.SIGSEGV, ["running here: faults.deep, version 2.5-?x?, generation 1"])


@case
def a_fault_in_a_plugins_own_thread_is_told_with_the_threads_name_and_what_runs():
    dies("faults", FAULTS, "behind", -signal.SIGSEGV,
         ["zmanagerd dies of SIGSEGV in thread stray-thread", "running in another thread: faults.behind, version 2.5-?x?, generation 1"])


@case
def an_exit_of_a_plugin_leaves_a_line():
    dies("abort-action", source("abort-action"), "leave", 0,
         ["exit was called, which ends zmanagerd without a drain, in thread zm-worker-", "running here: abort-action.leave, version 1.0, generation 1"])


# What is tried first in a process of its own behaves there.
TWO_FACED = r"""
#include <zmanager/plugin.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
static int init (const zm_host *host, void **state)
{
  (void) host, (void) state;
  if (strstr (PROGRAM, "probe") == NULL)
    abort ();
  return ZM_OK;
}
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "two-faced", .version = "1.0", .licence = "LGPL-2.1-or-later", .summary = "Behaves while it is watched", .init = init };
ZM_PLUGIN_FULL ("two-faced", "1.0", "LGPL-2.1-or-later", "Behaves while it is watched", "kind=component\n", &descriptor);
""".replace("PROGRAM", "program_invocation_short_name").replace("#include <zmanager", "#define _GNU_SOURCE\n#include <zmanager")


@case
def a_crash_in_init_is_told_with_the_plugin():
    with dying("crash-action", source("crash-action"), "crash") as daemon:
        daemon.install("two-faced", TWO_FACED)
        daemon.write("conf.d/load.conf", "[plugin two-faced]\nload = yes\n")
        assert daemon.process.wait(timeout=30) == -signal.SIGABRT, daemon.log_text()
        assert "running here: init and start of plugin two-faced, generation 1" in daemon.log_text(), daemon.log_text()


@case
def of_two_generations_the_one_that_runs_is_named():
    with dying("crash-action", source("crash-action"), "crash") as daemon:
        daemon.control("plugin-reload", name="crash-action")
        daemon.send("?Bad?One", b"x")
        assert daemon.process.wait(timeout=30) == -signal.SIGSEGV
        assert "running here: crash-action.crash, version 1.0, generation 2" in daemon.log_text(), daemon.log_text()
        assert "plugin crash-action, version 1.0, generation 2" in daemon.log_text()


@case
def a_signal_from_outside_is_told_with_who_sent_it():
    with dying("crash-action", source("crash-action"), "crash", args=["--log-format", "human"]) as daemon:
        daemon.process.send_signal(signal.SIGABRT)
        assert daemon.process.wait(timeout=30) == -signal.SIGABRT
        assert f"zmanagerd: panic: zmanagerd dies of SIGABRT in thread zmanagerd of process {daemon.process.pid}, sent by process {os.getpid()}" in daemon.log_text(), daemon.log_text()


@case
def ten_reports_are_kept():
    with dying("crash-action", source("crash-action"), "crash") as daemon:
        daemon.stop()
        for number in range(20):
            with open(daemon.path("state", f"panic-20200101T0000{number:02}Z-1.txt"), "w", encoding="utf-8") as file:
                file.write("old\n")
        daemon.sockets.clear()
        daemon.start()
        assert [os.path.basename(path)[6:21] for path in reports(daemon)] == [f"20200101T0000{number:02}" for number in range(11, 20)]
        daemon.send("?Bad?One", b"x")
        daemon.process.wait(timeout=30)
        assert len(reports(daemon)) == 10


run()
