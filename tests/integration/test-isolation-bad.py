# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad plugins in hosts: each costs its own calls, and who runs beside it in the same host at most the ones that had started."""

import concurrent.futures
import json
import re
import signal

from zmcase import LONG, case, run
from zmhosts import APART, HOST_LOG, ISOLATIONS, Isolated, Ledger, is_there, shown
from zmtest import PATIENCE, Senders, wait_for

# Plugin, action, body -> what its caller gets: a result, or the code of an error and what its text says.
CALLS = [
    ("crash-action", "crash", b"", "crashed", "plugin crash-action crashed in crash .signal 11"),
    ("abort-action", "give_up", b"", "crashed", "plugin abort-action crashed in give_up .signal 6"),
    ("abort-action", "leave", b"", "crashed", "plugin abort-action crashed in leave .*exit"),
    ("stack-action", "fill", b"", "crashed", "plugin stack-action crashed in fill .signal 11"),
    ("victim", "act", b"_exit", "crashed", "plugin victim crashed in act .*exit status 4"),
    ("hang-action", "hang_serial", b"", "timeout", "deadline"),
    ("hang-action", "hang_safe", b"", "timeout", "deadline"),
    ("hang-action", "polite", b"", "timeout", "deadline"),
    ("error-action", "reject", b"", "no-good", "told so"),
    ("error-action", "retry", b"", "retry", ""),
    ("error-action", "negative", b"", "bad-status", ""),
    ("error-action", "bad_next", b"", b"", None),
    ("complete-twice", "twice", b"", b"first", None),
    ("complete-twice", "deferred_without", b"", "bad-status", ""),
    ("complete-twice", "defer_and_return", b"", "bad-status", ""),
    ("complete-twice", "forged", b"", b"-3", None),
    ("complete-late", "never", b"", "timeout", ""),
    ("complete-late", "late", b"1", b"late", None),
    ("complete-late", "late", b"600", "timeout", ""),
    ("leak-action", "leak", b"", b"leaked", None),
    ("write-request", "scribble", b"request", b"", None),
    ("victim", "act", b"files 200", None, None),
    ("victim", "act", b"emit 20000", None, None),
    ("thread-left", "greet", b"", b"hello", None),
    ("slow-stop", "greet", b"", b"hello", None),
    ("hang-stop", "greet", b"", b"hello", None),
    ("thread-deaf", "greet", b"", b"hello", None),
    ("thread-crash", "greet", b"", b"hello", None),
    ("thread-crash", "light", b"", b"lit", None),
]
NAMES = sorted({name for name, *_ in CALLS})
KILLS = 8  # of the calls above: five crashes, two hangs, and the thread
CONFIG = "[zmanager]\nworkers = 2\nwatch = no\n[workers]\ntimeout = 300ms\nhard-after = 200ms\ndrain = 500ms\n[integration]\nhigh-water = 1000000\n"
LOG = [*HOST_LOG, "completed a call", "late", "completion", "held by", "has not ended", "stop", "thread", "left", "message refused",
       "came back", "nothing maps", "does not come back", "emit"]


def mapping(calls):
    return "[actionmapping]\n?Good?One = echo.echo\n" + "".join(f"?{name}?{action} = {name}.{action}\n" for name, action in sorted(calls))


def good_one(index, number):
    return [f"~~~Good~One~good-{index}-{number}".encode(), b"x"]


def answer(daemon, name, action, body):
    """Of a call with an id of its own, so that no message is taken for one that killed before."""
    status, reply = daemon.call(f"?{name}?{action}", body)
    return status, reply if status == "OK" else json.loads(reply)


def check_answer(call, status, reply):
    name, action, _, expected, text = call
    if expected is None:
        assert status == "OK", (call, status, reply)
    elif isinstance(expected, bytes):
        assert (status, reply) == ("OK", expected), (call, status, reply)
    else:
        assert status == "ERROR" and reply["code"] == expected and reply["plugin"] == name, (call, status, reply)
        assert re.search(text, reply["text"]), (call, reply)


def check_accounts(daemon, ledger, sent, asked):
    """Everything that came in ended once, for its sender as for the daemon."""
    ledger.close(sent)
    status = daemon.settled()
    workers, counters = status["workers"], status["counters"]
    emitted = counters["zmanager_emitted_total"]
    assert status["subject"]["received"] == sent and status["subject"]["calls"]["total"] == asked, (status["subject"], sent, asked)
    assert workers["results"] + workers["errors"] + workers["silent"] == sent + asked + emitted and workers["dropped"] == 0, (workers, sent, asked, emitted)
    assert counters["zmanager_integration_dropped_total"] == counters["zmanager_integration_failed_total"] == 0, counters
    return counters


def each_is_contained(isolation):
    asked = 0
    with Isolated(isolation, NAMES, config=CONFIG, expect=LOG, leaves=True, actions={"bad.ini": mapping({(n, a) for n, a, *_ in CALLS})}) as daemon:
        ledger = Ledger(daemon, ids="good-")
        before = daemon.descriptors(), len(daemon.hosts())
        assert before[1] == (len(NAMES) + 1 if isolation == "private" else 1), before
        with Senders(daemon.endpoint("subject"), 2, make=good_one, pace=500) as senders:
            for call in CALLS:
                check_answer(call, *answer(daemon, *call[:3]))
                # Who asks at that very moment may be lost with the shared host; who asks then is not.
                good = wait_for("echo", lambda: daemon.call("?Good?One", b"good"))
                assert good == ("OK", b"good"), (call, good)
                asked += 2
                daemon.hosts()
            wait_for("all ends", lambda: daemon.counters()["zmanager_host_crashes_total"] >= KILLS)
            for name in "thread-crash", "thread-left":
                assert (reply := daemon.call(f"?{name}?greet")) == ("OK", b"hello"), reply
            sent = senders.stop()
            counters = check_accounts(daemon, ledger, sent, asked + 2)
        assert counters["zmanager_host_crashes_total"] == KILLS, counters
        assert counters["zmanager_host_killed_total"] == 2, counters
        if isolation == "private":
            assert not ledger.errors, ledger.errors
        # Echo runs one call at a time: of each end at most one had started.
        assert set(ledger.codes()) <= {"host-lost"} and len(ledger.errors) <= KILLS, ledger.codes()
        for error in ledger.errors.values():
            assert error["plugin"] == "echo" and re.search("host of plugin echo was lost while .* ran: (plugin|host) ", error["text"]), error
        wait_for("descriptors and hosts as before", lambda: (daemon.descriptors() <= before[0] + 4, len(daemon.hosts())) == (True, before[1]))
        print(f"# {sent} good ones beside {KILLS} ends of hosts, {len(ledger.errors)} lost with theirs")


@case
def each_is_contained_in_a_host_of_its_own():
    each_is_contained("private")


@case
def each_is_contained_in_the_shared_host():
    each_is_contained("process")



# ---- those that are refused ----

# Name -> why it does not load, wherever it is to run.
REFUSED = {
    "wrong-abi": "built for plugin ABI 99\\.", "no-note": "no note of zmanager", "no-manifest": "no ZM_PLUGIN",
    "missing-symbol": "exports no symbol", "undefined-symbol": "undefined symbol: nobody_has_this",
    "crash-constructor": "crashed in its constructor .signal 11", "abort-constructor": "crashed in its constructor .signal 6",
    "exit-constructor": "constructor ended the whole process", "crash-query": "crashed in its query function",
    "no-descriptor": "gave no descriptor", "crash-init": "crashed in its init", "fail-init": "init failed with -8",
    "fail-start": "start failed with -8", "crash-destructor": "crashed in its destructor", "libc-name": "named like a function of libc",
    "foreign-action": "function of another library", "data-action": "is not a function",
}
# Those that take the time which loading may take. start alone is not tried by the probe: it may only hang where it costs no
# thread of the daemon.
HANGING = {"hang-start": "did not come back from start|hangs in start"}
if LONG:
    HANGING.update({"hang-constructor": "constructor did not end within", "hang-init": "init did not end within"})


def refused(isolation, hanging):
    names = {**REFUSED, **{name: text for name, text in hanging.items() if name != "hang-start" or isolation != "thread"}}
    # One that is to stand beside them in the very host.
    lines = "[actionmapping]\n?Good?One = echo.echo\n" + "".join(f"?{name}?Act = {name}.greet\n" for name in names)
    with Isolated(isolation, names, expect=[*LOG, "is not loaded", "was not loaded", "cannot be", "ZM1", "refused", "did not come back"], config=CONFIG, actions={"bad.ini": lines}) as daemon:
        # What hung in its start is gone with its host, a moment later.
        listed = wait_for("what hangs to be gone", lambda: (all_ := daemon.control("plugins")["plugins"]) and len(all_) == len(names) + 1 and
                          {plugin["name"]: plugin for plugin in all_})
        for name, text in names.items():
            assert listed[name]["state"] in ("failed", "refused") and re.search(text, listed[name]["reason"]), (isolation, text, listed[name])
            status, reply = daemon.call(f"?{name}?Act")
            assert status == "ERROR" and json.loads(reply)["code"] == "unavailable", (isolation, name, reply)
        # What crashed in the shared host took it along: it is brought up again.
        wait_for("echo", lambda: shown(daemon, "echo")["state"] == "loaded")
        for _ in range(10):
            assert daemon.call("?Good?One", b"good") == ("OK", b"good"), isolation
        wait_for("no host but echo's", lambda: len(daemon.hosts()) == (isolation != "thread"))


@case
def what_does_not_load_is_refused_wherever_it_is_to_run():
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(refused, isolation, HANGING) for isolation in ISOLATIONS]:
            done.result()


# ---- the end of the daemon ----

@case
def hosts_end_with_the_daemon_also_where_an_action_hangs():
    config = CONFIG.replace("timeout = 300ms", "timeout = 20s")
    for isolation in APART:
        for how in signal.SIGKILL, signal.SIGTERM:
            actions = {"v.ini": "[actionmapping]\n?Victim?Act = victim.act\n?Good?One = echo.echo\n"}
            with Isolated(isolation, ["victim"], config=config, actions=actions, expect=HOST_LOG + ["stuck", "left", "drain"]) as daemon:
                assert daemon.call("?Good?One", b"good") == ("OK", b"good")
                hosts = daemon.hosts()
                assert len(hosts) == (2 if isolation == "private" else 1), hosts
                daemon.send("?Victim?Act", b"hang")
                wait_for("the call to hang", lambda: daemon.control("status")["workers"]["calls"] == 2)
                daemon.process.send_signal(how)
                code = daemon.process.wait(PATIENCE)
                assert code == (-how if how == signal.SIGKILL else 0), code
                # A second, ten times.
                wait_for("the hosts to go", lambda: not any(map(is_there, hosts)), 10 if how == signal.SIGKILL else 0.1)
                daemon.process.returncode = 0


run()
