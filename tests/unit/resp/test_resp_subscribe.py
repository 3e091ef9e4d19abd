"""SUBSCRIBE: the messages, who gets them, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import CreatePoll
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.submitter import Submitter
from quorate.doors.event import Event
from quorate.doors.events import Events
from quorate.resp import subscribing
from quorate.resp.door import Door
from quorate.resp.subscribing import TallySubscription
from quorate.security.caller import Caller
from quorate.turns import Turns
from tests.support.http_node import MOOD
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.support.resp_client import Client, Error, command, xadd
from tests.support.resp_node import RespNode, running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for


def tally_in(message: list[Any]) -> dict[str, int]:
    kind, channel, document = message
    told = json.loads(document)
    assert ("message", f"poll:{told['id']}") == (kind, channel)
    results: dict[str, int] = told["results"]
    return results


def subscribed(client: Client, *polls: str, protocol: int = 3) -> list[dict[str, int]]:
    """Their present tallies."""
    client.ask("HELLO", protocol)
    first = client.ask("SUBSCRIBE", *(f"poll:{poll}" for poll in polls))
    told = [first, *client.replies(len(polls) - 1)]
    assert [["subscribe", f"poll:{poll}", number] for number, poll in enumerate(polls, 1)] == told
    return [tally_in(client.reply()) for _ in polls]


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_tally_is_told_at_once_and_as_it_changes(protocol: int) -> None:
    with running() as node, node.connect() as client:
        node.create()
        assert [{"happy": 0, "sad": 0}] == subscribed(client, "mood", protocol=protocol)
        assert ("push" if protocol == 3 else "array") == client.kind
        node.http.vote(option="happy", id="a")
        assert {"happy": 1, "sad": 0} == tally_in(client.reply())


def test_one_of_several_polls_is_left() -> None:
    with running() as node, node.connect() as client:
        node.create("mood", ["happy", "sad"])
        node.create("food", ["soup", "salad"])
        subscribed(client, "mood", "food")
        assert ["unsubscribe", "poll:mood", 1] == client.ask("UNSUBSCRIBE", "poll:mood")
        assert {"soup": 0, "salad": 0} == tally_in(client.reply()), "what is followed now begins anew"
        node.http.vote(option="happy")
        node.http.vote(option="soup")
        assert {"soup": 1, "salad": 0} == tally_in(client.reply())
        assert ["unsubscribe", "poll:food", 0] == client.ask("UNSUBSCRIBE")
        assert ["unsubscribe", None, 0] == client.ask("UNSUBSCRIBE")
        wait_for("its stream has ended", lambda: not len(node.http.api.events))


def test_what_is_no_poll_is_refused_and_what_was_followed_goes_on() -> None:
    with running() as node, node.connect() as client:
        node.create()
        subscribed(client, "mood")
        assert "NOPOLL" == client.ask("SUBSCRIBE", "poll:nothing").code
        assert "there is no channel 'news'" in client.ask("SUBSCRIBE", "news").text
        node.http.vote(option="sad")
        assert {"happy": 0, "sad": 1} == tally_in(client.reply())


def test_in_resp2_only_some_commands_may_follow() -> None:
    with running() as node, node.connect() as client:
        node.create()
        subscribed(client, "mood", protocol=2)
        for refused in (command("HGETALL", "poll:mood"), xadd(1), command("MULTI")):
            client.send(refused)
            answer = client.reply()
            assert isinstance(answer, Error), answer
            assert "only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT / RESET" in answer.text
        assert ["pong", ""] == client.ask("PING")
        assert ["pong", "still here"] == client.ask("PING", "still here")
        assert "RESET" == client.ask("RESET")
        assert ["happy", "0", "sad", "0"] == client.ask("HGETALL", "poll:mood")


def test_in_resp3_any_command_may_follow() -> None:
    with running() as node, node.connect() as client:
        node.create()
        subscribed(client, "mood")
        assert {"happy": "0", "sad": "0"} == client.ask("HGETALL", "poll:mood")
        assert "HELLO comes before SUBSCRIBE" in client.ask("HELLO", 2).text


def test_a_deletion_is_told() -> None:
    with running() as node, node.connect() as client:
        node.http.call(node.http.replica.state.raise_level, entry.encode_raise(1))
        node.create(state="draft")
        subscribed(client, "mood")
        assert 200 == node.http.ask("DELETE", "/polls/mood").status
        _, _, document = client.reply()
        assert {"id", "creation", "version"} == set(json.loads(document))


def test_a_client_that_leaves_leaves_no_stream() -> None:
    with running() as node:
        node.create()
        with node.connect() as client:
            subscribed(client, "mood")
            assert 1 == len(node.http.api.events)
        wait_for("its stream has ended", lambda: not len(node.http.api.events))


def test_streams_have_the_bound_of_http() -> None:
    with running(streams=1) as node, node.connect() as first, node.connect() as second:
        node.create()
        subscribed(first, "mood")
        assert "LOADING" == second.ask("SUBSCRIBE", "poll:mood").code


def test_a_slow_client_gets_the_newest_tally_and_few_others() -> None:
    with running() as node:
        node.create(options=[f"option {number:03} {'x' * 200}" for number in range(300)])  # 60 KB a message
        with node.connect() as client:
            subscribed(client, "mood")
            for number in range(60):
                node.http.vote(poll="mood", option=f"option {number:03} {'x' * 200}")
            seen = [sum(tally_in(client.reply()).values())]
            while seen[-1] < 60:
                seen.append(sum(tally_in(client.reply()).values()))
        assert seen == sorted(seen)


def test_a_revoked_token_ends_the_messages(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.toml")
    with running(access=partial(access_by, file)) as node, node.connect() as client:
        polls = node.http.ask("POST", "/polls", MOOD, bearer("manage"))
        assert 201 == polls.status
        assert "NOAUTH" == client.ask("SUBSCRIBE", "poll:mood").code
        assert "OK" == client.ask("AUTH", "read")
        assert ["subscribe", "poll:mood", 1] == client.ask("SUBSCRIBE", "poll:mood")
        client.reply()
        node.http.call(node.http.api.events.end, lambda caller: False)
        assert client.is_closed()


def test_a_token_for_other_polls_may_not_follow(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.toml", {"ann": "read", "manage": "manage"}, {"ann": ["food"]})
    with running(access=partial(access_by, file)) as node, node.connect() as client:
        node.http.ask("POST", "/polls", MOOD, bearer("manage"))
        client.ask("AUTH", "ann")
        assert "NOPERM" == client.ask("SUBSCRIBE", "poll:mood").code


def test_a_node_that_stops_ends_the_messages() -> None:
    with running() as node, node.connect() as client:
        node.create()
        subscribed(client, "mood")
        stop(node)
        assert client.is_closed()


def stop(node: RespNode) -> None:
    node.http.run(node.server.stop(0.2))


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_change_is_a_message_once_for_all_subscribers(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def noted(event: Event, protocol: int) -> bytes:
        made.append(protocol)
        return message(event, protocol)

    message = subscribing._message
    with running() as node, contextlib.ExitStack() as clients:
        node.create()
        subscribers = [clients.enter_context(node.connect()) for _ in range(4)]
        for client in subscribers:
            subscribed(client, "mood", protocol=protocol)
        monkeypatch.setattr(subscribing, "_message", noted)
        node.http.vote(option="happy", id="a")
        assert [{"happy": 1, "sad": 0}] * 4 == [tally_in(client.reply()) for client in subscribers]
    assert [protocol] == made


def test_an_event_is_framed_once_for_all_clients_of_a_door() -> None:
    framed = []

    def frame(event: Event) -> bytes:
        framed.append(event.kind)
        return event.document

    event = Event("results", "mood", {"id": "mood"}, 1)
    assert [b'{"id":"mood"}'] * 3 == [event.framed(frame) for _ in range(3)]
    assert ["results"] == framed


def test_long_messages_are_written_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty subscribers had three megabytes each written in one turn of the loop, which took it 50 ms."""
    with running(streams=10) as node, contextlib.ExitStack() as clients:
        node.create(options=[f"option {number:05}" for number in range(2_000)])
        subscribers = [clients.enter_context(node.connect()) for _ in range(10)]
        for client in subscribers:
            subscribed(client, "mood")
        written = node.turns_of_writes(monkeypatch)
        node.http.vote(poll="mood", option="option 00000")
        for client in subscribers:
            assert 1 == sum(tally_in(client.reply()).values())
    assert 10 == len(written)
    assert max(Counter(written).values()) <= 2


@pytest.mark.parametrize("waits_for", ["the client", "room"])
@in_virtual_time
async def test_a_message_that_waits_is_looked_at_more_and_more_seldom(waits_for: str) -> None:
    """Three hundred subscribers that read nothing had the loop look at them 15,000 times a second."""
    replica, looks = LocalReplica("n1"), [0]
    await Submitter(replica).create_poll(
        CreatePoll("mood", "", ["x" * 100 + str(n) for n in range(300)], "open", None, False), timeout_s=5
    )
    is_free = False

    def may_send() -> bool:
        looks[0] += waits_for == "the client"
        return is_free or waits_for == "room"

    def take(size: int, now_s: float) -> bool:
        looks[0] += waits_for == "room"
        return is_free

    written = list[bytes]()
    reads, turns = Reads(replica), Turns()
    events = Events(replica, reads.big, turns)
    door = SimpleNamespace(reads=reads, events=events, turns=turns, unsent=SimpleNamespace(take=take))
    subscription = TallySubscription(cast(Door, door), may_send, written.append, lambda: None)
    await subscription.add(Caller("", "operate"), [b"SUBSCRIBE", b"poll:mood"], 3)
    await asyncio.sleep(10)
    assert 10 < looks[0] < 70
    assert [] == written
    is_free = True
    await asyncio.sleep(1)
    assert 1 == len(written)
    subscription.close()
    events.close()
