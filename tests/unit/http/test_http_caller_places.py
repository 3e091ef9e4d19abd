"""No caller takes all places from the others: however many addresses it has, and without a token as well."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from quorate.doors.caller_places import CallerPlaces
from quorate.doors.limits import Limits
from quorate.errors import NoLeader, Overloaded
from quorate.http import big_votes
from quorate.http.big_votes import SMALL_BYTES, BigVotes, Cast
from quorate.http.parse_pool import BIG_BYTES
from quorate.http.reply import Reply
from quorate.security.caller import Caller
from quorate.security.roles import Role, RouteRole
from quorate.security.tokens import Token
from tests.support.http_node import Node, running
from tests.support.local_replica import LocalReplica
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for

ROLES = {"ann": "read", "bob": "read", "boss": "operate"}
POLL = {"id": "mood", "title": "mood", "options": ["happy", "sad"], "state": "open"}


def holder(name: str, role: Role = "read") -> Caller:
    return Caller("203.0.113.1", role, Token(name, role, name.encode()))


def nobody(role: RouteRole, *, is_stranger: bool = True) -> Caller:
    return Caller("203.0.113.1", role, is_stranger=is_stranger)


def fill(places: CallerPlaces, caller: Caller) -> int:
    """How many places it gets."""
    for number in range(100):
        try:
            places.take(caller)
        except Overloaded:
            return number
    raise AssertionError("there are places without end")


def test_the_last_places_are_kept_for_others() -> None:
    places = CallerPlaces(16, "doors")
    assert [12, 2, 2] == [fill(places, caller) for caller in (holder("ann"), holder("bob"), holder("boss", "operate"))]
    for _ in range(12):
        places.give_back(holder("ann"))
    assert 8 == fill(places, holder("bob")), "of the eighth that it may have anew, it holds two already"


@pytest.mark.parametrize(
    ("caller", "most"),
    [
        (nobody("public"), 8),
        (nobody("vote"), 12),
        (nobody("vote", is_stranger=False), 16),  # nobody could have a token there
        (nobody("operate"), 16),
        (nobody("operate", is_stranger=False), 16),
    ],
)
def test_callers_without_a_token_leave_places_to_those_with_one(caller: Caller, most: int) -> None:
    assert most == fill(CallerPlaces(16, "doors"), caller)


# ---- at a node ------------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    path = write_tokens(tmp_path / "tokens.toml", ROLES)
    limits = Limits(threads=2, waiting=6)
    with running(access=partial(access_by, path), streams=8, limits=limits) as node:
        assert 201 == node.ask("POST", "/polls", POLL, bearer("boss")).status
        yield node


class Crowd:
    """Requests that are sent, each on a connection of its own, and not waited for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._connections: list[http.client.HTTPConnection] = []

    def send(self, path: str, token: str | None) -> http.client.HTTPConnection:
        connection = self._node.connect()
        self._connections.append(connection)
        connection.request("GET", path, headers=bearer(token) if token else {})
        return connection

    def close(self) -> None:
        for each in self._connections:
            each.close()


@pytest.fixture
def crowd(node: Node) -> Iterator[Crowd]:
    with contextlib.closing(Crowd(node)) as crowd:
        yield crowd


def test_strangers_keep_no_operator_from_flask(node: Node, crowd: Crowd) -> None:
    """`/openapi.json` needs no token, and each answer takes one of Flask's places."""
    assert 200 == node.ask("GET", "/openapi.json").status
    go_on, holds = threading.Event(), threading.Event()

    def hold() -> None:
        with node.api.thread_turns.work():
            holds.set()
            go_on.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(20)
    try:
        asked = [crowd.send("/openapi.json", None) for _ in range(4)]
        wait_for("four of them wait", lambda: node.server._app._in_flask == 4)
        refused = node.ask("GET", "/openapi.json")
        assert (429, True) == (refused.status, "callers with a token" in refused.json["detail"])
        by_operator = crowd.send("/producers", "boss")
        wait_for("the operator's waits, too", lambda: node.server._app._in_flask == 5)
    finally:
        go_on.set()
        holder.join()
    assert 200 == by_operator.getresponse().status
    assert [200] * 4 == [each.getresponse().status for each in asked]


@pytest.mark.parametrize("path", ["/digest?version=99&wait=20s", "/polls/mood/results?min_version=99&wait=20s"])
def test_one_token_leaves_places_of_those_who_wait(node: Node, crowd: Crowd, path: str) -> None:
    small = replace(node.api.places, waits=CallerPlaces(8, "waits"), digests=CallerPlaces(8, "digests"))
    object.__setattr__(node.api, "places", small)
    places = small.digests if "digest" in path else small.waits
    for _ in range(6):
        crowd.send(path, "ann")
    wait_for("six wait", lambda: places._taken == 6)
    refused = node.ask("GET", path, headers=bearer("ann"))
    assert (429, True) == (refused.status, "the token ann holds 6 of 8" in refused.json["detail"])
    soon = path.replace("20s", "1ms")
    assert [503, 503] == [node.ask("GET", soon, headers=bearer(token)).status for token in ("bob", "boss")]
    crowd.close()
    wait_for("those who left hold nothing", lambda: places._taken == 0)


def test_one_token_leaves_places_of_reads_that_ask_the_leader(node: Node, crowd: Crowd) -> None:
    """So many calls of one kind are made to a peer at once: one token's reads refused those of all others."""
    object.__setattr__(node.api, "places", replace(node.api.places, at_leader=CallerPlaces(8, "reads")))
    asked, go_on = list[bytes](), node.call(asyncio.Event)

    async def never(peer: str, request: bytes) -> bytes:
        asked.append(request)
        await go_on.wait()
        raise NoLeader("it went away")

    leader = LocalReplica("n2")
    node.call(leader.handlers.__setitem__, "read", never)
    node.call(node.replica.peers.__setitem__, "n2", leader)
    node.call(setattr, node.replica, "leader", "n2")
    try:
        for _ in range(6):
            crowd.send("/polls/mood/results", "ann")
        wait_for("six ask", lambda: len(asked) == 6)
        refused = node.ask("GET", "/polls/mood", headers=bearer("ann"))
        assert (429, True) == (refused.status, "the token ann holds 6 of 8" in refused.json["detail"])
        assert 200 == node.ask("GET", "/polls/mood/results?level=none", headers=bearer("ann")).status
        crowd.send("/polls/mood", "bob")
        wait_for("another one asks, too", lambda: len(asked) == 7)
    finally:
        node.call(go_on.set)


def test_one_token_leaves_event_streams_to_others(node: Node, crowd: Crowd) -> None:
    statuses = [crowd.send("/events", "ann").getresponse().status for _ in range(7)]
    assert [200] * 6 + [429] == statuses
    assert [200, 200] == [crowd.send("/events", token).getresponse().status for token in ("bob", "boss")]
    assert 503 == crowd.send("/events", "boss").getresponse().status
    crowd.close()
    wait_for("all have ended", lambda: len(node.api.events) == 0)
    assert 0 == node.api.events.places._taken


def test_a_stream_that_waits_for_a_version_holds_a_place(node: Node, crowd: Crowd) -> None:
    connection = node.connect()
    headers = {**bearer("ann"), "Last-Event-ID": "99", "Accept": "text/event-stream"}
    with contextlib.closing(connection):
        connection.request("GET", "/events", headers=headers)
        wait_for("it waits", lambda: node.api.places.waits._taken == 1)
        assert 200 == connection.getresponse().status
        wait_for("it waits on", lambda: node.api.places.waits._taken == 1)
    wait_for("it holds nothing", lambda: node.api.places.waits._taken == 0)


def answer_of(size: int) -> Cast:
    async def cast() -> Reply:
        return Reply(200, bytes(size))

    return cast


async def waits(lane: BigVotes, size: int, who: str) -> bool:
    """Whether a request of this size has to wait for the rest after the one before it."""
    try:
        await lane.cast(answer_of(10), size, 0.05, who)
    except Overloaded:
        return True
    return False


def test_who_has_many_votes_refused_sends_all_but_small_requests_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """280 votes for what does not exist fit into a body that is not big, and many of them kept all others waiting."""
    monkeypatch.setattr(big_votes, "REST_AFTER_REFUSED", 1e9)  # then the bound holds

    async def main() -> list[bool]:
        lane = BigVotes()
        before = await waits(lane, 60_000, "eve")
        await lane.cast(answer_of(20_000), 60_000, 1.0, "eve")  # now it is known
        await lane.cast(answer_of(20_000), 60_000, 1.0, "eve")
        return [before, await waits(lane, 60_000, "eve"), await waits(lane, 60_000, "ann")]

    assert [False, True, False] == asyncio.run(main())


def test_nobody_is_watched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(big_votes, "REST_AFTER_REFUSED", 1e9)
    monkeypatch.setattr(big_votes, "WATCHED_S", 0.0)
    monkeypatch.setattr(big_votes, "WATCHED_MAX", 2)

    async def main() -> tuple[bool, int]:
        lane = BigVotes()
        for who in ("eve", "eve", "bob", "cid"):
            await lane.cast(answer_of(20_000), 60_000, 1.0, who)
        return await waits(lane, 60_000, "cid"), len(lane._watched)

    assert (False, 1) == asyncio.run(main())


def test_a_crowd_of_big_requests_waits_for_itself() -> None:
    """Requests with very many votes are counted one at a time: those of one token kept all others waiting."""

    async def main() -> list[str]:
        lane, order = BigVotes(), list[str]()

        async def cast(who: str) -> Reply:
            order.append(who)
            await asyncio.sleep(0)
            return Reply(200, b"")

        asked = [lane.cast(partial(cast, who), BIG_BYTES, 10.0, who) for who in ("ann",) * 6 + ("bob",)]
        await asyncio.gather(*asked)
        return order

    assert ["ann", "ann", "bob"] == asyncio.run(main())[:3]


def test_of_requests_with_many_votes_one_begins_in_a_turn_of_the_loop() -> None:
    """A hundred that came at once kept the loop from all small ones until each was in its batch."""

    async def main() -> str:
        lane, order = BigVotes(), list[str]()

        async def cast(who: str) -> Reply:
            order.append(who)
            return Reply(200, b"")

        async def note_turns() -> None:
            for _ in range(20):
                await asyncio.sleep(0)
                order.append("-")

        asked = [lane.cast(partial(cast, who), SMALL_BYTES + 1, 10.0, who) for who in "aaab"]
        await asyncio.gather(*asked, note_turns())
        return "".join(order)

    assert re.fullmatch("-*a-+a-+b-+a-+", asyncio.run(main()))
