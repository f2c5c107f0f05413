# SPDX-License-Identifier: LGPL-2.1-or-later
"""Administrative acts leave one line each, in the log and in a file of their own: who, what, and how it ended."""

import contextlib
import json
import os
import pwd
import signal
import subprocess

from zmcase import ZMANAGERCTL, ZMANAGERD, case, run
from zmtest import Daemon, Refused, wait_for

ME = pwd.getpwuid(os.getuid()).pw_name
SERVICE_SECRET = "canary-of-a-service-argument"


def lines(daemon):
    """The acts in the log, in their order."""
    return [line for line in daemon.log_lines() if line.get("room") == "audit"]


def filed(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def a_daemon(**more):
    return Daemon(actions={"a.ini": "[actionmapping]\n?Good?One = echo.echo\n"}, plugins=["echo", "hello"], **more)


@case
def each_command_that_changes_something_is_told_with_who_and_how_it_ended():
    with a_daemon(config="[zmanager]\naudit-log = audit.log\nwatch = no\n", expect=["refused", "nonsense"]) as daemon:
        pid = os.getpid()
        expected = []

        def act(command, result, arguments=None, **members):
            with contextlib.suppress(Refused):
                daemon.control(command, **members)
            expected.append((command, arguments, result))

        act("plugin-load", "ok", "name=hello", name="hello")
        act("plugin-reload", "ok", "name=hello", name="hello")
        act("plugin-unload", "ok", "name=hello", name="hello")
        act("plugin-load", "refused", "name=no-such", name="no-such")
        act("reload", "ok")
        daemon.write("actions.d/a.ini", "nonsense\n")
        act("reload", "refused")
        daemon.write("actions.d/a.ini", "[actionmapping]\n?Good?One = echo.echo\n")
        # Also where the level would hide it.
        act("log-level", "ok", "level=error", level="error")
        act("log-level", "refused", "level=loud", level="loud")
        act("service-command", "refused", f"service=nobody verb=login argument=({len(SERVICE_SECRET)} bytes)", service="nobody", verb="login", argument=SERVICE_SECRET)
        act("dead-rm", "refused", "id=no-such", id="no-such")
        act("dead-rm", "ok", all=True)
        act("no-such-command", "refused")
        act("log-level", "ok", "level=info", level="info")
        for command in "status", "plugins", "config", "metrics", "running", "hosts", "dead", "log-recent":
            daemon.control(command)
        wait_for("all lines", lambda: len(lines(daemon)) >= len(expected))
        seen = lines(daemon)
        assert [(line["act"], line.get("arguments"), line["result"]) for line in seen] == expected, seen
        for line in seen:
            assert (line["by"], line["uid"], line["pid"]) == (ME, str(os.getuid()), str(pid)), line
            assert line["text"].startswith(line["act"]) and ME in line["text"], line
        assert "there is no plugin \"no-such\"" in seen[3]["text"], seen[3]
        assert SERVICE_SECRET not in daemon.log_text()
        path = daemon.path("audit.log")
        assert [{**line, "time": 0} for line in filed(path)] == [{**line, "time": 0} for line in seen]
        assert os.stat(path).st_mode & 0o777 == 0o600
        # Another process is another pid.
        ctl = subprocess.Popen([ZMANAGERCTL, "--dir", daemon.directory, "reload"], stdout=subprocess.DEVNULL)
        assert ctl.wait(30) == 0
        wait_for("its line", lambda: len(lines(daemon)) > len(expected))
        assert lines(daemon)[-1]["pid"] == str(ctl.pid), (lines(daemon)[-1], ctl.pid)


@case
def a_trace_is_an_act():
    with a_daemon(config="[zmanager]\nwatch = no\n") as daemon:
        trace = subprocess.Popen([ZMANAGERCTL, "--dir", daemon.directory, "trace"], stdout=subprocess.DEVNULL)
        wait_for("its line", lambda: [line for line in lines(daemon) if line["act"] == "trace" and line["pid"] == str(trace.pid)])
        trace.terminate()
        trace.wait(30)


@case
def what_signals_and_changed_files_do_is_told_too():
    with a_daemon(config="[zmanager]\naudit-log = audit.log\n") as daemon:
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("the line of SIGHUP", lambda: [line for line in lines(daemon) if line["by"] == "SIGHUP"])
        daemon.write("actions.d/b.ini", "[actionmapping]\n?Good?Two = echo.echo\n")
        wait_for("the line of the watch", lambda: [line for line in lines(daemon) if line["by"] == "a change in " + daemon.path("actions.d") and line["act"] == "reload"])
        # Rotated away, it comes back; no signal is needed.
        os.rename(daemon.path("audit.log"), daemon.path("audit.log.1"))
        daemon.stop()
        assert [(line["act"], line["by"], line["result"]) for line in filed(daemon.path("audit.log"))] == [("drain", "SIGTERM or SIGINT", "ok")]
        assert len(filed(daemon.path("audit.log.1"))) >= 2


@case
def a_file_that_others_may_write_is_refused_at_the_start_and_told_of_later():
    daemon = a_daemon(config="[zmanager]\naudit-log = audit.log\nwatch = no\n")
    with open(daemon.path("audit.log"), "w", encoding="utf-8"):
        pass
    os.chmod(daemon.path("audit.log"), 0o666)
    try:
        try:
            daemon.start()
            raise SystemError("it was started")
        except AssertionError:
            assert "audit.log (mode 0666, of user" in daemon.log_text() and "chmod go-w" in daemon.log_text(), daemon.log_text()
        os.unlink(daemon.path("audit.log"))
        os.symlink("/dev/null", daemon.path("audit.log"))
        try:
            daemon.start()
            raise SystemError("it was started")
        except AssertionError:
            assert "audit.log cannot be opened" in daemon.log_text(), daemon.log_text()
        os.unlink(daemon.path("audit.log"))
        daemon.expect("audit log .* can(not)? be")
        with daemon:
            os.chmod(daemon.path("audit.log"), 0o622)
            daemon.control("reload")
            daemon.wait_log("the audit log .* can be written by others")
            os.chmod(daemon.path("audit.log"), 0o600)
    finally:
        daemon.close()


@case
def an_audit_log_that_is_lost_degrades_the_daemon_and_is_told_by_reload_and_check():
    with a_daemon(config="[zmanager]\naudit-log = audit.log\nwatch = no\n", expect=["audit log .* can(not)? be"]) as daemon:
        daemon.control("reload")
        lost = f"the audit log {daemon.path('audit.log')} (mode 0666, of user"
        os.chmod(daemon.path("audit.log"), 0o666)
        status = daemon.control("status")
        assert status["state"] == "degraded" and any(lost in reason for reason in status["reasons"]), status["reasons"]
        reply = daemon.control("reload")
        assert lost in reply["incomplete"] and [p["code"] for p in reply["problems"]] == ["ZM1022"], reply
        wait_for("its line", lambda: any(line.get("result") == "incomplete" for line in lines(daemon)))
        done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "reload"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 6 and lost in done.stderr, done
        os.chmod(daemon.path("audit.log"), 0o600)
        assert daemon.control("status")["state"] == "ready"
        assert "incomplete" not in daemon.control("reload")
        # At a path where no file can be.
        daemon.write("zmanager.conf", "[zmanager]\naudit-log = nowhere/audit.log\nwatch = no\n")
        lost = f"the audit log {daemon.path('nowhere/audit.log')} cannot be opened: No such file or directory"
        reply = daemon.control("reload")
        assert reply["incomplete"] == lost and reply["problems"][0]["line"] == 2, reply
        assert lost in daemon.control("status")["reasons"]
        checked = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--check"], capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 1 and f"zmanager.conf:2:13: error ZM1022: {lost}" in checked.stdout, checked


run()
