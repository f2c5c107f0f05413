# SPDX-License-Identifier: LGPL-2.1-or-later
"""zmanagerctl with a real daemon: every command, people's output and JSON, exit statuses."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import zmq

from zmcase import BUILD, SOURCE, ZMANAGERCTL, ZMANAGERD, Skip, case, run

DIR = tempfile.mkdtemp(prefix="zmctl-")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("ZM_DIR", "NO_COLOR")}
PLUGINS = {"echo": "components/echo", "slow": "components/slow"}
FILES = {
    "actions.d/test.ini": "[actionmapping]\n?Test?Echo = echo.echo\n?Test?Slow = slow.work\n",
    "flows.d/test.flow": (
        "[Serve]\n?Serve?Push\nSubject?Serve@PUBLISH?ask\n?Serve@ASYNC?answer\n??done\n\n"
        "[Hand]\n?Hand?Push\n?Hand?over\n??done\n"
    ),
}


def plugin_file(name):
    return os.path.join(BUILD, "plugins", PLUGINS[name], ".libs", name + ".so")


def write(name, text):
    path = os.path.join(DIR, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def command(*arguments):
    return [ZMANAGERCTL, "--dir", DIR, *arguments]


def ctl(*arguments, status=0, stdin=b""):
    done = subprocess.run(command(*arguments), capture_output=True, input=stdin, timeout=60, env=ENVIRONMENT)
    assert done.returncode == status, (arguments, done)
    return done


def ctl_json(*arguments, status=0):
    return json.loads(ctl("--json", *arguments, status=status).stdout)


class Follower:
    """A command that goes on printing. `ready` is the beginning of the line of its standard error that tells it listens."""

    def __init__(self, *arguments, ready=b"tailing"):
        self.process = subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        if ready:
            line = self.process.stderr.readline()
            assert line.startswith(ready), line

    def end(self, status=0):
        killer = threading.Timer(30, self.process.kill)
        killer.start()
        out, error = self.process.communicate()
        killer.cancel()
        assert self.process.returncode == status, (self.process.returncode, out, error)
        return out


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


for name, text in FILES.items():
    write(name, text)
os.mkdir(os.path.join(DIR, "plugins"))
for name in PLUGINS:
    shutil.copy(plugin_file(name), os.path.join(DIR, "plugins"))
LOG = open(os.path.join(DIR, "log"), "wb")
DAEMON = subprocess.Popen([ZMANAGERD, "--dir", DIR], stdout=LOG, stderr=LOG, env=ENVIRONMENT)


@case
def a_daemon_that_is_starting_is_waited_for():
    assert ctl("status", "--timeout", "20s").stdout.startswith(b"%b" % os.uname().nodename.encode()), ctl("status")


@case
def status_for_people_and_programs():
    text = ctl("status").stdout.decode()
    assert ": ready, zmanagerd " in text and "\nrouting " in text and "\x1b" not in text, text
    assert f"\nsockets      subject, call, topics, control in {DIR}/run\n" in text and "zmanager_" not in text, text
    every = ctl("status", "--verbose").stdout.decode()
    assert "zmanager_control_requests_total " in every and "table: " in every and "queue_limit" in every, every
    status = ctl_json("status")
    # Each block and each counter, those that are 0 too.
    lines = [line.split() for line in every.splitlines()]
    for name, block in status.items():
        if isinstance(block, dict) and name != "counters":
            assert any(line and line[0].rstrip(":").split(".")[0] == name for line in lines), (name, every)
    assert [line[0] for line in lines if line and line[0].startswith("zmanager_")] == list(status["counters"]), every
    assert [line[1] for line in lines if line and line[0] == "zmanager_host_crashes_total"] == ["0"], every
    assert "\nhosts: number 0, up 0, down 0, " in every, every
    assert status["state"] == "ready" and status["pid"] == DAEMON.pid, status
    watch = Follower("status", "--watch", "--interval", "100ms", "--json", ready=None)
    lines = [json.loads(watch.process.stdout.readline()) for _ in range(3)]
    watch.process.send_signal(signal.SIGINT)
    watch.end()
    assert all(line["state"] == "ready" for line in lines), lines


@case
def plugin_ls_names_the_actions():
    lines = ctl("plugin", "ls").stdout.decode().splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert "{" not in rows["slow"] and " work" in rows["slow"], lines


@case
def status_tells_of_troubles_and_hides_zeros():
    ctl("call", "?Nothing?Here", status=1)
    text = ctl("status").stdout.decode()
    assert "\ntrouble      messages that ended in an error 1\n" in text and " called 1\n" in text, text
    assert "malformed" not in text and "held" not in text and "inside" not in text, text
    assert {gate["name"] for gate in ctl_json("status")["connections"]} == {"subject", "call", "topics"}


@case
def the_level_of_the_log_is_set():
    assert ctl("log", "--set", "warning").stdout == b"the daemon logs warning and worse now\n"
    assert ctl_json("log", "--set", "debug") == {"level": "debug"}
    assert ctl("log", "--set", "info").stdout.startswith(b"the daemon logs info")
    assert b"loud" in ctl("log", "--set", "loud", status=2).stderr
    assert b"--set stands alone" in ctl("log", "--set", "info", "--level", "info", status=2).stderr


@case
def tail_leaves_no_service_behind():
    ctl("tail", "?Test?Echo", "--for", "200ms")
    assert not [s for s in ctl_json("services")["services"] if s["state"] == "STOPPED"], ctl_json("services")


@case
def send_then_tail_misses_nothing():
    tail = Follower("tail", "--count", "50", "--json")
    ids = [ctl("send", "?Test?Echo", f"body {i}").stdout.decode().strip() for i in range(5)]
    assert ctl("send", "?Test?Echo", "more", "--count", "45").stdout == b"45 messages sent\n"
    seen = [json.loads(line) for line in tail.end().splitlines()]
    assert len(seen) == 50 and set(ids) <= {m["id"] for m in seen}, seen
    assert {f"body {i}" for i in range(5)} | {"more"} == {m["body"] for m in seen}, seen


@case
def a_body_over_the_limit_is_refused_and_not_lost():
    """The daemon's libzmq would end the connection without a word."""
    path = os.path.join(DIR, "big")
    with open(path, "wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    for command, room in (("send", "subject"), ("call", "call")):
        said = ctl(command, "?Test?Echo", "@" + path, status=1)
        expected = f"the body has 16777217 bytes; the daemon takes at most 16777216 ([{room}] max-message)"
        assert expected.encode() in said.stderr and said.stdout == b"", said
    before = ctl_json("status")["subject"]["received"]
    os.truncate(path, 16 * 1024 * 1024)
    ctl("send", "?Test?Echo", "@" + path)
    wait_for(lambda: ctl_json("status")["subject"]["received"] == before + 1)
    os.remove(path)


@case
def a_bulk_send_ends_when_all_was_read():
    before = ctl_json("status")["subject"]["received"]
    for _ in range(3):
        ctl("send", "?Test?Echo", "x", "--count", "5000")
    assert ctl_json("status")["subject"]["received"] - before == 15000


@case
def tail_of_a_key_finds_it_in_whatever_flow():
    tail = Follower("tail", "?Hand?over", "--count", "1", "--json")
    ctl("send", "?Test?Echo", "not this")
    ident = ctl("send", "?Hand?Push", '{"a": 1}', "--header", "color=red").stdout.decode().strip()
    message = json.loads(tail.end())
    assert message["flow"] == "Hand" and message["id"] == ident and message["body"] == {"a": 1}, message


@case
def tail_of_a_key_shows_what_became_of_it():
    tail = Follower("tail", "?Nothing?Here", "--count", "1", "--json")
    ctl("send", "?Nothing?Else", "not this")
    ident = ctl("send", "Me?Nothing?Here").stdout.decode().strip()
    message = json.loads(tail.end())
    assert message["id"] == ident and message["body"]["code"] == "unmapped", message


@case
def tail_accounts_for_every_message_of_a_burst():
    """Stopped, it cannot read; what it printed and what it missed is then all that was published."""
    with tempfile.TemporaryFile() as out:
        tail = subprocess.Popen(
            command("tail", "?Test?Echo", "--json"), stdout=out, stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        assert tail.stderr.readline().startswith(b"tailing")
        tail.send_signal(signal.SIGSTOP)
        ctl("send", "?Test?Echo", "x", "--count", "50000")
        tail.send_signal(signal.SIGCONT)
        # The end of the burst is missing, and nothing came since that would show the gap.
        while not (line := tail.stderr.readline()).startswith(b"a subscriber was too slow"):
            assert line, "it ended"
        last = ctl("send", "?Test?Echo", "last").stdout.decode().strip()

        def lines():
            with open(f"/proc/self/fd/{out.fileno()}", "rb") as file:
                return [json.loads(line) for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]

        wait_for(lambda: any(line.get("id") == last for line in lines()))
        tail.send_signal(signal.SIGINT)
        assert b" missed: " in tail.communicate(timeout=30)[1] and tail.returncode == 0
        printed, missed = sum("id" in line for line in lines()), sum(line.get("missed", 0) for line in lines())
        assert missed > 0 and printed + missed == 50001, (printed, missed)


@case
def tail_of_a_flow():
    tail = Follower("tail", "--flow", "Serve", "--count", "1")
    ctl("send", "?Hand?Push", "not this")
    ctl("send", "?Serve?Push", "this one")
    line = tail.end()
    assert line.startswith(b"Serve~PUBLISH~Subject~Serve~ask~") and line.endswith(b" this one\n"), line


@case
def tail_ends_in_time_and_by_signal():
    assert Follower("tail", "--for", "100ms").end() == b""
    assert Follower("tail", "--for", "100ms", "--count", "1").end(status=1) == b""
    tail = Follower("tail")
    tail.process.send_signal(signal.SIGINT)
    assert tail.end() == b""


@case
def tail_follows_a_reload():
    tail = Follower("tail", "?Late?over", "--count", "1", "--json")
    path = write("flows.d/late.flow", "[Late]\n?Late?Push\n?Late?over\n??done\n")
    wait_for(lambda: any(f["name"] == "Late" for f in ctl_json("flow", "ls")["flows"]) or ctl("reload"))
    wait_for(lambda: ctl("send", "?Late?Push", "x") and tail.process.poll() is not None)
    assert json.loads(tail.end())["flow"] == "Late"
    os.unlink(path)
    ctl("reload")


@case
def bodies_come_from_text_file_and_pipe():
    path = write("body.bin", "from a file")
    assert ctl("call", "?Test?Echo", "from text").stdout == b"from text"
    assert ctl("call", "?Test?Echo", "@" + path).stdout == b"from a file"
    blob = bytes(range(256)) * 40
    assert ctl("call", "?Test?Echo", "-", stdin=blob).stdout == blob
    assert "base64" in json.loads(ctl("call", "--json", "?Test?Echo", "-", stdin=blob).stdout)


@case
def call_tells_errors_and_deadlines():
    done = ctl("call", "?No?Where", status=1)
    assert done.stderr.startswith(b"error unmapped: ") and done.stdout == b"", done
    answer = ctl_json("call", "?No?Where", status=1)
    assert answer["status"] == "ERROR" and answer["error"]["code"] == "unmapped" and answer["error"]["text"] and "body" not in answer, answer
    done = ctl("call", "?Hand?Push", "--timeout", "300ms", status=1)
    assert b"error" in done.stderr, done
    assert ctl_json("call", "?Test?Echo", '{"a": [1]}') == {
        "status": "OK",
        **{k: v for k, v in ctl_json("call", "?Test?Echo", '{"a": [1]}').items() if k == "headers"},
        "body": {"a": [1]},
    }


@case
def explain_and_flows_ask_the_daemon():
    done = ctl("explain", "?Test?Echo")
    assert b"echo.echo" in done.stdout and done.stderr == b"", done
    assert ctl_json("explain", "?Test?Echo")["route"]["symbol"] == "echo"
    assert b"Subject?Serve@PUBLISH?ask -> ?Serve@ASYNC?answer -> ??done" in ctl("flow", "ls").stdout
    assert b"publish" in ctl("flow", "show", "Serve").stdout
    assert ctl("flow", "show", "Serve", "--dot").stdout.startswith(b"digraph")
    ctl("flow", "show", "Nothing", status=5)
    assert [s["kind"] for s in ctl_json("flow", "show", "Serve")["flow"]["steps"]] == ["publish", "async", "done"]


@case
def a_shell_completes_the_names_of_the_daemon():
    assert set(ctl("completion", "flows").stdout.split()) == {b"Hand", b"Serve"}, ctl("completion", "flows")
    assert set(ctl("completion", "plugins").stdout.split()) >= {b"echo", b"slow"}
    if shutil.which("bash") is None:
        raise Skip("bash is not installed")

    def complete(*words):
        script = (
            f'PATH={BUILD}:$PATH; eval "$(zmanagerctl completion bash)"; COMP_WORDS=({" ".join(words)}); '
            f"COMP_CWORD={len(words) - 1}; _zmanagerctl; echo \"${{COMPREPLY[@]}}\""
        )
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, env=ENVIRONMENT).stdout.split()

    assert complete("zmanagerctl", "--dir", DIR, "flow", "show", "Se") == ["Serve"]
    assert complete("zmanagerctl", "--dir", DIR, "send", "--flow", "H") == ["Hand"]
    assert complete("zmanagerctl", "--dir", DIR, "plugin", "reload", "ec") == ["echo"]


@case
def plugins_are_listed_replaced_and_let_go():
    names = {p["name"]: p for p in ctl_json("plugin", "ls")["plugins"]}
    assert names["echo"]["state"] == "loaded" and names["slow"]["state"] == "loaded", names
    assert b"echo" in ctl("plugin", "ls").stdout
    assert ctl_json("plugin", "inspect", "echo")["name"] == "echo"
    ctl("plugin", "reload", "echo")
    assert ctl("call", "?Test?Echo", "after").stdout == b"after"
    ctl("plugin", "unload", "slow")
    assert ctl("call", "?Test?Slow", status=1).stderr.startswith(b"error unavailable: ")
    ctl("plugin", "load", "slow")
    ctl("call", "?Test?Slow")
    ctl("plugin", "load", "nothing", status=5)
    ctl("plugin", "inspect", "nothing", status=5)


@case
def inspect_reads_a_file_without_a_daemon():
    shown = json.loads(subprocess.check_output([ZMANAGERCTL, "--json", "plugin", "inspect", plugin_file("echo")]))
    assert shown["name"] == "echo" and "echo" in [a["name"] for a in shown["actions"]], shown


@case
def streams_print_and_end():
    top = [json.loads(line) for line in ctl("--json", "top", "--count", "2", "--interval", "100ms").stdout.splitlines()]
    assert len(top) == 2 and any(r["key"] == "?Test?Echo" for r in top[1]["routes"]), top
    assert b"?Test?Echo" in ctl("top", "--count", "1").stdout
    log = Follower("log", "--level", "debug", "--count", "1", ready=None)
    wait_for(lambda: ctl("reload") and log.process.poll() is not None)
    assert b": " in log.end()


@case
def a_trace_sees_all_that_is_sent_after_it_began():
    trace = Follower("trace", "job-1", "--count", "2", ready=b"tracing job-1: waiting")
    ctl("send", "?Test?Echo", "another one")
    ctl("send", "--id", "job-1", "?Test?Echo", "traced")
    lines = trace.end().decode().splitlines()
    assert len(lines) == 2 and all(line.startswith("job-1 ") for line in lines), lines
    assert "?Test?Echo" in lines[0] and " echo.echo" in lines[1] and "plugin=" not in lines[1], lines
    trace = Follower("trace", "--count", "1", "--json", ready=b"tracing everything")
    ctl("send", "?Test?Echo", "traced")
    assert json.loads(trace.end())["key"] == "?Test?Echo"


@case
def a_trace_of_what_is_through_says_so():
    ident = ctl("send", "?Test?Echo", "gone").stdout.decode().strip()
    done = ctl("trace", ident, "--for", "3500ms")
    assert done.stdout == b"" and b"nothing came yet: what a message went through before" in done.stderr, done
    ctl("trace", ident, "--for", "50ms", "--count", "1", status=1)


@case
def services_and_workers_are_listed():
    tail = Follower("tail", "?Hand?over")
    assert ctl_json("services")["services"] == [], "tools are no services"
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(ctl_json("status")["endpoints"]["call"][0])
    socket.send_multipart([b"1", b"HELLO", b'{"name": "hands", "patterns": ["?Hand?over"]}'])
    assert socket.recv_multipart()[1] == b"OK"
    services = ctl_json("services")["services"]
    assert any("?Hand?over" in s["patterns"] and s["state"] == "RUNNING" for s in services), services
    assert b"?Hand?over" in ctl("services").stdout
    ctl("services", "nobody", "get_health", status=5)
    tail.process.send_signal(signal.SIGTERM)
    tail.end()
    assert ctl_json("workers")["workers"] == [] and b"no worker" in ctl("workers").stdout


@case
def reload_says_what_changed_or_what_is_wrong():
    path = write("actions.d/wrong.ini", "[actionmapping]\nno key at all = echo.echo\n")
    done = ctl("reload", status=1)
    assert b"wrong.ini:2:" in done.stderr, done
    error, checked = ctl_json("reload", status=1)["error"], ctl_json("check", status=1)
    assert error["text"] == "the reload was refused (1 error); the running configuration stays", error
    assert error["problems"] == checked["problems"] and error["problems"][0]["line"] == 2, (error, checked)
    assert b"wrong.ini:2:" in ctl("check", status=1).stdout
    os.unlink(path)
    ctl("reload")
    assert ctl("call", "?Test?Echo", "still there").stdout == b"still there"


@case
def flow_cases_pass_and_fail():
    good = (
        '[case served]\ngiven = ?Serve?Push\nbody = {"a": 1}\nanswer = ?Serve?answer ["x"]\n'
        'expect = ?Serve?ask {"a":1}\nexpect = Serve~~~~done~ ["x"]\n'
        "[case handed over]\ngiven = ?Hand?Push\nanswer = ?Hand?over text\nexpect = ?Hand?over\nexpect = ??done text\n"
        "[case echo]\ngiven = ?Test?Echo\nbody = hello\nexpect = ?Test?Echo hello\n"
    )
    bad = (
        "[case other body]\ngiven = ?Hand?Push\nanswer = ?Hand?over no\nexpect = ??done yes\n"
        "[case nothing comes]\ngiven = ?Hand?Push\nexpect = ??done\ntimeout = 300ms\n"
        "[case an error]\ngiven = ?No?Where\nexpect = ??done\n"
        "[case never waits]\ngiven = ?Test?Echo\nanswer = ?No?answer\nexpect = ?Test?Echo\n"
    )
    done = ctl("flow", "test", write("flows.d/good.flowtest", good))
    assert done.stdout == b"ok  served\nok  handed over\nok  echo\n3 passed, 0 failed\n", done
    done = ctl("flow", "test", write("flows.d/bad.flowtest", good + bad), status=1)
    assert done.stdout.count(b"FAILED") == 4 and done.stdout.endswith(b"3 passed, 4 failed\n"), done
    for text in [b"expected  ??done yes", b"no\n", b"within 300 ms", b'"code":"unmapped"', b"never waited"]:
        assert text in done.stdout, (text, done)
    cases = ctl_json("flow", "test", os.path.join(DIR, "flows.d/bad.flowtest"), status=1)
    assert [c["ok"] for c in cases["cases"]] == [True] * 3 + [False] * 4 and cases["failed"] == 4, cases
    assert ctl_json("status")["pid"] == DAEMON.pid
    with open(os.path.join(DIR, "log"), encoding="utf-8") as log:
        assert "zmanagerctl-flow-test" not in log.read(), "the daemon of the test wrote into the log of the instance"


@case
def flow_cases_are_not_held_up_by_what_others_publish():
    """A timer publishes more often than the test looks who waits. The instance's path has a blank in it."""
    counter = os.path.join(BUILD, "plugins", "components", "counter", ".libs", "counter.so")
    folder = os.path.join(DIR, "an instance")
    for name in "actions.d", "flows.d", "plugins":
        os.makedirs(os.path.join(folder, name), mode=0o755)
    shutil.copy(counter, os.path.join(folder, "plugins", "counter.so"))
    os.chmod(os.path.join(folder, "plugins", "counter.so"), 0o755)
    write("an instance/zmanager.conf", "[plugin counter]\nload = yes\ninterval = 3\n")
    write("an instance/flows.d/wait.flow", "[Wait]\n?Wait?Push\n?Wait@ASYNC?answer\n??done\n")
    write("an instance/actions.d/count.ini", "[actionmapping]\n?Count?Total = counter.total\n")
    path = write("an instance/flows.d/wait.flowtest",
                 "[case one]\ngiven = ?Wait?Push\nanswer = ?Wait?answer yes\nexpect = ??done yes\n"
                 "[case two]\ngiven = ?Count?Total\nexpect = counter?Count?Total\n")
    done = subprocess.run([ZMANAGERCTL, "--dir", folder, "flow", "test", path], capture_output=True, timeout=60, env=ENVIRONMENT)
    assert done.stdout == b"ok  one\nok  two\n2 passed, 0 failed\n" and done.returncode == 0, done


@case
def plugins_are_tested_in_a_daemon_of_their_own():
    tested = ctl_json("plugin", "test", plugin_file("echo"))
    assert tested["plugin"] == "echo" and tested["failed"] == 0 and tested["actions"], tested
    assert b"loaded, " in ctl("plugin", "test", plugin_file("slow")).stdout
    links = os.path.join(BUILD, "plugins/components/link-status/.libs/link-status.so")
    text = ctl("plugin", "test", links).stdout
    assert b' invalid: the body has no "state"' in text and b"The body was empty, which an action may refuse" in text, text
    body = '{"interface": "eth0", "state": "up"}'
    for given in [(body,), ("-",)]:
        done = ctl("plugin", "test", links, *given, stdin=body.encode())
        assert b" OK " in done.stdout and b"no \"state\"" not in done.stdout, done
        assert b"The body was empty" not in done.stdout, done


@case
def a_plugin_that_kills_its_process_fails_the_test():
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Skip("no C compiler")
    source = write(
        "crash.c",
        "#include <zmanager/plugin.h>\n#include <stdlib.h>\n"
        "ZM_ACTION (crash) { (void) call; abort (); }\n"
        'ZM_PLUGIN ("crash", "1.0", "LGPL-2.1-or-later", "Crashes");\n',
    )
    library = os.path.join(DIR, "crash.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-I", os.path.join(SOURCE, "include"), source, "-o", library], check=True)
    done = ctl("plugin", "test", library, status=1)
    assert b"action crash: the daemon of the test was ended by signal 6" in done.stderr, done
    assert done.stderr.count(b"\n") < 8 and b'{"time"' not in done.stderr, done
    assert "signal 6" in ctl_json("plugin", "test", library, status=1)["error"]["text"]
    # One whose note asks for a process of its own ends only that.
    write(
        "crash.c",
        "#include <zmanager/plugin.h>\n#include <stdlib.h>\n"
        "ZM_ACTION (crash) { (void) call; abort (); }\n"
        "static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = \"crash\", .version = \"1.0\", "
        '.licence = "MIT", .summary = "Crashes" };\n'
        'ZM_PLUGIN_FULL ("crash", "1.0", "MIT", "Crashes", "isolation=private\\n", &descriptor);\n',
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-I", os.path.join(SOURCE, "include"), source, "-o", library], check=True)
    done = ctl("plugin", "test", library, status=1)
    assert b"loaded, 1 action, 1 without an answer" in done.stdout and b"crashed: plugin crash crashed in crash (signal 6" in done.stdout, done
    assert ctl_json("plugin", "test", library, status=1)["failed"] == 1


@case
def colours_only_at_a_terminal():
    import pty

    def at_terminal(**extra):
        parent, child = pty.openpty()
        process = subprocess.Popen(
            command("status"), stdout=child, stderr=child, env={**ENVIRONMENT, "TERM": "xterm", **extra}
        )
        os.close(child)
        out = b""
        while True:
            try:
                block = os.read(parent, 65536)
            except OSError:
                break
            if not block:
                break
            out += block
        os.close(parent)
        assert process.wait(timeout=30) == 0, out
        return out

    assert b"\x1b[" in at_terminal()
    assert b"\x1b[" not in at_terminal(NO_COLOR="1")
    assert b"\x1b[" not in at_terminal(TERM="dumb")


@case
def what_peers_send_is_made_safe_at_a_terminal():
    import pty

    parent, child = pty.openpty()
    tail = subprocess.Popen(command("tail", "--count", "1"), stdout=child, stderr=subprocess.PIPE, env=ENVIRONMENT)
    os.close(child)
    assert tail.stderr.readline().startswith(b"tailing")
    ctl("send", "?Test?Echo", "\x1b]0;evil\x07")
    out = os.read(parent, 65536)
    assert tail.wait(timeout=30) == 0 and b"\x1b]0;" not in out and b"evil" in out, out
    os.close(parent)


@case
def a_control_socket_can_be_named():
    endpoint = ctl_json("status")["endpoints"]["control"]
    done = subprocess.run([ZMANAGERCTL, "--connect", endpoint, "call", "?Test?Echo", "x"], capture_output=True, timeout=30)
    assert done.returncode == 0 and done.stdout == b"x", done


@case
def output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("status"), stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and b"cannot write" in done.stderr, done


@case
def drain_ends_the_daemon_and_followers_notice():
    tail = Follower("tail")
    ctl("drain")
    assert DAEMON.wait(timeout=30) == 0
    tail.end(status=3)
    ctl("status", "--timeout", "50ms", status=3)


try:
    run()
except SystemExit as end:
    if end.code == 1:
        with open(os.path.join(DIR, "log"), encoding="utf-8", errors="replace") as log:
            print("# " + "\n# ".join(log.read().splitlines()[-60:]), flush=True)
    raise
finally:
    if DAEMON.poll() is None:
        DAEMON.kill()
        DAEMON.wait()
    shutil.rmtree(DIR, ignore_errors=True)
