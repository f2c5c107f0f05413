# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs README.md, HACKING.md and every manual page: each block of each, in order, in a folder of its own.

A mark says what a block is. It stands above the block: in a manual page as a comment, "; block: KIND", in Markdown as
"<!-- block: KIND -->"; there a block that begins with ```sh or ```text needs none.

    sh             commands, all of a page in one shell that ends at the first one that fails
    output         what the commands above it print; … stands for anything
    file NAME      is written there. C has to compile without a warning; configuration, mappings and flows have to pass
                   zmanagerd --check before the next commands, without a warning (with: file NAME, warns)
    json           has to be JSON
    picture        shows a form; there is nothing to run
    not-run WHY    commands that no test can run; counted and listed
"""

import collections
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile

from zmcase import BUILD, SOURCE, case, run

MARK = "=== the end of block"
PATIENCE = 300
FENCED = {"sh": "sh", "text": "output"}
INSTANCE = re.compile(r"^(.*?)/?(?:(?:actions|flows|conf)\.d/[^/]*|zmanager\.conf)$")

Block = collections.namedtuple("Block", "line kind argument text")


def blocks(page):
    """Every block of a page; its kind is known, or this fails."""
    found, mark, fence, lines = [], None, None, []
    for number, line in enumerate(open(page, encoding="utf-8"), 1):
        bare = line.strip()
        if fence is not None:
            if bare == "```":
                found.append(Block(fence, *mark, "".join(lines)))
                fence, mark, lines = None, None, []
            else:
                lines.append(line.removeprefix(indent))
        elif bare.startswith("```"):
            mark = mark or (FENCED.get(bare[3:]), "")
            assert mark[0], f"{page}:{number}: this block has no mark: say what it is (see the head of this test)"
            fence, indent = number, line[: len(line) - len(line.lstrip())]
        elif match := re.match(r"(?:;|<!--) block: ([\w-]+) ?(.*?)(?: -->)?$", bare):
            mark = match.groups()
            assert mark[0] in COMMANDS, f"{page}:{number}: no block is of kind {mark[0]}"
        elif bare:
            assert mark is None, f"{page}:{number}: a mark without a block"
    assert fence is None, f"{page}:{fence}: a block without an end"
    return found


# ---- what becomes of each kind, as a piece of the page's script; instances: what is to be checked yet

def checks(instances):
    """zmanagerd --check of each instance that was written since the last commands."""
    pieces = []
    for folder, warns in instances.items():
        ending = "^0 errors" if warns else "^0 errors, 0 warnings"
        pieces.append(f"zmanagerd --dir {shlex.quote(folder or '.')} --check >.check 2>&1 || {{ cat .check; false; }}\n"
                      f"grep -q {shlex.quote(ending)} .check || {{ cat .check; false; }}\n")
    instances.clear()
    return "".join(pieces)


def run_commands(block, instances):
    return checks(instances) + block.text


def write_file(block, instances):
    name, _, warns = block.argument.partition(", ")
    quoted = shlex.quote(name)
    piece = f"mkdir -p \"$(dirname {quoted})\"\ncat >{quoted} <<'end of the file'\n{block.text}end of the file\n"
    if name.endswith(".c"):
        piece += f"cc -fsyntax-only -Wall -Wextra -Werror -pedantic $(pkg-config --cflags zmanager-plugin) {quoted}\n"
    elif match := INSTANCE.match(name):
        instances[match[1]] = instances.get(match[1], False) or warns == "warns"
    return piece


def read_json(block, _instances):
    json.loads(block.text)
    return ""


def nothing(_block, _instances):
    return ""


COMMANDS = {"sh": run_commands, "output": nothing, "file": write_file, "json": read_json, "picture": nothing,
            "not-run": nothing}


def script(found):
    parts = [". \"$ZM_SRCDIR/tests/integration/built-tree.sh\"", "built_tree \"$PWD/.tree\"", "set -e"]
    instances = {}
    for number, block in enumerate(found):
        piece = COMMANDS[block.kind](block, instances)
        if number == len(found) - 1:
            piece += checks(instances)
        parts.append(f"{piece}printf '\\n{MARK} {number}\\n'")
    return "\n".join(parts) + "\n"


def as_pattern(text):
    """… is anything, also several lines where it stands alone."""
    return r"\A" + ".*?".join(re.escape(part) for part in text.strip().split("…")) + r"\Z"


def printed_by(commands, folder):
    """Runs the commands in a shell; what it and all that it started printed."""
    shutil.copytree(os.path.join(SOURCE, "data", "examples"), os.path.join(folder, "data", "examples"))
    python = os.path.join(folder, ".tree", "bin", "python3")
    os.makedirs(os.path.dirname(python))
    os.symlink(os.environ["PYTHON"], python)
    # What make check tells its children is not for a make of the page's.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environment.update(ZM_BUILDDIR=BUILD, ZM_SRCDIR=SOURCE)
    shell = subprocess.Popen(["sh"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        return shell.communicate(commands, timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + f"\n(not done after {PATIENCE} s)\n"
    finally:
        # Whatever the commands left running.
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def check_page(page):
    found = blocks(page)
    with tempfile.TemporaryDirectory(prefix="zm-") as folder:
        rest = printed_by(script(found), folder) if found else ""
    printed = before = ""
    for number, block in enumerate(found):
        before, (printed, mark, rest) = printed, rest.partition(f"\n{MARK} {number}\n")
        where = f"{page}:{block.line}"
        assert mark, f"{where}: this {block.kind} failed:\n{block.text}\nprinted:\n{printed}"
        if block.kind == "output":
            assert number > 0 and found[number - 1].kind == "sh", f"{where}: output of which commands?"
            assert re.search(as_pattern(block.text), before.strip(), re.S), (
                f"{where}: printed\n{before}\nand not\n{block.text}")
    kinds = collections.Counter(block.kind for block in found)
    print(f"# {os.path.basename(page)}: " + (", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "no blocks"))
    for block in found:
        if block.kind == "not-run":
            print(f"#   not run, line {block.line}: {block.argument}")


def add_case(page):
    def check():
        check_page(page)
    check.__name__ = os.path.basename(page)
    case(check)


PAGES = sorted(glob.glob(os.path.join(SOURCE, "data", "man", "*.scd")))
DOCUMENTS = [os.path.join(SOURCE, "README.md"), os.path.join(SOURCE, "HACKING.md"), *PAGES]
for document in DOCUMENTS:
    add_case(document)


# ---- what pages say of the program, beside their blocks

def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def sources(*rooms):
    for room in rooms:
        for path in sorted(glob.glob(os.path.join(SOURCE, "core", room, "*.[ch]"))):
            yield path, read(path)


@case
def references_lead_to_pages():
    there = {os.path.basename(page)[:-4] for page in PAGES}
    for document in DOCUMENTS:
        for name, section in re.findall(r"\b(zmanager[\w.-]*)[*`_]*\((\d)\)", read(document)):
            assert f"{name}.{section}" in there, f"{document}: there is no {name}({section})"


@case
def every_error_code_is_explained():
    """The codes that the rooms put into errors of messages and calls, against zmanager-wire(7)."""
    callers = (r"zm_run_set_failuref?|zm_end_refused|refuse|fail_later|cannot_call|take_failed|zm_run_heir|"
               r"zm_call_fail|zm_wait_end_all|zm_tickets_cancel_all|zm_answer_busy|zm_answer_text")
    used = {"failed": "where no code is given"}
    for path, text in sources("worker", "subject", "hosts"):
        for call in re.findall(rf"\b(?:{callers}) \((.*?);", text, re.S):
            for code in re.findall(r'"([a-z]+(?:-[a-z]+)*)"', call):
                used.setdefault(code, path)
        for code in re.findall(r'\bcode = (?:\w+ \? )?"([a-z-]+)"', text):
            used.setdefault(code, path)
    assert len(used) > 20, f"only {sorted(used)} were found: does this test still see the code?"
    page = read("data", "man", "zmanager-wire.7.scd").partition("\n# ERRORS\n")[2].partition("\n# ")[0]
    listed = set(re.findall(r"^[\[|][\[ ] ([a-z-]+)$", page, re.M))
    assert listed >= set(used), f"zmanager-wire(7) lacks {sorted((c, used[c]) for c in set(used) - listed)}"
    assert listed <= set(used), f"zmanager-wire(7) lists codes that nothing gives: {sorted(listed - set(used))}"
    told = set(re.findall(r'^  \{ "([a-z-]+)",', read("core", "ctl", "error-codes.c"), re.M))
    assert told == listed, f"zmanagerctl explain and zmanager-wire(7) differ in {sorted(told ^ listed)}"


# Rows of the table of limits, and the constants that they tell.
LIMITS = {
    "a line in one": ("config/lines.c", "LINE_MOST", "64 KiB"),
    "a configuration, mapping or flow file": ("config/lines.c", "FILE_MOST", "1 MiB"),
    "problems that are listed": ("base/problems.c", "PROBLEMS_MOST", "1,000"),
    "an action key or topic": ("message/zm-key.h", "ZM_KEY_MOST", "1,024 bytes"),
    "a part of it": ("message/zm-key.h", "ZM_PART_MOST", "255 bytes"),
    "a message id": ("message/topic.c", "ID_MOST", "64 characters"),
    "headers of a message": ("message/zm-message.h", "ZM_HEADERS_MOST", "64 KiB"),
    "parts of a batch": ("message/zm-message.h", "ZM_BATCH_PARTS_MOST", "1,024"),
    "mappings": ("routing/table.c", "MAPPINGS_MOST", "1,000,000"),
    "flows": ("routing/table.c", "FLOWS_MOST", "100,000"),
    "lines of a flow": ("routing/table-private.h", "ZM_STEPS_MOST", "1,000"),
    "branches of a concurrent step": ("routing/zm-table.h", "ZM_BRANCHES_MOST", "16"),
    "flows inside flows": ("routing/zm-table.h", "ZM_NESTING_MOST", "8"),
    "steps of one message": ("message/zm-message.h", "ZM_HOPS_MOST", "100"),
    "worker threads, replacements included": ("worker/internal.h", "ZM_WORKERS_MOST", "256"),
    "calls that wait for one SERIAL plugin": ("worker/internal.h", "ZM_STRAND_MOST", "1,024"),
    "an action's error text": ("worker/run.h", "ZM_TEXT_MOST", "4 KiB"),
    "timers of plugins": ("worker/timer.c", "TIMERS_MOST", "1,024"),
    "timers of one plugin": ("worker/timer.c", "PLUGIN_TIMERS_MOST", "256"),
    "worker threads": ("worker/zm-pool.h", "ZM_POOL_WORKERS_MOST", "64"),
    "flow instances that wait": ("runtime/private.h", "ZM_RUNTIME_WAITING_MOST", "100,000"),
    "registered services": ("subject/services.h", "ZM_SERVICES_MOST", "1,024"),
    "patterns of a service": ("subject/services.h", "ZM_PATTERNS_MOST", "64"),
    "prefixes of a service": ("subject/services.h", "ZM_SERVICE_PREFIXES_MOST", "4,096"),
    "different subscriptions": ("integration/integration-private.h", "ZM_SUBSCRIPTIONS_MOST", "65,536"),
    "a frame of a subscriber": ("integration/zm-integration.c", "INCOMING_MOST", "64 KiB"),
    "topics that are numbered": ("integration/sequence.c", "SEQUENCES_MOST", "65,536"),
    "endpoints of one socket": ("integration/integration-private.h", "ZM_TOPICS_SOCKETS_MOST", "32"),
    "calls of one plugin that wait for its hosts": ("hosts/hosts-private.h", "ZM_HOST_WAITING_MOST", "4,096"),
    "messages on their way from a host": ("hosted/hosted-private.h", "ZM_HOSTED_EMITS", "1,024"),
    "crashes of a plugin within 60 s": ("hosts/hosts-private.h", "ZM_CRASHES_MOST", "5"),
    "ends of hosts by one message": ("hosts/dead.c", "KILLS_MOST", "3"),
    "messages whose ends of hosts are counted": ("hosts/dead.c", "NOTES_MOST", "4,096"),
    "reports of crashes in state/": ("hosts/blame.c", "REPORTS_MOST", "20"),
    "workers in other languages": ("worker/external.c", "WORKERS_MOST", "256"),
    "watched directories": ("config/watch-places.c", "PLACES_MOST", "256"),
    "a secret": ("config/secret.c", "SECRET_MOST", "64 KiB"),
    "a plugin's file": ("plugin/zm-plugin-private.h", "ZM_PLUGIN_FILE_MOST", "256 MiB"),
    "lines that one plugin logs at once": ("runtime/plugin-log.c", "BURST", "1,000"),
    "lines of output of one process in a second": ("base/child.c", "LINES_A_SECOND", "50"),
    "names of metrics a plugin": ("runtime/hosting.h", "ZM_HOSTING_METRICS_MOST", "64"),
    "loading, init and start of a plugin": ("plugin/zm-plugin-private.h", "ZM_PLUGIN_CALL_MS", "10 s"),
    "a queue's name": ("queue/zm-queue.h", "ZM_QUEUE_NAME_MOST", "64 bytes"),
    "a project's name": ("queue/zm-queue.h", "ZM_QUEUE_PROJECT_MOST", "256 bytes"),
    "a sender's id of a message in a queue": ("queue/zm-queue.h", "ZM_QUEUE_ID_MOST", "64 bytes"),
    "a body in a queue": ("queue/zm-queue.h", "ZM_QUEUE_BODY_MOST", "64 MiB"),
    "queues": ("queue/zm-queue.h", "ZM_QUEUES_MOST", "1,000,000"),
    "messages of one queue under claims": ("queue/zm-queue.h", "ZM_QUEUE_CLAIMED_MOST", "1,000,000"),
    "messages of one claim": ("queue/claim-requests.c", "CLAIM_MOST", "1,000"),
    "ids by which a repeated message is known": ("queue/window.c", "WINDOW_MOST", "1,000,000"),
    "bytes of records that one answer of a queue reads": ("queue/queue-private.h", "ZM_QUEUE_READ_MOST", "64 MiB"),
    "records kept in memory beside the store": ("queue/queue-private.h", "ZM_QUEUE_CACHE_MOST", "32 MiB"),
    "who waits for messages of queues": ("queue/registry-private.h", "ZM_WATCHES_MOST", "10,000"),
    "who waits for one queue to be empty": ("queue/latest.h", "ZM_LATEST_WAITS_MOST", "10,000"),
    "changes that wait for the store": ("store/store.c", "WAITING_MOST", "64 MiB"),
    "reads that wait for the store": ("store/store-private.h", "ZM_STORE_JOBS_MOST", "65,536"),
    "the state of a durable message in its flow": ("worker/durable-state.h", "ZM_STATE_MOST", "16 MiB"),
    "failed attempts that a dead letter tells": ("delivery/delivery-private.h", "ZM_DELIVERY_HISTORY_MOST", "20"),
    "dead letters of one list": ("runtime/commands-dead.c", "LIST_MOST", "1,000"),
    "ids of one replay": ("runtime/dead-walk.h", "ZM_DEAD_IDS_MOST", "64"),
    "messages of one command about a queue": ("runtime/query.h", "ZM_QUERY_COUNT_MOST", "100"),
    "commands that wait for their answer": ("runtime/later.h", "ZM_LATER_MOST", "1,000"),
    "puts, durable emits and waits of plugins under way": ("runtime/asked.c", "ASKED_MOST", "16,384"),
    "a kept value of a plugin": ("plugin/zm-event.h", "ZM_KEPT_VALUE_MOST", "64 KiB"),
    "kept values of one plugin": ("plugin/zm-event.h", "ZM_KEPT_NAMES_MOST", "1,024"),
    "a target of an HTTP request": ("http/server.h", "ZM_HTTP_TARGET_MOST", "8 KiB"),
    "a head of an HTTP request": ("http/server.h", "ZM_HTTP_HEAD_MOST", "32 KiB"),
    "what waits in one event stream": ("http/server.h", "ZM_HTTP_STREAM_MOST", "1 MiB"),
    "addresses that HTTP listens on": ("http/server.h", "ZM_HTTP_LISTEN_MOST", "16"),
    "seconds that Zaqar's _wait_ may last": ("http/zaqar-document.h", "ZM_ZAQAR_WAIT_MOST", "60"),
    "tokens": ("http/zm-tokens.h", "ZM_TOKENS_MOST", "10,000"),
    "the file of tokens": ("http/zm-tokens.h", "ZM_TOKEN_FILE_MOST", "4 MiB"),
    "key patterns of one token": ("http/tokens.c", "PATTERNS_MOST", "64"),
    "live topics by HTTP at one time": ("runtime/http-private.h", "ZM_WEB_TAILS_MOST", "256"),
    "commands of HTTP that wait": ("runtime/http-private.h", "ZM_WEB_COMMANDS_MOST", "1,000"),
    "a text in one, such as a name": ("runtime/commands.h", "ZM_REQUEST_TEXT_MOST", "64 KiB"),
    "a request on the control socket": ("runtime/zm-runtime.h", "ZM_REQUEST_MOST", "1 MiB"),
    "streams (trace, log, top) at one time": ("runtime/streams.h", "ZM_STREAMS_MOST", "16"),
    "parts that wait for a stream": ("runtime/streams.c", "BOX_ITEMS_MOST", "4,096"),
}


def amount(words):
    """What "64 KiB" or "1,000" is as a number."""
    number, _, unit = words.partition(" ")
    return int(number.replace(",", "")) * {"KiB": 1024, "MiB": 1024 ** 2, "s": 1000}.get(unit, 1)


@case
def the_limits_are_those_of_the_code():
    page = read("data", "man", "zmanager.conf.5.scd").partition("\n# LIMITS\n")[2].partition("\n# ")[0]
    rows = dict(re.findall(r"^\|  (.*)\n:  (.*)$", page, re.M))
    for what, (path, name, words) in LIMITS.items():
        assert rows.get(what, "").startswith(words), f"LIMITS: {what}: {rows.get(what)!r}, not {words}"
        value = re.search(rf"^#define {name} +(?:\(\((?:goffset|gsize)\) )?(.*?)\)?(?: +/\*.*)?$", read("core", path), re.M)
        assert value, f"core/{path} has no {name}"
        assert eval(value[1].strip("( )")) == amount(words), f"{name} is {value[1]}, LIMITS says {words}"
    defaults = re.findall(r"^:  \[(\w+)\] ([\w-]+): (\S+)$", page, re.M)
    assert len(defaults) >= 8, "LIMITS no longer names the keys that set limits"
    schema = read("core", "config", "schema.c")
    for section, key, standard in defaults:
        assert re.search(rf'\("{section}", "{key}",(?: \.\w+ = "[^"]*",)* ?\.standard = "{standard}"', schema), (
            f"LIMITS: [{section}] {key} is not {standard} where it is not set")


@case
def options_and_environment_are_told():
    page = read("data", "man", "zmanagerd.8.scd")
    said = subprocess.run([os.path.join(BUILD, "zmanagerd"), "--help"], capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"--[a-z-]+", said):
        assert f"*{option}*" in page or option.startswith("--help"), f"zmanagerd(8) lacks {option}"
    pages = "".join(read(page) for page in PAGES).replace("\\_", "_")
    for path, text in sources("*"):
        for name in re.findall(r'getenv \("(\w+)"\)', text):
            assert f"*{name}*" in pages or f"${name}*" in pages, f"{path}: no manual page tells of {name}"


@case
def targets_and_choices_are_there():
    hacking = read("HACKING.md")
    with open(os.path.join(BUILD, "Makefile"), encoding="utf-8") as file:
        makefile = file.read()
    for target in re.findall(r"\bmake ([a-z][a-z-]*)\b(?! [a-z])", hacking):
        assert re.search(rf"^(?:\.PHONY:.* )?{target}\b.*:|^\.PHONY:.* {target}\b", makefile, re.M), f"no target {target}"
    said = read("configure.ac")
    for choice, name in re.findall(r"--(enable|disable|with|without)-([a-z]+)", hacking):
        assert f"[{name}]" in said or f"--{choice}-{name}" in said, f"configure has no --{choice}-{name}"


run()
