"""Very many streams of one poll: what a change costs, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.read import chunks, shared_results
from quorate.cluster.read.shared_results import ResultsPart
from quorate.cluster.state.tally import Columns
from quorate.doors import event as event_module
from quorate.doors import event_stream, events, followers
from quorate.doors.event import Event
from quorate.doors.event_stream import Stream
from quorate.doors.followers import Giving
from quorate.http import answer
from quorate.vote import Vote
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import until
from tests.unit.http.test_http_events import Follower, following

MANY = 12


@pytest.fixture
def node() -> Iterator[Node]:
    with running(streams=MANY) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


class Outlet:
    """Where a door would write. `sent` has what was written at once."""

    def __init__(self, stream: Stream) -> None:
        self.is_free = True
        self.sent: list[int] = []
        stream.begin_sending(lambda: None, self.send)

    def send(self, event: Event) -> bool:
        if self.is_free:
            self.sent.append(event.version)
        return self.is_free


def event_of(version: int) -> Event:
    return Event("results", "mood", {"version": version}, version)


def counted(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> Counter[str]:
    """How often it is called."""
    calls, real = Counter[str](), getattr(where, name)

    def called(*given: Any) -> Any:
        calls[name] += 1
        return real(*given)

    monkeypatch.setattr(where, name, called)
    return calls


def test_a_change_is_encoded_once_for_all_that_follow(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        all_of_them = [stack.enter_context(following(node)) for _ in range(MANY)]
        for follower in all_of_them:
            follower.until(happy=0)
        encoded = counted(monkeypatch, event_module, "encode")
        framed = counted(monkeypatch, answer, "_as_chunk")
        node.vote(option="happy", id="a")
        assert [1] * MANY == [follower.until(happy=1)["total"] for follower in all_of_them]
    assert ({"encode": 1}, {"_as_chunk": 1}) == (encoded, framed)


def test_streams_that_begin_at_one_version_are_given_one_event(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = counted(monkeypatch, event_module, "encode")
    with following(node) as one:
        one.until(happy=0)
        with following(node) as other:
            assert 0 == other.next()["total"]
            node.vote(option="happy", id="a")
            with following(node) as third:
                assert [1, 1, 1] == [follower.until(happy=1)["total"] for follower in (third, one, other)]
    assert 2 == encoded["encode"], "before the vote, and after it"


def test_events_do_not_overtake_one_that_waits(node: Node) -> None:
    async def scenario() -> tuple[list[int], bytes | None]:
        stream = node.api.events.open(["mood"], after=node.replica.state.version)
        outlet = Outlet(stream)
        stream.take()  # now it has begun
        stream.put(event_of(5))
        outlet.is_free = False
        stream.put(event_of(6))
        outlet.is_free = True
        stream.put(event_of(7))
        assert {stream} == node.api.events.behind
        taken = stream.take()
        assert not node.api.events.behind
        stream.put(event_of(8))
        stream.put(event_of(3))
        assert b"id: 8\n" in (stream.take() or b""), (
            "an older one is not sent at once, and its id is that of the newest"
        )
        stream.end_sending()
        stream.put(event_of(9))
        return outlet.sent, taken

    sent, taken = node.run(scenario())
    assert ([5, 8], b'id: 7\nevent: results\ndata: {"version":7}\n\n') == (sent, taken)


def test_a_stream_that_ends_is_not_behind(node: Node) -> None:
    async def scenario() -> set[Stream]:
        stream = node.api.events.open(["mood"], after=node.replica.state.version)
        stream.put(event_of(5))
        assert {stream} == node.api.events.behind
        stream.close()
        return node.api.events.behind

    assert set() == node.run(scenario())


def test_what_is_sent_at_once_puts_the_heartbeat_off(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.05)

    async def scenario() -> float:
        stream = node.api.events.open(["mood"], after=node.replica.state.version)
        Outlet(stream)
        stream.take()
        began_s = node.loop.time()
        waiting = asyncio.ensure_future(stream.ready())
        await asyncio.sleep(0)
        stream.put(event_of(5))
        assert stream._sent_s >= began_s
        stream._sent_s = began_s + 0.1  # as if another one had been sent then
        assert 0 == await waiting
        return node.loop.time() - began_s

    assert node.run(scenario()) >= 0.14


async def most_in_a_turn(monkeypatch: pytest.MonkeyPatch, serve: Callable[[], Any], wanted: int) -> int:
    """How many streams are served in a turn of the loop, at most."""
    loop, turn, served = asyncio.get_running_loop(), 0, Counter[int]()

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if served.total() < wanted:
            loop.call_soon(next_turn)

    monkeypatch.setattr(Stream, "put", lambda stream, event: served.update([turn]))
    next_turn()
    await serve()
    await until("all are served", lambda: served.total() == wanted)
    return max(served.values())


def test_a_turn_of_the_loop_serves_some_of_them(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "STREAMS_AT_ONCE", 3)

    async def scenario() -> int:
        streams = [node.api.events.open(["mood"]) for _ in range(MANY)]
        await until("they have begun", lambda: not node.api.events._changed_polls and not node.api.events._round)
        return await most_in_a_turn(monkeypatch, lambda: Giving().give(event_of(9), streams, lambda: True), MANY)

    assert 3 == node.run(scenario())


def test_a_turn_of_the_loop_gives_the_events_of_few_polls(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty streams that began with five hundred polls took the loop 38 ms: none of these alone was given to many."""
    monkeypatch.setattr(followers, "STREAMS_AT_ONCE", 6)
    monkeypatch.setattr(followers, "MADE", 2)
    for number in range(20):
        assert 201 == node.ask("POST", "/polls", {"id": f"poll {number}", "options": ["yes", "no"]}).status

    async def scenario() -> int:
        async def serve() -> None:
            for _ in range(2):
                node.api.events.open([])

        return await most_in_a_turn(monkeypatch, serve, 2 * 21)

    assert 4 == node.run(scenario()), "two events were made, and each was given to two streams"


def test_the_loop_rests_twice_as_long_as_some_of_them_took(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others have the core, a hundred take longer than a millisecond, and votes need the longer rest."""
    monkeypatch.setattr(followers, "STREAMS_AT_ONCE", 5)
    now_s, rests_s = 0.0, []

    async def sleep(delay_s: float) -> None:
        rests_s.append(delay_s)

    def clock() -> float:
        return now_s

    def put(stream: Stream, event: Event) -> None:
        nonlocal now_s
        now_s += 0.001 if len(rests_s) < 2 else 1.0

    async def scenario() -> None:
        streams = [node.api.events.open(["mood"], after=node.replica.state.version) for _ in range(MANY)]
        with monkeypatch.context() as patched:
            patched.setattr(Stream, "put", put)
            patched.setattr("quorate.doors.followers.time.perf_counter", clock)
            patched.setattr("quorate.doors.followers.asyncio.sleep", sleep)
            await Giving().give(event_of(9), streams, lambda: True)

    node.run(scenario())
    assert [0, pytest.approx(0.01), 0, followers.REST_MAX_S] == rests_s


def test_a_turn_of_the_loop_tells_some_of_them_which_poll_has_changed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were told all at once, while the entry was applied."""
    monkeypatch.setattr(followers, "STREAMS_AT_ONCE", 3)

    async def scenario() -> int:
        for _ in range(MANY):
            node.api.events.open([], only_polls=True)
        change = entry.SetPollState("mood", "closed")
        return await most_in_a_turn(monkeypatch, lambda: node.api.submitter.command(change, timeout_s=60), MANY)

    assert 3 == node.run(scenario())


def test_a_vote_is_answered_while_very_many_are_served(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "STREAMS_AT_ONCE", 1)
    monkeypatch.setattr(followers, "MADE", 0)
    monkeypatch.setattr(followers, "REST_S", 60.0)
    monkeypatch.setattr(followers, "REST_MAX_S", 60.0)
    monkeypatch.setattr(events, "COALESCE_S", 0.0)

    async def scenario() -> int:
        outlets = [Outlet(node.api.events.open(["mood"], after=node.replica.state.version)) for _ in range(MANY)]
        for stream in node.api.events._all():
            stream.take()
        await node.api.submitter.cast([Vote("happy", "a")], timeout_s=60)
        await until("the first has the tally", lambda: any(outlet.sent for outlet in outlets))
        await node.api.submitter.cast([Vote("happy", "b")], timeout_s=60)
        return sum(bool(outlet.sent) for outlet in outlets)

    assert 1 == node.run(scenario())


def test_a_stream_that_begins_while_a_big_tally_is_made_is_not_given_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client may have seen a newer one."""
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 1)
    monkeypatch.setattr(events, "COALESCE_S", 0.0)
    made, parts_of = [asyncio.Event(), asyncio.Event()], chunks.parts_of

    async def slowly(*given: Any) -> list[ResultsPart]:
        results = await parts_of(*given)
        made[0].set()
        await made[1].wait()
        return results

    async def scenario() -> tuple[list[int], list[int]]:
        state = node.replica.state
        one = Outlet(first := node.api.events.open(["mood"], after=state.version))
        first.take()
        monkeypatch.setattr(chunks, "parts_of", slowly)
        await node.api.submitter.cast([Vote("happy", "a")], timeout_s=60)
        await made[0].wait()
        await node.api.submitter.cast([Vote("happy", "b")], timeout_s=60)
        other = Outlet(second := node.api.events.open(["mood"], after=state.version))
        second.take()
        made[1].set()
        await until("both have the newest", lambda: state.version in one.sent and state.version in other.sent)
        return one.sent, other.sent

    first, second = node.run(scenario())
    assert first[1:] == second


def test_a_client_that_reads_nothing_holds_only_the_newest(node: Node) -> None:
    """The socket of a client takes some hundred kilobytes; then events wait, and of these only the newest."""
    options = [f"{number:03}{'x' * 200}" for number in range(60)]
    node.ask("POST", "/polls", {"id": "wide", "options": options})
    with contextlib.closing(Follower(node, "?poll=wide")) as follower:
        follower.next()

        async def fill() -> None:
            (stream,) = node.api.events._all()
            version = node.replica.state.version
            while not stream.waits_with("wide"):
                version += 1
                stream.put(Event("results", "wide", {"text": "x" * 12_000, "results": {}, "version": version}, version))
                await asyncio.sleep(0)
            for _ in range(50):
                version += 1
                stream.put(Event("results", "wide", {"results": {"last": version}, "version": version}, version))
            assert 1 == len(stream._pending)

        node.run(fill())
        seen = 0
        while "last" not in (tally := follower.next())["results"]:
            assert seen < tally["version"]
            seen = tally["version"]
        assert seen + 51 == tally["version"]


def test_streams_of_a_big_poll_share_its_tally_with_readers_and_write_it_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that left at once had 100,000 options be read and written again, a tenth of the loop's time."""
    options = [f"{number:05}" for number in range(3_000)]
    assert 201 == node.ask("POST", "/polls", {"id": "big", "options": options}).status
    read, of_one = counted(monkeypatch, Columns, "piece"), counted(monkeypatch, Columns, "rows")
    tallies = [node.ask("GET", "/polls/big/results").json["results"]]
    for _ in range(3):
        node.vote(option="happy")
        with following(node, "?poll=big") as follower:
            told = follower.next()
        assert node.replica.state.version == told["version"]
        assert (told["id"], told["state"], told["total"]) == ("big", "open", 0)
        tallies.append(told["results"])
    assert [dict.fromkeys(options, 0)] * 4 == tallies
    assert (3, 0) == (read["piece"], of_one["rows"]), "once, in three parts"
    encoded = counted(monkeypatch, shared_results, "_encode")
    node.vote(option=options[7])
    with following(node, "?poll=big") as follower:
        assert 1 == follower.next()["total"]
    assert 1 == encoded["_encode"], "of three parts two are as they were"
