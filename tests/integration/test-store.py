# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store in the daemon: when it is opened, what it says of itself, checks, copies and their restoring, and disks that fail."""

import json
import os
import shutil
import signal
import subprocess

from zmcase import ZMANAGERCTL, ZMANAGERD, Skip, case, run
from zmdisk import FailingDisk, SmallDisk
from zmtest import Daemon, Refused, built_plugin, wait_for

SQLITE = "[store]\ndriver = sqlite\n"
HIDDEN_PLUGINS = {**os.environ, "ZM_SYSTEM_PLUGINS": "no"}


def a_daemon(config=SQLITE, plugins=("sqlite",), **more):
    try:
        built_plugin("sqlite")
    except AssertionError:
        raise Skip("the plugin sqlite is not built here") from None
    return Daemon(config=config, plugins=plugins, **more)


def ctl(daemon, *words):
    """(exit status, stdout, stderr)"""
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *words], capture_output=True, text=True, timeout=60, env=HIDDEN_PLUGINS)
    return done.returncode, done.stdout, done.stderr


def refuses_to_start(daemon, *args):
    """What it says on the standard error."""
    done = subprocess.run([ZMANAGERD, "--dir", daemon.directory, *args], capture_output=True, text=True, timeout=60,
                          env={**HIDDEN_PLUGINS, **daemon.env})
    assert done.returncode == 1, done
    return done.stderr


# ---- when it is there ----

@case
def what_needs_no_store_opens_none():
    with a_daemon(config="") as daemon:
        assert daemon.control("status")["store"] is None
        assert not os.path.exists(daemon.path("state", "store.db"))
        assert [line for line in daemon.control("plugins")["plugins"] if line["state"] == "loaded"] == []
        status, out, err = ctl(daemon, "store", "status")
        assert status == 1 and "no store open" in err, (status, out, err)


@case
def a_queue_or_http_needs_the_store_unless_the_driver_is_none():
    for config, there in (("[queue jobs]\n", True), (SQLITE, True), ("[store]\ndriver = none\n", False)):
        with a_daemon(config=config) as daemon:
            assert (daemon.control("status")["store"] is not None) == there, config


@case
def status_shows_the_store():
    with a_daemon() as daemon:
        store = daemon.control("store-status")["store"]
        assert store["driver"] == "sqlite" and store["durable"] is True and store["state"] == "ok", store
        assert store["uri"] == daemon.path("state", "store.db"), store
        status, out, _ = ctl(daemon, "store", "status")
        assert status == 0 and "sqlite" in out and "store.db" in out, (status, out)
        status, out, _ = ctl(daemon, "store", "status", "--json")
        assert json.loads(out)["store"]["trouble"] is None
        assert daemon.control("status")["state"] == "ready"


@case
def a_uri_with_a_dot_counts_from_the_instance():
    with a_daemon(config=SQLITE + "uri = ./my.db\n") as daemon:
        assert daemon.control("store-status")["store"]["uri"] == daemon.path("my.db")
        assert os.path.exists(daemon.path("my.db"))


@case
def the_plugin_of_the_store_cannot_be_unloaded():
    with a_daemon() as daemon:
        try:
            daemon.control("plugin-unload", name="sqlite")
            raise AssertionError("it was unloaded")
        except Refused as why:
            assert "in use" in str(why), why


@case
def after_a_kill_the_next_daemon_starts_at_once():
    daemon = a_daemon()
    daemon.start()
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait(30)
    with daemon:
        assert daemon.control("store-status")["store"]["state"] == "ok"


@case
def two_daemons_do_not_share_a_file():
    with a_daemon() as first:
        second = a_daemon(config=SQLITE + f"uri = {first.path('state', 'store.db')}\n")
        try:
            said = refuses_to_start(second)
            assert "store.db" in said and "cannot be opened" in said, said
        finally:
            second.close()
        assert first.control("store-status")["store"]["state"] == "ok"


# ---- what is wrong with the settings ----

@case
def a_driver_that_is_none_is_found_by_check_and_by_the_start():
    echo = ("sqlite", "echo")
    for config, plugins, text in (
            ("[store]\ndriver = sqlit\n", ("sqlite",), "did you mean 'sqlite'"),
            ("[store]\ndriver = echo\n", echo, "no store"),
            (SQLITE + "[plugin sqlite]\nisolation = private\n", ("sqlite",), "isolation = thread"),
            (SQLITE + "no-such-key = 1\n", ("sqlite",), "unknown key \"no-such-key\"")):
        daemon = a_daemon(config=config, plugins=plugins)
        try:
            status, out, err = ctl(daemon, "check")
            assert status == 1 and text in out, (config, status, out, err)
            said = refuses_to_start(daemon)
            assert "store" in said, (config, said)
        finally:
            daemon.close()


@case
def a_third_party_store_runs_in_the_daemon():
    with a_daemon(config=SQLITE + "[zmanager]\nthird-party-isolation = private\n") as daemon:
        assert daemon.control("store-status")["store"]["state"] == "ok"


@case
def a_file_that_is_no_store_keeps_the_daemon_from_starting():
    daemon = a_daemon()
    try:
        os.makedirs(daemon.path("state"), mode=0o700)
        with open(daemon.path("state", "store.db"), "wb") as out:
            out.write(b"these are my letters\n" * 1000)
        said = refuses_to_start(daemon)
        assert "store.db" in said and "no SQLite database" in said, said
        with open(daemon.path("state", "store.db"), "rb") as kept:
            assert kept.read() == b"these are my letters\n" * 1000
    finally:
        daemon.close()


# ---- check, backup, restore ----

@case
def the_control_socket_answers_while_a_check_runs():
    with a_daemon() as daemon:
        checking = daemon.send_control("store-check")
        asking = daemon.send_control("status")
        answers = {}
        for _ in range(2):
            answered, status, reply = daemon.control_socket.recv_multipart()
            answers[answered] = (status, json.loads(reply))
        assert answers[asking][0] == b"OK" and answers[asking][1]["state"] == "ready", answers
        assert answers[checking][0] == b"OK" and answers[checking][1]["found"] == 0, answers


@case
def a_backup_is_a_store_and_never_overwrites():
    with a_daemon(expect=["there already", "could not be copied"]) as daemon:
        copy = daemon.path("copy.db")
        status, out, err = ctl(daemon, "store", "backup", copy)
        assert status == 0 and copy in out, (status, out, err)
        before = os.stat(copy)
        status, out, err = ctl(daemon, "store", "backup", copy)
        assert status == 1 and "there already" in err, (status, out, err)
        assert os.stat(copy).st_mtime_ns == before.st_mtime_ns
        status, out, err = ctl(daemon, "store", "backup", daemon.path("no", "such", "copy.db"), "--json")
        assert status == 1 and json.loads(out)["error"]["code"] == "failed", (status, out, err)
        try:
            daemon.control("store-backup", path="copy.db")
            raise AssertionError("a path that counts from nowhere was taken")
        except Refused as why:
            assert "whole path" in str(why), why


@case
def a_copy_is_restored_only_without_a_daemon_and_the_old_one_is_kept():
    with a_daemon() as daemon:
        copy, store = daemon.path("copy.db"), daemon.path("state", "store.db")
        assert ctl(daemon, "store", "backup", copy)[0] == 0
        status, out, err = ctl(daemon, "store", "restore", copy)
        assert status == 4 and "drain" in err, (status, out, err)
        assert not os.path.exists(store + ".old")
        daemon.stop()
        with open(store, "rb") as file:
            old = file.read()
        status, out, err = ctl(daemon, "store", "restore", copy)
        assert status == 0 and store + ".old" in out, (status, out, err)
        with open(store + ".old", "rb") as file:
            assert file.read() == old
        status, out, err = ctl(daemon, "store", "restore", copy, "--json")
        assert json.loads(out)["kept"] == store + ".old.1", (status, out, err)
        assert not [name for name in os.listdir(daemon.path("state")) if ".restore" in name]
        status, out, err = ctl(daemon, "store", "check")
        assert status == 0, (status, out, err)
        daemon.start()
        assert daemon.control("store-status")["store"]["state"] == "ok"


@case
def what_is_no_store_is_not_restored():
    with a_daemon() as daemon:
        copy, store = daemon.path("copy.db"), daemon.path("state", "store.db")
        assert ctl(daemon, "store", "backup", copy)[0] == 0
        daemon.stop()
        with open(copy, "rb") as file:
            whole = file.read()
        with open(store, "rb") as file:
            before = file.read()
        for name, content in (("half.db", whole[:9000]), ("letters.db", b"these are my letters\n" * 1000), ("empty.db", b"")):
            with open(daemon.path(name), "wb") as file:
                file.write(content)
            status, out, err = ctl(daemon, "store", "restore", daemon.path(name))
            with open(store, "rb") as file:
                assert file.read() == before, name
            assert status == 1 and "stays as it was" in err, (name, status, out, err)
        status, out, err = ctl(daemon, "store", "restore", daemon.path("nothing.db"))
        assert status == 5, (status, out, err)
        assert sorted(name for name in os.listdir(daemon.path("state")) if "old" in name or "restore" in name) == []


@case
def a_check_without_a_daemon_keeps_one_from_starting():
    with a_daemon() as daemon:
        daemon.stop()
        status, out, err = ctl(daemon, "store", "check", "--repair", "--json")
        assert status == 0 and json.loads(out)["found"] == [], (status, out, err)
        daemon.start()


# ---- disks that fail ----

def a_daemon_on(disk, expect):
    """Whose store's disk fails as it is told."""
    return a_daemon(expect=expect, env=disk.env)


@case
def a_full_disk_at_the_start_degrades_and_heals_by_itself():
    with FailingDisk() as disk, a_daemon_on(disk, ["no space"]) as daemon:
        # Made first: a store that is not there cannot be made on a full disk.
        daemon.stop()
        disk.say("write ENOSPC 0 -1 store.db-wal\n")
        daemon.start()
        status = daemon.control("status")
        assert status["state"] == "degraded" and "no space" in " ".join(status["reasons"]), status
        assert ctl(daemon, "store", "status")[0] == 6
        disk.say("")
        wait_for("the store to find its space", lambda: daemon.control("status")["state"] == "ready")
        assert daemon.control("store-status")["store"]["state"] == "ok"


@case
def a_disk_that_is_really_full_harms_nothing():
    with SmallDisk("8m") as disk, a_daemon(config=SQLITE + f"uri = {disk.path}/store.db\n", expect=["no space"]) as daemon:
        assert not os.path.exists(disk.path + "/store.db.reserve"), "there is no room for one"
        daemon.stop()
        disk.fill()
        said = refuses_to_start(daemon)
        assert "store.db cannot be opened" in said and "no space" in said, said
        disk.make_room()
        # What the refused one may have left behind.
        daemon.start()
        assert daemon.control("status")["state"] == "ready"
        assert daemon.control("store-check")["found"] == 0


@case
def a_full_disk_with_a_reserve_keeps_no_daemon_from_starting():
    with SmallDisk("32m") as disk, a_daemon(config=SQLITE + f"uri = {disk.path}/store.db\n", expect=["no space"]) as daemon:
        daemon.stop()
        assert os.path.exists(disk.path + "/store.db.reserve")
        disk.fill()
        daemon.start()
        assert not os.path.exists(disk.path + "/store.db.reserve")
        assert daemon.control("store-check")["found"] == 0
        disk.make_room()
        daemon.stop()
        daemon.start()
        assert os.path.exists(disk.path + "/store.db.reserve"), "it is made again where there is room"


@case
def a_disk_whose_syncs_fail_at_the_start_is_told():
    with FailingDisk() as disk, a_daemon_on(disk, ["."]) as daemon:
        daemon.stop()
        disk.say("sync EIO 0 -1 store.db\n")
        said = refuses_to_start(daemon)
        assert "store" in said, said
        disk.say("")
        daemon.start()
        assert daemon.control("store-status")["store"]["state"] == "ok"


run()
