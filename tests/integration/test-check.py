# SPDX-License-Identifier: LGPL-2.1-or-later
"""--check and --dump: what they find is what the daemon would say, at the place where it stands."""

import json
import os
import re
import subprocess

from zmcase import ZMANAGERCTL, ZMANAGERD, case, run
from zmtest import Daemon

OPTIONS = r"""
#include <zmanager/plugin.h>
ZM_ACTION (noted) { return zm_reply_text (call, "noted"); }
static int listed (zm_call *call) { return zm_reply_text (call, "listed"); }
static const zm_action_desc actions[] = { { "listed", listed, 0, "Not exported" }, { 0 } };
static const zm_option_desc options[] = {
  { "min-length", ZM_OPTION_INTEGER, 0, "3", "Shortest word\nthat counts" },
  { "where", ZM_OPTION_STRING, ZM_OPTION_REQUIRED, NULL, "Where to" },
  { 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "words", .version = "1",
  .licence = "MIT", .summary = "Words", .actions = actions, .options = options };
ZM_PLUGIN_FULL ("words", "1", "MIT", "Words", "", &descriptor);
"""
CRASHING = """
#include <zmanager/plugin.h>
__attribute__ ((constructor)) static void crash (void) { __builtin_trap (); }
ZM_ACTION (act) { (void) call; return ZM_OK; }
ZM_PLUGIN ("crashing", "1", "MIT", "Crashes when it is opened");
"""


def instance(config="", actions="", plugins=None):
    """The files of an instance; nothing is started."""
    files = Daemon(config=config, actions={"a.ini": "[actionmapping]\n" + actions}, plugins=plugins or {})
    os.chmod(files.path("plugins"), 0o755)
    return files


def call(files, *arguments, program=ZMANAGERD):
    environment = dict(os.environ, ZM_SYSTEM_PLUGINS="no")
    environment.pop("ZM_PLUGIN_PATH", None)
    return subprocess.run([program, "--dir", files.directory, *arguments], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, env=environment)


def errors(text, files):
    """The lines that are about errors, without the directory."""
    return [line.replace(files.directory + "/", "") for line in text.splitlines() if re.search(r"\berror ZM\d", line)]


@case
def queues_that_drive_actions_and_retry_policies_are_judged():
    config = """[store]
driver = memory
[queue work]
topics = ?A
action = A?B
retry = {"immediate": "often"}
dead-letter = no name
[queue other]
action = ?A?B
retry = {"backoff": {"n": 2, "min": 1, "max": 4}}
dead-letter = other.dead
[action ?A?B]
retries = 2000
[action ?A?C]
retries = {"pre": 1}
"""
    mappings = "?A?B = words.noted\n?A?C = words.noted\n[action ?A?B]\nretries = {\"never\": 1}\n[action ?A?C]\nretries = 3\n"
    files = instance(config, mappings, {"words": OPTIONS})
    try:
        checked, started = call(files, "--check"), call(files, "--log-format", "human")
        assert (checked.returncode, started.returncode) == (1, 1), (checked, started)
        found = errors(checked.stdout, files)
        for place in ("a.ini:5:11: error ZM1024", "zmanager.conf:4:10: error ZM1002", "zmanager.conf:5:10: error ZM1400",
                      "zmanager.conf:6:9: error ZM1024", "zmanager.conf:7:15: error ZM1402", "zmanager.conf:13:11: error ZM1002",
                      "zmanager.conf:15:11: error ZM1024"):
            assert sum(place in line for line in found) == 1, (place, found)
        assert not any("[queue other]" in line for line in found), found
    finally:
        files.close()


@case
def own_keys_of_plugins_are_judged_as_the_daemon_does():
    files = instance("[plugin words]\nmin-lenght = 3\nmin-length = abc\n", "?A?B = words.noted\n", {"words": OPTIONS})
    try:
        checked, asked, started = (call(files, "--check"), call(files, "check", program=ZMANAGERCTL),
                                   call(files, "--log-format", "human"))
        found = errors(checked.stdout, files)
        assert [checked.returncode, asked.returncode, started.returncode] == [1, 1, 1], (checked, asked, started)
        assert found == errors(asked.stdout, files), (checked, asked)
        assert found == [line for line in errors(started.stderr, files) if " runtime: " not in line], (found, started)
        assert [line.split(" error ")[0] + " " + line.split(" error ")[1][:6] for line in found] == [
            "zmanager.conf:1:2: ZM1015", "zmanager.conf:2:1: ZM1001", "zmanager.conf:3:14: ZM1002"], found
        assert 'did you mean "min-length"?' in found[1], found
    finally:
        files.close()


@case
def a_right_instance_has_no_errors():
    files = instance("[plugin words]\nwhere = here\nmin-length = 5\n[source netlink]\nevents = link\n",
                     "?A?B = words.noted\n?A?C = words.listed\n", {"words": OPTIONS, "netlink": None})
    try:
        checked = call(files, "--check")
        assert (checked.returncode, checked.stdout) == (0, "0 errors, 0 warnings\n"), checked
    finally:
        files.close()


@case
def sources_are_judged_like_plugins():
    files = instance("[source netlink]\nevnts = link\nkey = no?such?key?form\n[source other]\nplugin = words\n", "",
                     {"words": OPTIONS, "netlink": None})
    try:
        found = errors(call(files, "--check").stdout, files)
        assert [line.split(": ")[0] + " " + line.split("error ")[1][:6] for line in found] == [
            "zmanager.conf:2:1 ZM1001", "zmanager.conf:3:7 ZM1400", "zmanager.conf:5:10 ZM1311"], found
    finally:
        files.close()


@case
def a_plugin_that_cannot_be_asked_is_reported():
    files = instance("[plugin crashing]\nown = key\n", "", {"crashing": CRASHING})
    try:
        checked = call(files, "--check")
        assert checked.returncode == 1, checked
        assert errors(checked.stdout, files)[0].startswith(
            "plugins/crashing.so: error ZM1302: plugin 'crashing': when it was tried, it crashed in its constructor"), checked
    finally:
        files.close()


@case
def a_mapped_plugin_without_a_section_is_asked_too():
    files = instance("", "?A?B = words.noted\n", {"words": OPTIONS})
    try:
        checked = call(files, "--check")
        assert checked.returncode == 1, checked
        assert errors(checked.stdout, files) == [
            "error ZM1015: [plugin words] lacks where; expected where = … (Where to); add it to [plugin words]"], checked
    finally:
        files.close()


@case
def every_finding_has_its_place_and_they_come_in_order():
    files = instance("[source netlnk]\n[plugin nothing]\n[workers]\ntimeout = soon\n[plugin absent]\nload = yes\n[plugin words]\nwhere = here\n",
                     "?A?C = words.wrong\n?A?B = wrods.noted\n", {"words": OPTIONS})
    try:
        report = json.loads(call(files, "--check", "--json").stdout)
        places = [(os.path.basename(found["file"]), found["line"]) for found in report["problems"]]
        assert places == [("a.ini", 2), ("a.ini", 3), ("zmanager.conf", 1), ("zmanager.conf", 2), ("zmanager.conf", 4),
                          ("zmanager.conf", 6)], places
        assert all(found["column"] > 0 for found in report["problems"]), report
    finally:
        files.close()


@case
def a_section_of_a_plugin_that_is_not_there_is_told_by_start_and_reload_too():
    with Daemon(config="[plugin nosuch]\nisolation = private\n[zmanager]\nwatch = no\n", expect=["ZM1300"]) as daemon:
        checked = call(daemon, "--check")
        found = [line for line in checked.stdout.splitlines() if "error ZM1300: [plugin nosuch]: " in line]
        assert checked.returncode == 1 and len(found) == 1, checked
        warning = found[0].replace(": error ", ": warning ")
        assert [line["text"] for line in daemon.log_lines() if "ZM1300" in line.get("text", "")] == [warning], daemon.log_text()
        assert [problem["text"] for problem in daemon.control("reload")["problems"]] == [warning]


@case
def the_dump_shows_what_is_in_effect():
    files = instance("[worker py]\nexec = true\n[integration]\nbind = ipc:///tmp/elsewhere\n")
    try:
        dumped = call(files, "--dump")
        assert dumped.returncode == 0, dumped
        lines = dumped.stdout.splitlines()
        run_dir = os.path.realpath(files.directory) + "/run"
        for line in (f"node = {os.uname().nodename}", f"bind = ipc://{run_dir}/subject", f"bind = ipc://{run_dir}/call",
                     f"bind = ipc://{run_dir}/worker-py"):
            assert lines[lines.index(line) - 1] == "# default", (line, dumped.stdout)
        assert "bind = ipc:///tmp/elsewhere" in lines and f"bind = ipc://{run_dir}/topics" not in lines, dumped.stdout
        assert not os.path.exists(files.path("run")), "a dump makes nothing"
        with open(files.path("zmanager.conf"), "w") as config:
            config.write(dumped.stdout)
        assert [line for line in call(files, "--dump").stdout.splitlines() if line[:1] != "#"] == [
            line for line in lines if line[:1] != "#"], "it reads back"
        values = {(entry["section"], entry["key"]): entry["values"]
                  for entry in json.loads(call(files, "--dump", "--json").stdout)["configuration"]}
        assert values["call", "bind"] == [f"ipc://{run_dir}/call"], values
    finally:
        files.close()


@case
def inspect_lists_options_of_a_file_when_asked():
    files = instance("", "", {"words": OPTIONS, "crashing": CRASHING})
    try:
        def inspect(*arguments):
            return call(files, "plugin", "inspect", *arguments, program=ZMANAGERCTL)

        noted = inspect("--json", files.path("plugins", "crashing.so"))
        assert noted.returncode == 0 and "options" not in json.loads(noted.stdout), "none of its code runs"
        assert "--options" in inspect(files.path("plugins", "words.so")).stderr
        for subject in (files.path("plugins", "words.so"), "words"):
            shown = json.loads(inspect("--json", "--options", subject).stdout)
            assert [action["name"] for action in shown["actions"]] == ["noted", "listed"], shown
            assert shown["options"] == [
                {"name": "min-length", "type": "integer", "required": False, "secret": False, "list": False,
                 "standard": "3", "doc": "Shortest word that counts"},
                {"name": "where", "type": "string", "required": True, "secret": False, "list": False,
                 "doc": "Where to"}], shown
        crashed = inspect("--options", files.path("plugins", "crashing.so"))
        assert crashed.returncode == 4 and "crashed in its constructor" in crashed.stderr, crashed
    finally:
        files.close()


run()
