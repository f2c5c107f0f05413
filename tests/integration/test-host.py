# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host does for plugins, and what it refuses them: emit, call, timers, metrics, log, hooks, hung calls."""

import json
import os
import signal
import subprocess

import zmq

from zmcase import ZMANAGERD, case, run
from zmtest import PATIENCE, Daemon, wait_for

# Answers what its host says to the event that the body names: key, flow, id, headers, one a line, - for NULL.
EMITTER = r"""
#include <zmanager/plugin.h>
#include <stdio.h>
#include <stdlib.h>

static const char *field (char **rest)
{
  char *line = *rest, *end = line ? strchr (line, '\n') : 0;
  if (end) { *end = 0; *rest = end + 1; } else *rest = 0;
  return line && strcmp (line, "-") != 0 ? line : 0;
}

ZM_ACTION (emit_it)
{
  char text[4096], *rest = text, answer[32];
  zm_event event;
  memset (&event, 0, sizeof event);
  snprintf (text, sizeof text, "%.*s", (int) call->body_size, (const char *) call->body);
  event.struct_size = sizeof event;
  event.key = field (&rest);
  event.flow = field (&rest);
  event.id = field (&rest);
  event.headers = field (&rest);
  event.body = "emitted";
  event.body_size = 7;
  snprintf (answer, sizeof answer, "%d", zm_emit (call->host, &event));
  return zm_reply_text (call, answer);
}

ZM_ACTION (emit_odd)
{
  char answer[128];
  zm_event none = { sizeof none, 0, "?Odd?Key", 0, 0, 0, 0, 5 }, small = { 8, 0, "?Odd?Key", 0, 0, 0, 0, 0 };
  zm_event large = { sizeof large, 0, "?Odd?Key", 0, 0, 0, "x", (size_t) 1 << 40 };
  snprintf (answer, sizeof answer, "%d %d %d %d", call->host->emit (call->host, 0), zm_emit (call->host, &none),
            zm_emit (call->host, &small), zm_emit (call->host, &large));
  return zm_reply_text (call, answer);
}

ZM_ACTION (circle) { return zm_emit_text (call->host, "?Emit?Circle", "again"), ZM_OK; }

ZM_ACTION (tick) { zm_metric (call->host, ZM_METRIC_COUNTER, "ticks", 1); return ZM_OK; }

ZM_ACTION (start)
{
  zm_timer_start (call->host, "tick", tick, 1, 5);
  zm_log (call->host, ZM_LOG_NOTICE, "timer\nstarted");
  return zm_reply_text (call, "started");
}

static zm_ticket waiting;
static void done (void *user, int status, const void *body, size_t size)
{
  char text[256];
  snprintf (text, sizeof text, "%d %.*s", status, (int) size, (const char *) body);
  zm_complete_text (user, waiting, text);
}
ZM_ACTION (ask)
{
  zm_event event = { sizeof event, 0, "?Hello?Greet", 0, 0, 0, "asked", 5 };
  int status;
  waiting = zm_call_defer (call);
  status = zm_call_action (call->host, &event, 5000, done, (void *) call->host);
  if (status != ZM_OK)
    zm_complete_text (call->host, waiting, "not asked");
  return ZM_DEFERRED;
}
ZM_PLUGIN ("emitter", "1.0", "LGPL-2.1-or-later", "Emits");
"""

# Refuses what comes from ?Forbidden?…, before it is called or when it comes in; hangs over ?Stall?…
GUARD = r"""
#include <zmanager/plugin.h>
#include <unistd.h>
static int begins (zm_str text, const char *with)
{
  return text.size >= strlen (with) && memcmp (text.data, with, strlen (with)) == 0;
}
static int authorise (void *state, const zm_request *request)
{
  (void) state;
  while (begins (request->key, "?Stall?"))
    pause ();
  if (begins (request->key, "?Recursive?"))
    zm_emit_text (zm_plugin_host, "?Recursive?Again", "x");
  return begins (request->key, "?Forbidden?") ? ZM_E_DENIED : ZM_OK;
}
static int before (void *state, const zm_call *call)
{
  (void) state;
  return begins (call->action, "Never") ? ZM_REJECT : ZM_OK;
}
static const zm_hook_ops hooks = { .struct_size = sizeof hooks, .before = before, .authorise = authorise };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "guard", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Guards", .hooks = &hooks };
ZM_PLUGIN_FULL ("guard", "1.0", "LGPL-2.1-or-later", "Guards", "kind=component\n", &descriptor);
"""

HANGER = r"""
#include <zmanager/plugin.h>
#include <unistd.h>
ZM_ACTION (hang) { (void) call; for (;;) pause (); }
ZM_ACTION (quick) { return zm_reply_text (call, "quick"); }
ZM_PLUGIN ("hanger", "1.0", "LGPL-2.1-or-later", "Hangs");
"""

EMIT_MAPPING = {"emit.ini": """[actionmapping]
?Emit?It = emitter.emit_it
?Emit?Odd = emitter.emit_odd
?Emit?Circle = emitter.circle
?Emit?Start = emitter.start
?Emit?Ask = emitter.ask
?Hello?Greet = hello.greet
?Forbidden?Key = hello.greet
?Allowed?Never = hello.greet
?Recursive?Key = hello.greet
?Stall?Key = hello.greet
"""}


def emitting(**more):
    daemon = Daemon(actions=EMIT_MAPPING, plugins={"emitter": EMITTER, "guard": GUARD, "hello": None}, **more)
    return daemon


@case
def emitted_messages_are_checked_like_any_other():
    with emitting(expect=["a message was refused"]) as daemon:
        tail = daemon.tail("~~hello~")
        for event, status in [
            ("?Hello?Greet", 0),
            ("?Hello?Greet\n-\nmy-id.1", 0),
            ("?Hello?Greet\n-\n-\n{\"a\":\"b\"}", 0),
            ("-", -1),
            ("", -1),
            ("no key", -1),
            ("?a?b?c?d", -1),
            ("?Hello?Greet\nbad flow", -1),
            ("?Hello?Greet\nFlow~x", -1),
            ("?Hello?Greet\n-\nbad id", -1),
            ("?Hello?Greet\n-\n" + "x" * 65, -1),
            ("?Hello?Greet\n-\na~b", -1),
            ("?Hello?Greet\n-\n-\n[1]", -1),
            ("?Hello?Greet\n-\n-\nnone", -1),
            ("?Hello?Greet\n-\n-\n{\"a\":", -1),
            ("??done", -5),
            ("?Hello?done", -5),
            ("?Hello?error", -5),
            ("^?x?y", -5),
            ("?Hello?Greet\n^x", -5),
        ]:
            assert daemon.call("?Emit?It", event.encode()) == ("OK", str(status).encode()), event
        bodies = [message for message in tail.take(3)]
        assert [m[2] for m in bodies] == [b"hello, emitted"] * 3, bodies
        assert any(m[0].id == "my-id.1" for m in bodies), bodies
        assert daemon.call("?Emit?Odd") == ("OK", b"-1 -1 -1 -4")


@case
def a_circle_of_emits_ends():
    with emitting(expect=["is refused: its actions call each other in a circle"]) as daemon:
        daemon.send("?Emit?Circle")
        counters = wait_for("the end of the circle", lambda: (c := daemon.control("status")["counters"]).get("zmanager_emit_loops_total") and c)
        assert counters["zmanager_emitted_total"] == 100, counters


@case
def timers_metrics_and_log_work():
    with emitting() as daemon:
        assert daemon.call("?Emit?Start") == ("OK", b"started")
        line = daemon.wait_log("timer.*started")
        assert line["plugin"] == "emitter" and "\n" not in line["text"], line
        wait_for("ticks", lambda: daemon.control("status")["counters"].get("zmanager_plugin_ticks{plugin=\"emitter\"}", 0) >= 3)


@case
def an_action_asks_another():
    with emitting() as daemon:
        assert daemon.call("?Emit?Ask") == ("OK", b"0 hello, asked")


@case
def hooks_refuse():
    with emitting(config="[plugin guard]\nload = yes\n", expect=["authorises refused"]) as daemon:
        status, body = daemon.call("?Forbidden?Key")
        assert status == "ERROR" and json.loads(body)["code"] == "denied", (status, body)
        status, body = daemon.call("?Allowed?Never")
        assert status == "ERROR" and json.loads(body)["code"] == "denied", (status, body)
        # An emit is asked about after it has returned.
        errors = daemon.tail("~~~~error~")
        assert daemon.call("?Emit?It", b"?Forbidden?Key\n-\nemitted") == ("OK", b"0")
        topic, _, body = errors.next()
        assert topic.id == "emitted" and json.loads(body)["code"] == "denied", (topic, body)
        # A hook that emits is not asked about that itself.
        assert daemon.call("?Recursive?Key", b"me")[0] == "OK"
        tail = daemon.tail("~~hello~")
        daemon.send("?Forbidden?Key")
        daemon.send("?Hello?Greet", b"allowed")
        # What the call before published may still come; what was refused may not.
        topic, _, body = tail.next()
        while topic.context == "Recursive":
            topic, _, body = tail.next()
        assert body == b"hello, allowed", (topic, body)


@case
def a_hook_that_hangs_stops_nobody_else():
    config = "[plugin guard]\nload = yes\n[workers]\ntimeout = 200ms\nhard-after = 100ms\ndrain = 500ms\n[zmanager]\nworkers = 2\n"
    with emitting(config=config, expect=["authorise hangs", "worker", "stays loaded", "left at the end"]) as daemon:
        status, body = daemon.call("?Stall?Key")
        assert status == "ERROR" and json.loads(body)["text"].startswith("the hook guard.authorise"), (status, body)
        daemon.send("?Stall?Key")
        tail = daemon.tail("~~hello~")
        for n in range(100):
            daemon.send("?Hello?Greet", b"%d" % n)
        assert sorted(m[2] for m in tail.take(100)) == sorted(b"hello, %d" % n for n in range(100))
        assert daemon.call("?Emit?It", b"?Hello?Greet") == ("OK", b"0")


@case
def a_hung_plugin_gets_copies_then_is_stuck():
    mapping = {"h.ini": "[actionmapping]\n?Hang?Now = hanger.hang\n?Hang?Not = hanger.quick\n?Hello?Greet = hello.greet\n"}
    config = "[workers]\ntimeout = 100ms\nhard-after = 100ms\ndrain = 500ms\n[zmanager]\nworkers = 2\n"
    with Daemon(config=config, actions=mapping, plugins={"hanger": HANGER, "hello": None}, expect=["hang", "worker", "hung", "stays loaded", "left at the end"]) as daemon:
        for copy in 1, 2, 3:
            assert daemon.call("?Hang?Now")[0] == "ERROR"
            daemon.wait_log(f"copy {copy} of at most 3 is started")
            daemon.wait_log(f"plugin hanger generation {copy + 1}")
            wait_for("the copy", lambda: daemon.call("?Hang?Not") == ("OK", b"quick"))
        assert daemon.call("?Hang?Now")[0] == "ERROR"
        daemon.wait_log("it is stuck")
        assert daemon.call("?Hang?Not")[0] == "ERROR"
        assert daemon.call("?Hello?Greet", b"still") == ("OK", b"hello, still")
        status = daemon.control("status")
        assert status["state"] == "degraded" and any("stuck" in r for r in status["reasons"]), status
        assert any("hang past their hard deadline: 1;" in r for r in status["reasons"]), status


def hung_with_a_broken_file(daemon):
    """A call hangs while a reload would be refused. Gives the daemon's status when it has told so."""
    daemon.write("actions.d/broken.ini", "[actionmapping]\nno line\n")
    assert daemon.call("?Hang?Now")[0] == "ERROR"
    daemon.wait_log("no copy of it could be started: it is stuck")
    return daemon.control("status")


@case
def a_hung_plugin_of_which_no_copy_can_be_made_is_stuck_at_once():
    """Its messages fail; nobody waits for a plugin that does not come back. Loaded anew it is as good as new."""
    mapping = {"h.ini": "[actionmapping]\n?Hang?Now = hanger.hang\n?Hang?Not = hanger.quick\n"}
    config = "[workers]\ntimeout = 100ms\nhard-after = 100ms\ndrain = 500ms\n[zmanager]\nworkers = 2\nwatch = no\n"
    with Daemon(config=config, actions=mapping, plugins={"hanger": HANGER},
                expect=["hang", "worker", "hung", "held", "stays loaded", "left at the end", "refused", "broken.ini", "unavailable", "suppressed"]) as daemon:
        status = hung_with_a_broken_file(daemon)
        assert any("hanger is stuck" in reason for reason in status["reasons"]), status
        body = daemon.call("?Hang?Not")[1]
        assert json.loads(body)["code"] == "stuck", body
        os.unlink(daemon.path("actions.d", "broken.ini"))
        daemon.control("plugin-unload", name="hanger")
        assert not any("is stuck" in reason for reason in daemon.control("status")["reasons"]), daemon.control("status")
        daemon.control("plugin-load", name="hanger")
        wait_for("the new one", lambda: daemon.call("?Hang?Not") == ("OK", b"quick"))
        assert not any("is stuck" in reason for reason in daemon.control("status")["reasons"]), daemon.control("status")


@case
def a_start_that_fails_at_its_end_takes_all_down_in_order():
    """The control socket comes last: messages come in by then, and the workers must not go before the Subject lets them be."""
    daemon = Daemon(actions={"h.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}, plugins=["hello"])
    try:
        os.makedirs(daemon.path("run", "control", "in-the-way"), mode=0o755)
        push = daemon.socket(zmq.PUSH)
        push.connect("ipc://" + daemon.path("run", "subject"))
        for n in range(50000):
            push.send_multipart([b"?Hello?Greet", b"%d" % n])
        done = subprocess.run([ZMANAGERD, "--dir", daemon.directory, "--log-format", "json", "--set", "zmanager.system-plugins=no"],
                              capture_output=True, text=True, timeout=PATIENCE * 2, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and "cannot bind the control socket" in done.stderr, done
    finally:
        daemon.close()


@case
def signals_are_the_main_threads():
    actions = {"h.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}
    with Daemon(config="[worker w]\nexec = sleep 1000\n", actions=actions, plugins=["hello"]) as daemon:
        wait_for("the process", lambda: daemon.control("workers")["workers"][0]["state"] == "running")
        tasks, names = f"/proc/{daemon.process.pid}/task", {}
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/status") as status:
                fields = dict(line.split(":", 1) for line in status.read().splitlines())
            names[fields["Name"].strip()] = int(fields["SigBlk"], 16)
            for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
                assert bool(int(fields["SigBlk"], 16) >> (number - 1) & 1) == (int(task) != daemon.process.pid), fields
        assert {"zm-subject", "zm-watchdog", "zm-publisher", "zm-timers", "zm-reaper", "zm-gates", "zm-processes"} <= set(names), names


def subject_gate(status):
    return next(gate for gate in status["connections"] if gate["name"] == "subject")


@case
def an_endpoint_over_its_limit_is_closed_for_a_second():
    """Status is degraded meanwhile; those who stay come back."""
    config = "[subject]\nconnections = 4\n"
    actions = {"h.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}
    with Daemon(config=config, actions=actions, plugins=["hello"], expect=["more connections than its limit"]) as daemon:
        peers = [daemon.socket(zmq.PUSH) for _ in range(8)]
        for peer in peers:
            peer.connect(daemon.endpoint("subject"))

        def degraded():
            # The state and its reasons are looked at one after the other.
            status = daemon.control("status")
            reasons = [reason for reason in status["reasons"] if "more connections than its limit" in reason]
            return status if status["state"] == "degraded" and reasons else None

        status = wait_for("the endpoint to be closed", degraded)
        gate = subject_gate(status)
        assert gate["state"] == "shut" and gate["limit"] == 4 and gate["shut"] == 1, gate
        for peer in peers[3:]:
            peer.close()
        # The test's own socket and the three that stayed.
        wait_for("them to come back", lambda: subject_gate(daemon.control("status"))["connections"] == 4)
        assert daemon.control("status")["state"] == "ready"
        peers[0].send_multipart([b"?Hello?Greet", b"back"])
        wait_for("the message", lambda: daemon.control("status")["subject"]["received"] == 1)


@case
def connections_of_worker_sockets_are_counted_too():
    def gates():
        return [gate for gate in daemon.control("status")["connections"] if gate["name"] == "worker"]

    with Daemon(config="[worker greet]\n", actions={"w.ini": "[actionmapping]\n?W?Greet = worker:greet\n"}) as daemon:
        assert [gate["connections"] for gate in gates()] == [0]
        process = daemon.socket(zmq.PULL)
        process.connect(daemon.endpoint("worker-greet"))
        wait_for("the connection", lambda: gates()[0]["connections"] == 1)
        os.unlink(daemon.path("actions.d", "w.ini"))
        daemon.write("zmanager.conf", "")
        daemon.control("reload")
        wait_for("its end", lambda: gates() == [])


run()
