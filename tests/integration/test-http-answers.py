# SPDX-License-Identifier: LGPL-2.1-or-later
"""The answers of /v1 are what /v1/openapi.json says that they are; and dead letters are put back by HTTP."""

import json
import os

from zmcase import BUILD, case, run
from zmhttp import Http
from zmtest import Daemon, PATIENCE, wait_for

if not os.path.exists(os.path.join(BUILD, "core/.libs/zm-http.so")):
    print("# built without the HTTP API")
    raise SystemExit(77)

CONFIG = "[store]\ndriver = sqlite\n[http]\nlisten = 127.0.0.1:0\n[queue made]\n"
MAPPING = {"hello.ini": "[actionmapping]\n?Hello?Greet = hello.greet\n"}
TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


def daemon(**arguments):
    return Daemon(CONFIG, actions=MAPPING, plugins=("hello", "sqlite"), **arguments)


def client(it):
    return Http(int(it.control("status")["endpoints"]["http"][0].rsplit(":", 1)[1]), patience=PATIENCE)


def check(value, schema, schemas, where):
    """As much of JSON Schema as the description uses."""
    if "$ref" in schema:
        return check(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, where)
    known = {"type", "required", "properties", "items", "enum", "description"}
    assert set(schema) <= known, (where, set(schema) - known)
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
    if "type" in schema:
        assert type(value) is TYPES[schema["type"]], (where, schema["type"], value)
    for name in schema.get("required", ()):
        assert name in value, (where, "is missing", name, value)
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            check(value[name], inner, schemas, f"{where}.{name}")
    for number, inner in enumerate(value if "items" in schema else ()):
        check(inner, schema["items"], schemas, f"{where}[{number}]")


@case
def answers_are_as_described():
    with daemon() as it, client(it) as http:
        described = http("GET", "/v1/openapi.json").json
        schemas, paths, checked = described["components"]["schemas"], described["paths"], set()

        def ask(method, target, path, status, body=None, headers=None):
            answer = http(method, target, body, headers)
            assert answer.status == status, (method, target, answer)
            operation = paths[path][method.lower()]
            response = operation["responses"].get(str(status)) or described["components"]["responses"]["Error"]
            check(answer.json, response["content"]["application/json"]["schema"], schemas, f"{method} {target}")
            checked.add((operation["operationId"], str(status)))
            return answer.json

        ask("POST", "/v1/actions/?Hello?Greet", "/v1/actions/{key}", 202, b"x", {"Prefer": "durable"})
        ask("POST", "/v1/actions/?No?Such", "/v1/actions/{key}", 404, b"x")
        for body in b"text", b'{"a":1}', b"\0\1":
            ask("POST", "/v1/queues/made", "/v1/queues/{queue}", 201, body)
        ask("POST", "/v1/queues/made", "/v1/queues/{queue}", 201, b"of a form, as curl says", {"Content-Type": "application/x-www-form-urlencoded"})
        taken = ask("GET", "/v1/queues/made?limit=10&wait=5", "/v1/queues/{queue}", 200)["messages"]
        assert [message.get("body", message.get("base64")) for message in taken] == ["text", {"a": 1}, "AAE=", "of a form, as curl says"], taken
        ask("GET", "/v1/queues/made/messages?limit=2", "/v1/queues/{queue}/messages", 200)
        ask("GET", "/v1/queues/made/stats", "/v1/queues/{queue}/stats", 200)
        assert ask("POST", "/v1/queues/made/purge", "/v1/queues/{queue}/purge", 200)["purged"] == 4
        for path in "/v1/queues", "/v1/flows", "/v1/instances", "/v1/plugins", "/v1/routes", "/v1/admin/status", "/healthz", "/readyz":
            ask("GET", path, path, 200)
        ask("GET", "/v1/plugins/hello", "/v1/plugins/{plugin}", 200)
        ask("GET", "/v1/plugins/none", "/v1/plugins/{plugin}", 404)
        ask("POST", "/v1/queues/made/replay", "/v1/queues/{queue}/replay", 200)
        # Whatever is told to have a form was asked for.
        told = {(operation["operationId"], status) for operations in paths.values() for operation in operations.values()
                for status, response in operation["responses"].items() if "content" in response and status < "4"}
        assert told <= checked, told - checked


@case
def dead_letters_are_put_back():
    with daemon(expect=("no mapping and no flow", "dead")) as it, client(it) as http:
        for number in range(3):
            assert http("POST", "/v1/actions/?Door?Open", b"open", {"Prefer": "durable", "Idempotency-Key": f"d-{number}"}).status == 202
        wait_for("all dead", lambda: http("GET", "/v1/queues/dead/stats").json["total"] == 3)
        for body in b"{}", b"[1]", b'{"ids":3}', b"no":
            answer = http("POST", "/v1/queues/dead/replay", body)
            assert (answer.status, answer.json["member"]) == (400, "ids"), answer
        first = http("GET", "/v1/queues/dead/messages?limit=1").json["messages"][0]["id"]
        it.write("actions.d/door.ini", "[actionmapping]\n?Door?Open = hello.greet\n")
        it.control("reload")
        tail = it.tail()
        assert http("POST", "/v1/queues/dead/replay", json.dumps({"ids": [first]})).json["n"] == 1
        assert tail.next()[2] == b"hello, open"
        assert http("POST", "/v1/queues/dead/replay").json["n"] == 2
        tail.take(2)
        assert http("GET", "/v1/queues/dead/stats").json["total"] == 0


run()
