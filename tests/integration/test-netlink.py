# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real link events through source, mapping, flow and topic: the example instance data/examples/links in a network namespace.
Where namespaces are not allowed all of it is skipped."""

import json
import os
import subprocess
import sys

from zmcase import SOURCE, Skip, case, run

INSIDE = "ZM_TEST_NETWORK"
PROBE = ["unshare", "-rn", "ip", "link", "add", "zma", "type", "veth", "peer", "name", "zmb"]


def allowed():
    try:
        return subprocess.run(PROBE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


# The whole script runs again inside, before anything opens a socket.
if INSIDE not in os.environ and allowed():
    os.environ[INSIDE] = "own"
    os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])

from zmtest import Daemon, wait_for  # noqa: E402


def ip(arguments):
    subprocess.run(["ip", *arguments.split()], check=True)


def links():
    if os.environ.get(INSIDE) != "own":
        raise Skip("no network namespaces, no ip or no veth here")
    example = os.path.join(SOURCE, "data", "examples", "links")

    def text(*parts):
        with open(os.path.join(example, *parts)) as file:
            return file.read()

    daemon = Daemon(config=text("zmanager.conf"), actions={"links.ini": text("actions.d", "links.ini")},
                    flows={"links.flow": text("flows.d", "links.flow")}, plugins=["netlink", "link-status", "sqlite"])
    beside = "link-status.actions.ini"
    with open(os.path.join(SOURCE, "plugins", "components", "link-status", beside)) as file:
        daemon.write("plugins/" + beside, file.read())
    return daemon


def until(tail, start, interface):
    """The body of the next publication whose topic starts so and that is about this interface."""
    while True:
        topic, _, body = tail.next()
        if topic.text.startswith(start) and json.loads(body).get("interface") == interface:
            return topic, json.loads(body)


def known(daemon):
    status, body = daemon.call("?Links?Get")
    assert status == "OK", (status, body)
    return {link["interface"]: link for link in json.loads(body)}


@case
def a_link_goes_up_and_down():
    with links() as daemon:
        tail = daemon.tail("")
        wait_for("what is there at the start", lambda: "lo" in known(daemon))
        ip("link add zma type veth peer name zmb")
        ip("link set zmb up")
        ip("link set zma up")
        _, body = until(tail, "~~link-status~Link~Up~", "zma")
        assert (body["state"], body["was"], body["flaps"]) == ("up", "down", 0), body
        ip("link set zma down")
        lost, body = until(tail, "LinkDown~PUBLISH~~Link~Lost~", "zma")
        assert (body["state"], body["was"], body["flaps"]) == ("down", "up", 1), body
        done, body = until(tail, "LinkDown~~~~done~", "zma")
        assert done.id == lost.id, (done, lost)
        assert body["flaps"] == 1, body
        ip("link set zma up")
        until(tail, "~~link-status~Link~Up~", "zma")
        ip("link set zma down")
        _, body = until(tail, "LinkDown~~~~done~", "zma")
        assert body["flaps"] == 2, body
        ip("link del zma")
        _, body = until(tail, "~~link-status~Link~Removed~", "zma")
        assert body["state"] == "removed", body
        wait_for("that zma is forgotten", lambda: "zma" not in known(daemon))


@case
def addresses_come_and_go():
    with links() as daemon:
        tail = daemon.tail("~~link-status~Address~")
        ip("link add zmc type veth peer name zmd")
        ip("addr add 192.0.2.7/24 dev zmc")
        topic, body = until(tail, "~~link-status~Address~Added~", "zmc")
        assert body["state"] == "down", (topic, body)
        ip("addr del 192.0.2.7/24 dev zmc")
        until(tail, "~~link-status~Address~Removed~", "zmc")
        ip("link del zmc")


@case
def a_reload_of_the_source_starts_afresh():
    with links() as daemon:
        tail = daemon.tail("")
        wait_for("what is there at the start", lambda: "lo" in known(daemon))
        daemon.write("conf.d/zme.conf", "[source netlink]\ninterface = zme*\n")
        daemon.control("reload")
        ip("link add zmx type veth peer name zme")
        until(tail, "~~link-status~Link~Added~", "zme")
        assert "zmx" not in known(daemon)
        ip("link del zme")
        until(tail, "~~link-status~Link~Removed~", "zme")


@case
def source_is_shown():
    with links() as daemon:
        wait_for("what is there at the start", lambda: "lo" in known(daemon))
        metrics = {item["name"]: item["value"] for item in daemon.control("metrics")["metrics"]}
        assert any("links_known" in name and value >= 1 for name, value in metrics.items()), sorted(metrics)


run()
