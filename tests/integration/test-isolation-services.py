# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plugin has of its host is the same in all three isolations; sources run in hosts, and come back when those die."""

import json
import os
import signal
import time

from zmcase import case, run
from zmhosts import APART, HOST_LOG, Isolated, hosts_of, section
from zmtest import Refused, wait_for

CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n"
WORDS = "greeting", "process", "count", "told", "emit", "start_timer", "stop_timer", "ask", "circle"
ACTIONS = {"s.ini": "[actionmapping]\n?Good?One = echo.echo\n?Services?Emitted = echo.echo\n?Services?Ticked = echo.echo\n" + "".join(f"?Services?{word} = services.{word}\n" for word in WORDS)}


def said(daemon, text):
    return sum(line.get("text") == text and line.get("plugin", "services") == "services" for line in daemon.log_lines())


def asks(daemon, word, body=b"", headers=None):
    status, reply = daemon.call(f"?Services?{word}", body, headers)
    assert status == "OK", (word, status, reply)
    return reply.decode()


def is_served(isolation):
    with Isolated(isolation, ["services"], config=CONFIG, actions=ACTIONS, expect=["its actions call each other in a circle"]) as daemon:
        own = str(daemon.process.pid)
        assert (asks(daemon, "process") == own) == (isolation == "thread")
        assert asks(daemon, "count") == "counted" and said(daemon, "worker started") >= 1
        # The call itself.
        told = asks(daemon, "told", b"body", {"colour": "red"}).split("|")
        assert told[:3] == ["", "Services", "told"] and told[4:] == ["red", "1", "body"] and told[3], told
        # Emitting, timers, metrics.
        tail = daemon.tail("")
        assert asks(daemon, "emit") == "emitted"
        assert asks(daemon, "start_timer") == "started"
        seen = {}
        while seen.get("Ticked", 0) < 3 or "Emitted" not in seen:
            topic, _, body = tail.next()
            assert topic.action != "error", (topic, body)
            if topic.action in ("Emitted", "Ticked"):
                assert body == (b"tick" if topic.action == "Ticked" else b"emitted in a call"), (topic, body)
                seen[topic.action] = seen.get(topic.action, 0) + 1
        wait_for("ticks", lambda: daemon.counters().get('zmanager_plugin_ticks{plugin="services"}', 0) >= 3)
        assert asks(daemon, "stop_timer") == "ended"
        # Calling another action: one that answers, and one that is not there.
        assert asks(daemon, "ask", b"?Good?One") == "answered question"
        failed = asks(daemon, "ask", b"?Nobody?There")
        assert failed.startswith("failed ") and json.loads(failed.split(" ", 1)[1])["code"] == "unmapped", failed
        # A circle ends, and is counted, wherever it is found.
        daemon.send("?Services?circle")
        wait_for("the end of the circle", lambda: daemon.counters()["zmanager_emit_loops_total"] == 1)
        # Its configuration, and another one.
        assert asks(daemon, "greeting") == "hello"
        daemon.write("zmanager.conf", CONFIG + section("echo", isolation) + section("services", isolation, greeting="good day"))
        daemon.control("reload")
        wait_for("the plugin's word", lambda: said(daemon, "took the new configuration") == 1)
        wait_for("the new greeting", lambda: asks(daemon, "greeting") == "good day")
        loaded = [plugin for plugin in daemon.control("plugins")["plugins"] if plugin["name"] == "services"]
        assert [plugin["generation"] for plugin in loaded] == [1], loaded
        # The old one is stopped in full where a new one takes its place, and has the same configuration.
        daemon.control("plugin-reload", name="services")
        assert asks(daemon, "greeting") == "good day"
        wait_for("the end of the old one", lambda: said(daemon, "stopped") == 1 and said(daemon, "worker stopped") >= 1)


@case
def a_plugin_is_served_in_the_daemon():
    is_served("thread")


@case
def a_plugin_is_served_in_the_shared_host():
    is_served("process")


@case
def a_plugin_is_served_in_a_host_of_its_own():
    is_served("private")


# ---- sources ----

def next_tick(tail):
    """(process, number) of the next event."""
    while True:
        topic, _, body = tail.next()
        if topic.action == "Came":
            return tuple(map(int, body.split()))


def a_source_goes_on(isolation):
    ordered = CONFIG + "[workers]\nordering = context\n"
    config = ordered + "[source ticker]\nrate = 200\n"
    actions = {"t.ini": "[actionmapping]\n?Tick?Came = echo.echo\n"}
    with Isolated(isolation, ["ticker"], config=config, actions=actions, expect=HOST_LOG + ["source"]) as daemon:
        crash = daemon.path("crash")
        daemon.write("zmanager.conf", ordered + f"[source ticker]\nrate = 200\ncrash = {crash}\n" + section("ticker", isolation) + section("echo", isolation))
        daemon.control("reload")
        tail = daemon.tail("")
        first, _ = next_tick(tail)
        assert (first == daemon.process.pid) == (isolation == "thread"), first
        if isolation != "thread":
            for kill in lambda: os.kill(first, signal.SIGKILL), lambda: open(crash, "w", encoding="utf-8").close():
                process, _ = next_tick(tail)
                before = hosts_of(daemon)
                assert process in before
                first = process
                kill()
                wait_for("its host to end", lambda: process not in hosts_of(daemon))
                # Opened again, in another process, and counting anew; each number once, and in order.
                wait_for("the next process", lambda: next_tick(tail)[0] != process)
                numbers = [next_tick(tail) for _ in range(20)]
                assert all(later[1] == earlier[1] + 1 for earlier, later in zip(numbers, numbers[1:])), numbers
        # It is replaced while it runs, and ends with its section.
        daemon.control("plugin-reload", name="ticker")
        wait_for("the next generation's events", lambda: next_tick(tail)[1] < 5)
        daemon.write("zmanager.conf", ordered + section("echo", isolation))
        daemon.control("reload")
        wait_for("the source to end", lambda: not daemon.control("sources")["sources"])
        daemon.settled()


@case
def a_source_in_the_daemon_is_replaced_and_ends():
    a_source_goes_on("thread")


@case
def a_source_in_the_shared_host_is_opened_again_after_each_end():
    a_source_goes_on("process")


@case
def a_source_in_a_host_of_its_own_is_opened_again_after_each_end():
    a_source_goes_on("private")


@case
def a_source_in_a_host_ends_with_the_daemon_whatever_it_still_emits():
    """From the drain on nothing that it emits is taken: that must not stand before the word that it has ended."""
    config = CONFIG + "[workers]\ndrain = 20s\n[source ticker]\nrate = 1000\n"
    actions = {"t.ini": "[actionmapping]\n?Tick?Came = echo.echo\n"}
    for isolation in APART:
        with Isolated(isolation, ["ticker"], config=config, actions=actions, expect=["that a plugin emitted was not taken", "suppressed: emit"]) as daemon:
            next_tick(daemon.tail(""))
            began = time.monotonic()
            daemon.process.send_signal(signal.SIGTERM)
            daemon.ended()
            took = time.monotonic() - began
            # The time that a source has to end; a good one needs a few milliseconds.
            assert took < 3, took


# ---- one that stops before its successor starts ----

SINGLE = r"""
#include <zmanager/plugin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int tick (zm_call *call)
{
  zm_metric (call->host, ZM_METRIC_COUNTER, "ticks", 1);
  return ZM_OK;
}

static int init (const zm_host *host, void **state)
{
  *state = NULL;
  return zm_timer_start (host, "tick", tick, 1, 10) != 0 ? ZM_OK : ZM_E_FAILED;
}

static int start (void *state)
{
  FILE *file;
  int process = 0;

  (void) state;
  %s
  file = fopen (getenv ("ZM_TEST_FILE"), "w");
  if (file == NULL)
    return ZM_E_FAILED;
  fprintf (file, "%%d", (int) getpid ());
  fclose (file);
  return process == 0 ? ZM_OK : ZM_E_FAILED;
}

ZM_ACTION (act)
{
  return zm_reply_text (call, "acted");
}

static const zm_plugin_desc descriptor = {
  .struct_size = sizeof descriptor, .flags = ZM_PLUGIN_EXCLUSIVE, .name = "single", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "There is one at a time", .init = init, .start = start,
};
ZM_PLUGIN_FULL ("single", "1.0", "LGPL-2.1-or-later", "There is one at a time", "", &descriptor);
"""
FAILS = "return ZM_E_FAILED;"
# The process of the one before it goes while that one is stopped.
KILLS = """file = fopen (getenv ("ZM_TEST_FILE"), "r");
  if (file != NULL && fscanf (file, "%d", &process) == 1)
    kill (process, SIGKILL);
  poll (NULL, 0, 500);
  return ZM_E_FAILED;"""


def goes_on_after_its_successor_failed(isolation, why):
    actions = {"s.ini": "[actionmapping]\n?Single?Act = single.act\n?Good?One = echo.echo\n"}
    daemon = Isolated(isolation, config=CONFIG + section("single", isolation), actions=actions, expect=[*HOST_LOG, "single", "reload"])
    daemon.env["ZM_TEST_FILE"] = daemon.path("process")
    daemon.install("single", SINGLE % "")
    with daemon:
        ticks = lambda: daemon.counters().get('zmanager_plugin_ticks{plugin="single"}', 0)
        wait_for("ticks", lambda: ticks() > 2)
        starts = daemon.counters()["zmanager_host_starts_total"]
        daemon.install("single", SINGLE.replace("#include <signal.h>", "#include <poll.h>\n#include <signal.h>") % why)
        try:
            daemon.control("plugin-reload", name="single")
        except Refused:
            pass
        assert daemon.call("?Single?Act") == ("OK", b"acted")
        before = ticks()
        wait_for("the timer that init started", lambda: ticks() > before + 2)
        return daemon.counters()["zmanager_host_starts_total"] - starts


@case
def timers_of_init_go_on_where_an_exclusive_plugin_is_started_again():
    for isolation in "thread", *APART:
        goes_on_after_its_successor_failed(isolation, FAILS)


@case
def an_exclusive_plugin_whose_process_ended_while_it_was_stopped_is_started_again():
    # One process for the successor, one for itself.
    assert goes_on_after_its_successor_failed("private", KILLS) == 2


run()
