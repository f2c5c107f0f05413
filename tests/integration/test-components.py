# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example components in a real daemon, by the mappings that come with them."""

import json
import os
import time

from zmcase import SOURCE, case, run
from zmtest import Daemon, wait_for


def components(*names, config="", **more):
    daemon = Daemon(config=config, plugins=list(names), **more)
    for name in names:
        with open(os.path.join(SOURCE, "plugins", "components", name, name + ".actions.ini")) as file:
            daemon.write(f"plugins/{name}.actions.ini", file.read())
    return daemon


@case
def each_brings_its_mappings():
    with components("hello", "echo", "counter", "slow", "link-status") as daemon:
        assert daemon.call("?Hello?Greet", b"you") == ("OK", b"hello, you")
        assert daemon.call("?Echo?Echo", b"\x00\xff") == ("OK", b"\x00\xff")
        assert daemon.call("?Echo?Json", b"[1]") == ("OK", b"[1]")
        assert daemon.call("?Links?Get") == ("OK", b"[]")
        status, body = daemon.call("?Hello?Greet", b"x" * 101)
        assert status == "ERROR" and json.loads(body)["code"] == "invalid", (status, body)


@case
def echo_keeps_the_content_type():
    with components("echo") as daemon:
        tail = daemon.tail("~~echo~Echo~")
        daemon.send("?Echo?Echo", b"<a/>", {"content-type": "text/xml"})
        _, headers, body = tail.next()
        assert (headers["content-type"], body) == ("text/xml", b"<a/>"), (headers, body)


@case
def counter_counts_over_all_workers():
    with components("counter", config="[zmanager]\nworkers = 3\n") as daemon:
        for _ in range(1000):
            daemon.send("?Counter?Count")

        def total():
            return json.loads(daemon.call("?Counter?Total")[1])

        wait_for("a thousand counted", lambda: total()["total"] == 1000)
        assert 1 <= total()["workers"] <= 3, total()


@case
def counter_reports_by_its_timer():
    with components("counter", config="[plugin counter]\ninterval = 20\nkey = My??Sum\n") as daemon:
        tail = daemon.tail("~~My~~Sum~")
        daemon.send("?Counter?Count")
        while json.loads(tail.next()[2])["total"] != 1:
            pass
        # And again, with nothing new.
        while json.loads(tail.next()[2])["since_report"] != 0:
            pass


@case
def slow_defers_without_keeping_a_worker():
    with components("slow", "hello", config="[zmanager]\nworkers = 1\n[plugin slow]\ndelay = 300\n") as daemon:
        tail = daemon.tail("")
        begun = time.monotonic()
        for number in range(20):
            daemon.send("?Slow?Later", str(number).encode())
        # The only worker is free.
        assert daemon.call("?Hello?Greet") == ("OK", b"hello")
        bodies = {body for topic, _, body in tail.take(21) if topic.sender == "slow"}
        assert bodies == {str(number).encode() for number in range(20)}, bodies
        # One after the other would take six seconds.
        assert time.monotonic() - begun < 5


@case
def slow_in_order_of_the_delay():
    with components("slow") as daemon:
        tail = daemon.tail("~~slow~Slow~Later~")
        daemon.send("?Slow?Later", b"second", {"delay": "400"})
        daemon.send("?Slow?Later", b"first", {"delay": "1"})
        assert [body for _, _, body in tail.take(2)] == [b"first", b"second"]


@case
def slow_is_told_of_the_deadline():
    with components("slow", config="[workers]\ntimeout = 200ms\n[plugin slow]\ndelay = 600000\n",
                    expect=["timeout", "deadline", "already"]) as daemon:
        for key in "?Slow?Work", "?Slow?Later":
            status, body = daemon.call(key)
            assert status == "ERROR" and json.loads(body)["code"] == "timeout", (key, status, body)
        # The worker came back: work looks whether it was given up on.
        wait_for("no worker inside", lambda: daemon.control("status")["workers"]["inside"] == 0)


@case
def link_status_keeps_what_it_was_told():
    with components("link-status") as daemon:
        for key in "?Link?Up", "?Link?Down", "?Link?Up":
            status, body = daemon.call(key, b'{"interface": "eth0", "time": "T"}')
            assert status == "OK", body
        status, body = daemon.call("?Links?Get", b'{"interface": "eth0"}')
        assert json.loads(body) == {"interface": "eth0", "state": "up", "flaps": 1, "since": "T"}, body
        status, body = daemon.call("?Link?Up", b"eth0")
        assert status == "ERROR" and json.loads(body)["code"] == "invalid", body


run()
