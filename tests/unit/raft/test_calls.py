"""Calls between nodes, over real sockets: each call ends, and its error says whether it may have had an effect."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from quorate.cluster.raft.transport import calls
from quorate.cluster.raft.transport.streams import CALLS
from quorate.errors import Conflict, NoLeader, NotFound, OutcomeUnknown, Overloaded, QuorateError, TooLarge
from tests.support.waiting import until
from tests.unit.raft.raw_peer import Node, RawPeer, Run, encode, pair


def test_a_call_ends_in_its_answer_or_in_the_error_that_was_raised(run: Run) -> None:
    async def double(peer: str, body: bytes) -> bytes:
        return f"{peer}: ".encode() + body * 2

    async def refuse(peer: str, body: bytes) -> bytes:
        raise Conflict("the same id with another choice", id="v1", index=7)

    async def fail(peer: str, body: bytes) -> bytes:
        raise RuntimeError("a mistake in the handler")

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            for kind, handler in (("double", double), ("refuse", refuse), ("fail", fail)):
                one.transport.serve(kind, handler)
            await pair(one, two)
            assert b"n2: abab" == await two.transport.call("n1", "double", b"ab")
            with pytest.raises(Conflict, match="another choice") as conflict:
                await two.transport.call("n1", "refuse", b"")
            assert {"id": "v1", "index": 7} == conflict.value.fields
            with pytest.raises(OutcomeUnknown, match="failed inside"):
                await two.transport.call("n1", "fail", b"")
            with pytest.raises(NotFound, match="another version"):
                await two.transport.call("n1", "brew", b"")

    run(main())


def test_a_call_that_the_peer_cannot_read_is_told_in_words(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Its body is of another version. That is no mistake in the handler."""
    read = msgspec.msgpack.Decoder(int).decode

    async def serve(peer: str, body: bytes) -> bytes:
        return bytes(read(body))

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.transport.serve("count", serve)
            await pair(one, two)
            with pytest.raises(OutcomeUnknown, match=r"'count' of n2 cannot be read .*\(Expected `int`, got `str`"):
                await two.transport.call("n1", "count", encode("three"))
            assert [] == [record for record in caplog.records if record.exc_info]
            assert "the call 'count' of n2 cannot be read" in caplog.text

    run(main())


FAILURES: dict[str, tuple[list[object], type[QuorateError]]] = {
    "fields that are called as ours are": ([3, 1, "conflict", "why", {"detail": 1, "self": 2}], Conflict),
    "an error that this version does not know": ([3, 1, "brewing", "why", {}], OutcomeUnknown),
    "the base of the tree": ([3, 1, "internal", "why", {}], QuorateError),
    "a kind as 0.1.0 spells it": ([3, 1, "too_large", "why", {}], TooLarge),
    "a kind as it is spelt now": ([3, 1, "too-large", "why", {}], TooLarge),
}


@pytest.mark.parametrize(("failure", "error"), FAILURES.values(), ids=FAILURES.keys())
def test_any_failure_that_a_peer_sends_ends_the_call_in_an_error_of_ours(
    run: Run, failure: list[object], error: type[QuorateError]
) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            answer = asyncio.create_task(one.transport.call("n2", "ask", b""))
            await asyncio.sleep(0)
            insider.say(CALLS, encode(failure))
            with pytest.raises(QuorateError, match="why") as raised:
                await answer
            assert error is type(raised.value)

    run(main())


def test_a_failure_is_told_in_the_spelling_that_0_1_0_knows(run: Run) -> None:
    async def refuse(peer: str, body: bytes) -> bytes:
        raise TooLarge("over a limit")

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            one.transport.serve("refuse", refuse)
            insider.say(CALLS, encode([1, 1, "refuse", b""]))
            assert ["too_large"] == await _failures(insider, 1)

    run(main())


def test_a_call_that_is_too_big_does_not_break_the_connection(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MESSAGE_BYTES_MAX", 10_000)

    async def answer(peer: str, body: bytes) -> bytes:
        return bytes(10_000)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.transport.serve("ask", answer)
            await pair(one, two)
            with pytest.raises(TooLarge) as error:
                await two.transport.call("n1", "ask", bytes(9_500))
            assert error.value.definite
            with pytest.raises(OutcomeUnknown, match="too many"):  # the handler may have done anything
                await two.transport.call("n1", "ask", b"")
            assert [] == two.down

    run(main())


def test_a_call_without_a_connection_surely_did_nothing(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one:
            with pytest.raises(NoLeader) as error:
                await one.transport.call("n2", "ask", b"")
            assert error.value.definite

    run(main())


def test_a_call_whose_connection_breaks_has_an_unknown_outcome(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as deaf:
            await deaf.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            answer = asyncio.create_task(one.transport.call("n2", "ask", b""))
            await asyncio.sleep(0)
            deaf.writer.transport.abort()
            with pytest.raises(OutcomeUnknown, match="link") as error:
                await answer
            assert not error.value.definite

    run(main())


def test_a_call_that_nobody_answers_ends_by_its_deadline(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALL_S", 0.1)

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as deaf:
            await deaf.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            with pytest.raises(OutcomeUnknown, match="did not answer"):
                await one.transport.call("n2", "ask", b"")

    run(main())


def test_a_call_may_have_a_deadline_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALL_S", 0.1)

    async def answer_late(peer: str, body: bytes) -> bytes:
        await asyncio.sleep(0.3)
        return b"late"

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.transport.serve("ask", answer_late)
            await pair(one, two)
            assert b"late" == await two.transport.call("n1", "ask", b"", timeout_s=20)
            with pytest.raises(OutcomeUnknown, match="did not answer in 0"):
                await two.transport.call("n1", "ask", b"", timeout_s=0.05)

    run(main())


def test_calls_over_a_bound_are_refused_on_both_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS_MAX", 3)

    async def main() -> None:
        served = asyncio.Event()

        async def wait(peer: str, body: bytes) -> bytes:
            await served.wait()
            return b"done"

        async with Node("n1") as one, await RawPeer.connect(one) as asking:
            one.transport.serve("wait", wait)
            await asking.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            mine = [asyncio.create_task(one.transport.call("n2", "ask", b"")) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await one.transport.call("n2", "ask", b"")
            for id in range(4):
                asking.say(CALLS, encode([1, id, "wait", b""]))
            answers = await _failures(asking, 1)
            assert ["overloaded"] == answers, "the fourth call a peer makes"
            served.set()
            for each in mine:
                each.cancel()

    run(main())


def test_calls_of_one_kind_keep_no_others_from_passing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers who wait filled both ends, and votes were refused for as long as the readers liked."""
    monkeypatch.setattr(calls, "CALLS_MAX", 2)

    async def main() -> None:
        released = asyncio.Event()

        async def read(peer: str, body: bytes) -> bytes:
            await released.wait()
            return b"read"

        async def count(peer: str, body: bytes) -> bytes:
            return b"counted"

        async with Node("n1") as leader, Node("n2") as two, Node("n3") as three:
            for kind, handler in (("read", read), ("batch", count)):
                leader.transport.serve(kind, handler)
            await pair(leader, two)
            await pair(leader, three)
            waiting = [asyncio.create_task(two.transport.call("n1", "read", b"")) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await two.transport.call("n1", "read", b"")
            assert b"counted" == await two.transport.call("n1", "batch", b"")
            waiting.append(asyncio.create_task(three.transport.call("n1", "read", b"")))
            await until("the reader of another node is served", lambda: len(leader.transport._calls.tasks()) == 3)
            released.set()
            assert [b"read"] * 3 == await asyncio.gather(*waiting)
            assert b"read" == await two.transport.call("n1", "read", b"")

    run(main())


def test_big_answers_of_a_crowd_are_refused_and_not_the_connection_broken_off(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hundred reads of a big poll at a follower ended its link to the leader, with the votes that were on it."""
    monkeypatch.setattr(calls, "CALL_BACKLOG_BYTES", 3_000_000)

    async def big(peer: str, body: bytes) -> bytes:
        return bytes(1_000_000)

    async def count(peer: str, body: bytes) -> bytes:
        return b"counted"

    async def main() -> None:
        async with Node("n1") as leader, Node("n2") as follower:
            leader.transport.serve("big", big)
            leader.transport.serve("batch", count)
            await pair(leader, follower)
            asked = [asyncio.create_task(follower.transport.call("n1", "big", b"")) for _ in range(50)]
            votes = [asyncio.create_task(follower.transport.call("n1", "batch", b"")) for _ in range(50)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [b"counted"] * 50 == await asyncio.gather(*votes)
            assert {bytes, OutcomeUnknown} == {type(answer) for answer in answers}
            assert 1_000_000 == len(await follower.transport.call("n1", "big", b""))

    run(main())


def test_a_peer_that_calls_and_never_reads_is_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers would fill this node's memory."""
    monkeypatch.setattr(calls, "CALL_BACKLOG_BYTES", 100_000)

    async def big(peer: str, body: bytes) -> bytes:
        return bytes(60_000)

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as greedy:
            one.transport.serve("big", big)
            await greedy.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            greedy.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio gives every stream's one this
            most = 0
            for id in range(2_000):  # the sockets' own buffers hold a few million bytes
                if not one.transport.is_open("n2"):
                    break
                greedy.say(CALLS, encode([1, id, "big", b""]))
                await asyncio.sleep(0.001)
                most = max(most, one.transport.backlog("n2"))
            await until("it is cut", lambda: not one.transport.is_open("n2"))
            assert 0 < most < 10_000_000

    run(main())


async def _failures(raw_peer: RawPeer, count: int) -> list[str]:
    """The kinds of the next `count` failures on the calls' stream."""
    kinds: list[str] = []
    while len(kinds) < count:
        stream, message = await raw_peer.hear()
        if stream == CALLS and message[1] == 3:  # an array whose first element is the tag of a failure
            kinds.append(msgspec.msgpack.decode(message)[2])
    return kinds


def test_stopping_ends_every_call_and_every_connection(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as deaf, await RawPeer.connect(one) as outside:
            await deaf.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            answer = asyncio.create_task(one.transport.call("n2", "ask", b""))
            await asyncio.sleep(0)
            await one.transport.stop()
            await one.transport.stop()
            with pytest.raises(OutcomeUnknown):
                await answer
            assert await deaf.is_hung_up_on()
            assert await outside.is_hung_up_on()

    run(main())


@pytest.mark.parametrize("within_s", [0.0, 0.05])
def test_calls_that_are_ended_are_unknown_and_later_ones_go_on(run: Run, within_s: float) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(peer: str, body: bytes) -> bytes:
            await release.wait()
            return body

        async with Node("n1") as one, Node("n2") as two:
            one.transport.serve("slow", slow)
            await pair(one, two)
            before = asyncio.create_task(two.transport.call("n1", "slow", b"before"))
            await asyncio.sleep(0)
            two.transport.end_calls("n1", within_s, "n3 leads now")
            after = asyncio.create_task(two.transport.call("n1", "slow", b"after"))
            with pytest.raises(OutcomeUnknown, match="n3 leads now"):
                await before
            release.set()
            assert b"after" == await after

    run(main())


def test_a_call_that_is_answered_in_time_is_not_ended(run: Run) -> None:
    async def main() -> None:
        async def answer(peer: str, body: bytes) -> bytes:
            return body

        async with Node("n1") as one, Node("n2") as two:
            one.transport.serve("ask", answer)
            await pair(one, two)
            call = asyncio.create_task(two.transport.call("n1", "ask", b"x"))
            await asyncio.sleep(0)
            two.transport.end_calls("n1", 5.0, "n3 leads now")
            assert b"x" == await call

    run(main())
