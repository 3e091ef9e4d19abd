"""What a client of nsqd may rely on. The suite runs with the double, and with the real nsqd if that is on PATH."""

from __future__ import annotations

import json
import time

import pytest

from tests.services.nsq.raw import CLOSED, ERROR, RESPONSE, RawClient, mpub_body
from tests.services.nsq.servers import Server
from tests.support.waiting import wait_for

ID = b"0123456789abcdef"


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


def errors(client: RawClient) -> list[str]:
    """All error frames until the connection ends."""
    found = []
    while (frame := client.frame(timeout_s=5)) != CLOSED:
        if frame[0] == ERROR:
            found.append(frame[1].decode())
    return found


@pytest.mark.parametrize(("sent", "error"), FATAL)
def test_misuse_gets_an_error_and_ends_the_connection(shared: Server, sent: bytes, error: str) -> None:
    with RawClient(shared.address) as client:
        client.send(sent)
        (said,) = errors(client)
    assert said.startswith(error)


@pytest.mark.parametrize(("sent", "error"), FORGIVEN)
def test_an_answer_for_a_message_that_is_not_held_gets_an_error_and_the_connection_stays(
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


def test_identify_without_json_is_refused(shared: Server) -> None:
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


def test_identify_answers_with_the_agreed_terms(shared: Server) -> None:
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


def test_the_ready_count_limits_the_messages_in_flight(nsqd: Server) -> None:
    nsqd.publish("t", *(b"%d" % n for n in range(5)))
    with RawClient(nsqd.address).subscribe("t", "c", ready=2) as client:
        held = client.messages(2)
        assert client.silent_for(0.3)
        client.finish(held[0])
        client.message()
        assert client.silent_for(0.3)
        assert (2, 2) == (nsqd.channel("t", "c")["in_flight_count"], nsqd.channel("t", "c")["depth"])


def test_a_ready_count_of_zero_stops_delivery_until_it_is_raised(nsqd: Server) -> None:
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


def test_a_message_of_the_maximum_size_is_delivered(nsqd: Server) -> None:
    body = bytes(1024 * 1024)
    with RawClient(nsqd.address) as producer, RawClient(nsqd.address).subscribe("t", "c", ready=1) as consumer:
        producer.send_sized(b"PUB t", body)
        assert consumer.message().body == body


def test_a_deferred_message_is_delivered_after_its_delay(nsqd: Server) -> None:
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


def test_a_message_requeued_without_delay_comes_again_at_once_with_its_id(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        first = client.message()
        client.send(b"REQ %s 0\n" % first.id)
        again = client.message()
    assert (first.id, first.timestamp_ns, 2) == (again.id, again.timestamp_ns, again.attempts)


def test_a_message_requeued_with_a_delay_comes_again_after_it(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as client:
        start_s = time.monotonic()
        client.send(b"REQ %s 400\n" % client.message().id)
        wait_for("it is put off", lambda: nsqd.channel("t", "c")["deferred_count"] == 1)
        assert client.message().attempts == 2
        assert time.monotonic() - start_s >= 0.4


def test_a_message_not_finished_in_time_goes_to_another_and_the_first_is_too_late(nsqd: Server) -> None:
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


def test_a_closed_connection_gives_nothing_back_before_the_timeout(nsqd: Server) -> None:
    nsqd.publish("t", b"x")
    with RawClient(nsqd.address).subscribe("t", "c", ready=1, msg_timeout=1_500) as gone:
        gone.message()
        start_s = time.monotonic()
    with RawClient(nsqd.address).subscribe("t", "c", ready=1) as other:
        assert other.message().attempts == 2
        assert time.monotonic() - start_s >= 1.4


def test_after_cls_no_message_comes_and_those_held_can_be_answered(nsqd: Server) -> None:
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


def test_heartbeats_come_as_agreed_and_a_silent_client_is_disconnected(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c", heartbeat_interval=1_000) as client:
        for _ in range(3):
            assert (RESPONSE, b"_heartbeat_") == client.frame()
            client.send(b"NOP\n")
        start_s = time.monotonic()
        while client.frame(timeout_s=5) != CLOSED:
            pass
        assert time.monotonic() - start_s >= 1.0


def test_a_message_waits_no_longer_than_the_agreed_buffer_timeout(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "c", ready=100) as client:
        nsqd.publish("t", b"x")
        client.message()


def test_an_ephemeral_channel_is_deleted_with_its_last_subscriber(nsqd: Server) -> None:
    with RawClient(nsqd.address).subscribe("t", "tail#ephemeral", ready=1):
        assert [c["channel_name"] for c in nsqd.get("/stats?format=json")["topics"][0]["channels"]]
    wait_for("the channel is gone", lambda: not nsqd.get("/stats?format=json")["topics"][0]["channels"])
