"""What only the double can do: lose nothing when it is killed, and give the same message ids as another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.nsq.raw import RawClient
from tests.services.nsq.servers import DURABLE, Servers, servers_of


@pytest.fixture
def doubles(tmp_path: Path) -> Iterator[Servers]:
    with servers_of("double", tmp_path) as made:
        yield made


def test_with_keep_all_a_kill_loses_no_message_in_flight_or_deferred(doubles: Servers) -> None:
    nsqd = doubles.nsqd(**DURABLE, keep_all=1)
    nsqd.publish("t", *(b"%d" % n for n in range(10)))
    with RawClient(nsqd.address).subscribe("t", "c", ready=4) as client:
        held = client.messages(4)
        client.send(b"RDY 0\nREQ %s 60000\n" % held[1].id)
        client.finish(held[0])
        client.send(b"NOP\n")
        client.send_sized(b"PUB t", b"last")
        client.frame()
    nsqd.kill()
    nsqd.start()
    with RawClient(nsqd.address).subscribe("t", "c", ready=50) as client:
        again = client.messages(10)
        assert client.silent_for(0.3)
    assert {m.id for m in held[1:]} <= {m.id for m in again}
    assert held[0].id not in {m.id for m in again}


def test_two_doubles_give_the_same_ids_to_different_messages(doubles: Servers) -> None:
    seen = []
    for body in (b"happy", b"sad"):
        nsqd = doubles.nsqd(first_id=1)
        nsqd.publish("t", *([body] * 3))
        with RawClient(nsqd.address).subscribe("t", "c", ready=9) as client:
            seen.append(client.messages(3))
    assert [m.id for m in seen[0]] == [m.id for m in seen[1]]
    assert {m.timestamp_ns for m in seen[0]}.isdisjoint(m.timestamp_ns for m in seen[1])


def test_a_torn_record_is_cut_off(doubles: Servers) -> None:
    nsqd = doubles.nsqd(**DURABLE)
    nsqd.publish("t", b"whole")
    nsqd.kill()
    with (nsqd.folder / "double.journal").open("ab") as journal:
        journal.write(b"\0\0\1\0torn")
    nsqd.start()
    nsqd.publish("t", b"after")
    nsqd.kill()
    nsqd.start()
    with RawClient(nsqd.address).subscribe("t", "c", ready=9) as client:
        assert {b"whole", b"after"} == {m.body for m in client.messages(2)}
