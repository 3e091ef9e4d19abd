"""Peers that do not belong, or that send nonsense, over real sockets: they change nothing and cost little."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.transport import connection, dialling
from quorate.cluster.raft.transport.handshake import hello
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, PART_BYTES, RAFT, REFUSALS
from quorate.cluster.raft.transport.transport import HANDSHAKES_MAX
from quorate.errors import OutcomeUnknown
from tests.support.waiting import until
from tests.unit.raft.raw_peer import Node, RawPeer, Run, Tap, encode, pair

HEARTBEAT = messages.Append(3, 2, 1, 1, [])
MORE = 0x80


# ---- those who do not belong ----------------------------------------------------------------------------------------

GARBAGE = {
    "a page request": b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n",
    "a length of 4 GiB": b"\xff\xff\xff\xff" + bytes(1000),
    "a hello just too long": (hello.HELLO_BYTES_MAX + 1).to_bytes(4, "big") + bytes(hello.HELLO_BYTES_MAX + 1),
    "an empty frame": bytes(4),
    "zeros": bytes(100),
    "a hello of another shape": b"\x00\x00\x00\x02\x91\x01",
    "a map where an array is due": b"\x00\x00\x00\x01\x80",
    "an array that claims 4 billion elements": b"\x00\x00\x00\x05\xdd\xff\xff\xff\xff",
    "a hello whose text is none": b"\x00\x00\x00\x04\x94\x01\xa1\xff",
    "text": b"\x00\x00\x00\x09\xa8pickled!",
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_ends_its_connection_and_nothing_else(run: Run, caplog: pytest.LogCaptureFixture, said: bytes) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            async with await RawPeer.connect(one) as raw_peer:
                raw_peer.writer.write(said)
                assert await raw_peer.is_hung_up_on(), "before the deadline for introductions"
            assert 1 == one.transport.refusals
            assert [] == one.down
            assert [] == one.heard
            assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]

    run(main())


HELLOS = {
    "another protocol": ({"protocol": 99}, "it speaks protocol 99, this node 1: run the same version on both"),
    "no key where one is due": ({"key": None}, "only one of the two has a raft.key"),
    "a nonce too short": ({"nonce_bytes": 8}, "a hello without a nonce of its own"),
}


@pytest.mark.parametrize(("hello", "why"), HELLOS.values(), ids=HELLOS.keys())
def test_a_wrong_hello_is_refused_in_words(
    run: Run, caplog: pytest.LogCaptureFixture, hello: dict[str, int | None], why: str
) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as raw_peer:
            await raw_peer.greet(**hello)  # type: ignore[arg-type]  # rows of keyword arguments
            assert await raw_peer.is_hung_up_on()
            assert [] == one.up
            assert why in caplog.text

    run(main())


def test_a_keyed_peer_is_refused_by_a_keyless_node(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1", key=None) as one, await RawPeer.connect(one) as raw_peer:
            await raw_peer.greet()
            assert await raw_peer.is_hung_up_on()
            assert [] == one.up
            assert "only one of the two has a raft.key: give every node the same one" in caplog.text

    run(main())


def test_a_peer_without_the_key_fails_at_its_first_frame(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as raw_peer:
            await raw_peer.greet(key=None, keyed=True)
            raw_peer.introduce()
            assert await raw_peer.is_hung_up_on()
            assert [] == one.up

    run(main())


def test_a_hello_that_is_sent_back_is_refused(run: Run) -> None:
    """Otherwise both ends would seal with the same keys, and each frame could be sent back too."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as mirror:
            mirror.write(await mirror.frame())
            assert await mirror.is_hung_up_on()
            assert 1 == one.transport.refusals

    run(main())


def test_a_recording_of_a_whole_connection_is_worth_nothing(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two, Tap(one) as tap:
            one.dial(two)
            two.transport.set_members({"n1": [f"127.0.0.1:{tap.port}"]})
            await until("a connection", lambda: two.transport.is_open("n1"))
            two.transport.send("n1", HEARTBEAT)
            await until("it was heard", lambda: one.heard)
            said, before = tap.said, (list(one.up), list(one.heard))
            async with await RawPeer.connect(one) as replayer:
                replayer.writer.write(said)
                assert await replayer.is_hung_up_on()
            assert before == (one.up, one.heard)
            assert one.transport.is_open("n2")

    run(main())


def test_no_frame_may_be_repeated_dropped_reordered_or_changed(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one:
            for harm in (_repeat, _drop, _reorder, *[_flip(at) for at in range(20)]):
                async with await RawPeer.connect(one) as insider:
                    await insider.come_in()
                    await until("it is in", lambda: one.transport.is_open("n2"))
                    before = len(one.heard)
                    frames = [
                        insider.sealed(RAFT, messages.encode(messages.Ballot(term, pre=True))) for term in (1, 2, 3)
                    ]
                    for frame in harm(frames):
                        insider.write(frame)
                    assert await insider.is_hung_up_on(), harm
                    terms = [message.term for _, message in one.heard[before:]]
                    assert list(range(1, len(terms) + 1)) == terms, f"{harm}: only whole, and in order"
                    assert len(terms) < 3, harm
                await until("it is out", lambda: not one.transport.is_open("n2"))

    run(main())


def _repeat(frames: list[bytes]) -> list[bytes]:
    return [frames[0], frames[1], frames[1], frames[2]]


def _drop(frames: list[bytes]) -> list[bytes]:
    return [frames[0], frames[2]]


def _reorder(frames: list[bytes]) -> list[bytes]:
    return [frames[1], frames[0], frames[2]]


def _flip(at: int) -> Callable[[list[bytes]], list[bytes]]:
    def flip(frames: list[bytes]) -> list[bytes]:
        changed = bytearray(frames[1])
        changed[at % len(changed)] ^= 1
        return [frames[0], bytes(changed), frames[2]]

    return flip


def test_connections_before_their_handshake_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_S", 60)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            flood = [await RawPeer.connect(one) for _ in range(3 * HANDSHAKES_MAX)]
            await until("the rest is hung up on", lambda: one.transport.refusals >= 2 * HANDSHAKES_MAX)
            await pair(one, two)
            left = [each for each in flood if not await each.is_hung_up_on(within_s=0.01)]
            assert len(left) <= HANDSHAKES_MAX
            for each in flood:
                each.writer.transport.abort()

    run(main())


def test_connections_that_are_refused_are_bounded(run: Run) -> None:
    """Each is kept for a moment, so that its other end can read why. Those that end themselves are not a hindrance."""

    async def main() -> None:
        async with Node("n1") as one, AsyncExitStack() as stack:
            flood = [await stack.enter_async_context(await RawPeer.connect(one)) for _ in range(HANDSHAKES_MAX + 8)]
            for raw_peer in flood:
                await raw_peer.greet(protocol=99)
            await until("all are refused", lambda: one.transport.refusals == len(flood))
            assert HANDSHAKES_MAX == len(one.transport._refused)

    run(main())


def test_a_peer_that_is_slow_to_introduce_itself_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a peer that sends its hello byte by byte: the deadline is for the whole handshake."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.3)

    async def main() -> None:
        async with Node("n1") as one, AsyncExitStack() as stack:
            mute, slow, greeted = [await stack.enter_async_context(await RawPeer.connect(one)) for _ in range(3)]
            await greeted.greet()

            async def trickle() -> None:
                for byte in b"\x00\x00\x0f\x00" + bytes(1000):
                    slow.writer.write(bytes((byte,)))
                    await asyncio.sleep(0.02)

            trickling = asyncio.create_task(trickle())
            for each in (mute, slow, greeted):
                assert await each.is_hung_up_on(within_s=5)
            trickling.cancel()
            assert [] == one.up

    run(main())


INTRODUCTIONS_REFUSED: dict[str, tuple[Callable[[RawPeer], None], str]] = {
    "another cluster's": (
        lambda s: s.introduce(cluster_name="other"),
        "it belongs to cluster 'other', this node to 'test'",
    ),
    "another id than in the hello": (lambda s: s.introduce("n3"), "it said 'n2' first and 'n3' then"),
    "garbage": (lambda s: s.say(INTRODUCTIONS, b"\x93\x01\x02\x03"), "Expected `array`"),
    "too long, whole": (lambda s: s.introduce(http="h" * (PART_BYTES + 200)), "a frame of"),
    "too long, in parts": (
        lambda s: s.say_all([(INTRODUCTIONS, bytes(PART_BYTES))] * 5, more=MORE),
        "a message over",
    ),
    "none, but a message of Raft's": (lambda s: s.say(RAFT, messages.encode(HEARTBEAT)), "before it introduced itself"),
    "none, but a call": (lambda s: s.say(CALLS, encode([1, 1, "ask", b""])), "before it introduced itself"),
    "no stream": (lambda s: s.say(9, b""), "a frame of no stream"),
    "an empty frame": (lambda s: s.write(s.cipher.seal(b"") if s.cipher else b""), "a frame of no stream"),
}


@pytest.mark.parametrize(("act", "why"), INTRODUCTIONS_REFUSED.values(), ids=INTRODUCTIONS_REFUSED.keys())
def test_a_wrong_introduction_is_refused_in_words(
    run: Run, caplog: pytest.LogCaptureFixture, act: Callable[[RawPeer], None], why: str
) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.greet()
            act(insider)
            assert await insider.is_hung_up_on()
            assert ([], []) == (one.up, one.heard)
            assert why in caplog.text

    run(main())


def test_a_peer_with_this_nodes_own_id_is_refused(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as twin:
            await twin.come_in("n1")
            assert await twin.is_hung_up_on()
            assert [] == one.up
            assert "it has this node's own id" in caplog.text

    run(main())


def test_a_peer_that_goes_on_sending_hears_why_it_is_refused(run: Run) -> None:
    """A socket that is closed with unread bytes sends a reset, and the reason would be lost with it."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in(cluster_name="other")
            for _ in range(100):
                insider.say(RAFT, messages.encode(HEARTBEAT) + bytes(PART_BYTES - 100))
            await insider.writer.drain()
            while (said := await insider.hear())[0] != REFUSALS:
                pass
            assert b"it belongs to cluster" in said[1]
            assert await insider.is_hung_up_on()
            assert [] == one.heard

    run(main())


def test_messages_of_a_refused_peer_are_ignored(run: Run) -> None:
    """Also those that it sent before it learned of the refusal."""

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            served: list[bytes] = []

            async def serve(peer: str, body: bytes) -> bytes:
                served.append(body)
                return body

            one.transport.serve("ask", serve)
            await insider.come_in(cluster_name="other")
            insider.say(RAFT, messages.encode(HEARTBEAT))
            insider.say(CALLS, encode([1, 1, "ask", b""]))
            assert await insider.is_hung_up_on()
            assert ([], [], []) == (one.up, one.heard, served)

    run(main())


INSIDE = {
    "no message": (RAFT, b"\xc1"),
    "nothing": (RAFT, b""),
    "an unknown type": (RAFT, encode([99, 1, 2, 3])),
    "a field too few": (RAFT, encode([4, 1])),
    "text for a number": (RAFT, encode([4, "one", True])),
    "a negative term": (RAFT, encode([4, -1, True])),
    "a term past 63 bits": (RAFT, encode([4, 2**63, True])),
    "a snapshot whose id is a path": (RAFT, encode([6, 1, 9, 1, bytes(16), b"", 10, "../../../tmp/x", 0, b"x"])),
    "a snapshot from before its begin": (RAFT, encode([6, 1, 9, 1, bytes(16), b"", 10, "0" * 32, -5, b"x"])),
    "a snapshot with half a chain": (RAFT, encode([6, 1, 9, 1, bytes(8), b"", 10, "0" * 32, 0, b"x"])),
    "a pickle": (RAFT, b"\x80\x02cposix\nsystem\nU\x04echoR."),
    "a call of no kind": (CALLS, b"\xc1\x00"),
    "an answer with text for a body": (CALLS, encode([2, 1, 3])),
    "text that is none": (RAFT, b"\x97\x03\x01\x01\x01\xc2\xc2\xa1\xff"),
    "nesting without end": (CALLS, b"\x94\x03\x01\xa1x\xa1x\x81\xa1x" + b"\x91" * 20_000),
    "a second introduction, garbage": (INTRODUCTIONS, b"\x00"),
}


@pytest.mark.parametrize(("stream", "said"), INSIDE.values(), ids=INSIDE.keys())
def test_garbage_from_a_peer_with_the_key_ends_its_connection_only(
    run: Run, caplog: pytest.LogCaptureFixture, stream: int, said: bytes
) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n3") as other, await RawPeer.connect(one) as insider:
            await pair(one, other)
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            answer = asyncio.create_task(one.transport.call("n2", "ask", b""))
            await asyncio.sleep(0)
            insider.say(stream, said)
            assert await insider.is_hung_up_on()
            with pytest.raises(OutcomeUnknown):
                await answer
            await until("it is out", lambda: one.down == ["n2"])
            assert [] == one.heard
            assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]
            async with await RawPeer.connect(one) as again:
                await again.come_in()
                await until("it may come again", lambda: one.transport.is_open("n2"))

    run(main())


def test_a_message_over_the_limit_is_not_collected(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MESSAGE_BYTES_MAX", 300_000)

    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            for _ in range(5):
                insider.say(RAFT, bytes(PART_BYTES), more=MORE)
            assert await insider.is_hung_up_on()
            assert [] == one.heard

    run(main())


def test_a_refusal_is_read_as_text_whatever_its_bytes(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await RawPeer.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.transport.is_open("n2"))
            insider.say(REFUSALS, b"\xff\xfe" + b"no " * 1000)
            await until("it was told", lambda: one.refusals)
            assert 1000 >= len(one.refusals[0][1])

    run(main())


def test_a_peer_that_does_not_dial_is_dialled(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not know this node yet, and this node may be the leader that will tell it the members."""
    monkeypatch.setattr(dialling, "FIRST_DIAL_WAIT_S", 0.05)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.dial(two)
            await until("both have a connection", lambda: one.transport.is_open("n2") and two.transport.is_open("n1"))
            await asyncio.sleep(0.3)
            assert (["n2"], ["n1"]) == (one.up, two.up), "and once is enough"

    run(main())
