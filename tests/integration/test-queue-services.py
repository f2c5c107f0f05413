# SPDX-License-Identifier: LGPL-2.1-or-later
"""What plugins ask the store for: queues, durable messages, kept state, queue= of a source; in the daemon and in hosts."""

import os
import shutil
import signal

from zmcase import BUILD, case, run
from zmtest import Daemon, wait_for

MAPPING = """[actionmapping]
?Q?act = queue-services.act
?Q?look = queue-services.look
?Q?later = queue-services.act
"""
PLACES = ["thread", "process", "private"]


def own_plugin(daemon, name):
    """One of tests/plugins."""
    target = daemon.path("plugins", name + ".so")
    shutil.copy(os.path.join(BUILD, "tests", "plugins", ".libs", name + ".so"), target)
    os.chmod(target, 0o755)


class Services(Daemon):
    def __init__(self, isolation="thread", driver="sqlite", more="", **rest):
        super().__init__(f"[store]\ndriver = {driver}\n[plugin queue-services]\nisolation = {isolation}\n" + more,
                         actions={"q.ini": MAPPING}, expect=["to the runtime"], **rest)
        own_plugin(self, "queue-services")
        if driver != "none":
            self.install(driver)

    def act(self, *words):
        return self.call("?Q?act", "\n".join(words).encode())[1].decode()

    def look(self, name):
        return self.call("?Q?look", name.encode())[1].decode()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for socket in self.sockets:
            socket.close(0)
        self.sockets.clear()


def each(function):
    """One case for each place where the plugin may run."""
    for place in PLACES:
        def one(place=place):
            function(place)
        one.__name__ = f"{function.__name__}_{place}"
        case(one)


@each
def messages_go_into_queues(place):
    with Services(place) as daemon:
        assert daemon.act("put", "orders", "", "one") == "told 0"
        assert daemon.act("wait", "orders", "", "50") == "told -9"
        assert daemon.act("wait", "nothing-in-it", "", "5000") == "told 0"
        assert daemon.act("put", "no good", "", "x") == "refused -1"
        assert daemon.act("put", "^sends", "", "x") == "refused -1"


@each
def elements_have_a_key(place):
    with Services(place, more="[queue states]\nkind = latest\n") as daemon:
        assert daemon.act("if-empty", "states", "door", "open") == "told 0"
        assert daemon.act("if-empty", "states", "door", "shut") == "told -10"
        assert daemon.act("replace", "states", "door", "shut") == "told 0"
        assert daemon.act("wait", "states", "window", "5000") == "told 0"
        assert daemon.act("wait", "states", "door", "50") == "told -9"


@each
def what_is_kept_survives_a_crash(place):
    with Services(place) as daemon:
        assert daemon.look("starts") == "1"
        assert daemon.look("name") == "none -6"
        assert daemon.act("keep", "name", "", "value") == "told 0"
        assert daemon.look("name") == "value"
        daemon.kill()
        daemon.start()
        assert daemon.look("name") == "value"
        assert daemon.look("starts") == "2", "known in its init"
        assert daemon.act("keep", "name") == "told 0"
        assert daemon.look("name") == "none -6"
        assert daemon.act("keep", "bad\x01name", "", "x") == "refused -1"


@each
def a_durable_message_of_a_plugin_runs(place):
    with Services(place) as daemon:
        assert daemon.act("send", "?Q?look", "id-1", "starts") == "told 0"
        assert daemon.act("send", "??done", "id-2", "x") == "refused -5"


@case
def without_a_store_it_says_so():
    with Services(driver="none") as daemon:
        assert daemon.act("put", "orders", "", "one") == "refused -7"
        assert daemon.act("keep", "name", "", "value") == "refused -7"
        assert daemon.look("name") == "none -7"


@each
def events_of_a_source_go_into_its_queue(place):
    more = f"[source ticks]\nplugin = ticker\nrate = 100\nqueue = ticks\n[plugin ticker]\nisolation = {place}\n"
    daemon = Services(more=more)
    own_plugin(daemon, "ticker")
    with daemon:
        tail = daemon.tail("~~~Tick")
        wait_for("events in the queue", lambda: daemon.act("wait", "ticks", "", "0") == "told -9")
        tail.none()  # goes to the workers


if __name__ == "__main__":
    run()
