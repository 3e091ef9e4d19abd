"""What a client of nsqd and nsqlookupd may rely on besides TCP: HTTP, crashes and lookup. See test_conformance.py."""

from __future__ import annotations

import json
import socket

import pytest

from tests.services.nsq.raw import CLOSED, RawClient, mpub_body
from tests.services.nsq.servers import DURABLE, Server, Servers
from tests.support.waiting import wait_for

ID = b"0123456789abcdef"


# ---- HTTP -----------------------------------------------------------------------------------------------------------

REFUSED = [
    ("POST", "/pub", b"x", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/pub?topic=t*", b"x", 400, "INVALID_TOPIC"),
    ("POST", "/pub?topic=t", b"", 400, "MSG_EMPTY"),
    ("POST", "/pub?topic=t", bytes(1024 * 1024 + 1), 413, "MSG_TOO_BIG"),
    ("POST", "/pub?topic=t&defer=x", b"x", 400, "INVALID_DEFER"),
    ("POST", "/mpub?topic=t", bytes(1024 * 1024 + 1), 413, "MSG_TOO_BIG"),
    ("POST", "/mpub?topic=t&binary=true", mpub_body(b""), 413, "BAD_MESSAGE"),
    ("POST", "/topic/empty?topic=none", b"", 404, "TOPIC_NOT_FOUND"),
    ("POST", "/channel/create?topic=none&channel=c", b"", 404, "TOPIC_NOT_FOUND"),
    ("POST", "/channel/create?topic=t", b"", 400, "MISSING_ARG_CHANNEL"),
    ("POST", "/channel/create?topic=t&channel=c*", b"", 400, "INVALID_ARG_CHANNEL"),
    ("GET", "/nothing", b"", 404, "NOT_FOUND"),
    ("GET", "/pub?topic=t", b"", 405, "METHOD_NOT_ALLOWED"),
]


@pytest.mark.parametrize(("method", "target", "body", "status", "word"), REFUSED)
def test_http_refuses_with_a_status_and_a_word(
    shared: Server, method: str, target: str, body: bytes, status: int, word: str
) -> None:
    answered, answer = shared.request(method, target, body)
    assert (status, {"message": word}) == (answered, json.loads(answer))


def test_http_publishes_one_message_many_lines_and_many_sized_bodies(nsqd: Server) -> None:
    assert nsqd.request("GET", "/ping") == (200, b"OK")
    assert nsqd.post("/pub?topic=t", b"one\nline") == b"OK"
    assert nsqd.post("/mpub?topic=t", b"two\n\nthree\n") == b"OK"
    assert nsqd.post("/mpub?topic=t&binary=true", mpub_body(b"four\n")) == b"OK"
    with RawClient(nsqd.address).subscribe("t", "c", ready=9) as client:
        assert {b"one\nline", b"two", b"three", b"four\n"} == {m.body for m in client.messages(4)}


def test_http_publishes_deferred_messages(nsqd: Server) -> None:
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    nsqd.post("/pub?topic=t&defer=60000", b"much later")
    wait_for("it is put off", lambda: nsqd.channel("t", "c")["deferred_count"] == 1)
    assert nsqd.channel("t", "c")["depth"] == 0


def test_info_has_the_addresses(nsqd: Server) -> None:
    info = nsqd.get("/info")
    assert (nsqd.address[1], "127.0.0.1") == (info["tcp_port"], info["broadcast_address"])


def test_stats_count_what_a_channel_does(nsqd: Server) -> None:
    nsqd.publish("t", b"x", b"y", b"z")
    with RawClient(nsqd.address).subscribe("t", "c", ready=3, hostname="n1") as client:
        finished, returned, _ = client.messages(3)
        client.finish(finished)
        client.send(b"RDY 0\nREQ %s 60000\n" % returned.id)
        wait_for("the requeue is counted", lambda: nsqd.channel("t", "c")["requeue_count"] == 1)
        stats = nsqd.channel("t", "c")
    expected = {
        "depth": 0,
        "in_flight_count": 1,
        "deferred_count": 1,
        "message_count": 3,
        "requeue_count": 1,
        "timeout_count": 0,
        "client_count": 1,
        "paused": False,
    }
    assert expected == {name: stats[name] for name in expected}
    (subscriber,) = stats["clients"]
    assert ("n1", 3, 1, 1) == tuple(
        subscriber[name] for name in ("hostname", "message_count", "finish_count", "requeue_count")
    )


def test_pausing_emptying_and_deleting(nsqd: Server) -> None:
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    nsqd.post("/channel/pause?topic=t&channel=c")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        nsqd.publish("t", b"x")
        assert client.silent_for(0.3)
        nsqd.post("/channel/unpause?topic=t&channel=c")
        assert client.message().body == b"x"
        nsqd.post("/channel/empty?topic=t&channel=c")
        assert nsqd.unfinished("t", "c") == 0
        nsqd.post("/channel/delete?topic=t&channel=c")
        assert client.frame() == CLOSED
    nsqd.post("/topic/delete?topic=t")
    assert not nsqd.get("/stats?format=json")["topics"]


def test_a_paused_topic_keeps_messages_back(nsqd: Server) -> None:
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/topic/pause?topic=t")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        nsqd.publish("t", b"x")
        assert client.silent_for(0.3)
        nsqd.post("/topic/unpause?topic=t")
        assert client.message().body == b"x"


# ---- crashes --------------------------------------------------------------------------------------------------------


def test_killed_with_default_flags_it_forgets_messages_but_not_channels(servers: Servers) -> None:
    nsqd = servers.nsqd()
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    nsqd.publish("t", *(b"%d" % n for n in range(100)))
    wait_for("all reach the channel", lambda: nsqd.channel("t", "c")["depth"] == 100)
    nsqd.kill()
    nsqd.start()
    assert [c["channel_name"] for t in nsqd.get("/stats?format=json")["topics"] for c in t["channels"]] == ["c"]
    assert nsqd.unfinished("t", "c") == 0


def test_killed_with_durable_flags_it_keeps_ids_and_times(servers: Servers) -> None:
    nsqd = servers.nsqd(**DURABLE)
    with (
        RawClient(nsqd.address).subscribe("t", "counter"),
        RawClient(nsqd.address).subscribe("t", "archive", ready=100) as archive,
    ):
        nsqd.publish("t", *(b"%d" % n for n in range(100)))
        before = {(m.id, m.timestamp_ns, m.body) for m in archive.messages(100)}
        wait_for("all reach the channel", lambda: nsqd.channel("t", "counter")["depth"] == 100)
    nsqd.kill()
    nsqd.start()
    with RawClient(nsqd.address).subscribe("t", "counter", ready=100) as counter:
        after = counter.messages(100)
    assert before == {(m.id, m.timestamp_ns, m.body) for m in after}
    assert {m.attempts for m in after} == {1}


def test_killed_with_durable_flags_it_still_loses_what_was_in_flight(servers: Servers) -> None:
    """nsqd reads past a message in its queue file when it delivers it. Votes that must survive are published twice."""
    nsqd = servers.nsqd(**DURABLE)
    nsqd.publish("t", *(b"%d" % n for n in range(20)))
    with RawClient(nsqd.address).subscribe("t", "c", ready=5) as client:
        held = client.messages(5)
        client.send(b"RDY 0\nREQ %s 0\n" % held[0].id)
        wait_for("one is requeued", lambda: nsqd.channel("t", "c")["in_flight_count"] == 4)
        wait_for("the rest reaches the channel", lambda: nsqd.channel("t", "c")["depth"] == 16)
        nsqd.kill()
    nsqd.start()
    with RawClient(nsqd.address).subscribe("t", "c", ready=50) as client:
        ids = {m.id for m in client.messages(16)}
        assert client.silent_for(0.3)
    assert held[0].id in ids
    assert ids.isdisjoint(m.id for m in held[1:])


@pytest.mark.parametrize("channels", [[], ["c"]], ids=["without a channel", "paused"])
def test_an_emptied_topic_stays_empty_when_killed_with_durable_flags(servers: Servers, channels: list[str]) -> None:
    nsqd = servers.nsqd(**DURABLE)
    nsqd.post("/topic/create?topic=t")
    for channel in channels:
        nsqd.post(f"/channel/create?topic=t&channel={channel}")
        nsqd.post("/topic/pause?topic=t")
    nsqd.publish("t", b"x", b"y")
    wait_for("they wait in the topic", lambda: nsqd.get("/stats?format=json&topic=t")["topics"][0]["depth"] == 2)
    nsqd.post("/topic/empty?topic=t")
    nsqd.kill()
    nsqd.start()
    nsqd.post("/topic/unpause?topic=t")
    nsqd.publish("t", b"after")
    with RawClient(nsqd.address).subscribe("t", "c", ready=9) as client:
        assert b"after" == client.message().body
        assert client.silent_for(0.3)


def test_an_emptied_channel_stays_empty_when_killed_with_durable_flags(servers: Servers) -> None:
    nsqd = servers.nsqd(**DURABLE)
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    nsqd.publish("t", b"x", b"y")
    wait_for("they reach the channel", lambda: nsqd.channel("t", "c")["depth"] == 2)
    nsqd.post("/channel/empty?topic=t&channel=c")
    nsqd.kill()
    nsqd.start()
    assert 0 == nsqd.unfinished("t", "c")


def test_a_graceful_stop_keeps_what_was_queued_and_in_flight(servers: Servers) -> None:
    nsqd = servers.nsqd()
    nsqd.publish("t", *(b"%d" % n for n in range(20)))
    with RawClient(nsqd.address).subscribe("t", "c", ready=5) as client:
        held = client.messages(5)
        client.send(b"RDY 0\n")
        client.finish(held[0])
        wait_for("one is finished", lambda: nsqd.channel("t", "c")["in_flight_count"] == 4)
        nsqd.stop()
        while client.frame() != CLOSED:
            pass
    nsqd.start()
    with RawClient(nsqd.address).subscribe("t", "c", ready=50) as client:
        ids = {m.id for m in client.messages(19)}
        assert client.silent_for(0.3)
    assert held[0].id not in ids
    assert {m.id for m in held[1:]} <= ids


# ---- lookup ---------------------------------------------------------------------------------------------------------


def test_lookupd_knows_which_nsqds_have_a_topic_until_they_die(servers: Servers) -> None:
    lookupd = servers.lookupd()
    nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
    assert lookupd.request("GET", "/ping") == (200, b"OK")
    assert lookupd.request("GET", "/lookup?topic=t") == (404, b'{"message":"TOPIC_NOT_FOUND"}')
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    wait_for("the channel is registered", lambda: lookupd.get("/channels?topic=t")["channels"] == ["c"])
    (producer,) = lookupd.get("/lookup?topic=t")["producers"]
    assert (nsqd.address[1], "127.0.0.1") == (producer["tcp_port"], producer["broadcast_address"])
    assert producer["http_port"] == int(nsqd.http.rsplit(":", 1)[1])
    assert lookupd.get("/topics")["topics"] == ["t"]
    (node,) = lookupd.get("/nodes")["producers"]
    assert (["t"], [False]) == (node["topics"], node["tombstones"])
    nsqd.kill()
    wait_for("the dead are not offered", lambda: lookupd.get("/lookup?topic=t")["producers"] == [])


def test_lookupd_forgets_deleted_channels_and_hides_a_tombstoned_nsqd(servers: Servers) -> None:
    lookupd = servers.lookupd()
    nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    wait_for("the channel is registered", lambda: lookupd.get("/channels?topic=t")["channels"] == ["c"])
    lookupd.post(f"/topic/tombstone?topic=t&node={nsqd.http}")
    assert lookupd.get("/lookup?topic=t")["producers"] == []
    assert lookupd.get("/nodes")["producers"][0]["tombstones"] == [True]
    lookupd.post("/channel/delete?topic=t&channel=c")
    assert lookupd.get("/channels?topic=t")["channels"] == []
    lookupd.post("/topic/delete?topic=t")
    assert lookupd.get("/topics")["topics"] == []


LOOKUP_MISUSE = [
    (b"HELLO\n", b"E_INVALID invalid command HELLO"),
    (b"REGISTER t\n", b"E_INVALID client must IDENTIFY"),
    (b"IDENTIFY\n\0\0\0\2{}", b"E_BAD_BODY IDENTIFY missing fields"),
    (b"IDENTIFY\n\0\0\0\2xx", b"E_BAD_BODY IDENTIFY failed to decode JSON body"),
]


@pytest.mark.parametrize(("sent", "error"), LOOKUP_MISUSE)
def test_lookupd_answers_misuse_with_an_error(servers: Servers, sent: bytes, error: bytes) -> None:
    lookupd = servers.lookupd()
    with RawClient(lookupd.address, magic=b"  V1") as client:
        client.send(sent)
        assert error == client.answer()


def test_a_request_that_is_not_http_gets_400(servers: Servers) -> None:
    """That is how a client notices that it uses the HTTP address instead of the TCP address."""
    nsqd = servers.nsqd()
    host, port = nsqd.http.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"  V2IDENTIFY\n\0\0\0\2{}")
        with connection.makefile("rb") as answer:
            assert b"HTTP/1.1 400 Bad Request\r\n" == answer.readline()
