# SPDX-License-Identifier: LGPL-2.1-or-later
"""What decides which code the daemon runs is taken only from places that nobody else may write: each refused with path, mode and what to do, at the start, by the check, and by a reload."""

import os
import shutil
import stat
import subprocess
import tempfile

from zmcase import BUILD, ZMANAGERD, Skip, case, run
from zmtest import Daemon, Refused

MAPPING = "[actionmapping]\n?Good?One = echo.echo\n"
STRANGER = 54321


def prepared():
    daemon = Daemon(actions={"a.ini": MAPPING}, flows={"f.flow": ""}, plugins=["echo"], config="[zmanager]\nwatch = no\n")
    daemon.write("conf.d/c.conf", "")
    return daemon


def refused_at_start(daemon, text):
    """The daemon does not start, and says this."""
    done = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--set", "zmanager.system-plugins=no"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False)
    said = done.stderr.decode()
    assert done.returncode == 1 and text in said, (done.returncode, text, said)
    return said


def checked(daemon):
    done = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--set", "zmanager.system-plugins=no", "--check"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


@case
def what_anybody_may_write_is_refused():
    for name in "", "zmanager.conf", "conf.d", "conf.d/c.conf", "actions.d", "actions.d/a.ini", "flows.d", "flows.d/f.flow":
        daemon = prepared()
        try:
            path = daemon.path(name).rstrip("/")
            before = stat.S_IMODE(os.stat(path).st_mode)
            daemon.start()
            os.chmod(path, before | 0o002)
            mode = f"{before | 0o002:04o}"
            try:
                daemon.control("reload")
                raise SystemError(f"{name}: the reload was taken")
            except Refused as refused:
                assert any(f"anybody may write {path} (mode {mode}); chmod o-w it" in p["what"] for p in refused.reply["problems"]), (name, refused)
            assert daemon.call("?Good?One", b"goes on") == ("OK", b"goes on")
            daemon.stop()
            # The directory of the sockets in it comes before the configuration.
            refused_at_start(daemon, f"anybody may write {path} (mode {mode}); chmod o-w it" if name else f"as {path} (mode {mode}) is everybody's; chmod o-w it")
            code, said = checked(daemon)
            assert code == 1 and "ZM1020" in said and path in said, said
        finally:
            daemon.close()


@case
def the_directories_of_sockets_state_and_plugins_count_too():
    for name, text in ("run", "the directory of the sockets cannot be used: others may write"), ("state", "the directory of the state cannot be used: others may write"):
        daemon = prepared()
        try:
            os.makedirs(daemon.path(name))
            os.chmod(daemon.path(name), 0o777)
            refused_at_start(daemon, text)
            code, said = checked(daemon)
            assert code == 1 and f"ZM1020: {text} {daemon.path(name)} (mode 0777)" in said, said
            os.chmod(daemon.path(name), 0o700)
            assert checked(daemon)[0] == 0, checked(daemon)
            # A running one: refused, and it goes on.
            daemon.start()
            os.chmod(daemon.path(name), 0o777)
            try:
                daemon.control("reload")
                raise SystemError(f"{name}: the reload was taken")
            except Refused as refused:
                assert any(text in p["what"] for p in refused.reply["problems"]), (name, refused)
            assert daemon.call("?Good?One", b"goes on") == ("OK", b"goes on")
            os.chmod(daemon.path(name), 0o700)
            assert daemon.control("reload")["text"] == "nothing changed"
            daemon.stop()
        finally:
            daemon.close()
    for name in "plugins", "plugins/echo.so":
        daemon = prepared()
        daemon.expect("others may write|refused|is not in the plugin path")
        os.chmod(daemon.path(name), 0o777)
        with daemon:
            (status, _) = daemon.call("?Good?One", b"x")
            assert status == "ERROR" and f"others may write {daemon.path(name)} (mode 0777); chmod go-w it" in daemon.log_text(), daemon.log_text()


@case
def a_place_that_anybody_may_exchange_is_refused_and_a_sticky_one_is_not():
    with tempfile.TemporaryDirectory() as folder:
        way = os.path.join(folder, "way")
        os.makedirs(os.path.join(way, "instance"))
        os.chmod(way, 0o777)
        daemon = Daemon(actions={"a.ini": MAPPING}, plugins=["echo"], directory=os.path.join(way, "instance"))
        try:
            refused_at_start(daemon, f"as {way} (mode 0777) is everybody's; chmod o-w it")
            os.chmod(way, 0o1777)
            with daemon:
                assert daemon.call("?Good?One", b"x") == ("OK", b"x")
        finally:
            daemon.close()


@case
def where_a_link_leads_counts_and_where_it_stands():
    daemon = prepared()
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.rename(daemon.path("actions.d", "a.ini"), os.path.join(folder, "a.ini"))
            os.symlink(os.path.join(folder, "a.ini"), daemon.path("actions.d", "a.ini"))
            daemon.start()
            daemon.stop()
            os.chmod(os.path.join(folder, "a.ini"), 0o666)
            refused_at_start(daemon, "a.ini (mode 0666); chmod o-w it")
            os.chmod(os.path.join(folder, "a.ini"), 0o644)
            os.chmod(folder, 0o777)
            refused_at_start(daemon, f"as {os.path.realpath(folder)} (mode 0777) is everybody's; chmod o-w it")
        finally:
            os.chmod(folder, 0o700)
            daemon.close()


@case
def what_the_own_group_may_write_is_told_once():
    daemon = prepared()
    daemon.expect("its group may write it and 3 more of the configuration, and so decide what code runs")
    for name in "", "actions.d", "actions.d/a.ini", "zmanager.conf":
        os.chmod(daemon.path(name), 0o775)
    with daemon:
        assert daemon.call("?Good?One", b"x") == ("OK", b"x")
        daemon.wait_log("its group may write it and 3 more")


@case
def what_belongs_to_somebody_else_is_refused():
    if os.geteuid() != 0:
        raise Skip("only root can give a file away")
    daemon = prepared()
    try:
        os.chown(daemon.path("actions.d", "a.ini"), STRANGER, -1)
        refused_at_start(daemon, f"belongs to user {STRANGER}, not to root or user 0; chown it")
        # Root checks for whom the instance belongs to.
        os.chown(daemon.directory, STRANGER, -1)
        assert checked(daemon)[0] == 0, checked(daemon)
        os.chown(daemon.directory, 0, -1)
        os.chown(daemon.path("actions.d", "a.ini"), 0, STRANGER)
        os.chmod(daemon.path("actions.d", "a.ini"), 0o664)
        refused_at_start(daemon, f"group {STRANGER} may write")
    finally:
        daemon.close()


@case
def programs_that_anybody_may_write_are_not_run():
    daemon = prepared()
    worker = daemon.path("worker.sh")
    with open(worker, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\ntouch {daemon.path('was-run')}\n")
    os.chmod(worker, 0o777)
    daemon.write("conf.d/w.conf", "[worker w]\nexec = ./worker.sh\n")
    daemon.expect("exec: anybody may write .*worker.sh .mode 0777.; chmod o-w it")
    with daemon:
        daemon.wait_log("exec: anybody may write")
        assert daemon.call("?Good?One", b"x") == ("OK", b"x")
    assert not os.path.exists(os.path.join(daemon.directory, "was-run"))


@case
def a_probe_that_anybody_may_write_is_not_run_and_nothing_is_loaded_without_it():
    with tempfile.TemporaryDirectory() as folder:
        for name in "zmanagerd", "zmanager-probe":
            shutil.copy(os.path.join(BUILD, name), folder)
        os.chmod(os.path.join(folder, "zmanager-probe"), 0o777)
        daemon = prepared()
        try:
            process = subprocess.Popen([os.path.join(folder, "zmanagerd"), "--dir", daemon.directory, "--log-format", "json", "--set", "zmanager.system-plugins=no"], stderr=subprocess.PIPE)
            said = b""
            while b"is ready" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            process.terminate()
            said += process.communicate(timeout=30)[1]
            assert b"the probe cannot be run: anybody may write" in said and b"echo generation 1" not in said, said
        finally:
            daemon.close()


@case
def a_secret_that_anybody_may_write_is_refused_and_one_that_anybody_may_read_is_told():
    daemon = Daemon(config="[zmanager]\nwatch = no\n[plugin echo]\npassword = file:secret\n", actions={"a.ini": MAPPING}, plugins=["echo"])
    try:
        with open(daemon.path("secret"), "w", encoding="utf-8") as file:
            file.write("canary\n")
        os.chmod(daemon.path("secret"), 0o602)
        assert "anybody may write the secret file" in refused_at_start(daemon, "chmod o= it, and choose another secret")
        os.chmod(daemon.path("secret"), 0o604)
        assert "everybody may read" in checked(daemon)[1]
    finally:
        daemon.close()


run()
