"""Peers that send without end, over real sockets: what a node keeps, does and writes for one of them is bounded."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import AsyncExitStack

import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.transport import calls, connection
from quorate.cluster.raft.transport.connection import ONLY_ASKED
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, PART_BYTES, RAFT, REFUSALS
from quorate.cluster.raft.transport.transport import HANDSHAKES_MAX
from quorate.cluster.raft.transport.turns import FRAMES_A_TURN
from tests.support.waiting import until
from tests.unit.raft.raw_peer import Node, RawPeer, Run, encode

MORE = 0x80


def test_nothing_is_kept_of_what_a_refused_peer_goes_on_sending(run: Run) -> None:
    """Every stream of every such connection took as much as the longest message of a member."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in(cluster_name="other")
            await until("it is refused", lambda: one.transport._refused)
            (refused,) = one.transport._refused
            before = refused.bytes_in
            for stream in (RAFT, CALLS):
                insider.say_all([(stream, bytes(PART_BYTES))] * 20, more=MORE)
                await insider.writer.drain()
            await until("all has come", lambda: refused.bytes_in - before > 40 * PART_BYTES)
            assert not any(refused._incoming._begun)
            insider.say(REFUSALS, bytes(PART_BYTES), more=MORE)
            assert await insider.is_hung_up_on(), "a reason is short"

    run(main())


def test_nothing_is_kept_of_a_message_whose_connection_ended(run: Run) -> None:
    """Its object may outlive it for a while, until the garbage collector comes."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            connection = one.transport._open["n2"]
            insider.say_all([(RAFT, bytes(PART_BYTES))] * 20, more=MORE)
            await until("it has come", lambda: len(connection._incoming._begun[RAFT]) == 20 * PART_BYTES)
            insider.writer.transport.abort()
            await until("it is out", lambda: not one.transport.is_open("n2"))
            assert not any(connection._incoming._begun)

    run(main())


def test_who_only_asks_is_told_once(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as asker:
            one.padding = "h" * 1_000
            await asker.greet()
            for _ in range(1_000):
                asker.say(REFUSALS, ONLY_ASKED)
            assert INTRODUCTIONS == (await asker.hear())[0]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asker.hear(), 0.5)

    run(main())


def test_half_open_connections_of_one_host_keep_no_other_host_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_S", 60)

    async def main() -> None:
        async with Node("n1") as one, AsyncExitStack() as stack:
            honest = await stack.enter_async_context(await RawPeer.connect(one))
            await honest.greet()
            for _ in range(3 * HANDSHAKES_MAX):
                there = await asyncio.open_connection("127.0.0.1", one.port, local_addr=("127.0.0.2", 0))
                await stack.enter_async_context(RawPeer(*there))
            await until("the rest is hung up on", lambda: one.transport.refusals >= 2 * HANDSHAKES_MAX)
            honest.introduce()
            await until("it is in", lambda: one.transport.is_open("n2"))

    run(main())


def test_strangers_who_refuse_this_node_under_many_names_write_few_lines(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Node("n1") as one:
            for number in range(30):
                async with await RawPeer.connect(one) as stranger:
                    await stranger.greet(f"x{number}")
                    stranger.say(REFUSALS, b"because")
                    stranger.writer.write_eof()
                    assert await stranger.is_hung_up_on()
            assert len([record for record in caplog.records if "because" in record.getMessage()]) < 5

    run(main())


def test_calls_that_cannot_be_read_write_few_lines(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(peer: str, body: bytes) -> bytes:
        raise ZeroDivisionError

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            one.transport.serve("fail", fail)
            one.transport.serve("read", lambda peer, body: asyncio.sleep(0, calls._decode(body) and body))
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            for number in range(200):
                insider.say(CALLS, encode([1, 2 * number, "fail", b""]))
                insider.say(CALLS, encode([1, 2 * number + 1, "read", b"\xc1"]))
            await insider.until_heard()
            assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) < 20
            assert any(record.exc_info for record in caplog.records), "what fails is said"

    run(main())


def test_the_bytes_of_calls_that_one_peer_has_open_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand calls that wait, each as long as a message may be, would be all of the memory."""
    monkeypatch.setattr(calls, "SERVED_BYTES_MAX", 100_000)
    served: list[int] = []
    ends = asyncio.Event()

    async def wait(peer: str, body: bytes) -> bytes:
        served.append(len(body))
        await ends.wait()
        return b""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            one.transport.serve("wait", wait)
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            for number in range(50):
                insider.say(CALLS, encode([1, number, "wait", bytes(10_000)]))
            await insider.until_heard()
            assert [10_000] * 10 == served
            ends.set()
            await until("they have ended", lambda: not one.transport._calls.tasks())
            insider.say(CALLS, encode([1, 99, "wait", bytes(10_000)]))
            await until("the next is served", lambda: len(served) == 11)

    run(main())


def test_a_kind_of_calls_has_a_short_name(run: Run) -> None:
    """It stands in answers and in the log."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            insider.say(CALLS, encode([1, 1, "k" * 1_000, b""]))
            assert await insider.is_hung_up_on(within_s=5)

    run(main())


def test_a_peer_that_sends_without_end_leaves_the_loop_to_others(run: Run) -> None:
    """Votes and heartbeats of the others are in the turns between. All that it sent is taken in the end, in order."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            for term in range(10 * FRAMES_A_TURN):
                insider.say(RAFT, messages.encode(messages.Ballot(term, pre=True)))
            heard = [len(one.heard)]
            while len(one.heard) < 10 * FRAMES_A_TURN:
                await asyncio.sleep(0)
                heard.append(len(one.heard))
            assert max(after - before for before, after in itertools.pairwise(heard)) <= 4 * FRAMES_A_TURN
            assert list(range(10 * FRAMES_A_TURN)) == [message.term for _, message in one.heard]

    run(main())


def test_a_peer_that_introduces_itself_without_end_is_sent_away(run: Run) -> None:
    """Each introduction may be long, and has the node look at all its members again."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            for _ in range(100):
                insider.introduce()
            assert await insider.is_hung_up_on(), "before it is silent for too long"

    run(main())
