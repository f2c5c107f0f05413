# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenStack Zaqar's API v2, every call of it, over the real daemon: status, title, members."""

import hashlib
import hmac
import json
import re
import threading
import time
import uuid

from zmcase import case, run
from zmhttp import ZAQAR, Http, free_port
from zmtest import PATIENCE, Daemon, wait_for

PORT = free_port()
CONFIG = f"""
[store]
driver = memory
[http]
listen = 127.0.0.1:{PORT}
[zaqar]
secret_key = secret
admin_mode = yes
"""
RESERVED = {"_max_messages_post_size": 262144, "_default_message_ttl": 3600, "_default_message_delay": 0, "_dead_letter_queue": None,
            "_dead_letter_queue_messages_ttl": None, "_max_claim_count": None, "_enable_encrypt_messages": False}
PATCH = {"Content-Type": "application/openstack-messaging-v2.0-json-patch"}
LISTED = {"id", "href", "ttl", "age", "body"}
names = (f"q{i}" for i in range(1000000))


def ask(method, path, body=None, headers=None, status=None, title=None):
    """One request with the usual headers; checks the status, and of errors that they have exactly title and description."""
    answer = http(method, path, body, headers)
    assert status is None or answer.status == status, f"{method} {path} {body!r}: wanted {status}, got {answer}"
    if title is not None:
        assert answer.type == "application/json", answer
        assert answer.json["title"] == title, answer
        assert set(answer.json) == {"title", "description"} and answer.json["description"], answer
    return answer


def other(method, path, body=None, headers=None, status=None, title=None):
    """The same as another client."""
    return ask(method, path, body, {"Client-ID": OTHER, **(headers or {})}, status, title)


OTHER = uuid.uuid4().hex


def queue(*bodies, **members):
    """A new queue's path, with messages in it."""
    path = f"/v2/queues/{next(names)}"
    if bodies:
        ask("POST", path + "/messages", {"messages": [{"body": body, **members} for body in bodies]}, status=201)
    return path


def bodies(answer):
    return [message["body"] for message in answer.json["messages"]]


def next_href(answer):
    links = answer.json["links"]
    assert len(links) == 1 and links[0]["rel"] == "next", answer
    return links[0]["href"]


# ---- the documents ----

@case
def versions_are_told_without_headers():
    answer = ask("GET", "/", headers={"Client-ID": None, "X-Project-ID": None}, status=300)
    version, = answer.json["versions"]
    assert set(version) == {"id", "status", "updated", "media-types", "links"}, answer
    assert version["links"] == [{"href": "/v2/", "rel": "self"}], answer


@case
def the_home_document_names_what_is_served():
    answer = ask("GET", "/v2/", status=200)
    assert answer.type == "application/json-home" and "max-age=86400" in answer.headers["Cache-Control"], answer
    resources = answer.json["resources"]
    wanted = """queues queue queue_stats queue_share queue_purge messages post_messages messages_delete message_delete message_get claim
             post_claim patch_claim delete_claim subscriptions_get subscriptions_post subscription subscription_patch ping health"""
    assert {f"rel/{name}" for name in wanted.split()} == set(resources), resources.keys()
    for name, resource in resources.items():
        href = resource.get("href-template") or resource["href"]
        assert href.startswith("/v2/"), (name, href)
        for variable in re.findall(r"\{\??([^}]*)\}", href):
            assert set(variable.split(",")) <= set(resource["href-vars"]), (name, resource)


@case
def ping_and_health():
    ask("GET", "/v2/ping", status=204)
    ask("HEAD", "/v2/ping", status=204)
    before = ask("GET", "/v2/queues?with_count=true", status=200).json["count"]
    health = ask("GET", "/v2/health", status=200).json
    assert health["storage_reachable"] is True, health
    operations = health["operation_status"]
    assert set(operations) == {"create_queue", "post_messages", "claim_messages", "list_messages", "delete_messages", "delete_claim",
                               "bulk_delete_messages", "delete_queue"}, operations
    for name, how in operations.items():
        assert how["succeeded"] is True and isinstance(how["seconds"], float) and how["ref"] is None, (name, how)
    assert ask("GET", "/v2/queues?with_count=true", status=200).json["count"] == before


@case
def what_is_not_served_is_not_found():
    for path in "/v2/pools", "/v2/pools/p", "/v2/flavors", "/v2/topics", "/v2/topics/t/messages", "/v2/nothing", "/v2/queues/q/nothing":
        answer = ask("GET", path, status=404)
        assert answer.json["title"] in ("404 Not Found", "Not found"), answer
    for method, path in (("HEAD", "/v2/queues/q"), ("POST", "/v2/queues/q"), ("PUT", "/v2/queues/q/messages"), ("DELETE", "/v2/ping")):
        ask(method, path, status=405)


@case
def there_are_no_subscriptions():
    path = queue()
    answer = ask("GET", path + "/subscriptions", status=200)
    assert answer.json == {"subscriptions": [], "links": []}, answer
    ask("POST", path + "/subscriptions", {"subscriber": "http://127.0.0.1/"}, status=404, title="Not found")
    ask("GET", path + "/subscriptions/" + str(uuid.uuid4()), status=404, title="Not found")
    ask("DELETE", path + "/subscriptions/" + str(uuid.uuid4()), status=204)


# ---- common rules ----

RULES = [
    # headers, status, title
    ({"Client-ID": None}, 400, "Missing header value"),
    ({"Client-ID": "default"}, 400, "Wrong UUID value"),
    ({"Client-ID": ""}, 400, "Wrong UUID value"),
    ({"Client-ID": "3381af922b9e11e3b19171861300734c"}, 200, None),
    ({"Client-ID": "3381AF92-2B9E-11E3-B191-71861300734C"}, 200, None),
    ({"client-id": ZAQAR["Client-ID"], "Client-ID": None}, 200, None),
    ({"X-Project-ID": None}, 400, "Project-Id Missing"),
    ({"X-Project-ID": ""}, 400, "Empty project header not allowed"),
    ({"X-Project-ID": "p" * 256}, 200, None),
    ({"X-Project-ID": "p" * 257}, 400, "Invalid queue identification"),
    ({"Accept": "application/json"}, 200, None),
    ({"Accept": "text/html, application/*;q=0.5"}, 200, None),
    ({"Accept": "*/*"}, 200, None),
    ({"Accept": "text/plain"}, 406, None),
    ({"Accept": "application/json;q=0"}, 406, None),
    ({"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"}, 400, "Invalid Content-Type"),
    ({"Content-Type": "Application/X-WWW-Form-URLencoded", "Content-Length": "0"}, 400, "Invalid Content-Type"),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 200, None),
    ({"Content-Type": "text/nonsense"}, 200, None),
    ({"Extra-Spec": "messagecode:xyz"}, 200, None),
    # The order in which they are asked for.
    ({"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0", "Accept": "text/plain"}, 400, "Invalid Content-Type"),
    ({"Accept": "text/plain", "Client-ID": "x"}, 406, None),
    ({"Client-ID": "x", "X-Project-ID": None}, 400, "Wrong UUID value"),
]


@case
def common_rules():
    for headers, status, title in RULES:
        ask("GET", "/v2/queues/rules", headers=headers, status=status, title=title)
    for name in "a b", "a%20b", "x" * 65, "%5Ehidden", "%C3%A4":
        ask("GET", f"/v2/queues/{name.replace(' ', '%20')}", status=400, title="Invalid queue identification")
    ask("GET", "/v2/queues/a%20b", headers={"X-Project-ID": None}, status=400, title="Project-Id Missing")
    ask("GET", "/v2/queues/" + "x" * 64, status=200)
    ask("GET", "/v2/queues/dots.and-dashes_", status=200)


@case
def parameters():
    path = queue("a")
    for query, title in (("limit=x", "Invalid parameter"), ("limit=", "Invalid parameter"), ("limit=0", "Invalid API request"),
                         ("limit=21", "Invalid API request"), ("limit=-1", "Invalid API request"),
                         ("limit=99999999999999999999", "Invalid parameter"), ("echo=maybe", "Invalid parameter"),
                         ("include_claimed=2", "Invalid parameter"), ("include_delayed=x", "Invalid parameter"),
                         ("wait=61", "Invalid API request"), ("wait=-1", "Invalid API request"), ("wait=x", "Invalid parameter")):
        ask("GET", f"{path}/messages?{query}", status=400, title=title)
    for value in "true", "True", "t", "yes", "y", "1", "on":
        assert bodies(ask("GET", f"{path}/messages?echo={value}", status=200)) == ["a"], value
    for value in "false", "False", "f", "no", "n", "0", "off":
        assert bodies(ask("GET", f"{path}/messages?echo={value}", status=200)) == [], value
    for query in "limit=0", "limit=21", "limit=x":
        ask("GET", f"/v2/queues?{query}", status=400)
        ask("POST", f"{path}/claims?{query}", status=400)
    ask("GET", "/v2/queues?detailed=maybe", status=400, title="Invalid parameter")


# ---- queues ----

@case
def queues_are_made_once():
    path = queue()
    answer = ask("PUT", path, {"a": 1, "_default_message_ttl": 100}, status=201)
    assert answer.headers["Location"] == path and answer.body == b"", answer
    ask("PUT", path, {"a": 2}, status=204)
    assert ask("GET", path, status=200).json == {**RESERVED, "a": 1, "_default_message_ttl": 100}
    ask("PUT", queue(), status=201)
    ask("PUT", queue(), "", {"Content-Length": "0"}, status=201)


@case
def a_queue_that_is_not_there_has_defaults():
    path = queue()
    assert ask("GET", path, status=200).json == RESERVED
    assert ask("GET", path + "/stats", status=200).json == {"messages": {"claimed": 0, "free": 0, "total": 0}}
    assert ask("GET", path + "/messages", status=200).json == {"messages": [], "links": []}
    ask("POST", path + "/claims", status=204)
    ask("DELETE", path, status=204)


@case
def metadata_is_checked():
    for document, title in ((b"[]", "Invalid request body"), (b"{", "Invalid request body"), (b'{"a":9223372036854775808}', "Invalid request body"),
                            (b"7", "Invalid request body"), (b'{"_default_message_ttl":"x"}', "Invalid API request"),
                            (b'{"_default_message_ttl":59}', "Invalid API request"), (b'{"_max_messages_post_size":262145}', "Invalid API request"),
                            (b'{"_max_claim_count":"3"}', "Invalid API request"), (b'{"_dead_letter_queue":"a b"}', "Invalid API request"),
                            (json.dumps({"a": "x" * 65536}), "Invalid API request")):
        ask("PUT", queue(), document, status=400, title=title)


@case
def metadata_is_patched():
    path = queue()
    changes = [{"op": "add", "path": "/metadata/b", "value": [1]}, {"op": "replace", "path": "/metadata/a", "value": "x"},
               {"op": "replace", "path": "/metadata/_default_message_ttl", "value": 60}]
    ask("PATCH", path, changes, PATCH, status=404, title="Not found")
    ask("PUT", path, {"a": 1}, status=201)
    answer = ask("PATCH", path, changes, PATCH, status=200)
    assert answer.json == {**RESERVED, "a": "x", "b": [1], "_default_message_ttl": 60}, answer
    assert ask("GET", path, status=200).json == answer.json
    answer = ask("PATCH", path, [{"op": "remove", "path": "/metadata/_default_message_ttl"}, {"op": "remove", "path": "/metadata/_max_claim_count"}],
                 PATCH, status=200)
    assert answer.json == {**RESERVED, "a": "x", "b": [1]}, answer
    for change, status, title in (({"op": "remove", "path": "/metadata/none"}, 409, "Resource conflict"),
                                  ({"op": "replace", "path": "/metadata/none", "value": 1}, 409, "Resource conflict"),
                                  ({"op": "add", "path": "/metadata/c"}, 400, "Invalid request body"),
                                  ({"op": "move", "path": "/metadata/a", "value": 1}, 400, "Invalid request body"),
                                  ({"op": "add", "path": "/a", "value": 1}, 400, "Invalid request body"),
                                  ({"op": "add", "path": "/metadata/_default_message_ttl", "value": 1}, 400, "Invalid API request")):
        ask("PATCH", path, [change], PATCH, status=status, title=title)
    ask("PATCH", path, "", {**PATCH, "Content-Length": "0"}, status=400, title="Invalid request body")
    ask("PATCH", path, {"a": 1}, PATCH, status=400, title="Invalid request body")
    answer = ask("PATCH", path, [], {"Content-Type": "application/json"}, status=415)
    # Nothing of what was refused was done.
    assert ask("GET", path, status=200).json == {**RESERVED, "a": "x", "b": [1]}


@case
def queues_are_listed_by_name():
    project = {"X-Project-ID": "listing"}
    assert ask("GET", "/v2/queues", headers=project, status=200).json == {"queues": [], "links": []}
    for i in range(12):
        ask("PUT", f"/v2/queues/l{i:02}", {"color": "red" if i % 2 else "blue", "n": i}, project, status=201)
    first = ask("GET", "/v2/queues", headers=project, status=200)
    assert first.json["queues"] == [{"name": f"l{i:02}", "href": f"/v2/queues/l{i:02}"} for i in range(10)], first
    second = ask("GET", next_href(first), headers=project, status=200)
    assert [queue["name"] for queue in second.json["queues"]] == ["l10", "l11"], second
    last = ask("GET", next_href(second), headers=project, status=200)
    assert last.json == {"queues": [], "links": []}, last
    detailed = ask("GET", "/v2/queues?limit=1&detailed=True&with_count=true&marker=l04", headers=project, status=200)
    assert detailed.json["queues"] == [{"name": "l05", "href": "/v2/queues/l05", "metadata": {**RESERVED, "color": "red", "n": 5}}], detailed
    assert detailed.json["count"] == 12 and "detailed=True" in next_href(detailed) and "limit=1" in next_href(detailed), detailed
    for query, expected in (("name=l1", ["l10", "l11"]), ("color=red&limit=3", ["l01", "l03", "l05"]), ("n=7", ["l07"]), ("color=green", []),
                            ("name=l0&color=blue&marker=l03", ["l04", "l06", "l08"])):
        answer = ask("GET", f"/v2/queues?{query}", headers=project, status=200)
        assert [queue["name"] for queue in answer.json["queues"]] == expected, (query, answer)
    # Other projects have other queues.
    assert "l00" not in [queue["name"] for queue in ask("GET", "/v2/queues?name=l0").json["queues"]]


@case
def a_queue_is_removed_with_its_messages():
    path = queue("a", "b")
    ask("PUT", path, status=204)
    ask("DELETE", path, status=204)
    assert ask("GET", path + "/messages?echo=true", status=200).json["messages"] == []
    ask("DELETE", path, status=204)
    ask("PUT", path, status=201)


@case
def stats_count():
    path = queue("a", "b", "c")
    ask("POST", path + "/claims?limit=1", status=201)
    messages = ask("GET", path + "/stats", status=200).json["messages"]
    assert set(messages) == {"claimed", "free", "total", "oldest", "newest"}, messages
    assert (messages["claimed"], messages["free"], messages["total"]) == (1, 2, 3), messages
    for end in messages["oldest"], messages["newest"]:
        assert set(end) == {"href", "age", "created"} and end["href"].startswith(path + "/messages/"), end
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", end["created"]) and end["age"] >= 0, end
    assert messages["oldest"]["href"] != messages["newest"]["href"]


@case
def purge():
    for document, left in ((None, 0), ({"resource_types": ["messages"]}, 0), ({"resource_types": ["subscriptions"]}, 2),
                           ({"resource_types": ["messages", "subscriptions"]}, 0)):
        path = queue("a", "b")
        ask("POST", path + "/purge", document, status=204)
        assert ask("GET", path + "/stats", status=200).json["messages"]["total"] == left, document
    for document in {"resource_types": ["claims"]}, {"types": []}, {"resource_types": "messages"}:
        ask("POST", queue("a") + "/purge", document, status=400)


# ---- messages ----

@case
def messages_come_back_as_they_came():
    path = queue()
    raw = b'{"messages": [{"body": {"a" : [1.50, 1e2, "\\u00e4"] , "b":null}, "ttl": 77, "x": 1}, {"body": "t"}, {"body": null}]}'
    answer = ask("POST", path + "/messages", raw, status=201)
    hrefs = answer.json["resources"]
    assert set(answer.json) == {"resources"} and len(hrefs) == 3, answer
    ids = [href.rsplit("/", 1)[1] for href in hrefs]
    assert hrefs == [f"{path}/messages/{i}" for i in ids], answer
    assert answer.headers["Location"] == f"{path}/messages?ids={','.join(ids)}", answer
    one = ask("GET", hrefs[0], status=200)
    assert b'{"a" : [1.50, 1e2, "\\u00e4"] , "b":null}' in one.body, one
    assert set(one.json) == LISTED and one.json["ttl"] == 77 and one.json["href"] == hrefs[0] and one.json["id"] == ids[0], one
    several = ask("GET", answer.headers["Location"], status=200)
    assert set(several.json) == {"messages"} and [message["id"] for message in several.json["messages"]] == ids, several
    assert several.json["messages"][1]["ttl"] == 3600


POSTS = [
    (b"", "Invalid request body"),
    (b"{", "Invalid request body"),
    (b"17", "Invalid request body"),
    (b"{}", "Invalid API request"),
    (b"[]", "Invalid API request"),
    (b'{"messages":[]}', "Invalid API request"),
    (b'{"messages":{}}', "Invalid request body"),
    (b'{"messages":[1]}', "Invalid request body"),
    (b'{"messages":[{}]}', "Invalid request body"),
    (b'{"messages":[{"body":1},{"ttl":60}]}', "Invalid request body"),
    (b'{"messages":[{"body":1,"ttl":0}]}', "Invalid API request"),
    (b'{"messages":[{"body":1,"ttl":59}]}', "Invalid API request"),
    (b'{"messages":[{"body":1,"ttl":1209601}]}', "Invalid API request"),
    (b'{"messages":[{"body":1,"ttl":"60"}]}', "Invalid request body"),
    (b'{"messages":[{"body":1,"ttl":60.5}]}', "Invalid request body"),
    (b'{"messages":[{"body":1,"ttl":null}]}', "Invalid request body"),
    (b'{"messages":[{"body":1,"delay":-1}]}', "Invalid API request"),
    (b'{"messages":[{"body":1,"delay":901}]}', "Invalid API request"),
    (b'{"messages":[{"body":9223372036854775808}]}', "Invalid request body"),
    (b'{"messages":[{"body":' + b"[" * 70 + b"]" * 70 + b"}]}", "Invalid request body"),
    (b'{"messages":[{"body":"' + b"x" * 262144 + b'"}]}', "Invalid API request"),
]


@case
def posts_are_checked():
    path = queue()
    for document, title in POSTS:
        ask("POST", path + "/messages", document, status=400, title=title)
    assert ask("GET", path + "/stats", status=200).json["messages"]["total"] == 0
    ask("PUT", path, {"_max_messages_post_size": 100}, status=201)
    ask("POST", path + "/messages", {"messages": [{"body": "x" * 100}]}, status=400, title="Invalid API request")
    ask("POST", path + "/messages", {"messages": [{"body": "x"}]}, status=201)


@case
def lists_have_pages():
    path = queue(*range(13))
    assert bodies(ask("GET", path + "/messages", status=200)) == []
    first = other("GET", path + "/messages", status=200)
    assert bodies(first) == list(range(10)) and all(set(message) == LISTED for message in first.json["messages"]), first
    second = other("GET", next_href(first), status=200)
    assert bodies(second) == [10, 11, 12], second
    assert other("GET", next_href(second), status=200).json == {"messages": [], "links": []}
    answer = ask("GET", path + "/messages?limit=20&echo=true&include_claimed=True", status=200)
    assert bodies(answer) == list(range(13)), answer
    href = next_href(answer)
    assert href.startswith(path + "/messages?") and "limit=20" in href and "echo=true" in href and "include_claimed=True" in href, href
    for marker in "nonsense", str(uuid.uuid4()), "%00":
        other("GET", f"{path}/messages?marker={marker}")
    assert other("GET", path + "/messages?marker=nonsense", status=200).json == {"messages": [], "links": []}


@case
def ids_are_repeated_or_parted_by_commas():
    path = queue(1, 2, 3)
    messages = other("GET", path + "/messages", status=200).json["messages"]
    ids = [message["id"] for message in messages]
    for query in f"ids={ids[0]},{ids[2]}", f"ids={ids[0]}&ids={ids[2]}":
        assert bodies(ask("GET", f"{path}/messages?{query}", status=200)) == [1, 3], query
    assert bodies(ask("GET", f"{path}/messages?ids={ids[1]},{uuid.uuid4()}", status=200)) == [2]
    ask("GET", f"{path}/messages?ids={ids[0]}%2C{ids[2]}", status=404, title="Not found")
    ask("GET", f"{path}/messages?ids={uuid.uuid4()}", status=404, title="Not found")
    ask("GET", f"{path}/messages?ids=" + ",".join(str(uuid.uuid4()) for _ in range(21)), status=400, title="Invalid API request")
    ask("GET", f"{path}/messages/{uuid.uuid4()}", status=404, title="Not found")
    ask("GET", f"{path}/messages/nonsense", status=404, title="Not found")
    # An id of another queue is none of this one.
    ask("GET", f"{queue('x')}/messages/{ids[0]}", status=404, title="Not found")
    ask("DELETE", f"{path}/messages?ids={ids[0]},{ids[1]}", status=204)
    assert bodies(other("GET", path + "/messages", status=200)) == [3]


@case
def delayed_messages_are_held_back():
    path = queue("late", delay=900)
    assert bodies(other("GET", path + "/messages", status=200)) == []
    assert bodies(other("GET", path + "/messages?include_delayed=true", status=200)) == ["late"]
    ask("POST", path + "/claims", status=204)
    assert ask("DELETE", path + "/messages?pop=1", status=200).json == {"messages": []}


@case
def deleting():
    path = queue(*"abcd")
    ids = [message["id"] for message in other("GET", path + "/messages").json["messages"]]
    ask("DELETE", f"{path}/messages/{ids[0]}", status=204)
    ask("DELETE", f"{path}/messages/{ids[0]}", status=204)
    ask("DELETE", f"{path}/messages/nonsense", status=204)
    ask("DELETE", f"{path}/messages/{ids[1]}?claim_id={uuid.uuid4()}", status=400, title="Unable to delete")
    claim = ask("POST", path + "/claims?limit=1", status=201)
    claim_id = claim.headers["Location"].rsplit("/", 1)[1]
    ask("DELETE", f"{path}/messages/{ids[1]}", status=403, title="Unable to delete")
    ask("DELETE", f"{path}/messages/{ids[1]}?claim_id={uuid.uuid4()}", status=400, title="Unable to delete")
    ask("DELETE", f"{path}/messages/{ids[2]}?claim_id={claim_id}", status=400, title="Unable to delete")
    ask("DELETE", f"{path}/messages/{ids[1]}?claim_id={claim_id}", status=204)
    for query in "", "?ids=", f"?ids={ids[2]}&pop=1", "?pop=0", "?pop=21", "?pop=x":
        ask("DELETE", f"{path}/messages{query}", status=400)
    ask("DELETE", f"{path}/messages?ids=" + ",".join(ids + [str(uuid.uuid4())] * 17), status=400, title="Invalid API request")
    ask("DELETE", f"{path}/messages?ids={','.join(ids)}", status=204)
    assert ask("GET", path + "/stats").json["messages"]["total"] == 0


@case
def popping():
    path = queue(*"abc")
    answer = ask("DELETE", path + "/messages?pop=2", status=200)
    assert bodies(answer) == ["a", "b"], answer
    for message in answer.json["messages"]:
        assert set(message) == {"id", "age", "ttl", "body", "claim_id", "claim_count"}, message
    assert bodies(ask("DELETE", path + "/messages?pop=20", status=200)) == ["c"]
    assert ask("DELETE", path + "/messages?pop=1", status=200).json == {"messages": []}


# ---- claims ----

@case
def claims():
    path = queue(*"abcdefghijkl", ttl=60)
    claim = ask("POST", path + "/claims", {"ttl": 300, "grace": 60}, status=201)
    location = claim.headers["Location"]
    claim_id = location.rsplit("/", 1)[1]
    assert location == f"{path}/claims/{claim_id}" and bodies(claim) == list("abcdefghij") and set(claim.json) == {"messages"}, claim
    for message in claim.json["messages"]:
        assert set(message) == LISTED and message["href"] == f"{path}/messages/{message['id']}?claim_id={claim_id}", message
        assert message["ttl"] == 360, message
    got = ask("GET", location, status=200).json
    assert set(got) == {"age", "ttl", "href", "messages"} and got["href"] == location and got["ttl"] == 300 and len(got["messages"]) == 10, got
    assert bodies(other("GET", path + "/messages")) == ["k", "l"]
    assert len(bodies(other("GET", path + "/messages?include_claimed=true&limit=20"))) == 12
    assert bodies(ask("POST", path + "/claims?limit=1", status=201)) == ["k"]
    ask("PATCH", location, {"ttl": 600}, status=204)
    assert ask("GET", location, status=200).json["ttl"] == 600
    ask("PATCH", location, {}, status=204)
    assert ask("GET", location, status=200).json["ttl"] == 300
    ask("DELETE", location, status=204)
    ask("DELETE", location, status=204)
    ask("GET", location, status=404, title="Not found")
    ask("PATCH", location, {"ttl": 60}, status=404, title="Not found")
    assert len(bodies(ask("POST", path + "/claims?limit=20", status=201))) == 11
    ask("POST", path + "/claims", status=204)


@case
def claims_are_checked():
    path = queue("a")
    for document in {"ttl": None}, {"grace": None}, {"ttl": 59}, {"ttl": 43201}, {"grace": 59}, {"ttl": "60"}, {"ttl": True}, [], b"{":
        ask("POST", path + "/claims", document, status=400)
    location = ask("POST", path + "/claims", "", {"Content-Length": "0"}, status=201).headers["Location"]
    for document in {"ttl": None}, {"ttl": 59}, {"grace": 43201}, [], b"{":
        ask("PATCH", location, document, status=400)
    ask("PATCH", location, "", {"Content-Length": "0"}, status=400, title="Invalid request body")
    ask("GET", path + "/claims/nonsense", status=404, title="Not found")


# ---- long polls ----

def later(method, path, body=None):
    """Asks on a connection of its own; gives a function that waits for the answer."""
    got = []

    def main():
        connection = Http(PORT, {**ZAQAR, "Client-ID": OTHER})
        got.append(connection(method, path, body))
        connection.close()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()

    def wait():
        thread.join(PATIENCE)
        assert got, f"{method} {path} was not answered"
        return got[0]
    return wait


def waiting():
    """Does a request wait at this moment?"""
    with Http(PORT) as connection:
        return b"\nzmanager_http_waiting 1\n" in connection("GET", "/metrics").body


@case
def waiting_ends_with_a_message():
    for method, path, status in (("GET", "/messages?wait=60", 200), ("POST", "/claims?wait=60", 201)):
        target = queue()
        answer = later(method, target + path)
        wait_for("a waiting request", waiting)
        ask("POST", target + "/messages", {"messages": [{"body": "now"}]}, status=201)
        answer = answer()
        assert answer.status == status and bodies(answer) == ["now"], answer


@case
def waiting_ends_with_a_released_message():
    target = queue("a")
    location = ask("POST", target + "/claims", status=201).headers["Location"]
    answer = later("POST", target + "/claims?wait=60")
    wait_for("a waiting request", waiting)
    ask("DELETE", location, status=204)
    assert bodies(answer()) == ["a"]


@case
def waiting_ends_in_time():
    began = time.monotonic()
    assert other("GET", queue() + "/messages?wait=1", status=200).json == {"messages": [], "links": []}
    other("POST", queue() + "/claims?wait=1", status=204)
    assert 1.9 < time.monotonic() - began < PATIENCE
    assert bodies(other("GET", queue("a") + "/messages?wait=60", status=200)) == ["a"]


@case
def a_message_goes_to_one_of_those_who_wait():
    target = queue()
    answers = [later("POST", target + "/claims?limit=1&wait=3") for _ in range(8)]
    ask("POST", target + "/messages", {"messages": [{"body": i} for i in range(5)]}, status=201)
    answers = [answer() for answer in answers]
    got = sorted(body for answer in answers if answer.status == 201 for body in bodies(answer))
    assert got == [0, 1, 2, 3, 4] and [answer.status for answer in answers].count(204) == 3, answers


@case
def who_goes_away_keeps_nothing():
    target = queue()
    with Http(PORT, {**ZAQAR, "Client-ID": OTHER}) as connection:
        connection.connection.request("POST", target + "/claims?wait=60", headers=connection.headers)
        wait_for("a waiting request", waiting)
    wait_for("its end", lambda: not waiting())
    ask("POST", target + "/messages", {"messages": [{"body": "a"}]}, status=201)
    assert bodies(ask("POST", target + "/claims", status=201)) == ["a"]


# ---- pre-signed URLs ----

def share(path, document=None):
    return ask("POST", path + "/share", document if document is not None else {}, status=200).json


def url_headers(shared, **changes):
    shared = {**shared, **changes}
    return {"URL-Signature": shared["signature"], "URL-Expires": shared["expires"], "URL-Methods": ",".join(shared["methods"]),
            "URL-Paths": ",".join(shared["paths"]), "X-Project-ID": shared["project"]}


@case
def shares():
    path = queue("a")
    shared = share(path, {"paths": ["messages", "claims"], "methods": ["POST", "GET"], "expires": "2099-01-01T00:00:00.5"})
    assert set(shared) == {"paths", "methods", "project", "expires", "signature"}, shared
    assert shared["paths"] == [path + "/claims", path + "/messages"] and shared["methods"] == ["GET", "POST"], shared
    assert shared["expires"] == "2099-01-01T00:00:00" and shared["project"] == "test", shared
    text = r"\n".join((",".join(shared["paths"]), "GET,POST", "test", shared["expires"]))
    assert shared["signature"] == hmac.new(b"secret", text.encode(), hashlib.sha256).hexdigest(), shared
    assert share(path)["paths"] == [path + "/messages"] and share(path)["methods"] == ["GET"]
    for document in {"x": 1}, {"paths": ["stats"]}, {"methods": "GET"}, {"methods": ["STEAL"]}, {"expires": "2001-01-01T00:00:00"}, \
            {"expires": "4070908800"}, {"expires": 4070908800}:
        ask("POST", path + "/share", document, status=400, title="Invalid API request")


@case
def signed_urls():
    path = queue("a")
    shared = share(path, {"methods": ["GET", "POST"]})
    good = url_headers(shared)
    message = other("GET", path + "/messages", headers=good, status=200).json["messages"][0]
    other("GET", message["href"], headers=good, status=200)
    other("POST", path + "/messages", {"messages": [{"body": 1}]}, good, status=201)
    other("GET", path + "/messages", headers={**good, "Client-ID": None}, status=400, title="Missing header value")
    for method, target in (("DELETE", message["href"]), ("GET", path + "/stats"), ("GET", path), ("POST", path + "/claims"),
                           ("GET", queue("b") + "/messages"), ("GET", path + "/messagesx")):
        other(method, target, headers=good, status=404)
    for changes in {"signature": "0" * 64}, {"expires": "2098-01-01T00:00:00"}, {"methods": ["GET", "POST", "DELETE"]}, {"project": "other"}, \
            {"paths": ["/v2/queues"]}, {"expires": "x"}:
        other("GET", path + "/messages", headers=url_headers(shared, **changes), status=404)
    for header in "URL-Expires", "URL-Methods", "URL-Paths":
        other("GET", path + "/messages", headers={**good, header: None}, status=404)
    other("GET", path + "/messages", headers={**good, "Accept": "text/plain"}, status=406)


@case
def the_daemon_ends_well():
    http.close()
    daemon.stop()
    daemon.check_log()


daemon = Daemon(CONFIG, plugins=["memory"])
try:
    daemon.start()
    http = Http(PORT, ZAQAR)
    run()
finally:
    daemon.close()
