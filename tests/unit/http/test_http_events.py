"""GET /events: what a follower sees of changes, how it comes back, and what bounds it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.fsm import Applied
from quorate.cluster.read import chunks
from quorate.cluster.submit.choices import count_choices
from quorate.doors import events, followers
from quorate.doors.event import Event
from quorate.doors.event_stream import RECONNECT, Stream
from quorate.doors.limits import Limits
from quorate.errors import Overloaded
from quorate.http import asgi
from quorate.http.answer import send_parts
from quorate.security.caller import Caller
from quorate.vote import Vote
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import until, wait_for

Told = tuple[int | None, dict[str, Any]]  # (id, tally)


@pytest.fixture
def node() -> Iterator[Node]:
    with running(streams=3) as node:
        node.ask("POST", "/polls", MOOD)
        node.ask("POST", "/polls", {**MOOD, "id": "other", "options": ["happy", "angry"]})
        yield node


class Follower:
    """A client of /events that reads as browsers do."""

    def __init__(self, node: Node, query: str = "", last_event_id: int | None = None, path: str = "/events") -> None:
        self.connection = node.connect()
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        self.connection.request("GET", f"{path}{query}", headers=headers)
        self.response: http.client.HTTPResponse = self.connection.getresponse()
        self.status = self.response.status
        self.last_id = last_event_id

    def block(self) -> list[str]:
        """The next lines up to an empty one; none at the end of the stream."""
        lines = []
        while (line := self.response.readline().decode()) not in ("\n", ""):
            lines.append(line.rstrip("\n"))
        return lines

    def next(self) -> dict[str, Any]:
        """The next event's tally."""
        while True:
            lines = self.block()
            assert lines, "the stream ended"
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "id" in fields:
                self.last_id = int(fields["id"])
            if "data" in fields:
                assert "results" == fields["event"]
                tally: dict[str, Any] = json.loads(fields["data"])
                return tally

    def until(self, **results: int) -> dict[str, Any]:
        """The first tally with these results; every one before is older."""
        version = 0
        while True:
            tally = self.next()
            assert version <= tally["version"]
            version = tally["version"]
            if results.items() <= tally["results"].items():
                return tally

    def close(self) -> None:
        self.connection.close()


@contextlib.contextmanager
def following(node: Node, query: str = "?poll=mood", last_event_id: int | None = None) -> Iterator[Follower]:
    with contextlib.closing(Follower(node, query, last_event_id)) as follower:
        assert 200 == follower.status
        yield follower


def test_a_follower_gets_the_tally_and_then_its_changes(node: Node) -> None:
    with following(node) as follower:
        first = follower.next()
        assert ("mood", "open", {"happy": 0, "sad": 0}, 0) == (
            first["id"], first["state"], first["results"], first["total"],
        )  # fmt: skip
        node.vote(option="happy", id="a")
        assert 1 == follower.until(happy=1)["total"]
        node.vote(option="sad", poll="mood", weight=4)
        assert 5 == follower.until(happy=1, sad=4)["total"]
        node.ask("POST", "/polls/mood/state", {"state": "closed"})
        assert "closed" == follower.next()["state"]


@pytest.mark.parametrize("query", ["?poll=mood", ""])
def test_an_option_that_is_added_is_told_and_so_are_its_votes(node: Node, query: str) -> None:
    node.call(node.replica.state.raise_level, entry.encode_raise(1))
    with following(node, query) as follower:
        follower.until(happy=0, sad=0)
        node.ask("PATCH", "/polls/mood", {"add_options": ["calm"], "title": "And now?"})
        assert "And now?" == follower.until(calm=0)["title"]
        node.vote(option="calm", id="a")
        assert {"happy": 0, "sad": 0, "calm": 1} == follower.until(calm=1)["results"]


def test_many_votes_are_few_events(node: Node) -> None:
    with following(node) as follower:
        follower.next()

        async def vote(turns: int) -> None:
            await node.api.submitter.cast([Vote("happy", f"v{turns}")], timeout_s=60)

        async def scenario() -> None:
            for turn in range(300):
                await vote(turn)

        before = node.replica.state.version
        node.run(scenario())
        told = 1
        while follower.next()["results"]["happy"] < 300:
            told += 1
    assert 300 == node.replica.state.version - before
    assert told < 30


def test_a_follower_of_one_poll_gets_no_other(node: Node) -> None:
    with following(node) as follower:
        follower.next()
        node.vote(option="angry", id="a")
        node.vote(option="sad", id="b")
        assert "mood" == follower.until(sad=1)["id"]


def test_a_vote_that_counts_in_two_polls_makes_an_event_for_both(node: Node) -> None:
    with following(node, "?poll=mood&poll=other") as follower:
        assert {"mood", "other"} == {follower.next()["id"], follower.next()["id"]}
        node.vote(option="happy", id="a")
        assert {"mood": 1, "other": 1} == {t["id"]: t["results"]["happy"] for t in (follower.next(), follower.next())}


def test_without_a_poll_all_are_followed_also_those_made_later(node: Node) -> None:
    with following(node, "") as follower:
        assert {"mood", "other"} == {follower.next()["id"], follower.next()["id"]}
        node.ask("POST", "/polls", {"id": "new", "options": ["yes", "no"]})
        assert "new" == follower.next()["id"]
        node.vote(option="yes", id="a")
        assert {"yes": 1, "no": 0} == follower.until(yes=1)["results"]


def test_a_new_follower_does_not_wake_the_others(node: Node) -> None:
    with following(node) as first:
        first.next()
        with following(node) as second:
            second.next()
            node.vote(option="sad", id="a")
            assert 1 == first.next()["results"]["sad"]


def test_a_client_that_comes_back_misses_nothing(node: Node) -> None:
    with following(node) as follower:
        node.vote(option="happy", id="a")
        seen = follower.until(happy=1)["version"]
        assert seen == follower.last_id
    node.vote(option="happy", id="b")
    with following(node, last_event_id=seen) as follower:
        assert 2 == follower.next()["results"]["happy"]


def test_a_client_that_comes_back_before_anything_happened_gets_nothing_twice(node: Node) -> None:
    with following(node) as follower:
        follower.next()
        seen = follower.last_id
    with following(node, last_event_id=seen) as follower:
        node.vote(option="happy", id="a")
        assert 1 == follower.next()["results"]["happy"]


def test_a_client_that_comes_back_to_a_lagging_node_waits_for_it(node: Node) -> None:
    ahead = node.replica.state.version + 1
    with contextlib.closing(node.connect()) as connection:
        connection.request("GET", "/events?poll=mood", headers={"Last-Event-ID": str(ahead)})
        node.vote(option="happy", id="a")
        response = connection.getresponse()
        assert (200, str(ahead)) == (response.status, response.getheader("X-Quorate-Version"))


def test_a_client_that_has_seen_a_newer_version_is_refused(node: Node) -> None:
    answer = node.ask("GET", "/events?poll=mood", headers={"Last-Event-ID": "999"})
    assert (503, "stale", "1") == (answer.status, answer.json["type"], answer.headers["retry-after"])


def test_a_quiet_stream_has_a_heartbeat(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.doors.event_stream.HEARTBEAT_S", 0.01)
    with following(node) as follower:
        follower.next()
        assert [":"] == follower.block()


def test_streams_over_the_limit_are_refused_until_another_ends(node: Node) -> None:
    with contextlib.ExitStack() as stack:
        followers = [stack.enter_context(following(node)) for _ in range(3)]
        answer = node.ask("GET", "/events?poll=mood")
        assert (503, "not-ready") == (answer.status, answer.json["type"])
        followers[0].close()
        wait_for("its place is given back", lambda: len(node.api.events) == 2)
        stack.enter_context(following(node))


def test_a_slow_client_gets_the_newest_events_and_the_id_comes_last(node: Node) -> None:
    async def scenario() -> list[bytes | None]:
        stream = node.api.events.open(["mood", "other"])
        first = [await stream.next(), await stream.next()]
        for version in (7, 8):
            stream.put(Event("results", "mood", {"at": version}, version))
            stream.put(Event("results", "other", {"at": version}, version))
        second = await stream.next()
        stream.close()
        return [*first[:1], second, await stream.next()]

    mood = b'event: results\ndata: {"at":8}\n\n'
    assert [RECONNECT, mood + b"id: 8\n" + mood, None] == node.run(scenario())


def test_a_big_change_is_sent_in_rounds(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop also sends heartbeats, so a round reads a bounded number of options and leaves the rest to the next."""
    monkeypatch.setattr(events, "OPTIONS_PER_ROUND", 1)
    with following(node, "") as follower:
        assert {"mood", "other"} == {follower.next()["id"], follower.next()["id"]}
        node.vote(option="happy", id="a")
        assert {"mood": 1, "other": 1} == {t["id"]: t["results"]["happy"] for t in (follower.next(), follower.next())}


def test_the_loop_goes_on_while_a_big_tally_is_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes are counted between the chunks, and still each event has the tally at one version."""
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    options = [f"o{i}" for i in range(9)]
    node.ask("POST", "/polls", {"id": "big", "options": options})
    choices, sums = asyncio.run(count_choices([Vote(option) for option in options]))
    batch = entry.encode_batch([entry.CastVotes(choices, plain=[(i, n) for i, (_, n) in enumerate(sums)])])
    counting, counted_meanwhile, put = True, [], Stream.put

    def notice(stream: Stream, event: Event) -> None:
        counted_meanwhile.append(node.replica.state.version - event.version)
        put(stream, event)

    monkeypatch.setattr(Stream, "put", notice)

    def count() -> None:
        answer: asyncio.Future[Applied] = node.loop.create_future()
        node.replica.commit(entry.encode_entry(0, [batch]), answer)
        if counting:
            node.loop.call_soon(count)

    follower = Follower(node, "?poll=big")
    node.loop.call_soon_threadsafe(count)
    told = [follower.next() for _ in range(4)]
    counting = False
    assert [1] * 4 == [len(set(tally["results"].values())) for tally in told], told
    assert [9 * tally["results"]["o0"] for tally in told] == [tally["total"] for tally in told]
    assert 1 == len({tally["version"] - tally["results"]["o0"] for tally in told}), "each entry counts one for each"
    assert max(counted_meanwhile) >= 3
    wait_for("it is told to the end", lambda: follower.next()["results"] == node.tally("big"))


def test_a_client_that_leaves_is_forgotten(node: Node) -> None:
    with following(node) as follower:
        follower.next()

    wait_for("nothing of it is left", lambda: not len(node.api.events) and not node.api.counts.streams)


def test_one_address_cannot_take_all_streams(node: Node) -> None:
    async def scenario() -> list[str]:
        streams = events.Events(node.replica, node.api.reads.big, node.api.turns, streams_max=8, address_percent=25)
        one, two, here = (Caller(host, "read") for host in ("203.0.113.1", "203.0.113.2", "127.0.0.1"))
        opened = [streams.open(["mood"], caller=caller) for caller in (one, one, two, here, here, here)]
        with pytest.raises(Overloaded, match="2 streams of events to this address are open already"):
            streams.open(["mood"], caller=one)
        opened[0].close()
        opened[0].close()
        streams.open(["mood"], caller=one)
        with pytest.raises(Overloaded):
            streams.open(["mood"], caller=one)
        streams.close()
        return list(streams.shares._held)

    assert [] == node.run(scenario())


@pytest.mark.parametrize("path", ["/events", "/events/", "//events"])
def test_a_follower_takes_no_thread_however_the_path_is_spelt(path: str) -> None:
    """A thread would never be free again: it does not notice that the client has left."""
    with running(limits=Limits(threads=1)) as node:
        with contextlib.closing(Follower(node, path=path)) as follower:
            assert [200, "retry: 1000"] == [follower.status, *follower.block()]
            assert 0 == node.server._app._in_flask
        assert 200 == node.ask("GET", "/version").status


def test_a_head_request_opens_no_stream(node: Node) -> None:
    answers = [node.ask("HEAD", "/events?poll=mood") for _ in range(4)]  # more than the limit of streams
    assert [(200, "text/event-stream", b"")] * 4 == [(a.status, a.headers["content-type"], a.body) for a in answers]
    assert "content-length" not in answers[0].headers
    wait_for("nothing of them is left", lambda: not len(node.api.events))


def test_a_stream_that_is_closed_twice_leaves_the_other_streams_of_its_poll(node: Node) -> None:
    async def scenario() -> bytes | None:
        one, other = node.api.events.open(["mood"]), node.api.events.open(["mood"])
        assert [RECONNECT, b"id: "] == [await other.next(), (await other.next() or b"")[:4]]
        one.close()
        one.close()
        await node.api.submitter.cast([Vote("happy", "a")], timeout_s=60)
        return await other.next()

    assert b'"happy":1' in (node.run(scenario()) or b"")
    assert {"mood"} == set(node.api.events._options)


def test_a_stream_that_ends_touches_only_its_own_polls(node: Node) -> None:
    """When a node stops, a thousand streams may end, each with a hundred polls."""

    class Unseen:
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("another stream's polls were looked at")

    async def scenario() -> None:
        one, other = node.api.events.open(["mood"]), node.api.events.open(["other"])
        polls, other.polls = other.polls, Unseen()  # type: ignore[assignment]  # it must not be read
        one.close()
        other.polls = polls
        other.close()

    node.run(scenario())
    assert {} == node.api.events._options


def test_the_loop_rests_while_many_streams_are_given_the_same_event(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To wake nine hundred of them one after the other took the loop 20 ms, in which votes waited."""
    monkeypatch.setattr(followers, "STREAMS_AT_ONCE", 2)
    given_s: list[float] = []

    async def scenario() -> None:
        streams = events.Events(node.replica, node.api.reads.big, node.api.turns, streams_max=9)
        monkeypatch.setattr(Stream, "put", lambda *event: given_s.append(node.loop.time()))
        for _ in range(6):
            streams.open(["mood"])
        await until("all have it", lambda: len(given_s) == 6)
        streams.close()

    node.run(scenario())
    rests_s = [later - before for before, later in pairwise(given_s)]
    assert [False, True, False, True, False] == [rest_s > followers.REST_S / 2 for rest_s in rests_s]


def test_a_big_event_is_sent_whole_and_without_a_copy(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[bytes]] = []

    def noted(cycle: Any, parts: list[bytes]) -> bool:
        sent.append(parts)
        return send_parts(cycle, parts)

    monkeypatch.setattr(asgi, "send_parts", noted)
    big = {"id": "big", "options": [f"{number:05}{'x' * 200}" for number in range(1_500)]}
    assert 201 == node.ask("POST", "/polls", big).status
    with following(node, "?poll=big") as one, following(node, "?poll=big") as other:
        for follower in (one, other):
            assert dict.fromkeys(big["options"], 0) == follower.next()["results"]
        sent.clear()
        node.vote(option=big["options"][7])
        for follower in (one, other):
            assert 1 == follower.until(**{big["options"][7]: 1})["total"]
    first, second = (parts[-1] for parts in sent)
    assert first is second
