"""Who leads, by the word of peers: when it is asked for, what is believed of it, and when belief ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from quorate.cluster.raft.told_leader import KIND, Heard, ToldLeader, Way
from quorate.cluster.replica import PeerHandler
from quorate.errors import NoLeader, NotFound, OutcomeUnknown
from tests.support.on_loop import on_loop

T = 0.5
Answer = Callable[[], Awaitable[bytes]]


class Transport:
    """Peers that answer the question as they are told to."""

    def __init__(self, **answers: Answer) -> None:
        self.answers, self.closed, self.asked = answers, set[str](), list[str]()
        self.handlers: dict[str, PeerHandler] = {}

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self.handlers[kind] = handler

    def is_open(self, peer: str) -> bool:
        return peer not in self.closed

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        assert KIND == kind
        self.asked.append(peer)
        return await self.answers[peer]()


def telling(leader: str | None, term: int = 3, silent_ms: int = 0) -> Answer:
    async def answer() -> bytes:
        return msgspec.msgpack.encode([leader, term, silent_ms])

    return answer


def raising(error: Exception) -> Answer:
    async def answer() -> bytes:
        raise error

    return answer


async def silent() -> bytes:
    await asyncio.sleep(60)
    return b""


async def garbled() -> bytes:
    return b"\xc1"


def of(transport: Transport) -> ToldLeader:
    return ToldLeader("n1", T, transport, hears=lambda: None, peers=lambda: ["n1", *transport.answers])


async def ticked(told: ToldLeader, now_s: float) -> Way | None:
    """A tick, the answers that follow from it, and a tick that looks at them."""
    told.tick(now_s, needed=True)
    for _ in range(5):
        await asyncio.sleep(0)
    told.tick(now_s, needed=True)
    return told.way


@on_loop
async def test_it_asks_when_no_leader_was_heard_for_half_a_timeout() -> None:
    transport = Transport(n2=telling("n9"), n3=telling(None))
    transport.closed.add("n3")
    told = of(transport)
    assert None is await ticked(told, 10.0)
    assert None is await ticked(told, 10.2)
    assert [] == transport.asked
    assert Way("n9", 3, "n2", 10.25) == await ticked(told, 10.25)
    assert ["n2"] == transport.asked, "only who is connected, and not itself"
    await ticked(told, 10.3)
    assert ["n2"] == transport.asked, "not on every tick"


@on_loop
async def test_it_stops_asking_and_believing_when_the_leader_is_heard() -> None:
    transport = Transport(n2=telling("n9"))
    told = of(transport)
    await ticked(told, 10.0)
    assert await ticked(told, 10.5)
    told.tick(10.6, needed=False)
    assert None is told.way
    transport.asked.clear()
    await ticked(told, 20.0)
    assert [] == transport.asked, "it was lost anew, and is waited for anew"


@on_loop
async def test_belief_ends_a_timeout_after_the_leader_was_last_heard_as_it_was_told() -> None:
    transport = Transport(n2=telling("n9", silent_ms=200))
    told = of(transport)
    await ticked(told, 10.0)
    assert await ticked(told, 10.5)
    transport.answers["n2"] = silent
    assert await ticked(told, 10.5 - 0.2 + T - 0.01)
    assert None is await ticked(told, 10.5 - 0.2 + T + 0.01)
    told.stop()


@on_loop
async def test_a_link_that_breaks_ends_belief_at_once() -> None:
    transport = Transport(n2=telling("n9"))
    told = of(transport)
    await ticked(told, 10.0)
    assert await ticked(told, 10.5)
    transport.closed.add("n2")
    assert None is await ticked(told, 10.52)


@pytest.mark.parametrize(
    "answer",
    [
        telling(None),
        telling("n1"),  # this node knows better whether it leads
        telling("n2"),  # then it speaks to this node itself
        telling("n9", silent_ms=260),  # probably it is lost to all
        raising(NotFound("this node does not know the call")),
        raising(NoLeader("no link")),
        raising(OutcomeUnknown("no answer")),
        garbled,
    ],
)
@on_loop
async def test_what_is_no_news_is_not_believed(answer: Answer) -> None:
    told = of(Transport(n2=answer))
    await ticked(told, 10.0)
    assert None is await ticked(told, 10.5)


@on_loop
async def test_of_several_leaders_the_latest_counts_and_of_several_ways_the_present_one() -> None:
    transport = Transport(n2=telling("n8", 3), n3=telling("n9", 4, silent_ms=100), n4=telling("n9", 4, silent_ms=50))
    told = of(transport)
    await ticked(told, 10.0)
    way = await ticked(told, 10.5)
    assert way is not None
    assert ("n9", 4, "n4") == way[:3]
    transport.answers["n3"] = telling("n9", 4)
    way = await ticked(told, 10.7)
    assert way is not None
    assert "n4" == way.via, "n3 knows it fresher now, but a way that holds is kept"


@on_loop
async def test_a_peer_is_told_whom_this_node_hears_and_nothing_else() -> None:
    heard: list[Heard | None] = [None, Heard("n9", 7, 0.12, "http://n9")]
    transport = Transport()
    ToldLeader("n1", T, transport, hears=lambda: heard.pop(0), peers=list)
    answers = [msgspec.msgpack.decode(await transport.handlers[KIND]("n2", b"")) for _ in range(2)]
    assert [[None, 0, 0, ""], ["n9", 7, 120, "http://n9"]] == answers
