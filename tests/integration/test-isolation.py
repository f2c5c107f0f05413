# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where plugins run: who chooses, what a mapping may choose for itself, and what --check says of it."""

import json
import os
import subprocess

from zmcase import ZMANAGERCTL, ZMANAGERD, case, run
from zmhosts import Isolated, Ledger
from zmtest import Daemon

PLUGIN = """
#include <zmanager/plugin.h>
%(more)s
ZM_ACTION (greet) { return zm_reply_text (call, "hello"); }
ZM_ACTION (where) { return zm_reply_text (call, zm_config (call->host, "word", 0)); }
static const zm_option_desc options[] = { { "word", ZM_OPTION_STRING, 0, "none", "A word" }, { 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .flags = %(flags)s, .name = "words",
  .version = "1", .licence = "MIT", .summary = "Words", .options = options%(members)s };
ZM_PLUGIN_FULL ("words", "1", "MIT", "Words", "%(note)s", &descriptor);
"""
# Each call waits for a third one to be there at the same time.
MEET = """
#include <zmanager/plugin.h>
#include <stdatomic.h>
#include <unistd.h>
static atomic_int together, met;
ZM_ACTION_THREADSAFE (meet)
{
  if (atomic_fetch_add (&together, 1) >= 2)
    atomic_store (&met, 1);
  for (int i = 0; i < 10000 && !atomic_load (&met); i++)
    usleep (1000);
  atomic_fetch_sub (&together, 1);
  return atomic_load (&met) ? zm_reply_text (call, "met") : zm_fail (call, "alone", "no third one came");
}
ZM_PLUGIN ("meet", "1", "MIT", "Calls that need each other");
"""
HOOKS = "static const zm_hook_ops hooks = { .struct_size = sizeof hooks };"


def plugin(flags="0", note="", more="", members=""):
    return PLUGIN % {"flags": flags, "note": note, "more": more, "members": members}


def ctl(daemon, *arguments):
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


def listed(daemon):
    return {one["name"]: one for one in json.loads(ctl(daemon, "--json", "plugin", "ls"))["plugins"]}


def checked(config, mappings="", **plugins):
    """What --check says, each problem cut down to its place, its code, and its text."""
    files = Daemon(config=config, actions={"a.ini": "[actionmapping]\n" + mappings}, plugins=plugins)
    try:
        os.chmod(files.path("plugins"), 0o755)
        environment = dict(os.environ, ZM_SYSTEM_PLUGINS="no")
        done = subprocess.run([ZMANAGERD, "--dir", files.directory, "--set", "zmanager.system-plugins=no", "--check"],
                              capture_output=True, text=True, timeout=60, env=environment)
        return done.returncode, done.stdout.replace(files.directory + "/", "")
    finally:
        files.close()


@case
def the_choice_and_its_reason_are_shown():
    config = ("[zmanager]\nthird-party-isolation = process\n[plugin chosen]\nisolation = private\ninstances = 2\nmemory = 64M\n"
              "[plugin here]\nisolation = thread\nload = yes\n")
    with Daemon(config=config, actions={"a.ini": "[actionmapping]\n?A?B = here.greet\n"},
                plugins={"stranger": plugin(), "chosen": plugin(), "noted": plugin(note="isolation=private\\n"),
                         "here": plugin()}) as daemon:
        plugins = listed(daemon)
        shown = {name: (one["isolation"], one["isolation_reason"]) for name, one in plugins.items()}
        assert shown == {"stranger": ("process", "third party"), "chosen": ("private", "[plugin] isolation"),
                         "noted": ("private", "its note"), "here": ("thread", "[plugin] isolation")}, shown
        assert (plugins["chosen"]["instances"], plugins["chosen"]["memory_limit"]) == (2, 64 << 20), plugins["chosen"]
        rows = {line.split()[0]: line for line in ctl(daemon, "plugin", "ls").splitlines()}
        assert "process (third party)" in rows["stranger"], rows
        assert "thread ([plugin] isolation)" in rows["here"], rows
        assert "private" in ctl(daemon, "plugin", "inspect", "noted")
        assert "as thread ([plugin] isolation)" in ctl(daemon, "explain", "?A?B"), ctl(daemon, "explain", "?A?B")
        assert daemon.call("?A?B")[0] == "OK"


@case
def without_a_wish_it_runs_in_the_daemon():
    with Daemon(actions={"a.ini": "[actionmapping]\n?A?B = words.greet\n"}, plugins={"words": plugin()}) as daemon:
        words = listed(daemon)["words"]
        assert (words["isolation"], words["isolation_reason"], words["state"]) == ("thread", "default", "loaded"), words
        assert "(default)" not in ctl(daemon, "plugin", "ls")
        assert ", as " not in ctl(daemon, "explain", "?A?B")


@case
def a_mapping_may_choose_for_itself():
    """The plugin is a process's, this mapping's copy the daemon's: so that no host is needed to see it."""
    with Daemon(config="[plugin words]\nisolation = process\nword = shared\n[action ?A?C]\nisolation = thread\n",
                actions={"a.ini": "[actionmapping]\n?A?B = words.where\n?A?C = words.greet\n[action ?A?B]\nisolation = thread\n"},
                plugins={"words": plugin()}, expect=["plugin 'words' is not loaded"]) as daemon:
        tail = daemon.tail()
        status, body = daemon.call("?A?B")[:2]
        assert (status, bytes(body)) == ("OK", b"shared"), (status, body)
        assert daemon.call("?A?C")[0] == "OK", "zmanager.conf may say so too"
        assert [topic.sender for topic, _, _ in tail.take(2)] == ["words", "words"], "not words@thread"
        plugins = listed(daemon)
        assert plugins["words@thread"]["plugin"] == "words", plugins
        assert plugins["words@thread"]["isolation_reason"] == "mapping", plugins
        assert plugins["words"]["state"] == "available", plugins
        assert json.loads(ctl(daemon, "--json", "plugin", "inspect", "words@thread"))["name"] == "words@thread"
        assert json.loads(ctl(daemon, "--json", "plugin", "inspect", "words"))["name"] == "words@thread"
        ctl(daemon, "plugin", "reload", "words")
        assert listed(daemon)["words@thread"]["generation"] == 2
        ctl(daemon, "plugin", "unload", "words")
        assert "words@thread" not in listed(daemon)
        assert daemon.call("?A?B")[0] == "ERROR"


@case
def a_plugin_that_can_run_once_only_is_refused_at_the_line():
    config = "[plugin words]\nisolation = process\n"
    actions = "[actionmapping]\n?A?B = words.greet\n[action ?A?B]\nisolation = thread\n"
    files = Daemon(config=config, actions={"a.ini": actions}, plugins={"words": plugin(flags="ZM_PLUGIN_EXCLUSIVE")})
    try:
        for arguments in [], ["--check"]:
            done = subprocess.run([ZMANAGERD, "--dir", files.directory, "--set", "zmanager.system-plugins=no",
                                   "--log-format", "human", *arguments], capture_output=True, text=True, timeout=60)
            assert done.returncode == 1, done
            said = done.stdout + done.stderr
            assert "actions.d/a.ini:2:1" in said and "ZM1318" in said and "is EXCLUSIVE" in said, said
    finally:
        files.close()


@case
def hooks_that_cannot_run_outside_refuse_the_whole_load():
    """To go on without them would let in what they keep out."""
    files = Daemon(config="[zmanager]\nthird-party-isolation = process\n[plugin words]\nload = yes\n",
                   plugins={"words": plugin(more=HOOKS, members=", .hooks = &hooks")})
    try:
        done = subprocess.run([ZMANAGERD, "--dir", files.directory, "--set", "zmanager.system-plugins=no",
                               "--log-format", "human"], capture_output=True, text=True, timeout=60)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "ZM1319" in said and "isolation = thread in [plugin words]" in said, done
    finally:
        files.close()


@case
def check_judges_what_does_not_go_together():
    code, said = checked("[plugin words]\nisolation = process\n", words=plugin(more=HOOKS, members=", .hooks = &hooks"))
    assert code == 1 and "ZM1319" in said and "set isolation = thread in [plugin words]" in said, said
    code, said = checked("[plugin words]\nisolation = process\ninstances = 4\n", words=plugin())
    assert code == 0 and "zmanager.conf:3:13: warning ZM1317" in said, said
    code, said = checked("[plugin words]\nisolation = process\nthreads = 4\n", words=plugin())
    assert code == 0 and "zmanager.conf:3:11: warning ZM1321" in said, said
    code, said = checked("[plugin words]\nisolation = process\ninstances = 4\nthreads = 4\n", words=plugin(flags="ZM_PLUGIN_THREADSAFE"))
    assert (code, said) == (0, "0 errors, 0 warnings\n"), said
    code, said = checked("[plugin words]\nload = yes\n", words=plugin(note="isolation=container\\n"))
    assert code == 1 and "isolation is thread, process or private" in said, said
    for wrong in "isolation = jail", "instances = 0", "threads = 65", "memory = 1M", "descriptors = 3":
        code, said = checked(f"[plugin words]\n{wrong}\n", words=plugin())
        assert code == 1 and "zmanager.conf:2:" in said, (wrong, said)


@case
def keys_that_keep_an_order_run_beside_each_other():
    """As many as a host has threads, however few workers the daemon has."""
    config = "[zmanager]\nworkers = 2\n[workers]\nordering = key\ntimeout = 20s\n[plugin meet]\nthreads = 8\n"
    with Isolated("process", built={"meet": MEET}, config=config, actions={"a.ini": "[actionmapping]\n?A?B = meet.meet\n"}) as daemon:
        ledger = Ledger(daemon)
        for number in range(16):
            daemon.push_socket.send_multipart([b"~~~A~B~%d" % number, b'{"ordering-key":"%d"}' % number, b""])
        ledger.close(16)
        assert len(ledger.results) == 16, ledger.errors


LIMITS = {"instances": 2, "threads": 4, "memory": "64M", "descriptors": 40}


@case
def settings_of_hosts_without_a_host_are_told():
    settings = "".join(f"{name} = {value}\n" for name, value in LIMITS.items())
    for isolation, reason in ("isolation = thread\n", "[plugin] isolation"), ("", "default"):
        code, said = checked(f"[plugin words]\n{isolation}{settings}", words=plugin())
        assert code == 0 and said.count("warning ZM1320") == len(LIMITS), said
        for name in LIMITS:
            assert f"[plugin words] {name} has no effect: the plugin runs in the daemon itself ({reason})" in said, said
    actions = {"a.ini": "[actionmapping]\n?A?B = words.greet\n"}
    with Daemon(config="[zmanager]\nwatch = no\n", actions=actions, plugins={"words": plugin(flags="ZM_PLUGIN_THREADSAFE")}, expect=["ZM1320"]) as daemon:
        daemon.write("zmanager.conf", f"[zmanager]\nwatch = no\n[plugin words]\n{settings}")
        daemon.control("reload")
        daemon.wait_log("zmanager.conf:6:10: warning ZM1320: .plugin words. memory has no effect")
        # A copy of it that runs in a host has them.
        daemon.write("actions.d/a.ini", actions["a.ini"] + "[action ?A?B]\nisolation = private\n")
        assert "ZM1320" not in json.dumps(daemon.control("reload"))


run()
