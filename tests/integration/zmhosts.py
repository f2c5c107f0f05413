# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of isolation share: the tests' own plugins, the processes of hosts, and accounts of what was sent."""

import json
import os
import shutil
import threading
import time

from zmcase import BUILD, SOURCE
from zmtest import PATIENCE, Daemon, compile_plugin, real_crashes, wait_for

ISOLATIONS = "thread", "process", "private"
APART = "process", "private"
# Ends of hosts that a test brings about.
HOST_LOG = ["is lost", "hangs", "suppressed", "crash", "ended its host", "is started again"]


def bad_plugin(name):
    """The .so of one of tests/bad-plugins or tests/plugins."""
    for folder in "bad-plugins", "plugins":
        path = os.path.join(BUILD, "tests", folder, ".libs", name + ".so")
        if os.path.exists(path):
            return path
    raise AssertionError(f"the plugin {name} is not built: make check builds it")


def install(daemon, *names):
    """Puts the tests' own plugins into the daemon's directory; "a=b": b under the name a, compiled anew."""
    for name in names:
        target = daemon.path("plugins", name.split("=")[0] + ".so")
        if "=" in name:
            own, of = name.split("=")
            with open(os.path.join(SOURCE, "tests", "plugins", of + ".c"), encoding="utf-8") as file:
                text = file.read()
            compile_plugin(target, text.replace(f'"{of}"', f'"{own}"'))
            continue
        shutil.copy(bad_plugin(name), target + ".part")
        os.chmod(target + ".part", 0o755)
        os.rename(target + ".part", target)


def section(name, isolation, **options):
    """The text of [plugin NAME]."""
    return f"[plugin {name}]\nisolation = {isolation}\n" + "".join(f"{key} = {value}\n" for key, value in options.items())


def children(pid):
    """Processes whose parent is this one: pid -> name."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                head, _, tail = stat.read().rpartition(")")
        except OSError:
            continue
        if int(tail.split()[1]) == pid:
            found[int(entry)] = head.split("(", 1)[1]
    return found


def hosts_of(daemon):
    """The pids of its hosts."""
    return sorted(pid for pid, name in children(daemon.process.pid).items() if name.startswith("zmanager-host"))


def is_there(pid):
    """Is there such a process? One that has ended and is not waited for yet is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def shown(daemon, name, state=None):
    """What plugin ls says of the newest generation of a plugin, or of one in that state."""
    found = [plugin for plugin in daemon.control("plugins")["plugins"]
             if plugin["name"] == name and (state is None or plugin["state"] == state)]
    return max(found, key=lambda plugin: plugin.get("generation") or 0) if found else None


class Isolated(Daemon):
    """A daemon that leaves no process behind, however it ends."""

    def __init__(self, isolation="thread", names=(), built=("echo",), config="", sections=None, leaves=False, **more):
        sections = {} if sections is None else sections
        text = "".join(section(name.split("=")[0], isolation, **sections.get(name.split("=")[0], {})) for name in [*names, *built])
        super().__init__(config=config + text, plugins=built, env=real_crashes(leaves), **more)
        install(self, *names)
        self.seen_hosts = set()

    def hosts(self):
        found = hosts_of(self)
        self.seen_hosts.update(found)
        return found

    def ended(self):
        self.hosts()
        super().ended()
        left = [pid for pid in self.seen_hosts if is_there(pid)]
        assert not left, f"left after the end: {left}"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.hosts()
        super().close()
        wait_for("the hosts to end", lambda: not any(map(is_there, self.seen_hosts)), 5)


class Ledger(threading.Thread):
    """What is published, by the id of its message: results and errors, never two of one. Only of ids that begin so."""

    def __init__(self, daemon, prefix="", ids=""):
        super().__init__(daemon=True)
        self.tail = daemon.tail(prefix)
        self.results, self.errors, self.doubled, self.other = {}, {}, [], []
        self.when, self.over = {}, threading.Event()
        self.order, self.ids = [], ids
        self.start()

    def run(self):
        while True:
            if not self.tail.socket.poll(50):
                if self.over.is_set():
                    return
                continue
            topic, _, body = self.tail.next()
            now = time.monotonic()
            if not topic.id.startswith(self.ids):
                continue
            if topic.id in self.results or topic.id in self.errors:
                self.doubled.append((topic, body))
                continue
            self.when[topic.id] = now
            if topic.action == "error":
                self.errors[topic.id] = json.loads(body)
            else:
                self.results[topic.id] = body
                self.order.append(topic.id)

    @property
    def total(self):
        return len(self.results) + len(self.errors)

    def close(self, sent, patience=PATIENCE * 3):
        """Waits for so many, and finds none twice."""
        wait_for(f"{sent} ends", lambda: self.total >= sent or self.doubled, patience)
        self.over.set()
        self.join(PATIENCE)
        assert not self.doubled, self.doubled[:3]
        assert self.total == sent, (sent, len(self.results), len(self.errors))

    def codes(self):
        counted = {}
        for error in self.errors.values():
            counted[error["code"]] = counted.get(error["code"], 0) + 1
        return counted


def topic(key, number):
    """A topic of that key, "Context~Action", with an id of its own."""
    return f"~~~{key}~{number}".encode()
