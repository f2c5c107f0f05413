# SPDX-License-Identifier: LGPL-2.1-or-later
"""Raw HTTP to a daemon, and where it listens."""

import http.client
import json
import socket

ZAQAR = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "test"}


def free_port():
    """A port of the loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer:
    """Status, headers (a case-insensitive mapping), bytes; json where there is some."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.type = (response.headers.get("Content-Type") or "").split(";")[0]

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:2000]!r}"


class Http:
    """One connection that is kept; headers are sent with each request, and left out where a request says None."""

    def __init__(self, port, headers=None, patience=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
        self.headers = dict(headers or {})

    def __call__(self, method, path, body=None, headers=None):
        all_headers = {**self.headers, **(headers or {})}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        self.connection.request(method, path, body, {k: v for k, v in all_headers.items() if v is not None})
        return Answer(self.connection.getresponse())

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
