# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plugin that does not come up anew is told to who asked for it: by plugin reload, by reload, and in the audit."""

import json
import os
import subprocess

from zmcase import ZMANAGERCTL, case, run
from zmhosts import Isolated, install, section
from zmtest import wait_for

# What its start does stands in a file, which may change without a new plugin.
MOODY = r"""
#include <zmanager/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
read_mood (char *mood, size_t size)
{
  FILE *file = fopen ("@MOOD@", "r");

  mood[0] = '\0';
  if (file != NULL && fgets (mood, (int) size, file) == NULL)
    mood[0] = '\0';
  if (file != NULL)
    fclose (file);
}

__attribute__ ((constructor)) static void
constructor (void)
{
  char mood[32];

  read_mood (mood, sizeof mood);
  if (strcmp (mood, "constructor") == 0)
    abort ();
}

static int
start (void *state)
{
  char mood[32];

  (void) state;
  read_mood (mood, sizeof mood);
  if (strcmp (mood, "abort") == 0)
    abort ();
  while (strcmp (mood, "hang") == 0)
    pause ();
  return strcmp (mood, "fail") == 0 ? ZM_E_FAILED : ZM_OK;
}

ZM_ACTION (greet)
{
  return zm_reply_text (call, "hello");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor,
  .name = "moody",
  .version = "1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Starts as a file says",
  .start = start,
};

ZM_PLUGIN_FULL ("moody", "1.0", "LGPL-2.1-or-later", "Starts as a file says", "", &descriptor);
"""
ACTIONS = {"a.ini": "[actionmapping]\n?Good?Greet = moody.greet\n"}
LOG = ["ZM1", "crash", "ended", "start", "hangs", "did not come back", "killed", "has not ended", "left"]
# What start does -> what is said of it. Some moods a daemon survives only where the plugin is apart.
FAILURES = {"fail": "start failed with -"}
DEADLY = {"abort": "signal 6", "constructor": "signal 6"}


class Moody(Isolated):
    def __init__(self, isolation, **more):
        config = "[zmanager]\nwatch = no\naudit-log = audit.log\n" + section("moody", isolation, **more)
        super().__init__(built=(), config=config, actions=ACTIONS, expect=LOG)
        self.mood("")
        self.install("moody", MOODY.replace("@MOOD@", self.path("mood")))

    def mood(self, mood):
        self.write("mood", mood)

    def audit(self):
        with open(self.path("audit.log"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def last_act(self, n):
        wait_for(f"{n} acts", lambda: len(self.audit()) >= n)
        return self.audit()[-1]


def ctl(daemon, *arguments, status=0):
    environment = {key: value for key, value in os.environ.items() if key not in ("ZM_DIR", "NO_COLOR")}
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *arguments], capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == status, (arguments, done)
    return done


def fails_loudly(daemon, text, acts):
    """plugin reload of what cannot come up: status 1, the reason once, and the audit knows it."""
    done = ctl(daemon, "plugin", "reload", "moody", status=1)
    assert done.stdout == "" and done.stderr.startswith("zmanagerctl: not reloaded: plugin 'moody': "), done
    assert text in done.stderr and "generation 1 of it goes on running" in done.stderr and done.stderr.count("goes on running") == 1, done
    act = daemon.last_act(acts)
    assert act["act"] == "plugin-reload" and act["result"] == "refused" and text in act["text"], act
    # A shared host that was ended is started again, and the old one in it.
    daemon.mood("")
    wait_for("the old one", lambda: daemon.call("?Good?Greet") == ("OK", b"hello"))


@case
def a_plugin_that_does_not_come_up_anew_fails_its_reload():
    for isolation in "thread", "private", "process":
        with Moody(isolation) as daemon:
            moods = {**FAILURES, **(DEADLY if isolation != "thread" else {})}
            for number, (mood, text) in enumerate(moods.items()):
                daemon.mood(mood)
                fails_loudly(daemon, text, number + 1)
            daemon.mood("fail")
            answer = json.loads(ctl(daemon, "--json", "plugin", "reload", "moody", status=1).stdout)["error"]
            assert answer["code"] == "failed" and "not reloaded: plugin 'moody'" in answer["text"], answer
            daemon.mood("")
            assert ctl(daemon, "plugin", "reload", "moody").stdout == "plugin moody generation 2\n"
            assert daemon.last_act(len(moods) + 2)["result"] == "ok"


@case
def a_plugin_that_does_not_load_is_told_with_its_reason_in_the_audit_too():
    with Moody("private") as daemon:
        ctl(daemon, "plugin", "unload", "moody")
        daemon.mood("fail")
        done = ctl(daemon, "plugin", "load", "moody", status=1)
        assert done.stderr.count("start failed with -") == 1, done
        assert "start failed with -" in daemon.last_act(2)["text"], daemon.audit()


@case
def a_plugin_that_hangs_in_its_start_fails_its_reload():
    with Moody("private") as daemon:
        daemon.mood("hang")
        fails_loudly(daemon, "start", 1)


@case
def a_resident_plugin_in_a_shared_host_fails_its_reload():
    config = "[zmanager]\nwatch = no\n" + section("gtype-resident", "process")
    with Isolated(built=(), config=config, actions={"a.ini": "[actionmapping]\n?Good?Greet = gtype-resident.greet\n"}, expect=LOG) as daemon:
        install(daemon, "gtype-resident")
        ctl(daemon, "reload")
        done = ctl(daemon, "plugin", "reload", "gtype-resident", status=1)
        assert "not reloaded: plugin 'gtype-resident': it is resident" in done.stderr and "isolation = private" in done.stderr, done


@case
def a_reload_that_not_all_plugins_survive_says_so():
    with Moody("thread") as daemon:
        daemon.mood("abort")
        daemon.write("zmanager.conf", "[zmanager]\nwatch = no\naudit-log = audit.log\n" + section("moody", "private"))
        done = ctl(daemon, "reload", status=6)
        assert "plugin moody.isolation" in done.stdout and "plugin 'moody': " in done.stderr and "signal 6" in done.stderr, done
        act = daemon.last_act(1)
        assert (act["act"], act["result"]) == ("reload", "incomplete") and "signal 6" in act["text"], act
        answer = json.loads(ctl(daemon, "--json", "reload", status=6).stdout)
        assert "signal 6" in answer["incomplete"] and any("signal 6" in problem["what"] for problem in answer["problems"]), answer
        assert daemon.call("?Good?Greet") == ("OK", b"hello")
        daemon.mood("")
        assert ctl(daemon, "reload").stderr == ""
        assert daemon.last_act(3)["result"] == "ok"


run()
