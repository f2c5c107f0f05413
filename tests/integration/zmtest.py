# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real zmanagerd in a directory of its own, and the sockets to talk to it.

    with Daemon (actions={"hello.ini": "[actionmapping]\\n?Hello?Greet = hello.greet\\n"}, plugins=["hello"]) as daemon:
        tail = daemon.tail ("")
        daemon.send ("?Hello?Greet", b"world")
        topic, headers, body = tail.next ()

At the end the daemon is told to stop, must exit with 0, and its log must hold no warning or error that was not expected.
Nothing here sleeps for a guessed time: everything waits for what it needs, with a deadline."""

import ctypes
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import zmq

from zmcase import BUILD, SOURCE, ZMANAGERD

# Seconds that anything may take; sanitizers and valgrind are slow, and so are busy machines.
PATIENCE = float(os.environ.get("ZM_TEST_PATIENCE", "30"))


def sanitizer():
    """What the daemon was built with: "address", "thread", or nothing."""
    with open(ZMANAGERD, "rb") as file:
        program = file.read()
    return "address" if b"__asan_init" in program else "thread" if b"__tsan_init" in program else ""


def sanitizer_options(text):
    """The environment of a daemon whose sanitizer is to do so too; without effect where there is none."""
    names = "ASAN_OPTIONS", "TSAN_OPTIONS"
    return {name: f"{os.environ[name]}:{text}" if os.environ.get(name) else text for name in names}


def real_crashes(leaves=False):
    """The environment of a daemon whose hosts end by the signal of a crash, and at once by exit, also where a sanitizer would report first.

    leaves: a plugin that does not end is left at the end, on purpose, and memory with it."""
    return sanitizer_options("handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:atexit_sleep_ms=0"
                             + (":detect_leaks=0" if leaves else ""))


class Topic:
    """A topic's six fields."""

    def __init__(self, text):
        self.text = text
        self.flow, self.decorator, self.sender, self.context, self.action, self.id = text.split("~")

    def __repr__(self):
        return f"Topic({self.text})"


def wait_for(what, condition, patience=PATIENCE):
    """Calls condition until it gives something true, and gives that."""
    until = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"waited {patience} s in vain: {what}")
        time.sleep(0.01)


def compile_plugin(path, source):
    """Compiles the text of a plugin to path, by way of another name: it appears whole."""
    with tempfile.TemporaryDirectory() as folder:
        c_file = os.path.join(folder, "plugin.c")
        with open(c_file, "w") as out:
            out.write(source)
        subprocess.run(
            [*os.environ.get("CC", "cc").split(), "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
             "-I" + os.path.join(SOURCE, "include"), c_file, "-o", os.path.join(folder, "plugin.so")],
            check=True, timeout=120)
        part = path + ".part"
        shutil.copy(os.path.join(folder, "plugin.so"), part)
        os.chmod(part, 0o755)
        os.rename(part, path)


def built_plugin(name):
    """The .so of one of the tree's own plugins."""
    for kind in "components", "sources", "protocols", "stores":
        path = os.path.join(BUILD, "plugins", kind, name, ".libs", name + ".so")
        if os.path.exists(path):
            return path
    raise AssertionError(f"the plugin {name} is not built")


class Refused(AssertionError):
    """The control socket's ERROR: .code and .reply."""

    def __init__(self, reply):
        super().__init__(reply)
        self.reply = reply
        self.code = reply.get("code")


class Senders:
    """Processes that push until they are told to stop, or `each` messages: .sent is exactly what went out.

    They keep their connections until the `with` ends: when a peer ends while the receiver is at its high-water mark, libzmq
    4.3 throws away what the kernel still holds of it, so accounts are made before that.

    make     index of the process, number of the message -> frames; else [key, body]
    pace     messages a second and process, at most
    connect  endpoints; of several, ZeroMQ takes each in turn
    """

    def __init__(self, connect, count, key="", body=b"", make=None, each=None, pace=None, high_water=100):
        fork = multiprocessing.get_context("fork")
        self.counts = fork.Array(ctypes.c_longlong, count)
        self.flag, self.leave = fork.Event(), fork.Event()
        self.ready = fork.Semaphore(0)
        self.connect = [connect] if isinstance(connect, str) else list(connect)
        self.make = make or (lambda index, number: [key.encode(), body])
        self.each, self.pace, self.high_water = each, pace, high_water
        self.processes = [fork.Process(target=self._main, args=(index,), daemon=True) for index in range(count)]
        for process in self.processes:
            process.start()

    def _main(self, index):
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.setsockopt(zmq.SNDHWM, self.high_water)
        socket.setsockopt(zmq.SNDTIMEO, 100)
        for endpoint in self.connect:
            socket.connect(endpoint)
        began = time.monotonic()
        while not self.flag.is_set() and (self.each is None or self.counts[index] < self.each):
            number = self.counts[index]
            if self.pace and number % 10 == 0:
                ahead = number / self.pace - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(min(ahead, 0.1))
                    continue
            try:
                socket.send_multipart(self.make(index, number))
                self.counts[index] = number + 1
            except zmq.Again:
                pass
        self.ready.release()
        self.leave.wait(PATIENCE * 8)
        socket.close(linger=int(PATIENCE * 4000))
        context.term()
        # Nothing of the parent's is taken down here.
        os._exit(0)

    @property
    def sent(self):
        return sum(self.counts)

    def stop(self):
        """Tells them to stop, and gives the number of messages that they sent."""
        self.flag.set()
        return self.done()

    def done(self, patience=PATIENCE * 4):
        """Waits until all have sent what they should, and gives the number."""
        for _ in self.processes:
            assert self.ready.acquire(timeout=patience), "a sender did not end"
        return self.sent

    def join(self, patience=PATIENCE * 4):
        """Waits for the end of the processes: by then libzmq has handed all over to the system."""
        self.leave.set()
        for process in self.processes:
            process.join(patience)
            assert process.exitcode == 0, ("a sender did not end", process.exitcode)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None and self.flag.is_set() | (self.each is not None):
            self.join()
        for process in self.processes:
            if process.is_alive():
                process.terminate()
                process.join()


class Tail:
    """A subscriber, known to the daemon before anything else happens."""

    def __init__(self, daemon, prefix):
        self.socket = daemon.socket(zmq.SUB)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(daemon.endpoint("topics"))
        nonce = uuid.uuid4().hex
        self.socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        self.socket.setsockopt(zmq.SUBSCRIBE, b"^hello~" + nonce.encode())
        # HELLO is answered when the last of these subscriptions was seen.
        status, _, body = daemon.request("HELLO", json.dumps({"name": "tail-" + nonce, "patterns": [], "nonce": nonce, "heartbeat_ms": 0}).encode())
        assert status == "OK", (status, body)

    def next(self, patience=PATIENCE):
        """(Topic, headers as a dict, body) of the next publication."""
        if not self.socket.poll(patience * 1000):
            raise AssertionError(f"nothing was published in {patience} s")
        frames = self.socket.recv_multipart()
        if len(frames) == 1:
            fields = frames[0].split(b"~", 6)
            return Topic(b"~".join(fields[:6]).decode()), {}, fields[6]
        assert len(frames) in (2, 3), frames
        headers = json.loads(frames[1]) if len(frames) == 3 and frames[1] else {}
        return Topic(frames[0].decode()), headers, frames[-1]

    def take(self, n, patience=PATIENCE):
        """The next n."""
        return [self.next(patience) for _ in range(n)]

    def none(self, seconds=0.2):
        """Nothing more comes; ask only when the daemon has settled."""
        assert not self.socket.poll(seconds * 1000), self.next()


class Daemon:
    """One daemon and its directory. Arguments:

    config, actions, flows   text of zmanager.conf; file name -> text in actions.d, flows.d
    plugins                  names of the tree's plugins, or name -> source text
    args, env                more for the command line and the environment
    expect                   regular expressions of warnings and errors that may stand in the log
    """

    def __init__(self, config="", actions=None, flows=None, plugins=(), args=(), env=None, expect=(), directory=None):
        self.own = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="zm-")
        self.args, self.env, self.expected = list(args), dict(env or {}), list(expect)
        self.context = zmq.Context()
        self.sockets = []
        self.process = None
        self.log_path = os.path.join(self.directory, "log")
        self.checked = 0
        for folder in "conf.d", "actions.d", "flows.d", "plugins":
            os.makedirs(self.path(folder), mode=0o755, exist_ok=True)
        self.write("zmanager.conf", config)
        for name, text in (actions or {}).items():
            self.write(f"actions.d/{name}", text)
        for name, text in (flows or {}).items():
            self.write(f"flows.d/{name}", text)
        for name in plugins:
            self.install(name, plugins[name] if isinstance(plugins, dict) else None)

    # -- files --

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write(self, name, text):
        """Writes a file of the instance as a whole."""
        with open(self.path(name + ".part~"), "w") as out:
            out.write(text)
        os.rename(self.path(name + ".part~"), self.path(name))

    def install(self, name, source=None):
        """Puts a plugin into the instance's directory: one of the tree's own, or a source text."""
        target = self.path("plugins", name + ".so")
        if source is not None:
            compile_plugin(target, source)
            return
        shutil.copy(built_plugin(name), target + ".part")
        os.chmod(target + ".part", 0o755)
        os.rename(target + ".part", target)

    # -- life --

    def start(self):
        """Starts the daemon and waits until it answers."""
        environment = {key: value for key, value in os.environ.items() if key not in ("ZM_DIR", "ZM_PLUGIN_PATH")}
        environment.update(self.env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([ZMANAGERD, "--dir", self.directory, "--log-format", "json",
                                             "--set", "zmanager.system-plugins=no", *self.args],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        wait_for("the control socket", lambda: self.alive() and os.path.exists(self.path("run", "control")))
        self.control_socket = self.socket(zmq.DEALER)
        self.control_socket.connect(self.endpoint("control"))
        self.call_socket = self.socket(zmq.DEALER)
        self.call_socket.connect(self.endpoint("call"))
        self.push_socket = self.socket(zmq.PUSH)
        self.push_socket.connect(self.endpoint("subject"))
        self.control("status")
        return self

    def alive(self):
        code = self.process.poll()
        if code is not None:
            raise AssertionError(f"zmanagerd ended with {code}:\n{self.log_text()}")
        return True

    def stop(self):
        """SIGTERM; waits for the end, which must be a good one."""
        for socket in self.sockets:
            if socket.socket_type == zmq.PUSH:
                socket.close(linger=int(PATIENCE * 1000))
        self.process.send_signal(signal.SIGTERM)
        self.ended()

    def ended(self):
        code = self.process.wait(timeout=PATIENCE * 2)
        assert code == 0, f"zmanagerd ended with {code}:\n{self.log_text()}"

    def close(self):
        """Takes everything away, whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.context.destroy(linger=0)
        if self.own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            print(self.log_text())
            self.close()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                if self.process.poll() is None:
                    self.stop()
                self.check_log()
            else:
                print(self.log_text())
        finally:
            self.close()

    # -- what it uses --

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def maps(self):
        with open(f"/proc/{self.process.pid}/maps") as maps:
            return maps.read().splitlines()

    def rss_mb(self, field="VmRSS"):
        """Resident memory, or with VmHWM the highest so far."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(field + r":\s+(\d+)", status.read()).group(1)) / 1024

    def counters(self):
        return self.control("status")["counters"]

    def settled(self, received=None, patience=PATIENCE * 2):
        """Waits until all that came in has ended and is published; received: so many must have come in. Gives the status."""

        def look():
            status = self.control("status")
            workers, subject = status["workers"], status["subject"]
            still = (workers["queued"] == workers["inside"] == workers["deferred"] == subject["held"] == 0
                     and status["integration"]["queued"] == 0)
            return status if still and (received is None or subject["received"] >= received) else None

        return wait_for(f"{received} messages to end", look, patience)

    # -- the log --

    def log_text(self):
        try:
            with open(self.log_path, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_lines(self):
        """The log as dicts; what is no JSON (a sanitizer's report) as {"level": "error", "text": …}."""
        lines = []
        for line in self.log_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"level": "error", "text": line})
        return lines

    def expect(self, pattern):
        """Warnings and errors that match may stand in the log from now on."""
        self.expected.append(pattern)

    def check_log(self):
        """No warning or error stands in the log but the expected ones."""
        for line in self.log_lines():
            text = str(line.get("text", line.get("message", "")))
            if line.get("level") in ("warning", "error") and not any(re.search(p, text) for p in self.expected):
                raise AssertionError(f"unexpected in the log: {line}")

    def wait_log(self, pattern, patience=PATIENCE):
        """Waits for a line whose text matches and was not given before."""

        def look():
            lines = self.log_lines()
            for index in range(self.checked, len(lines)):
                if re.search(pattern, str(lines[index].get("text", lines[index].get("message", "")))):
                    self.checked = index + 1
                    return lines[index]
            return None

        return wait_for(f"a line {pattern!r} in the log\n{self.log_text()}", look, patience)

    # -- sockets --

    def socket(self, kind):
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 100000)
        self.sockets.append(socket)
        return socket

    def endpoint(self, name):
        path = self.path("run", name)
        return "ipc://" + (os.readlink(path) if os.path.islink(path) else path)

    def send_control(self, command, request_id=None, **arguments):
        """Sends a command and gives its request id."""
        request_id = request_id or uuid.uuid4().hex.encode()
        self.control_socket.send_multipart([request_id, json.dumps({"command": command, **arguments}).encode()])
        return request_id

    def receive_control(self, request_id, patience=PATIENCE):
        """(status, reply) of the next answer; it must be this request's."""
        if not self.control_socket.poll(patience * 1000):
            self.alive()
            raise AssertionError(f"no answer on the control socket in {patience} s")
        answered, status, reply = self.control_socket.recv_multipart()
        assert answered == request_id, (answered, request_id)
        return status.decode(), json.loads(reply)

    def control(self, command, **arguments):
        """The OK reply of a command; raises Refused."""
        status, reply = self.receive_control(self.send_control(command, **arguments))
        if status != "OK":
            raise Refused(reply)
        return reply

    def request(self, verb, *frames, patience=PATIENCE):
        """One exchange on the call socket: (status, headers, body)."""
        request_id = uuid.uuid4().bytes
        self.call_socket.send_multipart([request_id, verb.encode(), *frames])
        if not self.call_socket.poll(patience * 1000):
            raise AssertionError(f"no reply to {verb} in {patience} s")
        reply = self.call_socket.recv_multipart()
        assert reply[0] == request_id and len(reply) == 4, reply
        return reply[1].decode(), json.loads(reply[2]) if reply[2] else {}, reply[3]

    def call(self, key, body=b"", headers=None):
        """Calls an action: (status, body)."""
        frames = [key.encode(), *([json.dumps(headers).encode()] if headers else []), body]
        status, _, answer = self.request("CALL", *frames)
        return status, answer

    def send(self, key, body=b"", headers=None):
        """Pushes a message; key is an action key or a topic."""
        self.push_socket.send_multipart(
            [key.encode(), *([json.dumps(headers).encode()] if headers else []), body])

    def tail(self, prefix=""):
        return Tail(self, prefix)
