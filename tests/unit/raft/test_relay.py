"""Calls to the leader over a peer: who takes one, who passes it on, and who refuses it for sure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from quorate.cluster.raft.relay import KIND, PASSED_BYTES_MAX, PASSED_MAX, Relay
from quorate.cluster.raft.told_leader import Heard, Way
from quorate.cluster.replica import PeerHandler
from quorate.errors import Conflict, Invalid, NoLeader, OutcomeUnknown, Overloaded, QuorateError
from tests.support.on_loop import on_loop

WAY = Way("n1", 3, "n2", 0.0)


@dataclass
class Node:
    """One node of a cluster in which n1 leads term 3, n2 hears it, and n3 does not."""

    id: str
    hears: Heard | None
    peers: dict[str, Node] = field(default_factory=dict)
    handlers: dict[str, PeerHandler] = field(default_factory=dict)
    taken: list[tuple[str, str, bytes]] = field(default_factory=list)
    sent: list[tuple[str, list[object], float | None]] = field(default_factory=list)
    fails: QuorateError | None = None

    def __post_init__(self) -> None:
        self.relay = Relay(self.id, self, hears=lambda: self.hears)

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self.handlers[kind] = handler

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        self.sent.append((peer, msgspec.msgpack.decode(body), timeout_s))
        if self.fails is not None:
            raise self.fails
        return await self.peers[peer].handlers[kind](self.id, body)

    async def handle(self, peer: str, kind: str, body: bytes) -> bytes:
        self.taken.append((peer, kind, body))
        if body == b"twice":
            raise Conflict("the same id with another choice", id="v1")
        return b"answer to " + body


def three() -> tuple[Node, Node, Node]:
    leads = Heard("n1", 3, 0.0)
    nodes = Node("n1", leads), Node("n2", leads), Node("n3", None)
    for node in nodes:
        node.peers = {peer.id: peer for peer in nodes if peer is not node}
    return nodes


async def asked(node: Node, way: Way = WAY, body: bytes = b"x") -> bytes:
    return await node.relay.call(way, "section", body, 2.0)


@on_loop
async def test_a_call_goes_over_two_hops_and_names_its_leader_term_and_path() -> None:
    leader, between, far = three()
    assert b"answer to x" == await asked(far)
    assert [("n2", "section", b"x")] == leader.taken, "whoever passed it on answers for it: n2 might have made n3 up"
    assert [("n2", ["section", "n1", 3, ["n3"], 2000, b"x"], 2.0)] == far.sent
    assert [("n1", ["section", "n1", 3, ["n3", "n2"], 2000, b"x"], 2.0)] == between.sent


@on_loop
async def test_the_leaders_own_refusal_comes_back_as_it_is() -> None:
    leader, _, far = three()
    with pytest.raises(Conflict, match="another choice") as refused:
        await asked(far, body=b"twice")
    assert {"id": "v1"} == refused.value.fields
    assert 1 == len(leader.taken)


@pytest.mark.parametrize("error", [NoLeader("there is no connection to n1 now"), OutcomeUnknown("the link broke")])
@on_loop
async def test_what_the_second_hop_ends_with_is_what_is_told(error: QuorateError) -> None:
    """The transport knows whether the call left. The relay does not try again."""
    _, between, far = three()
    between.fails = error
    with pytest.raises(type(error)):
        await asked(far)
    assert 1 == len(between.sent)


@pytest.mark.parametrize(
    "between_hears",
    [None, Heard("n1", 4, 0.0), Heard("n2", 4, 0.0), Heard("n4", 3, 0.0)],
    ids=["nobody", "another term", "it leads itself", "another leader"],
)
@on_loop
async def test_a_relay_that_does_not_hear_that_leader_passes_nothing_on(between_hears: Heard | None) -> None:
    leader, between, far = three()
    between.hears = between_hears
    with pytest.raises(NoLeader):
        await asked(far)
    assert ([], [], []) == (between.sent, between.taken, leader.taken)


@pytest.mark.parametrize(
    "leader_hears", [None, Heard("n1", 5, 0.0), Heard("n2", 4, 0.0)], ids=["nobody", "elected again", "another leads"]
)
@on_loop
async def test_a_leader_takes_it_only_in_the_term_that_it_names(leader_hears: Heard | None) -> None:
    leader, _, far = three()
    leader.hears = leader_hears
    with pytest.raises(NoLeader):
        await asked(far)
    assert [] == leader.taken


BAD: dict[str, list[object]] = {
    "a third hop": ["section", "n1", 3, ["n5", "n3"], 2000, b"x"],
    "its own way again": ["section", "n1", 3, ["n2", "n3"], 2000, b"x"],
    "another sender": ["section", "n1", 3, ["n4"], 2000, b"x"],
    "no path": ["section", "n1", 3, [], 2000, b"x"],
    "a long path": ["section", "n1", 3, ["n6", "n5", "n3"], 2000, b"x"],
    "a relayed relay": [KIND, "n1", 3, ["n3"], 2000, b"x"],
    "a time without end": ["section", "n1", 3, ["n3"], 2**60, b"x"],
    "something else": [1, 2],
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD.keys())
@on_loop
async def test_what_could_go_round_or_makes_no_sense_is_refused_for_sure(call: list[object]) -> None:
    leader, between, _ = three()
    with pytest.raises((Invalid, NoLeader)):
        await between.handlers[KIND]("n3", msgspec.msgpack.encode(call))
    assert ([], [], []) == (between.sent, between.taken, leader.taken)


@on_loop
async def test_a_caller_that_names_no_time_waits_as_long_as_a_direct_call() -> None:
    _, between, far = three()
    await far.relay.call(WAY, "section", b"x", None)
    assert [10.0, 10.0] == [far.sent[0][2], between.sent[0][2]]


class Held:
    """A leader that answers nothing until it is told to."""

    def __init__(self, node: Node) -> None:
        self.taken, self.may_answer = 0, asyncio.Event()
        node.handlers[KIND] = self

    async def __call__(self, peer: str, body: bytes) -> bytes:
        self.taken += 1
        await self.may_answer.wait()
        return b"late"


async def started(node: Node, kind: str, body: bytes = b"x") -> asyncio.Task[bytes]:
    call = asyncio.ensure_future(node.relay.call(WAY, kind, body, 2.0))
    for _ in range(5):
        await asyncio.sleep(0)
    return call


@on_loop
async def test_a_relay_passes_on_a_number_of_calls_of_a_kind_and_refuses_more_for_sure() -> None:
    """Its own clients need the leader, too, and readers who wait long must not keep votes from passing."""
    leader, _, far = three()
    held = Held(leader)
    reads = [await started(far, "read") for _ in range(PASSED_MAX)]
    with pytest.raises(Overloaded):
        await far.relay.call(WAY, "read", b"x", 2.0)
    vote = await started(far, "section")
    assert PASSED_MAX + 1 == held.taken
    held.may_answer.set()
    assert {b"late"} == set(await asyncio.gather(vote, *reads))
    assert b"late" == await far.relay.call(WAY, "read", b"x", 2.0), "there is room again"


@on_loop
async def test_what_a_relay_keeps_of_calls_is_bounded_in_bytes() -> None:
    leader, _, far = three()
    held = Held(leader)
    half = bytes(PASSED_BYTES_MAX // 2)
    calls = [await started(far, "section", half) for _ in range(2)]
    with pytest.raises(Overloaded):
        await far.relay.call(WAY, "section", b"x", 2.0)
    calls[0].cancel()
    assert 2 == held.taken
    held.may_answer.set()
    assert b"late" == await calls[1]
    assert b"late" == await far.relay.call(WAY, "section", half, 2.0), "there is room again"
