"""Links on real sockets: peers that belong together meet; what a hostile one does changes nothing and ends soon."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec
import pytest
import uvloop

from quorate.cluster.raft import link, links, wire
from quorate.cluster.raft.link import CALLS, INTRODUCTIONS, PART_BYTES, RAFT, REFUSALS
from quorate.cluster.raft.links import STRANGERS_MAX
from quorate.errors import Conflict, NoLeader, NotFound, OutcomeUnknown, Overloaded, QuorateError, TooLarge
from tests.unit.stranger import KEY, Node, Run, Stranger, Tap, encode, pair, until

HEARTBEAT = wire.Append(3, 2, 1, 1, [])
MORE = 0x80


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The default loop, and the one that nodes run on."""
    factory: Callable[[], asyncio.AbstractEventLoop] = request.param

    def run(main: object) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main, 30))  # type: ignore[arg-type]  # Run says what it is

    return run


# ---- those who belong together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, None], ids=["keyed", "keyless"])
def test_two_nodes_meet_and_speak_both_ways(run: Run, key: bytes | None) -> None:
    async def main() -> None:
        async with Node("n1", key=key) as one, Node("n2", key=key) as two:
            await pair(one, two)
            assert one.links.send("n2", HEARTBEAT)
            assert two.links.send("n1", wire.Ballot(4, pre=True))
            await until("both heard", lambda: one.heard and two.heard)
            assert [("n2", wire.Ballot(4, pre=True))] == one.heard
            assert [("n1", HEARTBEAT)] == two.heard
            assert (["n2"], ["n1"]) == (one.up, two.up)

    run(main())


def test_a_broken_link_is_dialled_again(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two, Tap(one) as tap:
            one.meet(two)
            two.links.set_members({"n1": f"127.0.0.1:{tap.port}"})
            await until("a first link", lambda: one.up and two.up)
            tap.cut()
            await until("a second link", lambda: len(one.up) == len(two.up) == 2)
            assert (["n2"], ["n1"]) == (one.down, two.down)

    run(main())


def test_a_newer_connection_takes_the_place_of_the_old_one(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as first, await Stranger.connect(one) as second:
            await first.come_in()
            await until("the first is in", lambda: one.up == ["n2"])
            answer = asyncio.create_task(one.links.call("n2", "work", b""))
            await asyncio.sleep(0)
            await second.come_in()
            await until("the second is in", lambda: one.up == ["n2", "n2"])
            assert ["n2"] == one.down
            assert await first.is_hung_up_on()
            with pytest.raises(OutcomeUnknown):
                await answer
            second.say(RAFT, wire.encode(HEARTBEAT))
            await until("the second is heard", lambda: one.heard)

    run(main())


def test_who_is_not_wanted_any_more_is_told_why(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            await pair(one, two)
            two.meet()  # it does not dial again
            one.links.refuse("n2", "n2 was removed")
            await until("it was told", lambda: two.refusals)
            assert [("n1", "n2 was removed")] == two.refusals
            await until("the link is gone", lambda: not one.links.is_open("n2"))
            assert not one.links.send("n2", HEARTBEAT)

    run(main())


def test_a_silent_peer_is_cut_and_a_quiet_one_is_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PING_S", 0.02)
    monkeypatch.setattr(links, "SILENCE_S", 0.3)

    async def main() -> None:
        async with Node("n1") as one, Node("n3") as quiet, await Stranger.connect(one) as silent:
            await pair(one, quiet)
            await silent.come_in()
            await until("both are in", lambda: len(one.up) == 2)
            await until("the silent one is cut", lambda: one.down)
            assert ["n2"] == one.down
            assert [] == quiet.down
            assert one.links.is_open("n3")

    run(main())


def test_a_big_message_travels_in_parts_and_small_ones_overtake_it(run: Run) -> None:
    """8 MiB: the biggest entry. It shows that its sender is alive long before it is whole."""
    entry = bytes(range(256)) * (8 * 4096)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            overtaking = []

            async def serve(peer: str, body: bytes) -> bytes:
                overtaking.append(len(one.heard))
                return body

            one.links.serve("ask", serve)
            await pair(one, two)
            assert two.links.send("n1", wire.Append(3, 2, 1, 1, [(3, entry)]))
            assert b"now" == await two.links.call("n1", "ask", b"now")
            assert [0] == overtaking, "the call waited for the whole entry"
            await until("the entry is there", lambda: one.heard)
            assert [("n2", wire.Append(3, 2, 1, 1, [(3, entry)]))] == one.heard
            assert one.progressed >= len(entry) // PART_BYTES

    run(main())


def test_what_waits_for_a_slow_peer_is_seen_in_the_backlog(run: Run) -> None:
    """The engine stops sending entries by it (`WINDOW_BYTES`), so that it must count all that has not left."""

    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as slow:
            await slow.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio gives every stream's one this
            sent = 0
            for _ in range(20):
                one.links.send("n2", wire.Append(3, 2, 1, 1, [(3, bytes(1024 * 1024))]))
                sent += 1024 * 1024
                await asyncio.sleep(0)
            assert one.links.backlog("n2") > sent - 8 * 1024 * 1024, "the sockets' own buffers hold no more than that"

    run(main())


# ---- calls always end -----------------------------------------------------------------------------------------------


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
                one.links.serve(kind, handler)
            await pair(one, two)
            assert b"n2: abab" == await two.links.call("n1", "double", b"ab")
            with pytest.raises(Conflict, match="another choice") as conflict:
                await two.links.call("n1", "refuse", b"")
            assert {"id": "v1", "index": 7} == conflict.value.fields
            with pytest.raises(OutcomeUnknown, match="failed inside"):
                await two.links.call("n1", "fail", b"")
            with pytest.raises(NotFound, match="another version"):
                await two.links.call("n1", "brew", b"")

    run(main())


FAILURES: dict[str, tuple[list[object], type[QuorateError]]] = {
    "fields that are called as ours are": ([3, 1, "conflict", "why", {"detail": 1, "self": 2}], Conflict),
    "an error that this version does not know": ([3, 1, "brewing", "why", {}], OutcomeUnknown),
    "the base of the tree": ([3, 1, "internal", "why", {}], QuorateError),
}


@pytest.mark.parametrize(("failure", "error"), FAILURES.values(), ids=FAILURES.keys())
def test_whatever_failure_is_told_ends_the_call_in_an_error_of_ours(
    run: Run, failure: list[object], error: type[QuorateError]
) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            answer = asyncio.create_task(one.links.call("n2", "ask", b""))
            await asyncio.sleep(0)
            insider.say(CALLS, encode(failure))
            with pytest.raises(QuorateError, match="why") as raised:
                await asyncio.wait_for(answer, 1.5)
            assert error is type(raised.value)

    run(main())


def test_what_is_too_big_for_a_link_does_not_break_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MESSAGE_BYTES_MAX", 10_000)

    async def answer(peer: str, body: bytes) -> bytes:
        return bytes(10_000)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.links.serve("ask", answer)
            await pair(one, two)
            with pytest.raises(TooLarge) as error:
                await two.links.call("n1", "ask", bytes(9_500))
            assert error.value.definite
            with pytest.raises(OutcomeUnknown, match="too many"):  # the handler may have done anything
                await two.links.call("n1", "ask", b"")
            assert [] == two.down

    run(main())


def test_a_call_without_a_link_surely_did_nothing(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one:
            with pytest.raises(NoLeader) as error:
                await one.links.call("n2", "ask", b"")
            assert error.value.definite

    run(main())


def test_a_call_whose_link_breaks_may_have_done_anything(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as deaf:
            await deaf.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            answer = asyncio.create_task(one.links.call("n2", "ask", b""))
            await asyncio.sleep(0)
            deaf.writer.transport.abort()
            with pytest.raises(OutcomeUnknown, match="link") as error:
                await answer
            assert not error.value.definite

    run(main())


def test_a_call_that_nobody_answers_ends_by_its_deadline(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "CALL_S", 0.1)

    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as deaf:
            await deaf.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            with pytest.raises(OutcomeUnknown, match="did not answer"):
                await one.links.call("n2", "ask", b"")

    run(main())


def test_calls_over_a_bound_are_refused_on_both_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "CALLS_MAX", 3)

    async def main() -> None:
        served = asyncio.Event()

        async def wait(peer: str, body: bytes) -> bytes:
            await served.wait()
            return b"done"

        async with Node("n1") as one, await Stranger.connect(one) as asking:
            one.links.serve("wait", wait)
            await asking.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            mine = [asyncio.create_task(one.links.call("n2", "ask", b"")) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await one.links.call("n2", "ask", b"")
            for id in range(4):
                asking.say(CALLS, encode([1, id, "wait", b""]))
            answers = await _failures(asking, 1)
            assert ["overloaded"] == answers, "the fourth call a peer makes"
            served.set()
            for each in mine:
                each.cancel()

    run(main())


async def _failures(stranger: Stranger, count: int) -> list[str]:
    """The kinds of the next so many failed answers on the calls' stream."""
    kinds: list[str] = []
    while len(kinds) < count:
        stream, message = await stranger.hear()
        if stream == CALLS and message[1] == 3:  # an array whose first element is the tag of a failure
            kinds.append(msgspec.msgpack.decode(message)[2])
    return kinds


def test_stopping_ends_every_call_and_every_link(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as deaf, await Stranger.connect(one) as outside:
            await deaf.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            answer = asyncio.create_task(one.links.call("n2", "ask", b""))
            await asyncio.sleep(0)
            await one.links.stop()
            await one.links.stop()
            with pytest.raises(OutcomeUnknown):
                await answer
            assert await deaf.is_hung_up_on()
            assert await outside.is_hung_up_on()

    run(main())


# ---- those who do not belong ----------------------------------------------------------------------------------------

GARBAGE = {
    "a page request": b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n",
    "a length of 4 GiB": b"\xff\xff\xff\xff" + bytes(1000),
    "a hello just too long": (link.HELLO_BYTES_MAX + 1).to_bytes(4, "big") + bytes(link.HELLO_BYTES_MAX + 1),
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
            async with await Stranger.connect(one) as stranger:
                stranger.writer.write(said)
                assert await stranger.is_hung_up_on(within_s=1.5), "before the deadline for introductions"
            assert 1 == one.links.refusals
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
        async with Node("n1") as one, await Stranger.connect(one) as stranger:
            await stranger.greet(**hello)  # type: ignore[arg-type]  # rows of keyword arguments
            assert await stranger.is_hung_up_on(within_s=1.5)
            assert [] == one.up
            assert why in caplog.text

    run(main())


def test_a_keyed_stranger_is_refused_by_a_keyless_node(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1", key=None) as one, await Stranger.connect(one) as stranger:
            await stranger.greet()
            assert await stranger.is_hung_up_on(within_s=1.5)
            assert [] == one.up
            assert "only one of the two has a raft.key: give every node the same one" in caplog.text

    run(main())


def test_who_only_says_that_it_has_a_key_is_found_out_at_its_first_frame(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as stranger:
            await stranger.greet(key=None, keyed=True)
            stranger.introduce()
            assert await stranger.is_hung_up_on(within_s=1.5)
            assert [] == one.up

    run(main())


def test_another_key_opens_nothing_on_either_side(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", key=b"the key of that cluster") as two:
            one.meet(two)
            two.meet(one)
            await until("they tried", lambda: one.links.refusals >= 2 and two.links.refusals >= 2)
            assert ([], []) == (one.up, two.up)
            assert "the frame was not sealed with this cluster's key" in caplog.text

    run(main())


def test_a_hello_thrown_back_is_refused(run: Run) -> None:
    """Else both ends would seal with the same keys, and each word could be thrown back as well."""

    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as mirror:
            mirror.write(await mirror.frame())
            assert await mirror.is_hung_up_on(within_s=1.5)
            assert 1 == one.links.refusals

    run(main())


def test_a_recording_of_a_whole_connection_is_worth_nothing(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two, Tap(one) as tap:
            one.meet(two)
            two.links.set_members({"n1": f"127.0.0.1:{tap.port}"})
            await until("a link", lambda: two.links.is_open("n1"))
            two.links.send("n1", HEARTBEAT)
            await until("it was heard", lambda: one.heard)
            said, before = tap.said, (list(one.up), list(one.heard))
            async with await Stranger.connect(one) as replayer:
                replayer.writer.write(said)
                assert await replayer.is_hung_up_on(within_s=1.5)
            assert before == (one.up, one.heard)
            assert one.links.is_open("n2")

    run(main())


def test_no_frame_may_be_repeated_dropped_reordered_or_changed(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one:
            for harm in (_repeat, _drop, _reorder, *[_flip(at) for at in range(20)]):
                async with await Stranger.connect(one) as insider:
                    await insider.come_in()
                    await until("it is in", lambda: one.links.is_open("n2"))
                    before = len(one.heard)
                    frames = [insider.sealed(RAFT, wire.encode(wire.Ballot(term, pre=True))) for term in (1, 2, 3)]
                    for frame in harm(frames):
                        insider.write(frame)
                    assert await insider.is_hung_up_on(within_s=1.5), harm
                    terms = [message.term for _, message in one.heard[before:]]
                    assert list(range(1, len(terms) + 1)) == terms, f"{harm}: only whole, and in order"
                    assert len(terms) < 3, harm
                await until("it is out", lambda: not one.links.is_open("n2"))

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


def test_half_open_connections_are_bounded_and_keep_nobody_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HANDSHAKE_S", 60)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            flood = [await Stranger.connect(one) for _ in range(3 * STRANGERS_MAX)]
            await until("the rest is hung up on", lambda: one.links.refusals >= 2 * STRANGERS_MAX)
            await pair(one, two)
            left = [each for each in flood if not await each.is_hung_up_on(within_s=0.01)]
            assert len(left) <= STRANGERS_MAX
            for each in flood:
                each.writer.transport.abort()

    run(main())


def test_who_is_slow_to_introduce_itself_is_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also who says its hello one byte at a time: the deadline is for the whole, not for the next byte."""
    monkeypatch.setattr(link, "HANDSHAKE_S", 0.3)

    async def main() -> None:
        async with Node("n1") as one, AsyncExitStack() as stack:
            mute, slow, greeted = [await stack.enter_async_context(await Stranger.connect(one)) for _ in range(3)]
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


INTRODUCTIONS_REFUSED: dict[str, tuple[Callable[[Stranger], None], str]] = {
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
    "none, but a message of Raft's": (lambda s: s.say(RAFT, wire.encode(HEARTBEAT)), "before it introduced itself"),
    "none, but a call": (lambda s: s.say(CALLS, encode([1, 1, "ask", b""])), "before it introduced itself"),
    "no stream": (lambda s: s.say(9, b""), "a frame of no stream"),
    "an empty frame": (lambda s: s.write(s.cipher.seal(b"") if s.cipher else b""), "a frame of no stream"),
}


@pytest.mark.parametrize(("act", "why"), INTRODUCTIONS_REFUSED.values(), ids=INTRODUCTIONS_REFUSED.keys())
def test_a_wrong_introduction_is_refused_in_words(
    run: Run, caplog: pytest.LogCaptureFixture, act: Callable[[Stranger], None], why: str
) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as insider:
            await insider.greet()
            act(insider)
            assert await insider.is_hung_up_on(within_s=1.5)
            assert ([], []) == (one.up, one.heard)
            assert why in caplog.text

    run(main())


def test_a_peer_with_this_nodes_own_id_is_refused(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as twin:
            await twin.come_in("n1")
            assert await twin.is_hung_up_on(within_s=1.5)
            assert [] == one.up
            assert "it has this node's own id" in caplog.text

    run(main())


def test_nodes_of_two_clusters_tell_each_other_why_they_part(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n2", cluster_name="other") as two:
            one.meet(two)
            two.meet(one)
            await until("both were told", lambda: one.refusals or two.refusals)
            assert not one.links.is_open("n2")
            assert not two.links.is_open("n1")
            told = [why for _, why in one.refusals + two.refusals]
            assert any("it belongs to cluster" in why for why in told)

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
def test_garbage_from_an_insider_ends_its_link_and_nothing_else(
    run: Run, caplog: pytest.LogCaptureFixture, stream: int, said: bytes
) -> None:
    async def main() -> None:
        async with Node("n1") as one, Node("n3") as other, await Stranger.connect(one) as insider:
            await pair(one, other)
            await insider.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            answer = asyncio.create_task(one.links.call("n2", "ask", b""))
            await asyncio.sleep(0)
            insider.say(stream, said)
            assert await insider.is_hung_up_on(within_s=1.5)
            with pytest.raises(OutcomeUnknown):
                await answer
            await until("it is out", lambda: one.down == ["n2"])
            assert [] == one.heard
            assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]
            async with await Stranger.connect(one) as again:
                await again.come_in()
                await until("it may come again", lambda: one.links.is_open("n2"))

    run(main())


def test_a_message_over_the_limit_is_never_held_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MESSAGE_BYTES_MAX", 300_000)

    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            for _ in range(5):
                insider.say(RAFT, bytes(PART_BYTES), more=MORE)
            assert await insider.is_hung_up_on(within_s=1.5)
            assert [] == one.heard

    run(main())


def test_a_refusal_is_read_as_text_whatever_its_bytes(run: Run) -> None:
    async def main() -> None:
        async with Node("n1") as one, await Stranger.connect(one) as insider:
            await insider.come_in()
            await until("it is in", lambda: one.links.is_open("n2"))
            insider.say(REFUSALS, b"\xff\xfe" + b"no " * 1000)
            await until("it was told", lambda: one.refusals)
            assert 1000 >= len(one.refusals[0][1])

    run(main())


def test_a_peer_that_does_not_dial_is_dialled(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not know us yet, and we may be the leader it is to learn that from."""
    monkeypatch.setattr(links, "STAND_IN_S", 0.05)

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            one.meet(two)
            await until("both have a link", lambda: one.links.is_open("n2") and two.links.is_open("n1"))
            await asyncio.sleep(0.3)
            assert (["n2"], ["n1"]) == (one.up, two.up), "and once is enough"

    run(main())
