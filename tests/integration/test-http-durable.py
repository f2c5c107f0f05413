# SPDX-License-Identifier: LGPL-2.1-or-later
"""Durable messages by HTTP: accepted is on disk, known again by their id; and what publications go to beside subscribers."""

import json
import os
import signal

from zmcase import BUILD, case, run
from zmhttp import Http
from zmtest import Daemon, PATIENCE, wait_for

if not os.path.exists(os.path.join(BUILD, "core/.libs/zm-http.so")):
    print("# built without the HTTP API")
    raise SystemExit(77)

CONFIG = "[store]\ndriver = sqlite\n[http]\nlisten = 127.0.0.1:0\n"
MAPPING = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}
GREET = "/v1/actions/?Hello?Greet"
DURABLE = {"Prefer": "durable"}


def daemon(more="", **arguments):
    return Daemon(CONFIG + more, actions=MAPPING, plugins=("hello", "sqlite"), **arguments)


def client(it):
    return Http(int(it.control("status")["endpoints"]["http"][0].rsplit(":", 1)[1]), patience=PATIENCE)


@case
def a_durable_message_is_accepted_and_runs():
    with daemon() as it:
        tail = it.tail()
        with client(it) as http:
            answer = http("POST", GREET, b"you", {**DURABLE, "Idempotency-Key": "o-1"})
            assert (answer.status, answer.json) == (202, {"id": "o-1"}), answer
            assert answer.headers["Preference-Applied"] == "durable" and answer.headers["Duplicate"] is None
            topic, _, body = tail.next()
            assert (topic.sender, topic.id, body) == ("hello", "o-1", b"hello, you"), topic
            # One without an id of its own is given one.
            made = http("POST", GREET, b"me", DURABLE).json["id"]
            assert len(made) == 36 and tail.next()[0].id == made


@case
def the_same_id_is_the_same_message():
    with daemon() as it:
        tail = it.tail()
        with client(it) as http:
            for number in range(3):
                answer = http("POST", GREET, b"you %d" % number, {**DURABLE, "Idempotency-Key": "same"})
                assert (answer.status, answer.json, answer.headers["Duplicate"]) == (202, {"id": "same"}, "true" if number else None), answer
            assert http("POST", GREET, b"last", {**DURABLE, "Idempotency-Key": "other"}).status == 202
        assert {tail.next()[2], tail.next()[2]} == {b"hello, you 0", b"hello, last"}


@case
def a_duplicate_is_known_after_kill():
    it = daemon(expect=(".",))
    with it:
        tail = it.tail()
        with client(it) as http:
            assert http("POST", GREET, b"1", {**DURABLE, "Idempotency-Key": "k"}).status == 202
        tail.next()
        it.process.send_signal(signal.SIGKILL)
        it.process.wait()
        it.start()
        with client(it) as http:
            answer = http("POST", GREET, b"2", {**DURABLE, "Idempotency-Key": "k"})
            assert (answer.status, answer.headers["Duplicate"]) == (202, "true"), answer


@case
def dead_letters_of_one_project_are_not_put_back_by_another():
    with daemon(expect=("no mapping and no flow", "went to queue")) as it, client(it) as http:
        assert http("POST", "/v1/actions/?No?Such", b"x", DURABLE).status == 202
        wait_for("the dead letter", lambda: it.control("dead")["dead"])
        assert http("POST", "/v1/queues/dead/replay", headers={"X-Project-ID": "other"}).status == 404
        answer = http("POST", "/v1/queues/dead/replay")
        assert (answer.status, answer.json["n"]) == (200, 1), answer


@case
def head_takes_no_message():
    with daemon() as it, client(it) as http:
        assert http("POST", "/v1/queues/q", b"x").status == 201
        answer = http("HEAD", "/v1/queues/q")
        assert answer.status == 405 and "GET" in answer.headers["Allow"], answer
        assert len(http("GET", "/v1/queues/q").json["messages"]) == 1


@case
def nothing_is_accepted_where_it_could_not_be_kept():
    with Daemon("[store]\ndriver = none\n[http]\nlisten = 127.0.0.1:0\n", actions=MAPPING, plugins=("hello",)) as it, client(it) as http:
        answer = http("POST", GREET, b"x", DURABLE)
        assert (answer.status, answer.json["code"]) == (501, "no-store"), answer
    with daemon() as it, client(it) as http:
        assert http("POST", GREET, b"x", {**DURABLE, "Idempotency-Key": "a b"}).json["member"] == "Idempotency-Key"
        assert http("POST", "/v1/actions/?Hello?done", b"x", DURABLE).status == 403


@case
def a_publication_reaches_a_queue_and_a_live_tail():
    with daemon("[queue news]\ntopics = hello?Hello?Greet\n") as it, client(it) as http, client(it) as stream:
        stream.connection.request("GET", "/v1/topics/~~hello~")
        live = stream.connection.getresponse()
        assert live.status == 200 and live.readline() == b":\n"
        for number in range(20):
            it.send("?Hello?Greet", b"%d" % number)
        seen = []
        while len(seen) < 20:
            line = live.readline()
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:])["body"])
        assert sorted(seen) == sorted(f"hello, {number}" for number in range(20)), seen
        wait_for("all of them in the queue", lambda: http("GET", "/v1/queues/news/stats").json["total"] == 20)
        got = http("GET", "/v1/queues/news?limit=20&wait=5").json["messages"]
        assert len(got) == 20 and all("hello" in message["topic"] for message in got), got[:2]


run()
