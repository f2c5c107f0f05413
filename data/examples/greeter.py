#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service in Python that speaks the wire of zmanager-wire(7) with pyzmq alone.

    greeter.py [DIRECTORY]            registers as "greeter" and takes the steps ?Greeter?Greet of every flow
    greeter.py [DIRECTORY] --send     sends one message and ends

DIRECTORY is that of the daemon's instance; without it $ZM_DIR. A flow that uses it:

    [Welcome]
    ?Welcome?Push
    ?Greeter?Greet
    ??done
"""

import json
import os
import signal
import sys
import time
import uuid

try:
    import zmq
except ImportError:
    sys.exit(f"{sys.argv[0]}: {sys.executable} has no module zmq; install python3-zmq, or start this with /usr/bin/python3")

NAME, PATTERNS, HEARTBEAT_MS, TIMEOUT_MS = "greeter", ["?Greeter?Greet"], 2000, 5000


class Service:
    def __init__(self, directory):
        run = os.path.realpath(os.path.join(directory, "run"))
        context = zmq.Context.instance()
        context.linger = 1000
        self.push, self.call, self.sub = (context.socket(kind) for kind in (zmq.PUSH, zmq.DEALER, zmq.SUB))
        for socket, name in ((self.push, "subject"), (self.call, "call"), (self.sub, "topics")):
            socket.connect(f"ipc://{run}/{name}")
        self.prefixes = set()
        self.received = self.errors = self.busy_us = self.requests = 0
        self.running = True

    def request(self, verb, body):
        """[request-id][verb][JSON] -> the answer's JSON."""
        self.requests += 1
        number = str(self.requests).encode()
        self.call.send_multipart([number, verb, json.dumps(body).encode()])
        while self.call.poll(TIMEOUT_MS):
            request, status, _headers, answer = self.call.recv_multipart()
            if request == number:
                if status != b"OK":
                    raise RuntimeError(answer.decode())
                return json.loads(answer)
        raise TimeoutError("no answer from the daemon")

    def subscribe(self, prefixes):
        """Subscribes what is new and leaves what is gone."""
        prefixes = set(prefixes)
        for prefix in prefixes - self.prefixes:
            self.sub.subscribe(prefix)
        for prefix in self.prefixes - prefixes:
            self.sub.unsubscribe(prefix)
        self.prefixes = prefixes

    def hello(self):
        """Asks what to subscribe, subscribes it, and waits until the daemon has seen it: then nothing is missed."""
        me = {"name": NAME, "version": "1.0", "patterns": PATTERNS, "heartbeat_ms": HEARTBEAT_MS}
        answer = self.request(b"HELLO", me)
        self.sub.subscribe(answer["command_prefix"])
        self.subscribe(answer["prefixes"])
        nonce = uuid.uuid4().hex
        self.sub.subscribe("^hello~" + nonce)
        self.request(b"HELLO", dict(me, nonce=nonce))
        self.sub.unsubscribe("^hello~" + nonce)

    def heartbeat(self, state="RUNNING"):
        counts = {"received": self.received, "errors": self.errors, "busy_ms": self.busy_us // 1000}
        self.request(b"HEARTBEAT", {"name": NAME, "state": state, **counts})

    def command(self, command, argument):
        if command == "changed_topics":
            self.subscribe(argument["prefixes"])
        elif command == "stop_service":
            self.running = False
        else:
            self.heartbeat()

    def take(self, topic, body):
        """One message: a command, or a step that was handed over. Its answer is the step's key with the same flow and id."""
        flow, _decorator, sender, context, action, message_id = topic.decode().split("~")
        if flow == "command_" + NAME:
            self.command(action, json.loads(body) if body else None)
            return
        begun = time.monotonic()
        self.received += 1
        answer = b"Hello, " + (body or b"whoever you are") + b"!"
        self.push.send_multipart(["~".join((flow, "", sender, context, action, message_id)).encode(), answer])
        self.busy_us += int((time.monotonic() - begun) * 1e6)

    def run(self):
        self.hello()
        print("greeter: ready", flush=True)
        due = time.monotonic() + HEARTBEAT_MS / 1000
        while self.running:
            if self.sub.poll(max(0, (due - time.monotonic()) * 1000)):
                frames = self.sub.recv_multipart()
                self.take(frames[0], frames[-1])
            if time.monotonic() >= due:
                self.heartbeat()
                due = time.monotonic() + HEARTBEAT_MS / 1000
        self.heartbeat("STOPPED")


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    directory = arguments[0] if arguments else os.environ.get("ZM_DIR")
    if not directory:
        sys.exit("greeter: give the directory of the instance, or set ZM_DIR")
    if "--send" in sys.argv:
        push = zmq.Context.instance().socket(zmq.PUSH)
        push.connect("ipc://" + os.path.realpath(os.path.join(directory, "run")) + "/subject")
        push.send_multipart([b"?Hello?Greet", b"world"])
        return
    service = Service(directory)
    signal.signal(signal.SIGTERM, lambda *_: setattr(service, "running", False))
    try:
        service.run()
    except TimeoutError as error:
        sys.exit(f"greeter: {error}; is one running in {directory}? zmanagerd --dir {directory} starts it")


if __name__ == "__main__":
    main()
