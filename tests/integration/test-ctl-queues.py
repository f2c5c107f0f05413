# SPDX-License-Identifier: LGPL-2.1-or-later
"""zmanagerctl of what is kept: queues, export and import, durable sends, dead letters, tokens, the store; real exit statuses."""

import json
import os
import re
import subprocess

from zmcase import ZMANAGERCTL, case, run
from zmhttp import Http, free_port
from zmtest import Daemon, wait_for

CONFIG = """[store]
driver = sqlite
[http]
listen = 127.0.0.1:PORT
[queue state]
kind = latest
[queue work]
action = ?No?Such
dead-letter = graves
"""
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Kept(Daemon):
    def __init__(self, config=CONFIG, **more):
        self.port = free_port()
        super().__init__(config.replace("PORT", str(self.port)),
                         expect=["went to queue", "no mapping and no flow", "lines like this suppressed: dead-letter"], **more)
        self.install("sqlite")


def ctl(daemon, *words, status=0, **more):
    """The output of one call, whose exit status must be this one."""
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *words], capture_output=True, timeout=60,
                          env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}, **{"text": True, **more})
    assert done.returncode == status, f"{words} gave {done.returncode}: {done.stdout!r} {done.stderr!r}"
    return done


def ctl_json(daemon, *words, status=0):
    return json.loads(ctl(daemon, "--json", *words, status=status).stdout)


def table(daemon, *words):
    """The lines of a table, each as {title: value}; values have no blanks but in the last column."""
    lines = [re.split(r"  +", line.strip()) for line in ctl(daemon, *words).stdout.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


# ---- queues

@case
def queues_are_made_listed_shown_and_removed():
    with Kept() as daemon:
        assert ctl(daemon, "queue", "create", "jobs", "--metadata", '{"a": 1}').stdout == "jobs: made\n"
        assert "as it was" in ctl(daemon, "queue", "create", "jobs").stdout
        assert ctl_json(daemon, "queue", "create", "jobs")["created"] is False
        ctl(daemon, "queue", "put", "jobs", "one")
        ctl(daemon, "queue", "put", "jobs", "two")
        row = {row["NAME"]: row for row in table(daemon, "queue", "ls")}["jobs"]
        assert (row["KIND"], row["MESSAGES"], row["FREE"], row["CLAIMED"]) == ("fifo", "2", "2", "0"), row
        assert row["PROJECT"] == "default" and re.fullmatch(r"\d+ s", row["OLDEST"]), row
        names = [queue["name"] for queue in ctl_json(daemon, "queue", "ls")["queues"]]
        assert sorted(names) == ["jobs", "state", "work"], names
        listed = {queue["name"]: queue for queue in ctl_json(daemon, "queue", "ls")["queues"]}["jobs"]
        shown = ctl_json(daemon, "queue", "show", "jobs")["queue"]
        assert shown["metadata"] == {"a": 1} and shown["put"] == 2, shown
        # One thing has one name.
        assert set(shown) - set(listed) == {"metadata", "oldest", "newest"}, set(shown) ^ set(listed)
        assert all(listed[name] == shown[name] for name in ("messages", "free", "claimed", "bytes", "kind")), (listed, shown)
        assert ctl(daemon, "completion", "queues").stdout.split() == ["jobs", "state", "work"]
        assert "say --yes" in ctl(daemon, "queue", "purge", "jobs", status=2).stderr
        assert ctl(daemon, "queue", "purge", "jobs", "--yes").stdout == "jobs: removed 2 messages\n"
        ctl(daemon, "queue", "put", "jobs", "three")
        assert "say --yes" in ctl(daemon, "queue", "rm", "jobs", status=2).stderr
        assert ctl_json(daemon, "queue", "rm", "jobs", "--yes")["n"] == 1
        assert "there is no queue \"jobs\"" in ctl(daemon, "queue", "show", "jobs", status=5).stderr
        assert ctl_json(daemon, "queue", "show", "jobs", status=5)["error"]["code"] == "not-found"


@case
def a_restart_changes_no_figure_of_the_list():
    with Kept() as daemon:
        ctl(daemon, "queue", "put", "jobs", "one")
        before = ctl_json(daemon, "queue", "ls")["queues"]
        daemon.stop()
        daemon.ended()
        daemon.start()
        after = ctl_json(daemon, "queue", "ls")["queues"]
        picked = [[(queue["name"], queue["messages"], queue["free"], queue["bytes"]) for queue in queues] for queues in (before, after)]
        assert picked[0] == picked[1] and ("jobs", 1, 1) == picked[1][0][:3], picked


@case
def a_message_is_put_taken_and_acknowledged():
    with Kept() as daemon:
        ident = ctl(daemon, "queue", "put", "jobs", "one", "--header", "a=b", "--key", "k", "--ttl", "90s").stdout.strip()
        assert re.fullmatch(UUID, ident), ident
        message = ctl_json(daemon, "queue", "peek", "jobs")["messages"][0]
        assert (message["ttl"], message["claims"]) == (90, 0) and "claim" not in message, message
        got = ctl_json(daemon, "queue", "get", "jobs", "--ttl", "60s")
        message = got["messages"][0]
        assert (message["id"], message["body"], message["headers"], message["key"], message["claim"], message["claims"]) == (
            ident, "one", {"a": "b"}, "k", got["claim"], 1), message
        assert "no message that is free" in ctl(daemon, "queue", "get", "jobs", status=5).stdout
        assert ctl_json(daemon, "queue", "get", "jobs", status=5) == {"messages": []}
        assert "claimed" in ctl(daemon, "queue", "ack", "jobs", ident, status=4).stderr
        assert ctl(daemon, "queue", "ack", "jobs", ident, "--claim", got["claim"]).stdout == "jobs: removed 1 message\n"
        assert ctl_json(daemon, "queue", "show", "jobs")["queue"]["messages"] == 0


@case
def the_hint_behind_a_claim_can_be_pasted():
    with Kept() as daemon:
        for body in "one", "two":
            ctl(daemon, "queue", "put", "jobs", body, "--project", "a b")
        text = ctl(daemon, "queue", "get", "jobs", "--count", "2", "--project", "a b").stdout
        command = text.splitlines()[-1].partition("zmanagerctl ")[2]
        assert command.startswith("queue ack jobs "), text
        done = subprocess.run(f"{ZMANAGERCTL} --dir {daemon.directory} {command}", shell=True, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "jobs: removed 2 messages\n"), done


@case
def what_is_released_is_free_at_once():
    with Kept() as daemon:
        ident = ctl(daemon, "queue", "put", "jobs", "one").stdout.strip()
        claim = ctl_json(daemon, "queue", "get", "jobs")["claim"]
        ctl(daemon, "queue", "release", "jobs", claim)
        again = ctl_json(daemon, "queue", "get", "jobs")["messages"][0]
        assert again["id"] == ident and again["claims"] == 2, again
        assert ctl(daemon, "queue", "ack", "jobs", ident, "--claim", claim, status=1).stderr


@case
def get_waits_for_what_is_put():
    with Kept() as daemon:
        waiting = subprocess.Popen([ZMANAGERCTL, "--dir", daemon.directory, "queue", "get", "jobs", "--wait", "30s", "--pop", "--body"],
                                   stdout=subprocess.PIPE, text=True)
        ctl(daemon, "queue", "put", "jobs", "late")
        assert waiting.communicate(timeout=60)[0] == "late" and waiting.returncode == 0
        assert ctl_json(daemon, "queue", "get", "jobs", "--wait", "50ms", status=5) == {"messages": []}
        assert "whole number from 0 to" in ctl(daemon, "queue", "get", "jobs", "--wait", "2h", status=1).stderr


@case
def bodies_are_bytes_and_may_be_large():
    with Kept() as daemon:
        large = os.urandom(500 * 1024)
        with open(daemon.path("large"), "wb") as file:
            file.write(large)
        ctl(daemon, "queue", "put", "jobs", "@" + daemon.path("large"))
        assert "(512000 bytes, no text)" in ctl(daemon, "queue", "peek", "jobs").stdout
        assert ctl(daemon, "queue", "peek", "jobs", "--body", text=False).stdout == large
        assert ctl(daemon, "queue", "get", "jobs", "--pop", "--body", text=False).stdout == large
        ctl(daemon, "queue", "put", "jobs", "-", text=False, input=b"\0\xff\n")
        assert ctl(daemon, "queue", "get", "jobs", "--pop", "--body", text=False).stdout == b"\0\xff\n"
        with open(daemon.path("large"), "wb") as file:
            file.write(os.urandom(1024 * 1024))
        refused = ctl(daemon, "queue", "put", "jobs", "@" + daemon.path("large"), status=4).stderr
        assert "takes at most 1048576" in refused and "HTTP" in refused, refused
        assert ctl_json(daemon, "queue", "show", "jobs")["queue"]["messages"] == 0


@case
def peek_looks_at_all_and_takes_none():
    with Kept() as daemon:
        ids = [ctl(daemon, "queue", "put", "jobs", body).stdout.strip() for body in ("one", "two", "three")]
        ctl(daemon, "queue", "get", "jobs")
        assert [m["body"] for m in ctl_json(daemon, "queue", "peek", "jobs")["messages"]] == ["one", "two", "three"]
        assert [m["body"] for m in ctl_json(daemon, "queue", "peek", "jobs", "--after", ids[0])["messages"]] == ["two", "three"]
        page = ctl_json(daemon, "queue", "peek", "jobs", "--count", "1")
        assert len(page["messages"]) == 1 and page["more"] is True, page
        assert [m["body"] for m in ctl_json(daemon, "queue", "peek", "jobs", "--newest", "--count", "1")["messages"]] == ["three"]
        assert "1 to 100" in ctl(daemon, "queue", "peek", "jobs", "--count", "101", status=1).stderr


@case
def a_put_can_depend_on_what_is_there():
    with Kept() as daemon:
        first = ctl_json(daemon, "queue", "put", "jobs", "one", "--id", "mine")
        again = ctl_json(daemon, "queue", "put", "jobs", "one", "--id", "mine")
        assert not first["duplicate"] and again["duplicate"] and again["id"] == first["id"], (first, again)
        assert "was there already" in ctl(daemon, "queue", "put", "jobs", "one", "--id", "mine").stdout
        assert "not empty" in ctl(daemon, "queue", "put", "jobs", "x", "--if-empty", status=1).stderr
        assert "kind = latest" in ctl(daemon, "queue", "put", "jobs", "x", "--replace", status=1).stderr
        ctl(daemon, "queue", "put", "state", "up", "--key", "eth0")
        ctl(daemon, "queue", "put", "state", "up", "--key", "eth1", "--if-empty")
        assert ctl(daemon, "queue", "put", "state", "lost", "--key", "eth0", "--if-empty", status=1).stderr
        ctl(daemon, "queue", "put", "state", "down", "--key", "eth0", "--replace")
        kept = ctl_json(daemon, "queue", "peek", "state")["messages"]
        assert sorted((m["key"], m["body"]) for m in kept) == [("eth0", "down"), ("eth1", "up")], kept
        ctl(daemon, "queue", "put", "jobs", "later", "--delay", "1h")
        assert ctl_json(daemon, "queue", "show", "jobs")["queue"]["delayed"] == 1
        for words, text in ((("x", "--if-empty", "--replace"), "exclude each other"), (("x", "--header", "a"), "NAME=VALUE")):
            assert text in ctl(daemon, "queue", "put", "jobs", *words, status=2).stderr
        assert "no name of a queue" in ctl(daemon, "queue", "put", "a b", "x", status=1).stderr
        assert "a JSON object" in ctl(daemon, "queue", "create", "other", "--metadata", "[]", status=2).stderr


@case
def without_a_store_queues_are_refused_with_the_reason():
    with Daemon() as daemon:
        assert ctl_json(daemon, "queue", "ls") == {"queues": []}
        assert ctl_json(daemon, "dead", "ls")["dead"] == []
        for words in (("queue", "put", "jobs", "x"), ("queue", "get", "jobs"), ("dead", "replay", "--all")):
            done = ctl(daemon, *words, status=ctl_json_status(daemon, words))
            assert "no store" in done.stderr, done


def ctl_json_status(daemon, words):
    """The exit status of a call that fails, but not for its form."""
    done = subprocess.run([ZMANAGERCTL, "--dir", daemon.directory, *words], capture_output=True, timeout=60)
    assert done.returncode not in (0, 2), done
    return done.returncode


# ---- export, import

@case
def an_export_comes_back_whole_and_only_once():
    with Kept() as daemon:
        ctl(daemon, "queue", "create", "jobs", "--metadata", '{"colour": "red"}')
        ctl(daemon, "queue", "put", "jobs", "text", "--header", "a=b", "--key", "k")
        ctl(daemon, "queue", "put", "jobs", "-", text=False, input=b"\xff\0")
        for number in range(3):
            ctl(daemon, "queue", "put", "more", str(number))
        ctl(daemon, "queue", "put", "more", "of another", "--project", "p")
        out = daemon.path("out.jsonl")
        ctl(daemon, "export", "--output", out)
        lines = [json.loads(line) for line in open(out, encoding="utf-8")]
        assert lines[0] == {"zmanager-export": 1} and sum("message" in line for line in lines) == 6, lines
        assert not any(line.get("queue", {}).get("name", "").startswith("^") for line in lines), lines
        assert ctl_json(daemon, "import", out) == {"queues": 5, "messages": 6, "duplicates": 0, "refused": 0}
        # The messages of an export that are still there are known by their ids only when they came by an import.
        assert ctl_json(daemon, "import", out)["duplicates"] == 6
    with Kept() as other:
        other_out = other.path("again.jsonl")
        text = "\n".join(map(json.dumps, lines))
        assert ctl_json_input(other, text, "import") == {"queues": 5, "messages": 6, "duplicates": 0, "refused": 0}
        assert ctl_json_input(other, text, "import", "-")["duplicates"] == 6
        assert ctl_json(other, "queue", "show", "jobs")["queue"]["metadata"] == {"colour": "red"}
        messages = ctl_json(other, "queue", "peek", "jobs")["messages"]
        assert messages[0]["body"] == "text" and messages[0]["headers"] == {"a": "b"} and messages[0]["key"] == "k", messages
        assert messages[1]["base64"] == "/wA=", messages
        assert ctl_json(other, "queue", "show", "more", "--project", "p")["queue"]["messages"] == 1
        ctl(other, "export", "jobs", "--output", other_out)
        assert {line["queue"]["name"] for line in map(json.loads, open(other_out, encoding="utf-8")) if "queue" in line} == {"jobs"}
        assert "there is no queue \"nope\"" in ctl(other, "export", "nope", status=5).stderr
        broken = ctl(other, "import", input="{\"zmanager-export\":1}\nnonsense\n", status=1).stderr
        assert "stdin:2: " in broken, broken
        assert "cannot read" in ctl(other, "import", other.path("missing"), status=5).stderr


@case
def a_senders_id_survives_export_and_import():
    with Kept() as daemon:
        ctl(daemon, "queue", "put", "jobs", "mine", "--id", "order-1")
        text = ctl(daemon, "export", "jobs").stdout
        assert ctl_json_input(daemon, text, "import")["duplicates"] == 1
        assert ctl_json(daemon, "queue", "show", "jobs")["queue"]["messages"] == 1


@case
def a_full_queue_keeps_no_other_from_an_import():
    with Kept() as daemon:
        for number in range(3):
            ctl(daemon, "queue", "put", "a", str(number))
            ctl(daemon, "queue", "put", "b", str(number))
        text = ctl(daemon, "export").stdout
    with Kept(CONFIG + "[queue a]\nmax-messages = 2\n") as other:
        result = ctl(other, "--json", "import", input=text, status=1)
        assert json.loads(result.stdout).get("refused") == 3 and "3 messages were not taken" in result.stderr, result
        assert ctl_json(other, "queue", "show", "b")["queue"]["messages"] == 3


@case
def what_is_typed_wrong_is_said():
    with Kept() as daemon:
        ident = ctl(daemon, "queue", "put", "jobs", "one").stdout.strip()
        claim = ctl_json(daemon, "queue", "get", "jobs")["messages"][0]["claim"]
        for words in ("release", "jobs", "abc"), ("ack", "jobs", "xyz"), ("ack", "jobs", ident, "--claim", "x"), ("put", "jobs", "b", "--ttl", "0"):
            assert ctl_json_status(daemon, ("queue", *words)) != 0, words
        ctl(daemon, "queue", "release", "nope", claim, status=5)
        ctl(daemon, "queue", "ack", "nope", ident, status=5)
        ctl(daemon, "queue", "ack", "jobs", ident, "--claim", claim)


@case
def a_kind_that_takes_a_restart_is_said_at_the_reload():
    with Kept(CONFIG + "[queue b]\nkind = fifo\n") as daemon:
        daemon.expect("takes effect with the next start")
        path = daemon.path("zmanager.conf")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("kind = fifo", "kind = latest"))
        assert "fifo -> latest (at the next start)" in ctl(daemon, "reload").stdout


def ctl_json_input(daemon, text, *words):
    return json.loads(ctl(daemon, "--json", *words, input=text).stdout)


# ---- durable sends

@case
def durable_sends_say_what_became_of_them():
    with Kept() as daemon:
        assert re.fullmatch(rf"ACCEPTED {UUID}\n", ctl(daemon, "send", "?No?Such", "x", "--durable").stdout)
        assert ctl(daemon, "send", "?No?Such", "x", "--durable", "--id", "id-1").stdout == "ACCEPTED id-1\n"
        assert ctl(daemon, "send", "?No?Such", "x", "--durable", "--id", "id-1").stdout == "DUPLICATE id-1\n"
        assert ctl(daemon, "send", "?No?Such", "x", "--durable", "--count", "20").stdout == "20 messages accepted, 0 duplicates\n"
        wait_for("all dead letters", lambda: len(ctl_json(daemon, "dead", "ls")["dead"]) == 22)
    with Daemon() as daemon:
        assert "store" in ctl(daemon, "send", "?No?Such", "x", "--durable",
                              status=ctl_json_status(daemon, ("send", "?No?Such", "x", "--durable"))).stderr


# ---- dead letters

@case
def dead_letters_are_listed_shown_and_removed():
    with Kept() as daemon:
        assert ctl(daemon, "dead", "ls").stdout == "no message is dead or set aside\n"
        ctl(daemon, "send", "?No?Such", "lost", "--durable", "--id", "id-1")
        ctl(daemon, "queue", "put", "work", "-", "--key", "k", text=False, input=b"\xff\n")
        dead = wait_for("both letters", lambda: (lambda rows: rows if len(rows) == 2 else None)(ctl_json(daemon, "dead", "ls")["dead"]))
        first, second = dead
        assert (first["kind"], first["dead_queue"], first["sender_id"], first["code"], first["attempts"]) == (
            "letter", "dead", "id-1", "unmapped", 1), first
        assert (second["dead_queue"], second["queue"], second["key"], second["size"]) == ("graves", "work", "k", 2), second
        assert "body" not in first and "base64" not in second, dead
        lines = ctl(daemon, "dead", "ls").stdout.splitlines()
        assert lines[2].split()[:4] == [second["id"], "work", "unmapped", "1"] and lines[2].endswith("graves  k"), lines
        assert [row["id"] for row in ctl_json(daemon, "dead", "ls", "graves")["dead"]] == [second["id"]]
        assert ctl_json(daemon, "dead", "ls", "--count", "1")["more"] is True
        message = ctl_json(daemon, "dead", "show", first["id"])["message"]
        assert message["body"] == "lost" and message["history"][0]["code"] == "unmapped", message
        shown = ctl(daemon, "dead", "show", first["id"]).stdout
        assert f"id: {first['id']}\n" in shown and "\nkept in: dead\n" in shown and shown.endswith("\n\nlost\n"), shown
        assert re.search(r"^  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d 1\. unmapped: no mapping", shown, re.M), shown
        assert ctl_json(daemon, "dead", "show", second["id"])["message"]["base64"] == "/wo="
        assert ctl(daemon, "completion", "dead").stdout.split() == [first["id"], second["id"]]
        # Others than dead letters stay.
        ctl(daemon, "queue", "put", "dead", "no letter")
        assert "either an ID, or --all" in ctl(daemon, "dead", "rm", status=2).stderr
        assert ctl_json(daemon, "dead", "rm", first["id"])["removed"] == 1
        assert ctl_json(daemon, "dead", "rm", first["id"], status=5)["error"]["code"] == "not-found"
        assert ctl_json(daemon, "dead", "rm", "--all", "--queue", "dead")["removed"] == 0
        assert ctl_json(daemon, "dead", "rm", "--all")["removed"] == 1
        assert ctl_json(daemon, "dead", "ls")["dead"] == []
        assert [m["body"] for m in ctl_json(daemon, "queue", "peek", "dead")["messages"]] == ["no letter"]
        for words in (("dead", "ls", "nope"), ("dead", "show", "nope"), ("dead", "rm", "nope"), ("dead", "replay", "nope", "--all")):
            assert ctl_json(daemon, *words, status=5)["error"]["code"] == "not-found", words


@case
def what_is_replayed_is_where_it_came_from():
    with Kept() as daemon:
        for body in "one", "two", "three":
            claim_until_dead(daemon, body)
        dead = ctl_json(daemon, "dead", "ls")["dead"]
        assert [row["code"] for row in dead] == ["claims"] * 3 and {row["dead_queue"] for row in dead} == {"tired"}, dead
        assert "say either IDs, or --all" in ctl(daemon, "dead", "replay", status=2).stderr
        assert "say either IDs, or --all" in ctl(daemon, "dead", "replay", dead[0]["id"], "--all", status=2).stderr
        assert "no id of a dead letter" in ctl(daemon, "dead", "replay", "tired", "x", status=2).stderr
        assert ctl(daemon, "dead", "replay", dead[0]["id"]).stdout == "put back 1 dead letter\n"
        assert ctl_json(daemon, "dead", "replay", dead[0]["id"], status=5)["error"]["code"] == "not-found"
        assert [m["body"] for m in ctl_json(daemon, "queue", "peek", "weary")["messages"]] == ["one"]
        assert ctl_json(daemon, "dead", "replay", "tired", dead[1]["id"])["n"] == 1
        assert ctl_json(daemon, "dead", "replay", "tired", "--all")["n"] == 1
        messages = ctl_json(daemon, "queue", "peek", "weary")["messages"]
        assert [(m["body"], m["claims"]) for m in messages] == [("one", 0), ("two", 0), ("three", 0)], messages
        assert ctl_json(daemon, "dead", "replay", "--all")["n"] == 0
        # The same by HTTP.
        ctl(daemon, "queue", "purge", "weary", "--yes")
        claim_until_dead(daemon, "four")
        http = Http(daemon.port)
        answer = http("POST", "/v1/queues/tired/replay")
        assert answer.status == 200 and answer.json["n"] == 1, answer
        assert http("POST", "/v1/queues/nope/replay").status == 404
        assert [m["body"] for m in ctl_json(daemon, "queue", "peek", "weary")["messages"]] == ["four"]


def claim_until_dead(daemon, body):
    """Puts a message into `weary` and claims it once more than it may be."""
    ctl(daemon, "queue", "create", "weary", "--metadata", '{"_max_claim_count": 1, "_dead_letter_queue": "tired"}')
    ctl(daemon, "queue", "put", "weary", body)
    claim = ctl_json(daemon, "queue", "get", "weary")["claim"]
    ctl(daemon, "queue", "release", "weary", claim)
    assert ctl_json(daemon, "queue", "get", "weary", status=5)["messages"] == []


# ---- tokens, the store

@case
def tokens_are_made_listed_and_taken_back():
    with Kept() as daemon:
        made = ctl(daemon, "token", "new", "ci")
        assert re.fullmatch(r"zm_\S{40,}\n", made.stdout) and "shown this once" in made.stderr, made
        one = ctl_json(daemon, "token", "new", "limited", "?Link?", "--roles", "publish", "--project", "p")
        assert one["name"] == "limited" and os.path.exists(one["file"]), one
        assert made.stdout.strip() not in open(one["file"], encoding="utf-8").read(), "the secret itself is in the file"
        assert os.stat(one["file"]).st_mode & 0o077 == 0
        rows = ctl_json(daemon, "token", "ls")["tokens"]
        assert rows == [{"name": "ci", "project": "*", "roles": "publish,consume,subscribe", "patterns": []},
                        {"name": "limited", "project": "p", "roles": "publish", "patterns": ["?Link?"]}], rows
        assert "there is a token ci already" in ctl(daemon, "token", "new", "ci", status=1).stderr
        assert "is no role" in ctl(daemon, "token", "new", "x", "--roles", "king", status=1).stderr
        assert ctl(daemon, "token", "new", "a b", status=1).stderr and ctl(daemon, "token", "new", status=2).stderr
        assert "removed" in ctl(daemon, "token", "rm", "ci").stdout
        assert ctl(daemon, "token", "rm", "ci", status=5).stderr
        assert [row["name"] for row in ctl_json(daemon, "token", "ls")["tokens"]] == ["limited"]


@case
def the_store_tells_how_it_is():
    with Kept() as daemon:
        ctl(daemon, "queue", "put", "jobs", "x")
        text = ctl(daemon, "store", "status").stdout
        assert text.startswith("store        sqlite, ") and "transactions" in text, text
        assert isinstance(ctl_json(daemon, "store", "status"), dict)


run()
