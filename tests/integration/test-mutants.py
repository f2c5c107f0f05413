# SPDX-License-Identifier: LGPL-2.1-or-later
"""Over 200 damaged .so files in the plugin path of a real daemon: each is refused with a reason or loads after it was tried in a process of its own, and the daemon answers throughout.

The mutants are the same in every run. More than half are damaged in the program headers or in the note, which are what the daemon reads itself before any code runs. Their actions are never called. In thread isolation the bytes of code stay as they are: what such a plugin does in the daemon's own process after it was tried is the plugin's own doing, which the probe cannot foresee; in process isolation code is damaged as well. ZM_TEST_MUTANTS names the isolations to try, as in "thread process"."""

import collections
import json
import os
import random
import re
import struct
import subprocess
import tempfile

from zmcase import ZMANAGERCTL, case, run
from zmtest import Daemon, Refused, built_plugin, compile_plugin, sanitizer_options, wait_for

ISOLATIONS = os.environ.get("ZM_TEST_MUTANTS", "thread process").split()
SEED = int(os.environ.get("ZM_TEST_SEED", "20231"))
NASTY = [0, 1, 7, 0xFFF, 0x1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]


# What a plugin may have that is read or called when it is loaded, but for start: that only the daemon calls.
RICH = r"""
#include <zmanager/plugin.h>
#include <pthread.h>
#include <stdlib.h>
struct rich { pthread_mutex_t lock; char text[64]; };
ZM_ACTION (exported) { return zm_reply_text (call, "exported"); }
ZM_ACTION_THREADSAFE (several) { return zm_reply_text (call, "several"); }
static int listed (zm_call *call) { return zm_reply_text (call, "listed"); }
static int init (const zm_host *host, void **state)
{
  struct rich *rich = calloc (1, sizeof *rich);
  (void) host;
  if (rich == NULL)
    return ZM_E_FAILED;
  pthread_mutex_init (&rich->lock, NULL);
  *state = rich;
  return ZM_OK;
}
static void fini (void *state)
{
  struct rich *rich = state;
  pthread_mutex_destroy (&rich->lock);
  free (rich);
}
static const zm_action_desc actions[] = { { "listed", listed, ZM_ACTION_THREADSAFE_FLAG, "In the descriptor" }, { NULL, NULL, 0, NULL } };
static const zm_option_desc options[] = {
  { "size", ZM_OPTION_SIZE, 0, "64k", "A size" },
  { "word", ZM_OPTION_STRING, ZM_OPTION_SECRET, NULL, "A word" },
  { "names", ZM_OPTION_STRING, ZM_OPTION_LIST, NULL, "Several" },
  { NULL, 0, 0, NULL, NULL },
};
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "rich", .version = "1.0", .licence = "LGPL-2.1-or-later", .summary = "Has what a plugin may have",
                                           .actions = actions, .options = options, .init = init, .fini = fini };
ZM_PLUGIN_FULL ("rich", "1.0", "LGPL-2.1-or-later", "Has what a plugin may have", "kind=component\n", &descriptor);
"""


class Elf:
    """As much of a 64-bit little-endian file as is needed to damage it in a chosen place."""

    def __init__(self, data):
        self.data = data
        self.phoff, self.shoff = struct.unpack_from("<QQ", data, 32)
        self.phnum, = struct.unpack_from("<H", data, 56)
        self.shnum, = struct.unpack_from("<H", data, 60)
        self.segments = [struct.unpack_from("<IIQQQQQQ", data, self.phoff + 56 * i) for i in range(self.phnum)]

    def ranges(self, kind):
        """(offset, size) of the segments of a type."""
        return [(s[2], s[5]) for s in self.segments if s[0] == kind]

    def is_code(self, at):
        return any(s[0] == 1 and s[1] & 1 and s[2] <= at < s[2] + s[5] for s in self.segments)


def put(data, at, form, value):
    out = bytearray(data)
    size = struct.calcsize(form)
    out[at:at + size] = struct.pack(form, value & ((1 << 8 * size) - 1))
    return bytes(out)


def header_mutants(elf, chance):
    """Fields of the file's header: each of them once, some twice."""
    fields = [(0, "<B"), (4, "<B"), (5, "<B"), (6, "<B"), (16, "<H"), (18, "<H"), (20, "<I"), (32, "<Q"), (32, "<Q"), (52, "<H"), (54, "<H"), (54, "<H"), (56, "<H"), (56, "<H")]
    for at, form in fields:
        yield put(elf.data, at, form, chance.choice(NASTY))


def program_header_mutants(elf, chance, count):
    """Fields of the program headers, to what is nasty or near."""
    fields = [(0, "<I"), (4, "<I"), (8, "<Q"), (16, "<Q"), (32, "<Q"), (40, "<Q"), (48, "<Q")]
    for _ in range(count):
        at, form = chance.choice(fields)
        at += elf.phoff + 56 * chance.randrange(elf.phnum)
        old, = struct.unpack_from(form, elf.data, at)
        yield put(elf.data, at, form, chance.choice(NASTY + [old + 1, old - 1, old ^ 0x1000, old + 0x1000]))


def note_mutants(elf, chance, count):
    """Sizes, owner and text of the notes: control bytes, no UTF-8, another version, ends cut off."""
    ranges = elf.ranges(4)
    ours = elf.data.index(b"abi=") if b"abi=" in elf.data else None
    for number in range(count):
        start, size = chance.choice(ranges)
        if ours is not None and number % 3:
            at = chance.randrange(max(ours - 24, 0), ours + 120)
            yield put(elf.data, at, "<B", chance.choice([0, 10, 13, 27, 0x80, 0xFF, 61, chance.randrange(256)]))
        else:
            at = start + 4 * chance.randrange(max(size // 4, 1))
            yield put(elf.data, at, "<I", chance.choice(NASTY))


def dynamic_mutants(elf, chance, count):
    (start, size), = elf.ranges(2)
    for _ in range(count):
        at = start + 8 * chance.randrange(size // 8)
        old, = struct.unpack_from("<Q", elf.data, at)
        yield put(elf.data, at, "<Q", chance.choice(NASTY + [old + 8, old - 8, old ^ 0x100, chance.randrange(0x30)]))


def hash_mutants(elf, chance, count):
    """The head of the table of symbols, which says how many there are."""
    (start, size), = elf.ranges(2)
    table = next(value for tag, value in struct.iter_unpack("<QQ", elf.data[start:start + size]) if tag == 0x6FFFFEF5)
    for _ in range(count):
        yield put(elf.data, table + 4 * chance.randrange(4), "<I", chance.choice(NASTY))


def section_mutants(elf, chance, count):
    for _ in range(count):
        at = elf.shoff + 64 * chance.randrange(elf.shnum) + 8 * chance.randrange(8)
        yield put(elf.data, at, "<Q", chance.choice(NASTY))


def truncations(elf, chance, count):
    for number in range(count):
        size = chance.randrange(len(elf.data)) if number % 2 else chance.randrange(4096)
        yield elf.data[:size]


def flips(elf, chance, count, code):
    """One to four bytes anywhere in what is loaded: with code, also there."""
    loaded = [at for start, size in elf.ranges(1) for at in range(start, start + size) if code or not elf.is_code(at)]
    for _ in range(count):
        data = elf.data
        for _ in range(chance.randrange(1, 5)):
            at = chance.choice(loaded)
            data = put(data, at, "<B", data[at] ^ (1 << chance.randrange(8)))
        yield data


def mutants(originals, code):
    """(kind, bytes) of these files: none twice, none as it was."""
    chance = random.Random(SEED)
    seen = set()
    for path in originals:
        with open(path, "rb") as file:
            elf = Elf(file.read())
        seen.add(elf.data)
        kinds = [("header", header_mutants(elf, chance)), ("program headers", program_header_mutants(elf, chance, 42)), ("note", note_mutants(elf, chance, 36)),
                 ("dynamic section", dynamic_mutants(elf, chance, 14)), ("hash table", hash_mutants(elf, chance, 6)), ("section headers", section_mutants(elf, chance, 3)),
                 ("truncation", truncations(elf, chance, 6)), ("flips", flips(elf, chance, 14, code))]
        for kind, made in kinds:
            for data in made:
                if data not in seen:
                    seen.add(data)
                    yield kind, data


def listing(daemon):
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "--json", "plugin", "ls"], stdout=subprocess.PIPE, check=True, timeout=60)
    plugins = json.loads(done.stdout)
    return {plugin["name"]: plugin for plugin in (plugins["plugins"] if isinstance(plugins, dict) else plugins)}


def host(isolation):
    with tempfile.TemporaryDirectory() as folder:
        compile_plugin(os.path.join(folder, "rich.so"), RICH)
        made = list(mutants([built_plugin("hello"), os.path.join(folder, "rich.so")], code=isolation == "process"))
    kinds = collections.Counter(kind for kind, _ in made)
    assert len(made) >= 200, kinds
    assert kinds["note"] + kinds["program headers"] >= len(made) / 2, kinds
    names = [f"m{number:03}" for number in range(len(made))]
    config = "[zmanager]\nworkers = 2\nwatch = no\n" + ("third-party-isolation = process\n" if isolation == "process" else "")
    daemon = Daemon(config=config, plugins=["echo"], actions={"a.ini": "[actionmapping]\n?Good?One = echo.echo\n"}, expect=["."],
                    env=sanitizer_options("detect_leaks=0"))
    with daemon:
        for name, (_, data) in zip(names, made):
            with open(daemon.path("plugins", name + ".so"), "wb") as file:
                file.write(data)
            os.chmod(daemon.path("plugins", name + ".so"), 0o755)
        # One whose damaged table of options asks for a value refuses the whole reload, as any wrong section does: it goes back.
        wrong = set()
        while True:
            daemon.write("conf.d/mutants.conf", "".join(f"[plugin {name}]\nload = yes\n" for name in names if name not in wrong))
            try:
                daemon.control("reload")
                break
            except Refused as refused:
                found = {word for problem in refused.reply["problems"] if problem["severity"] == "error" for word in re.findall(r"\[plugin (m\d+)\]", problem["what"])}
                assert found - wrong, refused
                wrong |= found
        assert daemon.call("?Good?One", b"good") == ("OK", b"good")
        # One that crashes in its start takes the shared host along, and the others are brought up again.
        listed = wait_for("the others", lambda: (all_ := listing(daemon)) and all(plugin["state"] != "starting" for plugin in all_.values()) and all_)
        ends = collections.Counter()
        for name, (kind, _) in zip(names, made):
            plugin = listed[name]
            if name in wrong:
                ends[kind, "with a wrong section"] += 1
                continue
            ends[kind, plugin["state"]] += 1
            assert plugin["state"] in ("loaded", "refused", "failed"), (kind, plugin)
            assert plugin["state"] == "loaded" or plugin.get("reason"), (kind, plugin)
        print(f"{isolation}: {len(made)} mutants")
        for kind in kinds:
            print(f"  {kind}: " + ", ".join(f"{count} {state}" for (of, state), count in sorted(ends.items()) if of == kind))
        # Each is asked for by a mapping too, by an action that may not be there: the reload is taken or refused as a whole.
        loaded = [name for name in names if listed[name]["state"] == "loaded" and listed[name].get("actions")]
        refused = [name for name in names if listed[name]["state"] != "loaded"]
        daemon.write("actions.d/m.ini", "[actionmapping]\n" + "".join(f"?Mutant?{name} = {name}.{listed[name]['actions'][0]['name']}\n" for name in loaded)
                     + "".join(f"?Mutant?{name} = {name}.greet\n" for name in refused))
        subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "reload"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        assert daemon.call("?Good?One", b"good") == ("OK", b"good")
        # And away with all of them, which closes those that were loaded.
        os.remove(daemon.path("actions.d", "m.ini"))
        os.remove(daemon.path("conf.d", "mutants.conf"))
        daemon.control("reload")
        assert daemon.call("?Good?One", b"good") == ("OK", b"good")


for each in ISOLATIONS:
    def mutants_are_refused_or_survive_the_probe(isolation=each):
        host(isolation)
    mutants_are_refused_or_survive_the_probe.__name__ += "_" + each
    case(mutants_are_refused_or_survive_the_probe)


run()
