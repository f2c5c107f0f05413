# SPDX-License-Identifier: LGPL-2.1-or-later
"""Simulated power loss: images of the store's files as a disk may hold them when the power goes, each opened by a daemon.

What was synced is on it; of what was written since, any part in any order, and one write torn. Recorded by tests/faults/shim.c."""

import os
import random
import tempfile

from zmcase import LONG, case, run
from zmdisk import FailingDisk
from zmfaulty import Faulty, body_of, end

POSTS = 120
IMAGES = 300 if LONG else 8
SECTOR = 512


def read_record(path):
    """[(what, "" or "-wal", place, bytes, where its record ends)]"""
    with open(path, "rb") as file:
        content = file.read()
    entries, at = [], 0
    while at < len(content):
        end = content.index(b"\n", at)
        what, name, place, size = content[at:end].decode().split(" ")
        at = end + 1 + int(size)
        entries.append((what, "-wal" if name.endswith("-wal") else "", int(place), content[end + 1:at], at))
    return entries


def apply(files, entry, chance=None):
    what, name, place, data, _ = entry
    content = files.setdefault(name, bytearray())
    if what == "t":
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    pieces = [(place + at, data[at:at + SECTOR]) for at in range(0, len(data), SECTOR)]
    if chance is not None:
        pieces = chance.sample(pieces, chance.randint(0, len(pieces)))
    for at, piece in pieces:
        content.extend(bytes(max(0, at - len(content))))
        content[at:at + len(piece)] = piece


def image(base, entries, chance):
    """{"" or "-wal": bytes}: what was synced, and some of the rest."""
    files, waiting = {"": bytearray(base)}, {"": [], "-wal": []}
    for entry in entries:
        what, name = entry[:2]
        if what != "s":
            waiting[name].append(entry)
            continue
        for one in waiting[name]:
            apply(files, one)
        waiting[name].clear()
    for rest in waiting.values():
        if chance.random() < 0.8:
            rest = chance.sample(rest, chance.randint(0, len(rest)))
        for number, entry in enumerate(rest):
            apply(files, entry, chance if entry[0] == "w" and number == len(rest) // 2 else None)
    return files


@case
def each_image_recovers_with_all_that_was_confirmed():
    seed = int(os.environ.get("ZM_SEED", "0")) or random.randrange(1 << 32)
    print(f"# ZM_SEED={seed}", flush=True)
    chance = random.Random(seed)
    with FailingDisk() as disk, tempfile.TemporaryDirectory(prefix="zm-power-") as folder:
        confirmed = {}
        with Faulty(env=disk.env) as daemon:
            assert daemon.post_job()[0] and daemon.post_letter()[0]
            end(daemon)
            first = {kind: set(daemon.accepted[kind]) for kind in daemon.accepted}
            with open(daemon.store, "rb") as file:
                base = file.read()
            record = os.path.join(folder, "record")
            daemon.env["ZM_RECORD"] = record
            daemon.start()
            for number in range(POSTS):
                ident, kind = f"m-{daemon.number + 1}", ("jobs", "letters")[number % 2]
                assert (daemon.post_job if kind == "jobs" else daemon.post_letter)()[0]
                confirmed[ident] = (kind, os.path.getsize(record))
            daemon.process.kill()
            daemon.process.wait()
            entries = read_record(record)
            del daemon.env["ZM_RECORD"]
            for _ in range(IMAGES):
                cut = chance.randint(1, len(entries))
                where = entries[cut - 1][4]
                for ending in "-wal", "-shm", ".reserve":
                    if os.path.exists(daemon.store + ending):
                        os.unlink(daemon.store + ending)
                for name, content in image(base, entries[:cut], chance).items():
                    with open(daemon.store + name, "wb") as out:
                        out.write(content)
                for socket in daemon.sockets:
                    socket.close(0)
                daemon.sockets.clear()
                daemon.start()
                assert daemon.control("store-check")["found"] == 0
                found = {"jobs": daemon.jobs(), "letters": daemon.letters()}
                for kind in found:
                    wanted = first[kind] | {ident for ident, (which, at) in confirmed.items() if which == kind and at <= where}
                    assert not wanted - found[kind].keys(), f"cut at {cut} of {len(entries)}: lost {sorted(wanted - found[kind].keys())[:5]}"
                    for ident, body in found[kind].items():
                        assert body == body_of(ident), (ident, body)
                daemon.process.kill()
                daemon.process.wait()
            print(f"# {IMAGES} images of {len(entries)} writes and syncs, 0 confirmed lost", flush=True)
            daemon.again()


if __name__ == "__main__":
    run()
