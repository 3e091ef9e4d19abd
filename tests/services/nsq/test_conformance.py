"""What a client of nsqd may rely on. One suite for the double and, wherever it is on PATH, the real nsqd."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.services.nsq.raw import CLOSED, ERROR, RESPONSE, RawClient, mpub_body
from tests.services.nsq.servers import DURABLE, KINDS, Kind, Server, Servers, servers_of
from tests.waiting import wait_for

ID = b"0123456789abcdef"


@pytest.fixture
def nsqd(servers: Servers) -> Server:
    return servers.nsqd()


# ---- misuse ---------------------------------------------------------------------------------------------------------

SUB = b"SUB t c\n"
SIZE_0, SIZE_NEGATIVE, SIZE_BIG = b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\0\0\0"

FATAL = [
    (b"HELLO\n", "E_INVALID invalid command HELLO"),
    (b"\n", "E_INVALID invalid command "),
    (b"RDY 1\n", "E_INVALID cannot RDY in current state"),
    (b"FIN " + ID + b"\n", "E_INVALID cannot FIN in current state"),
    (b"REQ " + ID + b" 0\n", "E_INVALID cannot REQ in current state"),
    (b"TOUCH " + ID + b"\n", "E_INVALID cannot TOUCH in current state"),
    (b"CLS\n", "E_INVALID cannot CLS in current state"),
    (b"AUTH\n\0\0\0\1x", "E_AUTH_DISABLED AUTH disabled"),
    (b"SUB t\n", "E_INVALID SUB insufficient number of parameters"),
    (b"SUB t* c\n", 'E_BAD_TOPIC SUB topic name "t*" is not valid'),
    (b"SUB " + b"t" * 65 + b" c\n", "E_BAD_TOPIC"),
    (b"SUB t c*\n", 'E_BAD_CHANNEL SUB channel name "c*" is not valid'),
    (SUB + SUB, "E_INVALID cannot SUB in current state"),
    (SUB + b"IDENTIFY\n\0\0\0\2{}", "E_INVALID cannot IDENTIFY in current state"),
    (SUB + b"RDY 2501\n", "E_INVALID RDY count 2501 out of range 0-2500"),
    (SUB + b"RDY -1\n", "E_INVALID RDY could not parse count -1"),
    (SUB + b"RDY x\n", "E_INVALID RDY could not parse count x"),
    (SUB + b"FIN\n", "E_INVALID FIN insufficient number of params"),
    (SUB + b"FIN abc\n", "E_INVALID invalid message ID"),
    (SUB + b"REQ " + ID + b"\n", "E_INVALID REQ insufficient number of params"),
    (SUB + b"REQ " + ID + b" soon\n", "E_INVALID REQ could not parse timeout soon"),
    (SUB + b"TOUCH\n", "E_INVALID TOUCH insufficient number of params"),
    (SUB + b"CLS\nCLS\n", "E_INVALID cannot CLS in current state"),
    (b"PUB\n", "E_INVALID PUB insufficient number of parameters"),
    (b"PUB t*\n", 'E_BAD_TOPIC PUB topic name "t*" is not valid'),
    (b"PUB t\n" + SIZE_0, "E_BAD_MESSAGE PUB invalid message body size 0"),
    (b"PUB t\n" + SIZE_NEGATIVE, "E_BAD_MESSAGE PUB invalid message body size -1"),
    (b"PUB t\n" + SIZE_BIG, "E_BAD_MESSAGE PUB message too big 2130706432 > 1048576"),
    (b"MPUB\n", "E_INVALID MPUB insufficient number of parameters"),
    (b"MPUB t*\n", "E_BAD_TOPIC"),
    (b"MPUB t\n" + SIZE_0, "E_BAD_BODY MPUB invalid body size 0"),
    (b"MPUB t\n" + SIZE_BIG, "E_BAD_BODY MPUB body too big 2130706432 > 5242880"),
    (b"MPUB t\n\0\0\0\4\0\0\0\0", "E_BAD_BODY MPUB invalid message count 0"),
    (b"MPUB t\n\0\0\0\x08\0\0\0\1\0\0\0\0", "E_BAD_MESSAGE MPUB invalid message(0) body size 0"),
    (b"DPUB t\n", "E_INVALID DPUB insufficient number of parameters"),
    (b"DPUB t later\n", "E_INVALID DPUB could not parse timeout later"),
    (b"DPUB t 3600001\n", "E_INVALID DPUB timeout 3600001 out of range 0-3600000"),
    (b"DPUB t 1\n" + SIZE_0, "E_BAD_MESSAGE DPUB invalid message body size 0"),
]

FORGIVEN = [
    (b"FIN " + ID + b"\n", "E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight"),
    (b"REQ " + ID + b" 0\n", "E_REQ_FAILED REQ 0123456789abcdef failed ID not in flight"),
    (b"TOUCH " + ID + b"\n", "E_TOUCH_FAILED TOUCH 0123456789abcdef failed ID not in flight"),
]

WISHES = [
    ({"heartbeat_interval": 999}, "IDENTIFY heartbeat interval (999) is invalid"),
    ({"heartbeat_interval": 60_001}, "IDENTIFY heartbeat interval (60001) is invalid"),
    ({"output_buffer_timeout": 24}, "IDENTIFY output buffer timeout (24) is invalid"),
    ({"output_buffer_size": 63}, "IDENTIFY output buffer size (63) is invalid"),
    ({"output_buffer_size": 65_537}, "IDENTIFY output buffer size (65537) is invalid"),
    ({"sample_rate": 100}, "IDENTIFY sample rate (100) is invalid"),
    ({"msg_timeout": 999}, "IDENTIFY msg timeout (999) is invalid"),
    ({"msg_timeout": 900_001}, "IDENTIFY msg timeout (900001) is invalid"),
]


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One nsqd for the tests that only offend it."""
    kind: Kind = request.param
    with servers_of(kind, tmp_path_factory.mktemp("nsqd")) as made:
        yield made.nsqd()


def errors(client: RawClient) -> list[str]:
    """All error frames until the connection ends or nothing more comes."""
    found = []
    while (frame := client.frame(timeout_s=5)) != CLOSED:
        if frame[0] == ERROR:
            found.append(frame[1].decode())
    return found


@pytest.mark.parametrize(("sent", "error"), FATAL)
def test_misuse_is_named_and_ends_the_connection(shared: Server, sent: bytes, error: str) -> None:
    with RawClient(shared.address) as client:
        client.send(sent)
        (said,) = errors(client)
    assert said.startswith(error)


@pytest.mark.parametrize(("sent", "error"), FORGIVEN)
def test_answering_for_a_message_one_does_not_hold_is_an_error_but_not_the_end(
    shared: Server, sent: bytes, error: str
) -> None:
    with RawClient(shared.address).subscribe("t", "c") as client:
        client.send(sent)
        assert (ERROR, error.encode()) == client.frame()
        client.send(b"CLS\n")
        assert (RESPONSE, b"CLOSE_WAIT") == client.frame()


@pytest.mark.parametrize(("wish", "error"), WISHES)
def test_identify_outside_the_limits_is_refused(shared: Server, wish: dict[str, int], error: str) -> None:
    with RawClient(shared.address) as client:
        assert (ERROR, f"E_BAD_BODY {error}".encode()) == client.identify(**wish)
        assert client.frame() == CLOSED


def test_identify_with_no_json_is_refused(shared: Server) -> None:
    with RawClient(shared.address) as client:
        client.send_sized(b"IDENTIFY", b"hello")
        assert (ERROR, b"E_BAD_BODY IDENTIFY failed to decode JSON body") == client.frame()


def test_wrong_magic_is_refused(shared: Server) -> None:
    with RawClient(shared.address, magic=b"  V9") as client:
        assert (ERROR, b"E_BAD_PROTOCOL") == client.frame()
        assert client.frame() == CLOSED


def test_subscribing_without_heartbeats_is_refused(shared: Server) -> None:
    with RawClient(shared.address) as client:
        client.identify(heartbeat_interval=-1)
        client.send(SUB)
        assert (ERROR, b"E_INVALID cannot SUB with heartbeats disabled") == client.frame()


def test_identify_answers_the_terms_agreed(shared: Server) -> None:
    with RawClient(shared.address) as client:
        kind, terms = client.identify(msg_timeout=5_000, output_buffer_timeout=25, output_buffer_size=64, sample_rate=7)
    expected = {
        "max_rdy_count": 2_500,
        "max_msg_timeout": 900_000,
        "msg_timeout": 5_000,
        "output_buffer_timeout": 25,
        "output_buffer_size": 64,
        "sample_rate": 7,
        "tls_v1": False,
        "deflate": False,
        "snappy": False,
        "auth_required": False,
    }
    answered = json.loads(terms)
    assert kind == RESPONSE
    assert expected == {name: answered[name] for name in expected}


def test_identify_without_negotiation_answers_ok(shared: Server) -> None:
    with RawClient(shared.address) as client:
        assert (RESPONSE, b"OK") == client.identify(feature_negotiation=False)


# ---- delivery -------------------------------------------------------------------------------------------------------


def test_a_message_has_an_id_a_time_and_its_first_attempt(nsqd: Server) -> None:
    before_ns = time.time_ns()
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        nsqd.publish("t", b"happy")
        message = client.message()
        client.finish(message)
    assert (b"happy", 1) == (message.body, message.attempts)
    assert int(message.id, 16) > 0
    assert before_ns <= message.timestamp_ns <= time.time_ns()
    wait_for("the message is finished", lambda: nsqd.unfinished("t", "c") == 0)


def test_each_channel_gets_its_copy_with_one_id_and_one_time(nsqd: Server) -> None:
    with (
        RawClient(nsqd.address).subscribe("t", "counter", ready=9) as counter,
        RawClient(nsqd.address).subscribe("t", "archive", ready=9) as archive,
    ):
        nsqd.publish("t", b"a", b"b", b"c")
        key = [sorted((m.id, m.timestamp_ns, m.body) for m in c.messages(3)) for c in (counter, archive)]
    assert key[0] == key[1]


def test_a_topic_without_a_channel_keeps_messages_for_the_first(nsqd: Server) -> None:
    nsqd.publish("t", b"a", b"b")
    with RawClient(nsqd.address).subscribe("t", "first", ready=9) as first:
        assert {b"a", b"b"} == {m.body for m in first.messages(2)}
    with RawClient(nsqd.address).subscribe("t", "second", ready=9) as second:
        assert second.silent_for(0.3)


def test_ready_count_bounds_what_is_in_flight(nsqd: Server) -> None:
    nsqd.publish("t", *(b"%d" % n for n in range(5)))
    with RawClient(nsqd.address).subscribe("t", "c", ready=2) as client:
        held = client.messages(2)
        assert client.silent_for(0.3)
        client.finish(held[0])
        client.message()
        assert client.silent_for(0.3)
        assert (2, 2) == (nsqd.channel("t", "c")["in_flight_count"], nsqd.channel("t", "c")["depth"])


def test_ready_zero_stops_delivery_and_more_starts_it_again(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c", ready=5) as client:
        client.send(b"RDY 0\n")
        nsqd.publish("t", b"later")
        assert client.silent_for(0.3)
        client.send(b"RDY 1\n")
        assert client.message().body == b"later"


def test_subscribers_of_a_channel_share_it(nsqd: Server) -> None:
    with (
        RawClient(nsqd.address).subscribe("t", "c", ready=20) as one,
        RawClient(nsqd.address).subscribe("t", "c", ready=20) as other,
    ):
        nsqd.publish("t", *(b"%d" % n for n in range(40)))
        bodies = [m.body for client in (one, other) for m in client.messages(20)]
    assert sorted(bodies) == sorted(b"%d" % n for n in range(40))


def test_publishing_by_tcp(nsqd: Server) -> None:
    with RawClient(nsqd.address) as producer, RawClient(nsqd.address).subscribe("t", "c", ready=9) as consumer:
        producer.send_sized(b"PUB t", b"one")
        producer.send_sized(b"MPUB t", mpub_body(b"two", b"three"))
        assert [(RESPONSE, b"OK")] * 2 == [producer.frame(), producer.frame()]
        messages = consumer.messages(3)
    assert {b"one", b"two", b"three"} == {m.body for m in messages}
    assert len({m.id for m in messages}) == 3


def test_a_message_of_the_greatest_size_passes(nsqd: Server) -> None:
    body = bytes(1024 * 1024)
    with RawClient(nsqd.address) as producer, RawClient(nsqd.address).subscribe("t", "c", ready=1) as consumer:
        producer.send_sized(b"PUB t", body)
        assert consumer.message().body == body


def test_deferred_publishing_waits(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        start_s = time.monotonic()
        client.send_sized(b"DPUB t 400", b"later")
        assert (RESPONSE, b"OK") == client.frame()
        assert client.message().body == b"later"
        assert time.monotonic() - start_s >= 0.4


def test_a_subscriber_may_publish_on_its_own_connection(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c") as client:
        client.send_sized(b"MPUB other", mpub_body(b"dead"))
        assert (RESPONSE, b"OK") == client.frame()
    assert nsqd.get("/stats?format=json&topic=other")["topics"][0]["message_count"] == 1


# ---- what is not finished comes again -------------------------------------------------------------------------------


def test_requeued_without_delay_comes_again_at_once_with_its_id(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        first = client.message()
        client.send(b"REQ %s 0\n" % first.id)
        again = client.message(timeout_s=2)
    assert (first.id, first.timestamp_ns, 2) == (again.id, again.timestamp_ns, again.attempts)


def test_requeued_with_a_delay_waits(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        start_s = time.monotonic()
        client.send(b"REQ %s 400\n" % client.message().id)
        wait_for("it is put off", lambda: nsqd.channel("t", "c")["deferred_count"] == 1)
        assert client.message().attempts == 2
        assert time.monotonic() - start_s >= 0.4


def test_not_finished_in_time_goes_to_another_and_the_first_is_too_late(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with (
        RawClient(nsqd.address).subscribe("t", "c", ready=1, msg_timeout=1_000) as slow,
        RawClient(nsqd.address).subscribe("t", "c") as other,
    ):
        message = slow.message()
        slow.send(b"RDY 0\n")
        other.send(b"RDY 1\n")
        again = other.message()
        slow.finish(message)
        late = f"E_FIN_FAILED FIN {message.id.decode()} failed client does not own message"
        assert (ERROR, late.encode()) == slow.frame()
    assert (message.id, 2) == (again.id, again.attempts)
    assert nsqd.channel("t", "c")["timeout_count"] == 1


def test_touch_starts_the_timeout_again(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1, msg_timeout=1_000) as client:
        message = client.message()
        for _ in range(3):
            assert client.silent_for(0.6)
            client.send(b"TOUCH %s\n" % message.id)
        client.finish(message)
        assert client.silent_for(0.3)
    assert nsqd.channel("t", "c")["timeout_count"] == 0


def test_hanging_up_gives_nothing_back_before_the_timeout(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1, msg_timeout=1_500) as gone:
        gone.message()
        start_s = time.monotonic()
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as other:
        assert other.message().attempts == 2
        assert time.monotonic() - start_s >= 1.4


def test_after_cls_nothing_comes_but_what_is_held_can_be_answered(nsqd: Server) -> None:
    nsqd.publish("t", b"x", b"y", b"z")
    with RawClient(nsqd.address).subscribe("t", "c", ready=2) as client:
        finished, returned = client.messages(2)
        client.send(b"CLS\n")
        assert (RESPONSE, b"CLOSE_WAIT") == client.frame()
        client.send(b"RDY 5\n")  # ignored
        client.finish(finished)
        client.send(b"REQ %s 0\n" % returned.id)
        assert client.silent_for(0.3)
    assert nsqd.channel("t", "c")["depth"] == 2


def test_heartbeats_come_as_agreed_and_the_silent_are_cut_off(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c", heartbeat_interval=1_000) as client:
        for _ in range(3):
            assert (RESPONSE, b"_heartbeat_") == client.frame(timeout_s=2)
            client.send(b"NOP\n")
        start_s = time.monotonic()
        while client.frame(timeout_s=5) != CLOSED:
            pass
        assert time.monotonic() - start_s >= 1.0


def test_messages_wait_no_longer_than_the_output_buffer_may(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c", ready=100) as client:
        nsqd.publish("t", b"x")
        client.message(timeout_s=2)


def test_an_ephemeral_channel_goes_with_its_last_subscriber(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "tail#ephemeral", ready=1):
        assert [c["channel_name"] for c in nsqd.get("/stats?format=json")["topics"][0]["channels"]]
    wait_for("the channel is gone", lambda: not nsqd.get("/stats?format=json")["topics"][0]["channels"])


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
def test_http_refuses_in_one_form(
    shared: Server, method: str, target: str, body: bytes, status: int, word: str
) -> None:
    answered, answer = shared.request(method, target, body)
    assert (status, {"message": word}) == (answered, json.loads(answer))


def test_http_publishes_one_many_by_line_and_many_by_size(nsqd: Server) -> None:
    assert nsqd.request("GET", "/ping") == (200, b"OK")
    assert nsqd.post("/pub?topic=t", b"one\nline") == b"OK"
    assert nsqd.post("/mpub?topic=t", b"two\n\nthree\n") == b"OK"
    assert nsqd.post("/mpub?topic=t&binary=true", mpub_body(b"four\n")) == b"OK"
    with RawClient(nsqd.address).subscribe("t", "c", ready=9) as client:
        assert {b"one\nline", b"two", b"three", b"four\n"} == {m.body for m in client.messages(4)}


def test_http_deferred_publishing_waits(nsqd: Server) -> None:
    nsqd.post("/topic/create?topic=t")
    nsqd.post("/channel/create?topic=t&channel=c")
    nsqd.post("/pub?topic=t&defer=60000", b"much later")
    wait_for("it is put off", lambda: nsqd.channel("t", "c")["deferred_count"] == 1)
    assert nsqd.channel("t", "c")["depth"] == 0


def test_info_says_where_it_listens(nsqd: Server) -> None:
    info = nsqd.get("/info")
    assert (nsqd.address[1], "127.0.0.1") == (info["tcp_port"], info["broadcast_address"])


def test_stats_count_a_channels_work(nsqd: Server) -> None:
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
    """nsqd's queue file is read past a message when it is handed out. Hence: publish twice what must survive this."""
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


def test_stopped_gracefully_it_keeps_what_was_queued_and_in_flight(servers: Servers) -> None:
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


def test_lookupd_knows_who_has_a_topic_until_they_die(servers: Servers) -> None:
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


def test_lookupd_forgets_deleted_channels_and_buries_by_request(servers: Servers) -> None:
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
def test_lookupd_names_misuse(servers: Servers, sent: bytes, error: bytes) -> None:
    lookupd = servers.lookupd()
    with RawClient(lookupd.address, magic=b"  V1") as client:
        client.send(sent)
        assert error == client.answer()
