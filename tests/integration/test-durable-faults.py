# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that fail or are full while the daemon writes: what was accepted is there, the rest was refused at once, and it recovers by itself.

What was accepted is written down here, and judged by what actions and readers got after a kill -9."""

import os
import random
import subprocess

from zmcase import LONG, ZMANAGERCTL, case, run
from zmdisk import FailingDisk, SmallDisk
from zmfaulty import Faulty, body_of, end
from zmhttp import ZAQAR
from zmtest import wait_for

def failing(rule, why, for_ever):
    """All posts are refused at once while the disk fails, and nothing that was accepted before or after is lost."""
    with FailingDisk() as disk, Faulty(env=disk.env) as daemon:
        for _ in range(10):
            assert daemon.post_all() == [True, True, True]
        disk.say(f"{rule} 0 {-1 if for_ever else 1} store.db\n")
        refused = 0
        for _ in range(5 if for_ever else 20):
            refused += daemon.post_all().count(False)
        assert refused >= (14 if for_ever else 1), f"{refused} were refused"
        if for_ever:
            daemon.in_trouble(why)
            assert daemon.post_all() == [False, False, False]
        disk.say("")
        daemon.well()
        for _ in range(5):
            assert daemon.post_all() == [True, True, True]
        daemon.audit()
        assert daemon.control("store-check")["found"] == 0


@case
def sync_ends_with_EIO_once():
    failing("sync EIO", "I/O error", for_ever=False)


@case
def sync_ends_with_EIO_for_ever():
    failing("sync EIO", "I/O error", for_ever=True)


@case
def write_ends_with_EIO_once():
    failing("write EIO", "I/O error", for_ever=False)


@case
def write_ends_with_EIO_for_ever():
    failing("write EIO", "I/O error", for_ever=True)


@case
def write_ends_with_ENOSPC_once():
    failing("write ENOSPC", "no space", for_ever=False)


@case
def write_ends_with_ENOSPC_for_ever():
    failing("write ENOSPC", "no space", for_ever=True)


@case
def what_fails_in_the_new_file_too_stays_refused():
    with FailingDisk() as disk, Faulty(env=disk.env) as daemon:
        for _ in range(10):
            assert daemon.post_all() == [True, True, True]
        disk.say("sync EIO 0 1 store.db-wal\nsync EIO 0 3 store.db.new\n")
        wait_for("a refusal", lambda: False in daemon.post_all())
        daemon.well()
        assert daemon.post_all() == [True, True, True]
        assert not [name for name in os.listdir(daemon.path("state")) if name.endswith((".new", ".ready"))]
        daemon.audit()


@case
def a_kill_while_the_disk_fails_loses_nothing():
    with FailingDisk() as disk, Faulty(env=disk.env) as daemon:
        for rule in "sync EIO", "write EIO", "write ENOSPC":
            for _ in range(5):
                assert daemon.post_all() == [True, True, True]
            disk.say(f"{rule} 1 -1 store.db\n")
            wait_for("a refusal", lambda: False in daemon.post_all())
            daemon.process.kill()
            daemon.process.wait()
            disk.say("")
            daemon.again()
            daemon.well()
        daemon.audit()


@case
def on_a_full_disk_only_adding_is_refused():
    with SmallDisk("40m") as disk, Faulty(uri=disk.path + "/store.db") as daemon:
        for _ in range(20):
            assert daemon.post_all() == [True, True, True]
        assert os.path.exists(daemon.store + ".reserve")
        disk.fill()
        # What the file and its log still have room for inside is used up first.
        wait_for("a refusal", lambda: not any(daemon.post_all()))
        daemon.in_trouble("no space")
        assert daemon.post_all() == [False, False, False]
        taken = daemon.http("GET", "/v1/queues/jobs?limit=5")
        assert taken.status == 200 and len(taken.json["messages"]) == 5, taken
        for message in taken.json["messages"]:
            done = daemon.http("DELETE", f"/v1/queues/jobs/{message['id']}?claim={taken.json['claim']}")
            assert done.status == 204, done
            daemon.accepted["jobs"].remove(message["body"].split(".")[0])
        claimed = daemon.http("POST", "/v2/queues/letters/claims?limit=2", {"ttl": 300, "grace": 60}, ZAQAR)
        assert claimed.status == 201 and len(claimed.json["messages"]) == 2, claimed
        for message in claimed.json["messages"]:
            assert daemon.http("DELETE", message["href"], headers=ZAQAR).status == 204
            daemon.accepted["letters"].remove(message["body"].split(".")[0])
        # What was kept for that is not there for adding.
        assert daemon.post_all() == [False, False, False]
        daemon.in_trouble("no space")
        disk.make_room()
        daemon.well()
        assert daemon.post_all() == [True, True, True]
        daemon.audit()
        assert daemon.control("store-check")["found"] == 0


@case
def on_a_full_disk_messages_are_popped():
    with SmallDisk("48m") as disk, Faulty(uri=disk.path + "/store.db") as daemon:
        names = "large", "other", "third"

        def put(name):
            return daemon.http("POST", f"/v1/queues/{name}", {"body": "x" * 100000}).status

        wait_for("a refusal", lambda: any(put(name) >= 400 for name in names for _ in range(40)))
        popped = run_ctl(daemon, "queue", "get", "third", "--pop")
        assert popped.returncode == 0, popped


def run_ctl(daemon, *words):
    return subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *words], capture_output=True, text=True, timeout=60)


# ---- files that are damaged ----

def stopped(posts=40):
    """A daemon that has ended in order, with letters and jobs in its store's file."""
    daemon = Faulty()
    daemon.start()
    for _ in range(posts):
        assert daemon.post_job()[0] and daemon.post_letter()[0]
    end(daemon)
    assert not os.path.exists(daemon.store + "-wal"), "not all is in the file"
    return daemon


def check(daemon, *words):
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, "store", "check", *words], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "ZM_SYSTEM_PLUGINS": "no"})
    return done.returncode, done.stdout + done.stderr


def change(path, function):
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content = function(content) or content
    with open(path, "wb") as file:
        file.write(content)


def flip(content, at, bit=0):
    content[at] ^= 1 << bit


def starts(daemon):
    """Does it? It says why where not."""
    try:
        daemon.start()
        return True
    except AssertionError:
        assert "store" in daemon.log_text(), daemon.log_text()
        return False


@case
def a_flipped_bit_in_a_body_costs_that_message_alone():
    daemon = stopped()
    hurt = {"m-21": "jobs", "m-42": "letters"}
    for ident in hurt:
        change(daemon.store, lambda content: flip(content, content.index(body_of(ident).encode()) + 100))
    with daemon:
        found = {"jobs": daemon.jobs(), "letters": daemon.letters()}
        for kind in found:
            for ident, body in found[kind].items():
                assert body == body_of(ident), (ident, body)
            lost = daemon.accepted[kind] - found[kind].keys()
            assert lost == {ident for ident in hurt if hurt[ident] == kind}, lost
        assert daemon.counters()["zmanager_queue_damaged_total"] >= 2, daemon.counters()
        status, said = check(daemon, "--repair")
        assert "damaged" in said and "quarantine" in said, (status, said)
        status, said = check(daemon)
        assert status == 0, (status, said)
        daemon.well()
        assert all(daemon.post_all())
        daemon.again()
        assert daemon.letters().keys() == found["letters"].keys() | {ident for ident in daemon.accepted["letters"] if ident not in found["letters"] and ident not in hurt}
        daemon.well()


def never_wrong(daemon, least=0):
    """Whatever became of the file: bodies are right. Then it is repaired, and takes and gives again."""
    if starts(daemon):
        for kind in daemon.jobs, daemon.letters:
            try:
                found = kind()
            except AssertionError as why:
                assert " 503 " in f" {why}" or " 500 " in f" {why}", why
                continue
            for ident, body in found.items():
                assert body == body_of(ident), (ident, body)
        daemon.process.kill()
        daemon.process.wait()
    for socket in daemon.sockets:
        socket.close(0)
    daemon.sockets.clear()
    status, said = check(daemon, "--repair")
    assert status in (0, 6) or "store" in said, (status, said)
    status, said = check(daemon)
    if status != 0:
        return False
    daemon.start()
    daemon.well()
    found = {**daemon.jobs(), **daemon.letters()}
    for ident, body in found.items():
        assert body == body_of(ident), (ident, body)
    assert all(daemon.post_all()[1:])
    return True


@case
def a_flipped_bit_anywhere_never_gives_a_wrong_body():
    seed = int(os.environ.get("ZM_SEED", "0")) or random.randrange(1 << 32)
    print(f"# ZM_SEED={seed}", flush=True)
    chance = random.Random(seed)
    mended, rounds = 0, 60 if LONG else 6
    for _ in range(rounds):
        daemon = stopped(30)
        try:
            size = os.path.getsize(daemon.store)
            places = [(chance.randrange(100, size), chance.randrange(8)) for _ in range(chance.choice((1, 3, 10)))]
            for at, bit in places:
                change(daemon.store, lambda content: flip(content, at, bit))
            mended += never_wrong(daemon)
        except BaseException:
            print(places, daemon.log_text())
            raise
        finally:
            daemon.close()
    print(f"# {mended} of {rounds} were mended", flush=True)
    assert mended == rounds, f"{rounds - mended} could not be mended"


@case
def a_file_that_was_cut_off_is_told_and_mended():
    for part in 0.9, 0.5:
        daemon = stopped(60)
        try:
            change(daemon.store, lambda content: content[:int(len(content) * part) // 4096 * 4096])
            if starts(daemon):
                daemon.in_trouble("repair")
                assert daemon.post_job()[0] is False
                daemon.process.kill()
                daemon.process.wait()
            assert never_wrong(daemon), "it could not be mended"
        except BaseException:
            print(daemon.log_text())
            raise
        finally:
            daemon.close()


if __name__ == "__main__":
    run()
