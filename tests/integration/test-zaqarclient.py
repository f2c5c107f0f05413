# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenStack's own client, python-zaqarclient as Debian packages it, unmodified and without keystone, against the daemon.

What it really sends (zaqarclient/transport/http.py, queues/v1/core.py, queues/v2/core.py; version 2 of the API):

* Each request: Client-ID (32 hexadecimal digits without dashes), X-Project-Id, Content-Type: application/json also where there is no
  body, Accept: */*; a new requests.Session each, so that a connection serves one request. Parameters that are None are left out,
  booleans are sent as True and False, lists as repeated parameters.
* queue (name)                 nothing at all; with force_create: PUT /v2/queues/Q
* queue.metadata ()            GET /v2/queues/Q; metadata ({...}): the same, then PATCH /v2/queues/Q (…-json-patch): "replace" of what has
                               a value, "add" of what has none, "remove" of all the others, reserved keys included
* queue.stats                  GET /v2/queues/Q/stats
* queue.post (...)             POST /v2/queues/Q/messages
* queue.messages (...)         GET /v2/queues/Q/messages?limit&echo&include_claimed&marker, then the link "next" as it stands;
                               messages (id, id): GET …?ids=A&ids=B
* queue.message (id)           GET /v2/queues/Q/messages/ID: the members become keyword arguments, so that one too many is an error
* message.delete ()            DELETE /v2/queues/Q/messages/ID, with ?claim_id where the message's href has one
* queue.delete_messages (...)  DELETE /v2/queues/Q/messages?ids=A&ids=B
* queue.pop (n)                DELETE /v2/queues/Q/messages?pop=N
* queue.claim (ttl, grace)     POST /v2/queues/Q/claims {"ttl", "grace"} (null where not given, which is 400, as with Zaqar);
                               the claim's id is read from the first message's href
* claim.age, iteration         GET /v2/queues/Q/claims/ID; update (): PATCH; delete (): DELETE
* queue.purge ()               POST /v2/queues/Q/purge with an empty body or {"resource_types"}
* queue.signed_url ()          POST /v2/queues/Q/share {"paths", "methods", "expires": ISO date with a fraction}
* client.queues ()             GET /v2/queues?limit&detailed&with_count, then "next"
* client.ping, health, homedoc GET /v2/ping, /v2/health, /v2/
"""

import uuid

from zmcase import Skip, case, run
from zmhttp import free_port
from zmtest import Daemon

try:
    from zaqarclient.queues import client as zaqar
    from zaqarclient.transport import errors
    MISSING = None
except ImportError as why:
    MISSING = f"python3-zaqarclient is not installed ({why})"

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
names = (f"q{i}" for i in range(1000000))


def client(project="clients", **options):
    if MISSING:
        raise Skip(MISSING)
    auth = {"backend": "noauth", "options": {"os_project_id": project}}
    auth.update(options)
    return zaqar.Client(f"http://127.0.0.1:{PORT}", 2, conf={"auth_opts": auth})


def bodies(messages):
    return [message.body for message in messages]


@case
def create_and_list_queues():
    one = client("listing")
    for i in range(25):
        one.queue(f"list-{i:02}", force_create=True)
    queues, count = one.queues(limit=10, with_count=True)
    assert [queue.name for queue in queues] == [f"list-{i:02}" for i in range(10)] and count == 25
    queues, count = one.queues(limit=20, detailed=True)
    found = [queue for queue in queues.stream()]
    assert [queue.name for queue in found] == [f"list-{i:02}" for i in range(25)] and count is None
    assert found[0].href == "/v2/queues/list-00" and found[0].metadata()["_default_message_ttl"] == 3600
    found[0].delete()
    assert one.queues(with_count=True)[1] == 24
    assert client("another").queues(with_count=True)[1] == 0


@case
def post_list_page_get_delete():
    sender, reader, name = client(), client(), next(names)
    queue = sender.queue(name)
    posted = queue.post([{"body": {"number": i, "text": "ä\n"}, "ttl": 100 + i} for i in range(23)])
    assert len(posted["resources"]) == 23
    queue.post({"body": None})
    assert bodies(queue.messages()) == []
    assert len(bodies(queue.messages(echo=True, limit=20))) == 20
    queue = reader.queue(name)
    messages = list(queue.messages(limit=5).stream())
    assert bodies(messages) == [{"number": i, "text": "ä\n"} for i in range(23)] + [None]
    assert [message.ttl for message in messages] == [100 + i for i in range(23)] + [3600]
    one = queue.message(messages[3].id)
    assert one.body["number"] == 3 and one.href == messages[3].href and one.claim_id is None and one.age >= 0
    assert bodies(queue.messages(messages[0].id, messages[23].id)) == [messages[0].body, None]
    one.delete()
    one.delete()
    try:
        queue.message(one.id)
        raise AssertionError("a deleted message is there")
    except errors.ResourceNotFound as error:
        assert "Not found" in str(error), error
    queue.delete_messages(messages[0].id, messages[1].id)
    assert len(list(queue.messages(limit=20).stream())) == 21


@case
def claim_renew_release():
    queue = client().queue(next(names))
    queue.post([{"body": i, "ttl": 60} for i in range(4)])
    claim = queue.claim(ttl=300, grace=60, limit=2)
    messages = list(claim)
    assert bodies(messages) == [0, 1] and claim.id and all(message.claim_id == claim.id for message in messages)
    assert claim.age >= 0 and claim.ttl == 300
    claim.update(ttl=900, grace=100)
    again = queue.claim(id=claim.id)
    assert bodies(again) == [0, 1] and again.ttl == 900
    messages[0].delete()
    assert bodies(queue.claim(ttl=300, grace=60, limit=20)) == [2, 3]
    empty = queue.claim(ttl=300, grace=60)
    assert empty.id is None and list(empty) == []
    claim.delete()
    assert bodies(queue.claim(ttl=300, grace=60)) == [1]
    for bad in dict(ttl=1, grace=60), dict(ttl=300, grace=1), dict(), dict(ttl=300, grace=60, limit=21):
        try:
            queue.claim(**bad)
            raise AssertionError(f"claim {bad} was taken")
        except errors.MalformedRequest:
            pass
    try:
        queue.claim(id=str(uuid.uuid4())).age
        raise AssertionError("a claim that is not there was found")
    except errors.ResourceNotFound:
        pass


@case
def a_claimed_message_is_not_deleted_by_others():
    queue = client().queue(next(names))
    queue.post({"body": "a"})
    free, = queue.messages(echo=True)
    claim = queue.claim(ttl=300, grace=60)
    try:
        free.delete()
        raise AssertionError("deleted without the claim")
    except errors.ForbiddenError:
        pass
    for message in claim:
        message.delete()
    assert queue.stats["messages"]["total"] == 0


@case
def pop():
    queue = client().queue(next(names))
    queue.post([{"body": i} for i in range(3)])
    assert bodies(queue.pop(2)) == [0, 1] and bodies(queue.pop()) == [2] and bodies(queue.pop()) == []


@case
def metadata():
    queue = client().queue(next(names), force_create=True)
    assert queue.metadata()["_max_messages_post_size"] == 262144
    queue.metadata(new_meta={"color": "red", "_default_message_ttl": 120})
    assert queue.metadata(force_reload=True)["color"] == "red"
    queue.metadata(new_meta={"size": {"x": [1, 2]}})
    after = queue.metadata(force_reload=True)
    assert after["size"] == {"x": [1, 2]} and "color" not in after and after["_default_message_ttl"] == 3600
    queue.metadata(new_meta={})
    assert not [key for key in queue.metadata(force_reload=True) if not key.startswith("_")]
    queue.metadata(new_meta={"_default_message_ttl": 120})
    queue.post({"body": 1})
    assert next(iter(queue.messages(echo=True))).ttl == 120


@case
def stats_and_purge():
    queue = client().queue(next(names))
    assert queue.stats == {"messages": {"claimed": 0, "free": 0, "total": 0}}
    queue.post([{"body": i} for i in range(3)])
    queue.claim(ttl=300, grace=60, limit=1)
    stats = queue.stats["messages"]
    assert (stats["claimed"], stats["free"], stats["total"]) == (1, 2, 3) and stats["oldest"]["age"] >= 0
    queue.purge(resource_types=["subscriptions"])
    assert queue.stats["messages"]["total"] == 3
    queue.purge()
    assert queue.stats["messages"]["total"] == 0


@case
def health_ping_and_homedoc():
    one = client()
    assert one.ping() is True
    health = one.health()
    assert health["storage_reachable"] and all(how["succeeded"] for how in health["operation_status"].values()), health
    assert "rel/queue" in one.homedoc()["resources"]


@case
def signed_url():
    queue = client("signing").queue(next(names))
    queue.post({"body": "a"})
    signed = queue.signed_url(paths=["messages"], ttl_seconds=500, methods=["GET"])
    reader = client("signing", backend="signed-url", options={**signed, "os_project_id": signed["project"]})
    assert bodies(reader.queue(queue.name).messages(echo=True)) == ["a"]
    for what in (lambda: reader.queue(queue.name).post({"body": "b"}), lambda: reader.queue("another").stats):
        try:
            what()
            raise AssertionError("more than was signed")
        except errors.ResourceNotFound:
            pass


@case
def subscriptions_are_none():
    one = client()
    assert list(one.subscriptions(next(names))) == []
    try:
        one.subscription(next(names), subscriber="http://127.0.0.1/", ttl=600)
        raise AssertionError("a subscription was made")
    except errors.ResourceNotFound as error:
        assert "Subscriptions are not served" in str(error), error


@case
def the_daemon_ends_well():
    if MISSING:
        raise Skip(MISSING)
    daemon.stop()
    daemon.check_log()


daemon = Daemon(CONFIG, plugins=["memory"])
try:
    if not MISSING:
        daemon.start()
    run()
finally:
    daemon.close()
