# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of zmanagerctl without a daemon: bad lines by a table, help, completion, the manual page."""

import json
import os
import re
import shutil
import subprocess
import tempfile

from zmcase import SOURCE, ZMANAGERCTL, Skip, case, run

EMPTY = tempfile.mkdtemp(prefix="zmctl-")
ENVIRONMENT = {**os.environ, "ZM_DIR": EMPTY, "ZM_TEMPLATE_PATH": os.path.join(EMPTY, "none")}


def ctl(*arguments, stdin="", **environment):
    return subprocess.run(
        [ZMANAGERCTL, *arguments],
        capture_output=True,
        input=stdin.encode(),
        timeout=30,
        env={**ENVIRONMENT, **environment},
    )


def write(name, text):
    path = os.path.join(EMPTY, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


FLOWTEST = write("bad.flowtest", "[case one]\ngiven = a b\nexpct = ??done\n")
NO_CASE = write("empty.flowtest", "# nothing\n")
NOT_ELF = write("not-elf.so", "this is no library")

# (arguments, exit status, what the standard error says)
BAD = [
    ([], 2, "say a command"),
    (["stats"], 2, "did you mean \"status\"?"),
    (["frobnicate"], 2, "unknown command \"frobnicate\""),
    ([""], 2, "unknown command"),
    (["plugin"], 2, "plugin wants one of: ls, inspect, load, unload, reload, new, test"),
    (["plugin", "lst"], 2, "did you mean \"plugin ls\"?"),
    (["plugin", "frobnicate"], 2, "plugin has: ls, inspect"),
    (["flow"], 2, "flow wants one of: ls, show, test"),
    (["flow", "shw", "x"], 2, "did you mean \"flow show\"?"),
    (["status", "extra"], 2, "unexpected argument \"extra\""),
    (["check", "extra"], 2, "unexpected argument"),
    (["send"], 2, "KEY [BODY|-|@FILE] is missing"),
    (["call"], 2, "is missing"),
    (["explain"], 2, "KEY|CODE is missing"),
    (["completion"], 2, "bash|zsh|fish|dead|flows|plugins|queues|services is missing"),
    (["plugin", "inspect"], 2, "FILE|NAME is missing"),
    (["flow", "show"], 2, "NAME is missing"),
    (["send", "?A?B", "body", "more"], 2, "unexpected argument \"more\""),
    (["tail", "?A?B", "more"], 2, "unexpected argument \"more\""),
    (["trace", "no id"], 2, "an id is 1 to 64"),
    (["trace", ""], 2, "an id is 1 to 64"),
    (["trace", "id", "more"], 2, "unexpected argument \"more\""),
    (["--frobnicate"], 2, "unknown option --frobnicate"),
    (["status", "--wach"], 2, "did you mean --watch?"),
    (["--flow", "x", "send", "?A?B"], 2, "it stands after the command"),
    (["status", "--flow", "x"], 2, "unknown option --flow"),
    (["-x"], 2, "unknown option -x"),
    (["send", "?A?B", "-5"], 2, "after -- it would be an argument"),
    (["--json=yes", "status"], 2, "--json takes no value"),
    (["status", "--dir"], 2, "--dir wants a value: --dir DIR"),
    (["status", "--timeout"], 2, "--timeout wants a value"),
    (["status", "--timeout", "soon"], 2, "--timeout:"),
    (["status", "--timeout", "-1s"], 2, "--timeout:"),
    (["status", "--timeout="], 2, "--timeout:"),
    (["tail", "--count", "many"], 2, "--count:"),
    (["tail", "--count", "0"], 2, "--count:"),
    (["tail", "--count", "99999999999999999999"], 2, "--count:"),
    (["log", "--level", "loud"], 2, "--level cannot be \"loud\"; it is one of error|warning|notice|info|debug"),
    (["send", "A"], 2, "the key \"A\" is wrong"),
    (["send", ""], 2, "is wrong"),
    (["send", "A?B?C?D"], 2, "column 6"),
    (["send", "A B?C?D"], 2, "column 2"),
    (["send", "?A@B@C?D"], 2, "column"),
    (["send", "?A?B\nC"], 2, "column"),
    (["call", "no key"], 2, "the key \"no key\" is wrong"),
    (["tail", "x"], 2, "the key \"x\" is wrong"),
    (["explain", "no key"], 2, "neither a code such as ZM1234 or no-taker nor a key"),
    (["explain", "no-takr"], 5, "did you mean no-taker?"),
    (["explain", "overheated"], 5, "an action may have codes of its own"),
    (["explain", "ZMxyz"], 2, "neither a code"),
    (["explain", "ZM9999"], 5, "there is no code ZM9999"),
    (["explain", "99999999999999999999"], 5, "there is no code"),
    (["send", "?A?B", "--flow", "a b"], 2, "--flow:"),
    (["send", "?A?B", "--flow", "a~b"], 2, "--flow:"),
    (["tail", "--flow", "a?b"], 2, "--flow:"),
    (["send", "?A?B", "--id", "a b"], 2, "--id: an id is 1 to 64"),
    (["send", "?A?B", "--id", ""], 2, "--id: an id is 1 to 64"),
    (["send", "?A?B", "--id", "x" * 65], 2, "--id: an id is 1 to 64"),
    (["send", "?A?B", "--id", "x", "--count", "2"], 2, "--id and --count exclude each other"),
    (["send", "?A?B", "--header", "novalue"], 2, "--header wants NAME=VALUE"),
    (["send", "?A?B", "--header", "=x"], 2, "--header wants NAME=VALUE"),
    (["send", "?A?B", "@/nonexistent/file"], 1, "cannot read the body"),
    (["services", "name"], 2, "say a command for \"name\""),
    (["services", "name", "get_helth"], 2, "did you mean \"get_health\"?"),
    (["services", "name", "frobnicate"], 2, "they know: get_health"),
    (["completion", "tcsh"], 2, "\"tcsh\" is none of: bash zsh fish dead flows plugins queues services"),
    (["help", "frobnicate"], 2, "there is no command \"frobnicate\""),
    (["help", "plugin", "frobnicate"], 2, "there is no command \"frobnicate\""),
    (["plugin", "new", "../evil"], 2, "cannot be a plugin's name"),
    (["plugin", "new", "Upper"], 2, "cannot be a plugin's name"),
    (["plugin", "new", ""], 2, "cannot be a plugin's name"),
    (["plugin", "new", "x" * 65], 2, "cannot be a plugin's name"),
    (["plugin", "new", "good", "--kind", "protocl"], 2, "--kind cannot be \"protocl\"; it is one of component|source"),
    (["plugin", "new", "good"], 5, "are not installed"),
    (["plugin", "inspect", "/nonexistent.so"], 5, "/nonexistent.so"),
    (["plugin", "inspect", NOT_ELF], 1, "not-elf.so"),
    (["plugin", "test", NOT_ELF], 1, "not-elf.so"),
    (["plugin", "test", "x.so", "--connect", "ipc:///x"], 2, "--connect makes no sense here"),
    (["flow", "test", "x", "--connect", "ipc:///x"], 2, "--connect makes no sense here"),
    (["check", "--connect", "ipc:///x"], 2, "--connect makes no sense here"),
    (["flow", "test", "/nonexistent.flowtest"], 1, "/nonexistent.flowtest"),
    (["flow", "test", FLOWTEST], 1, "bad.flowtest:3:1: error ZM1001: a case has no key \"expct\""),
    (["flow", "test", NO_CASE], 1, "there is no case"),
    (["flow", "show", "Nothing", "--timeout", "50ms"], 5, "there is no flow \"Nothing\""),
    (["status", "--timeout", "50ms"], 3, "no daemon is there"),
    (["send", "?A?B", "--timeout", "50ms"], 3, "start one with: zmanagerd --dir"),
    (["call", "?A?B", "--timeout", "50ms"], 3, "no daemon is there"),
    (["tail", "--timeout", "50ms"], 3, "no daemon is there"),
    (["log", "--timeout", "50ms"], 3, "no daemon is there"),
    (["reload", "--timeout", "50ms"], 3, "no daemon is there"),
    (["status", "--dir", "/nonexistent/instance"], 3, "the directory /nonexistent/instance does not exist"),
    (["status", "--connect", "ipc:///nonexistent/x", "--timeout", "50ms"], 3, "is that where a zmanagerd listens?"),
    (["status", "--connect", "nonsense"], 1, "an endpoint is ipc://PATH or tcp://HOST:PORT"),
]


@case
def bad_command_lines():
    for arguments, status, text in BAD:
        done = ctl(*arguments)
        error = done.stderr.decode()
        assert done.returncode == status, (arguments, done)
        assert text in error, (arguments, text, error)
        assert re.search(r"^zmanagerctl: ", error, re.MULTILINE), (arguments, error)
        assert status != 2 or "zmanagerctl --help" in error or "zmanagerctl help " in error, (arguments, error)
        assert b"\x1b" not in done.stderr + done.stdout, (arguments, done)


@case
def bytes_that_are_no_text_are_refused():
    done = subprocess.run([ZMANAGERCTL, "send", "?A?B", b"\xff\xfe"], capture_output=True, timeout=30, env=ENVIRONMENT)
    assert done.returncode == 2 and b"argument 2 is not UTF-8" in done.stderr, done


@case
def errors_are_json_with_json():
    done = ctl("status", "--json", "--timeout", "50ms")
    assert done.returncode == 3, done
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "unreachable" and "no daemon" in error["text"], done


@case
def nobody_there_takes_the_time_given():
    import time

    began = time.monotonic()
    done = ctl("send", "?A?B", "--timeout", "300ms")
    took = time.monotonic() - began
    assert done.returncode == 3 and 0.25 < took < 10, (took, done)


def table():
    """Every command of help --all, in order."""
    text = ctl("help", "--man").stdout.decode()
    return re.findall(r"^\*([a-z ]+)\*", text, re.MULTILINE)


@case
def help_knows_every_command():
    names = table()
    assert len(names) >= 25 and "plugin ls" in names and "completion" in names, names
    everything = ctl("help", "--all").stdout.decode()
    first = ctl("--help").stdout.decode()
    for name in names:
        assert re.search(rf"^  {name}\b", everything, re.MULTILINE), name
        one = ctl("help", *name.split())
        assert one.returncode == 0 and f"zmanagerctl {name}".encode() in one.stdout, (name, one)
        same = ctl(*name.split(), "--help")
        assert same.returncode == 0 and same.stdout == one.stdout, (name, same)
    assert "status" in first and "plugin new" in first and "completion" not in first, first
    assert ctl("help", "plugin", "new").stdout.count(b"--dir ") == 1, ctl("help", "plugin", "new")
    assert ctl("help", "plugin").stdout.count(b"\n") == 7, ctl("help", "plugin")
    assert ctl("-h").stdout.decode() == first


@case
def help_behind_a_first_word_lists_what_begins_so():
    for word in "dead", "plugin", "flow":
        listed = ctl(word, "--help")
        assert listed.returncode == 0 and listed.stdout == ctl("help", word).stdout and listed.stdout.startswith(f"  {word} ".encode()), listed


@case
def manual_page_has_the_table():
    with open(os.path.join(SOURCE, "data/man/zmanagerctl.1.scd"), encoding="utf-8") as file:
        page = file.read()
    listing = ctl("help", "--man").stdout.decode()
    assert listing.strip() in page, "data/man/zmanagerctl.1.scd is not what zmanagerctl help --man prints"
    for name in table():
        assert f"*{name}*" in page, name


@case
def version_is_told():
    text = ctl("version").stdout.decode()
    assert text.startswith("zmanagerctl ") and ctl("--version").stdout.decode() == text
    assert json.loads(ctl("version", "--json").stdout)["version"] == text.split()[1]


@case
def codes_need_no_daemon():
    done = ctl("explain", "ZM1000")
    assert done.returncode == 0 and done.stdout.startswith(b"ZM1000  ") and b"Cure:" in done.stdout, done
    assert ctl("explain", "1000").stdout == done.stdout
    assert json.loads(ctl("explain", "ZM1000", "--json").stdout)["code"] == "ZM1000"
    done = ctl("explain", "no-taker")
    assert done.returncode == 0 and done.stdout.startswith(b"no-taker  ") and b"Cure: " in done.stdout, done
    assert json.loads(ctl("explain", "no-taker", "--json").stdout)["name"] == "no-taker"


@case
def a_wrong_command_line_is_json_too():
    for line in (["--json", "flow", "show"], ["nonsense", "--json"], ["--json", "explain", "a b"]):
        error = json.loads(ctl(*line).stdout)["error"]
        assert error["code"] == "invalid" and error["text"], (line, error)


@case
def keys_and_flows_are_explained_from_files():
    folder = tempfile.mkdtemp(dir=EMPTY)
    for name, text in {
        "actions.d/a.ini": "[actionmapping]\n?Link?Down = link-status.on_link_down\n",
        "flows.d/l.flow": "[Link]\nNetlink?Link?Down\n?Link?Down\n! ?Ops?Alert\n??done\n",
    }.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    key = ctl("--dir", folder, "explain", "Netlink?Link?Down")
    assert key.returncode == 0 and b"this is what the files say" in key.stderr, key
    assert b"link-status.on_link_down" in key.stdout and b"Link" in key.stdout, key
    assert json.loads(ctl("--dir", folder, "explain", "Netlink?Link?Down", "--json").stdout)["route"], key
    flows = ctl("--dir", folder, "flow", "ls")
    assert flows.returncode == 0 and b"?Link?Down -> ??done" in flows.stdout, flows
    shown = ctl("--dir", folder, "flow", "show", "Link")
    assert shown.returncode == 0 and b"link-status.on_link_down" in shown.stdout and b"?Ops?Alert" in shown.stdout, shown
    slip = ctl("--dir", folder, "flow", "show", "Lnk")
    assert slip.returncode == 5 and b'did you mean "Link"?' in slip.stderr, slip
    dot = ctl("--dir", folder, "flow", "show", "Link", "--dot")
    assert dot.returncode == 0 and dot.stdout.startswith(b'digraph "Link"'), dot


@case
def check_tells_what_is_wrong():
    folder = tempfile.mkdtemp(dir=EMPTY)
    assert ctl("--dir", folder, "check").returncode == 0
    with open(os.path.join(folder, "zmanager.conf"), "w", encoding="utf-8") as file:
        file.write("[subjct]\nbind = x\n")
    done = ctl("--dir", folder, "check")
    assert done.returncode == 1 and b"zmanager.conf:1:" in done.stdout and b"ZM1000" in done.stdout, done
    assert ctl("--dir", folder, "check", "--json").returncode == 1
    json.loads(ctl("--dir", folder, "check", "--json").stdout)


@case
def plugin_new_fills_in_and_never_overwrites():
    templates = os.path.join(EMPTY, "templates")
    os.makedirs(os.path.join(templates, "component", "sub"))
    for name in ["@NAME@.c", "sub/Makefile"]:
        with open(os.path.join(templates, "component", name), "w", encoding="utf-8") as file:
            file.write("name @NAME@, symbol @SYMBOL@, upper @UPPER@, mail a@b.c\n")
    into = tempfile.mkdtemp(dir=EMPTY)
    made = ctl("plugin", "new", "link-up", "--dir", into, ZM_TEMPLATE_PATH=templates)
    assert made.returncode == 0 and b"next: make -C" in made.stdout, made
    for name in ["link-up.c", "sub/Makefile"]:
        with open(os.path.join(into, "link-up", name), encoding="utf-8") as file:
            assert file.read() == "name link-up, symbol link_up, upper LINK_UP, mail a@b.c\n"
    again = ctl("plugin", "new", "link-up", "--dir", into, ZM_TEMPLATE_PATH=templates)
    assert again.returncode == 1 and b"is there already; nothing was written" in again.stderr, again
    source = ctl("plugin", "new", "other", "--kind", "source", "--dir", into, ZM_TEMPLATE_PATH=templates)
    assert source.returncode == 5 and not os.path.exists(os.path.join(into, "other")), source


@case
def completion_scripts_are_made_from_the_table():
    for shell in ["bash", "zsh", "fish"]:
        text = ctl("completion", shell).stdout.decode()
        for name in table():
            assert name.split()[-1] in text, (shell, name)
        assert "count" in text and "timeout" in text, shell


@case
def bash_completes():
    if shutil.which("bash") is None:
        raise Skip("bash is not installed")

    def complete(*words, cwd=EMPTY):
        script = (
            f'eval "$("{ZMANAGERCTL}" completion bash)"; COMP_WORDS=({" ".join(repr(w) for w in words)}); '
            f"COMP_CWORD={len(words) - 1}; _zmanagerctl; echo \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, cwd=cwd)
        assert done.returncode == 0 and not done.stderr, done
        return done.stdout.split()

    assert complete("zmanagerctl", "st") == ["status", "store"]
    assert complete("zmanagerctl", "plugin", "in") == ["inspect"]
    assert complete("zmanagerctl", "--dir", "/tmp", "plugin", "un") == ["unload"]
    assert complete("zmanagerctl", "send", "--fl") == ["--flow"]
    assert complete("zmanagerctl", "completion", "f") == ["fish"]
    # Where there is none of these names, files are not what is meant.
    assert complete("zmanagerctl", "plugin", "inspect", "README", cwd=SOURCE) == ["README.md"]
    for words in ("dead", "rm"), ("dead", "show"), ("flow", "show"), ("plugin", "reload"):
        assert complete("zmanagerctl", *words, "", cwd=SOURCE) == [], words


@case
def other_shells_read_their_scripts():
    found = [shell for shell in ["zsh", "fish"] if shutil.which(shell)]
    if not found:
        raise Skip("neither zsh nor fish is installed")
    for shell in found:
        text = ctl("completion", shell).stdout
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, timeout=30)
        assert done.returncode == 0, (shell, done)


try:
    run()
finally:
    shutil.rmtree(EMPTY, ignore_errors=True)
