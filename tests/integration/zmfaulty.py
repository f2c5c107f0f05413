# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon whose store is made to suffer, with an account of what it accepted."""

import os
import signal
import time

from zmhttp import ZAQAR, Http, free_port
from zmtest import Daemon, wait_for

# Ten times what an answer may take that needs no disk.
AT_ONCE = 5
BODY = 300
LEDGER = """
#include <zmanager/plugin.h>
#include <stdio.h>
ZM_ACTION_THREADSAFE (note)
{
  char path[512];
  FILE *out;
  snprintf (path, sizeof path, "%s/ran", zm_config (call->host, "folder", 0));
  out = fopen (path, "a");
  fprintf (out, "%.*s %.*s\\n", (int) call->id.size, call->id.data, (int) call->body_size, (const char *) call->body);
  fclose (out);
  return ZM_OK;
}
static const zm_option_desc options[] = { { "folder", ZM_OPTION_STRING, 0, "", "Where" }, { 0, 0, 0, 0, 0 } };
static const zm_plugin_desc descriptor = { .struct_size = sizeof descriptor, .name = "ledger", .version = "1.0",
  .licence = "LGPL-2.1-or-later", .summary = "Notes", .options = options };
ZM_PLUGIN_FULL ("ledger", "1.0", "LGPL-2.1-or-later", "Notes", "kind=component\\n", &descriptor);
"""


def body_of(ident):
    """Nobody else's: it says whose it is, over and over."""
    return (ident + ".") * (BODY // (len(ident) + 1))


class Faulty(Daemon):
    """With a store that has something in it, and the account of what was accepted: by SEND (sends), in a queue by /v1 (jobs), and by Zaqar's
    API (letters)."""

    def __init__(self, uri=None, env=None, expect=(".",)):
        self.port = free_port()
        config = f"[store]\ndriver = sqlite\n{'uri = ' + uri if uri else ''}\n[http]\nlisten = 127.0.0.1:{self.port}\n"
        super().__init__(config, actions={"order.ini": "[actionmapping]\n?Order?New = ledger.note\n"}, plugins={"ledger": LEDGER},
                         env=env, expect=expect)
        self.install("sqlite")
        self.write("conf.d/ledger.conf", f"[plugin ledger]\nfolder = {self.directory}\n")
        self.store = uri or self.path("state", "store.db")
        self.accepted = {"sends": set(), "jobs": set(), "letters": set()}
        self.number = 0

    def http(self, method, path, body=None, headers=None):
        with Http(self.port, {**ZAQAR, "X-Project-ID": ""}, patience=30) as http:
            return http(method, path, body, headers)

    def name(self):
        self.number += 1
        return f"m-{self.number}"

    # -- each gives whether it was accepted, and what was answered --

    def post_send(self):
        ident = self.name()
        status, _, answer = self.request("SEND", b"~~~Order~New~" + ident.encode(), body_of(ident).encode())
        assert status in ("ACCEPTED", "ERROR", "BUSY"), (status, answer)
        if status == "ACCEPTED":
            self.accepted["sends"].add(ident)
        return status == "ACCEPTED", (status, answer)

    def post_job(self):
        ident = self.name()
        answer = self.http("POST", "/v1/queues/jobs", body_of(ident), {"Idempotency-Key": ident, "Content-Type": "text/plain"})
        assert answer.status == 201 or answer.status == 503 and answer.headers["Retry-After"], answer
        if answer.status == 201:
            self.accepted["jobs"].add(ident)
        return answer.status == 201, answer

    def post_letter(self):
        ident = self.name()
        answer = self.http("POST", "/v2/queues/letters/messages", {"messages": [{"body": body_of(ident), "ttl": 3600}]}, ZAQAR)
        assert answer.status == 201 or answer.status == 503 and answer.headers["Retry-After"], answer
        if answer.status == 201:
            self.accepted["letters"].add(ident)
        return answer.status == 201, answer

    def post_all(self):
        """One of each: [accepted or not]. Each answer comes at once."""
        results = []
        for post in self.post_send, self.post_job, self.post_letter:
            began = time.monotonic()
            results.append(post()[0])
            assert time.monotonic() - began < AT_ONCE, f"{post.__name__} was not answered at once"
        return results

    # -- how it is --

    def is_ready(self):
        answer = self.http("GET", "/readyz")
        assert (answer.status == 200) == answer.json["ready"] == (not answer.json["reasons"]), answer
        return answer

    def in_trouble(self, why):
        answer = wait_for("readyz to say why", lambda: [answer for answer in [self.is_ready()] if answer.status == 503])[0]
        assert answer.headers["Retry-After"] and why in " ".join(answer.json["reasons"]), answer
        status = self.control("status")
        assert status["state"] == "degraded" and why in " ".join(status["reasons"]), status

    def well(self):
        wait_for("the store to recover", lambda: self.control("store-status")["store"]["state"] == "ok")
        wait_for("it to be ready", lambda: self.is_ready().status == 200)
        assert self.control("status")["state"] == "ready"

    # -- the audit --

    def again(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait()
        for socket in self.sockets:
            socket.close(0)
        self.sockets.clear()
        self.start()

    def ran(self):
        try:
            with open(self.path("ran")) as lines:
                return [line.split() for line in lines if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def jobs(self):
        """{id: body} of what is in the queue; taken out of it."""
        found = {}
        while True:
            answer = self.http("GET", "/v1/queues/jobs?limit=100")
            assert answer.status == 200, answer
            for message in answer.json["messages"]:
                assert message["body"] not in found.values(), message
                found[message["body"].split(".")[0]] = message["body"]
                done = self.http("DELETE", f"/v1/queues/jobs/{message['id']}?claim={answer.json['claim']}")
                assert done.status == 204, done
            if not answer.json["messages"]:
                return found

    def letters(self):
        found, path = {}, "/v2/queues/letters/messages?limit=20&echo=true&include_claimed=true"
        while True:
            answer = self.http("GET", path, headers=ZAQAR)
            assert answer.status == 200, answer
            if not answer.json["messages"]:
                return found
            for message in answer.json["messages"]:
                found[message["body"].split(".")[0]] = message["body"]
            path = answer.json["links"][0]["href"]

    def audit(self, missing=0):
        """After a kill: all that was accepted is there, once, as it was sent. missing: so many at most may not be, as damage was done."""
        self.again()
        wait_for("what was accepted to run", lambda: len({entry[0] for entry in self.ran()} & self.accepted["sends"]) >= len(self.accepted["sends"]) - missing)
        found = {"sends": dict(self.ran()), "jobs": self.jobs(), "letters": self.letters()}
        gone = {kind: self.accepted[kind] - found[kind].keys() for kind in found}
        assert sum(map(len, gone.values())) <= missing, f"accepted and lost: {gone}"
        for kind in found:
            for ident, body in found[kind].items():
                assert body == body_of(ident), f"{kind}: {ident} has a wrong body: {body[:80]}"
        return gone


def end(daemon):
    daemon.stop()
    for socket in daemon.sockets:
        socket.close(0)
    daemon.sockets.clear()
