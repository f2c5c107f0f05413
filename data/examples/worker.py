#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker in Python: a plugin in two lines of configuration.

    # zmanager.conf                       # actions.d/python.ini
    [worker shout]                        [actionmapping]
    exec = python3 worker.py              ?Text?Shout = worker:shout

The daemon starts and watches it and says by environment where to connect. A step comes in as [topic][body] or
[topic][headers][body]; its result goes out as the step's key with the same flow and id. Start several for more speed:
ZeroMQ spreads the steps over all that connect.
"""

import os
import signal
import sys

try:
    import zmq
except ImportError:
    sys.exit(f"{sys.argv[0]}: {sys.executable} has no module zmq; install python3-zmq, or start this with /usr/bin/python3")


def shout(body):
    return body.decode(errors="replace").upper().encode()


def main():
    if "ZM_WORKER_CONNECT" not in os.environ:
        sys.exit("worker: the daemon starts this: name it in zmanager.conf as above, [worker shout] exec = python3 worker.py")
    context = zmq.Context.instance()
    context.linger = 1000
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    pull.connect(os.environ["ZM_WORKER_CONNECT"])
    push.connect(os.environ["ZM_SUBJECT"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        frames = pull.recv_multipart()
        flow, _decorator, sender, context_part, action, message_id = frames[0].decode().split("~")
        topic = "~".join((flow, "", sender, context_part, action, message_id))
        push.send_multipart([topic.encode(), shout(frames[-1])])


if __name__ == "__main__":
    main()
