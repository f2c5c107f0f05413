# SPDX-License-Identifier: LGPL-2.1-or-later
"""The HTTP API over real sockets: every route, limits, slow and malformed clients, tokens, TLS, event streams."""

import http.client
import json
import os
import random
import re
import socket
import ssl
import subprocess
import threading
import time

from zmcase import BUILD, Skip, ZMANAGERCTL, case, run
from zmtest import Daemon, PATIENCE, wait_for

if not os.path.exists(os.path.join(BUILD, "core/.libs/zm-http.so")):
    print("# built without the HTTP API")
    raise SystemExit(77)

MAPPING = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}
CONFIG = "[store]\ndriver = none\n[http]\nlisten = 127.0.0.1:0\nlisten = unix:http.sock\n"


def daemon(more="", **arguments):
    return Daemon(CONFIG + more, actions=MAPPING, plugins=("hello",), **arguments)


def port(it):
    endpoint = next(e for e in it.control("status")["endpoints"]["http"] if not e.startswith("unix:"))
    return int(endpoint.rsplit(":", 1)[1])


def ask(it, method, target, body=None, headers=None):
    """(status, headers in lower case, body) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port(it), timeout=PATIENCE)
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return result


def raw(it, data, patience=PATIENCE):
    """What comes back until the server closes."""
    out = b""
    with socket.create_connection(("127.0.0.1", port(it)), patience) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                out += piece
        except OSError:
            pass
    return out


@case
def actions_are_called_and_pushed():
    with daemon() as it:
        tail = it.tail()
        assert ask(it, "POST", "/v1/actions/?Hello?Greet", b"you")[::2] == (200, b"hello, you")
        assert ask(it, "POST", "/v1/actions/%3FHello%3FGreet", b"you")[::2] == (200, b"hello, you")
        status, headers, body = ask(it, "POST", "/v1/actions/?Hello?Greet", b"x", {"Prefer": "respond-async", "Idempotency-Key": "a-1"})
        assert (status, json.loads(body)) == (202, {"id": "a-1"}), (status, body)
        assert headers["preference-applied"] == "respond-async"
        assert "a-1" in {topic.id for topic, _, _ in tail.take(3)}
        for target, status, code in (("?No?Such", 404, "unmapped"), ("?Hello?done", 403, "reserved"), ("a~b", 400, "malformed")):
            got, _, body = ask(it, "POST", "/v1/actions/" + target, b"x")
            assert (got, json.loads(body)["code"]) == (status, code), (target, got, body)
        assert ask(it, "POST", "/v1/actions/?Hello?Greet", b"x", {"Prefer": "durable"})[0] == 501
        assert ask(it, "POST", "/v1/actions/?Hello?Greet", b"x", {"Idempotency-Key": "a b"})[0] == 400


@case
def what_is_described_is_answered():
    with daemon(expect=("is not loaded",)) as it:
        described = json.loads(ask(it, "GET", "/v1/openapi.json")[2])
        assert described["openapi"].startswith("3.1")
        left = ("drain", "tail", "live")  # they end the daemon, or do not end
        for path, operations in described["paths"].items():
            if path.startswith("/v2"):
                continue
            for method, operation in operations.items():
                if operation["operationId"] in left:
                    continue
                target = re.sub(r"\{\w+\}", "hello", path)
                status, headers, body = ask(it, method.upper(), target)
                assert str(status) in operation["responses"] or 400 <= status < 500, (method, path, status)
                if body and headers.get("content-type") == "application/json":
                    answer = json.loads(body)
                    assert status < 400 or status == 503 or {"code", "text"} <= set(answer), (method, path, answer)


@case
def methods_targets_and_heads_are_judged():
    with daemon() as it:
        status, headers, _ = ask(it, "DELETE", "/v1/plugins")
        assert status == 405 and headers["allow"] == "GET, HEAD", (status, headers)
        assert ask(it, "GET", "/nothing")[0] == 404
        assert json.loads(ask(it, "GET", "/v2/nothing/at/all/here/x")[2])["title"]
        for target in "/%", "/%zz", "/%00", "/a%0d%0ab", "/%ff":
            assert ask(it, "GET", target)[0] == 400, target
        assert ask(it, "GET", "/" + "a" * 9000)[0] == 414
        # The rest of what is refused is read, or the answer would go lost on the way.
        for _ in range(20):
            assert raw(it, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 300000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
        status, headers, body = ask(it, "HEAD", "/healthz")
        assert (status, body) == (200, b"") and int(headers["content-length"]) > 0


@case
def other_sites_are_refused_without_tokens():
    with daemon() as it:
        own = f"127.0.0.1:{port(it)}"
        for headers, status in (({"Host": "evil.example"}, 403), ({"Host": "localhost"}, 200), ({"Host": "[::1]:80"}, 200),
                                ({"Host": "127.0.0.1.evil.example"}, 403), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
                                ({"Origin": "http://" + own}, 200), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200)):
            assert ask(it, "GET", "/healthz", headers=headers)[0] == status, headers


@case
def a_page_for_browsers_versions_for_others():
    with daemon() as it:
        status, headers, body = ask(it, "GET", "/", headers={"Accept": "text/html,*/*"})
        assert status == 200 and b"<!DOCTYPE html>" in body
        assert "default-src 'none'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
        assert b"http" not in body and ask(it, "GET", "/page.js")[0] == 200 and ask(it, "GET", "/page.css")[0] == 200
        assert ask(it, "GET", "/")[0] == 300


@case
def bodies_over_the_bound_are_refused_before_they_are_read():
    with daemon("max-body = 64k\n") as it:
        head = b"POST /v1/actions/?Hello?Greet HTTP/1.1\r\nHost: localhost\r\n"
        assert b" 413 " in raw(it, head + b"Content-Length: 70000\r\n\r\n")
        assert b" 413 " in raw(it, head + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3000000)
        assert b" 413 " in raw(it, head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 3)
        assert ask(it, "POST", "/v1/actions/?Hello?Greet", b"x" * 100)[0] == 200


@case
def slow_heads_and_bodies_are_cut_off():
    with daemon("header-timeout = 300ms\nbody-timeout = 300ms\n") as it:
        for begin, drop in ((b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
                            (b"POST /v1/actions/?Hello?Greet HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"x")):
            with socket.create_connection(("127.0.0.1", port(it)), PATIENCE) as client:
                client.sendall(begin)
                client.settimeout(0.05)
                began, closed = time.monotonic(), False
                while not closed and time.monotonic() - began < PATIENCE:
                    try:
                        closed = client.recv(4096) == b""
                    except socket.timeout:
                        try:
                            client.sendall(drop)
                        except OSError:
                            closed = True
                    except OSError:
                        closed = True
                assert closed, "a byte at a time kept the connection"
        assert ask(it, "GET", "/healthz")[0] == 200


@case
def connections_are_bounded():
    with daemon("connections = 20\nconnections-per-address = 10\n", expect=("a connection was refused", "lines like this")) as it:
        clients = [socket.create_connection(("127.0.0.1", port(it)), PATIENCE) for _ in range(10)]
        wait_for("all of them", lambda: it.control("status")["http"]["connections"] == 10)
        for _ in range(20):
            assert b" 503 " in raw(it, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # A unix socket has no address to count.
        with socket.socket(socket.AF_UNIX) as local:
            local.settimeout(PATIENCE)
            local.connect(it.path("run", "http.sock"))
            local.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in local.recv(4096)
        for client in clients:
            client.close()
        wait_for("room", lambda: it.control("status")["http"]["connections"] == 0)
        assert ask(it, "GET", "/healthz")[0] == 200


def took(it, n):
    """Seconds of n requests over one connection, in order."""
    out, connection = [], http.client.HTTPConnection("127.0.0.1", port(it), timeout=PATIENCE)
    for _ in range(n):
        began = time.monotonic()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        out.append(time.monotonic() - began)
    connection.close()
    return sorted(out)


@case
def slow_clients_do_not_slow_others_down():
    with daemon("connections = 600\nconnections-per-address = 600\n") as it:
        where, slow = ("127.0.0.1", port(it)), []
        before = took(it, 1000)
        for number in range(500):
            client = socket.create_connection(where, PATIENCE)
            client.sendall((b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"POST /v1/actions/?Hello?Greet HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n")[number % 2])
            slow.append(client)
        wait_for("all of them", lambda: it.control("status")["http"]["connections"] >= 500)
        ended = threading.Event()

        def trickle():
            while not ended.wait(0.01):
                for client in slow:
                    client.send(b"X")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            beside = took(it, 1000)
        finally:
            ended.set()
            thread.join()
        # Loosely: others use this machine too.
        assert beside[990] < max(10 * before[990], 0.1), (before[990], beside[990])
        for client in slow:
            client.close()


LINES = [b"GET / HTTP/1.1", b"\0\1\2", b"GET  / HTTP/1.1", b"GET / HTTP/9.9", b"POST /v1/actions/%zz HTTP/1.1", b"G\xffT / HTTP/1.1", b"GET /\x01 HTTP/1.1",
         b"PUT /v1/queues/%00 HTTP/1.1", b"GET /nothing HTTP/1.1", b"GET", b"", b"POST /v1/actions/a~b HTTP/1.1", b"GET http:// HTTP/1.1", b"OPTIONS * HTTP/1.1"]
FIELDS = [b"Host: a\r\nHost: b", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: what", b": no name", b"x" * 300,
          b"Content-Length: 3\r\nContent-Length: 4", b"Host: \0", b"Authorization: Bearer \xff\xfe", b"Content-Length: x",
          b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"Transfer-Encoding: chunked\r\n\r\nzz", b"Range: bytes=9-1", b"Expect: what"]


def malformed(chance):
    return chance.choice(LINES) + b"\r\n" + chance.choice(FIELDS) + b"\r\n\r\n" + bytes(chance.randrange(256) for _ in range(chance.randrange(20)))


@case
def malformed_requests_get_4xx_only():
    threads_n, each = 20, 500
    with daemon("header-timeout = 2s\nbody-timeout = 2s\nconnections = 4000\nconnections-per-address = 4000\n") as it:
        where, odd, answers = ("127.0.0.1", port(it)), [], []

        def some(seed):
            chance = random.Random(seed)
            for number in range(each):
                data = malformed(chance)
                try:
                    with socket.create_connection(where, PATIENCE) as client:
                        client.sendall(data)
                        # One in ten stays, silent, until it is answered or cut off.
                        if chance.randrange(10) > 0 or number < each - 20:
                            client.shutdown(socket.SHUT_WR)
                        answer = client.recv(4096)
                except OSError as why:
                    answer = b""
                    if isinstance(why, socket.timeout):
                        odd.append((data, why))
                answers.append(answer[:12])
                # A well-formed one may be among them: GET / with an odd header is answered.
                if answer and not re.match(rb"HTTP/1\.[01] (4\d\d|300|505|501)", answer):
                    odd.append((data, answer[:60]))

        threads = [threading.Thread(target=some, args=(seed,)) for seed in range(threads_n)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            asked = time.monotonic()
            assert it.control("status")["state"] == "ready"
            assert time.monotonic() - asked < PATIENCE / 3
            threads[0].join(0.2) if threads[0].is_alive() else time.sleep(0.05)
        print(f"# {len(answers)} requests in {time.monotonic() - began:.1f} s, {sum(map(bool, answers))} answered")
        assert not odd, odd[:3]
        assert len(answers) == threads_n * each
        assert ask(it, "GET", "/healthz")[0] == 200
        wait_for("all closed", lambda: it.control("status")["http"]["connections"] == 0)


@case
def topics_are_followed_as_events():
    with daemon("streams = 1\n") as it:
        connection = http.client.HTTPConnection("127.0.0.1", port(it), timeout=PATIENCE)
        connection.request("GET", "/v1/topics/~~hello~")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.getheader("content-type") == "text/event-stream"
        assert answer.readline() == b":\n"
        assert ask(it, "GET", "/v1/topics/")[0] == 503
        it.send("?Hello?Greet", b"a\nb")
        lines = []
        while not (lines and lines[-1].startswith(b"data: ")):
            lines.append(answer.readline())
        event = json.loads(lines[-1][6:])
        assert event["topic"].startswith("~~hello~") and event["body"] == "hello, a\nb", event
        connection.close()
        wait_for("the stream's end", lambda: it.control("status")["http"]["streams"] == 0)


@case
def streams_and_new_requests_end_with_the_drain():
    with daemon() as it:
        connection = http.client.HTTPConnection("127.0.0.1", port(it), timeout=PATIENCE)
        connection.request("GET", "/v1/live")
        answer = connection.getresponse()
        assert ask(it, "POST", "/v1/admin/drain")[0] == 202
        answer.read()
        it.ended()
        assert not os.path.exists(it.path("run", "http.sock"))


def token(it, *arguments):
    return subprocess.run([ZMANAGERCTL, "--dir", it.directory, "token", "new", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@case
def tokens_give_roles_and_keys():
    with daemon("auth = token\n") as it:
        assert ask(it, "GET", "/healthz")[0] == 200
        status, headers, _ = ask(it, "GET", "/v1/plugins")
        assert status == 401 and "Bearer" in headers["www-authenticate"]
        door, boss = token(it, "door", "--roles", "publish", "?Door?", "--project", "p"), token(it, "boss", "--roles", "admin")
        it.control("reload")
        as_door, as_boss = {"Authorization": "Bearer " + door}, {"Authorization": "Bearer " + boss}
        assert ask(it, "GET", "/v1/plugins", headers=as_door)[0] == 200
        assert ask(it, "GET", "/v1/plugins", headers={"X-Auth-Token": door})[0] == 200
        assert ask(it, "GET", "/v1/plugins", headers={"Authorization": "Bearer " + door + "x"})[0] == 401
        assert ask(it, "POST", "/v1/admin/reload", headers=as_door)[0] == 403
        assert ask(it, "POST", "/v1/admin/reload", headers=as_boss)[0] == 200
        assert ask(it, "POST", "/v1/actions/?Hello?Greet", b"x", as_door)[0] == 403
        assert ask(it, "POST", "/v1/actions/?Hello?Greet", b"x", as_boss)[::2] == (200, b"hello, x")
        assert ask(it, "POST", "/v1/actions/?Door?Open", b"x", as_door)[0] == 404
        assert ask(it, "GET", "/v1/queues", headers={**as_door, "X-Project-ID": "q"})[0] == 403
        subprocess.run([ZMANAGERCTL, "--dir", it.directory, "token", "rm", "door"], check=True, capture_output=True)
        it.control("reload")
        assert ask(it, "GET", "/v1/plugins", headers=as_door)[0] == 401


def certificate(folder, name):
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                           "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem"], capture_output=True)
    if made.returncode != 0:
        raise Skip("no openssl")


@case
def tls_and_a_renewed_certificate():
    it = daemon("tls-certificate = cert.pem\ntls-key = key.pem\n")
    certificate(it.directory, "first")
    with it:
        where = "127.0.0.1", port(it)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        def look():
            with socket.create_connection(where, PATIENCE) as plain, context.wrap_socket(plain) as secure:
                secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert b" 200 " in secure.recv(4096)
                return secure.getpeercert(True)

        first = look()
        certificate(it.directory, "second")
        it.control("reload")
        wait_for("the new certificate", lambda: look() != first)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        try:
            look()
        except (ssl.SSLError, ConnectionError):
            pass
        else:
            raise AssertionError("TLS 1.1 was taken")


@case
def open_addresses_need_tokens():
    it = Daemon("[http]\nlisten = 0.0.0.0:0\n")
    try:
        try:
            it.start()
        except AssertionError as why:
            assert "ZM1023" in str(why), why
        else:
            raise AssertionError("it started")
    finally:
        it.close()


@case
def an_open_address_keeps_its_tokens_until_it_is_closed():
    with Daemon("[store]\ndriver = none\n[http]\nlisten = 0.0.0.0:0\nauth = token\n", expect=("taken at the next start",)) as it:
        where = {"Host": "localhost"}
        assert ask(it, "GET", "/v1/plugins", headers=where)[0] == 401
        it.write("zmanager.conf", CONFIG)
        it.control("reload")
        assert ask(it, "GET", "/v1/plugins", headers=where)[0] == 401


run()
