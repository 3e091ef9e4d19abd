"""Where votes go: what is sent follows the time that it takes, and what only a person can mend is told at the start."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
import pytest

from quorate.client.http import JsonClient
from quorate.errors import Forbidden, Invalid
from quorate.ingest.nsq.publisher import NoNsqd, Publisher
from quorate.ingest.social.outlets import FIRST_VOTES, VOTES_MAX, ClusterOutlet, NsqOutlet
from quorate.vote import OPTION_BYTES_MAX, REQUEST_BYTES_MAX, Tallied, Vote
from tests.support.http_node import MOOD, running
from tests.support.tokens import access_by, write_tokens


class TimedClient:
    """Each vote takes so long. No time passes."""

    def __init__(self) -> None:
        self.now_s, self.vote_s = 0.0, 0.0
        self.sizes: list[int] = []

    def clock(self) -> float:
        return self.now_s

    def cast(self, votes: Sequence[Vote]) -> Tallied:
        self.sizes.append(len(votes))
        self.now_s += self.vote_s * len(votes)
        return Tallied(len(votes), 0, [], 1)


def test_requests_grow_while_they_are_quick_and_shrink_when_they_are_slow() -> None:
    client = TimedClient()
    outlet = ClusterOutlet(cast(JsonClient, client), client.clock)
    votes = [Vote("happy", str(number)) for number in range(10_000)]
    for _ in range(6):
        outlet.send(votes)
    assert [500, 1_000, 2_000, 4_000, 4_000, 4_000] == client.sizes
    client.vote_s = 0.001
    for _ in range(5):
        outlet.send(votes)
    assert [4_000, 2_000, 1_000, 1_000, 1_000] == client.sizes[6:]


class TimedPublisher:
    """The same, for NSQ."""

    single = 0

    def __init__(self) -> None:
        self.now_s, self.vote_s = 0.0, 0.0

    def clock(self) -> float:
        return self.now_s

    def publish(self, bodies: list[bytes]) -> None:
        self.now_s += self.vote_s * len(bodies)


def test_votes_for_a_slow_nsqd_are_confirmed_a_few_at_a_time() -> None:
    """One that syncs each message takes twenty seconds for 4,000. Meanwhile nothing would be confirmed, or written."""
    publisher = TimedPublisher()
    outlet = NsqOutlet("votes", lambda: cast(Publisher, publisher), clock=publisher.clock)
    votes = [Vote("happy", str(number)) for number in range(10_000)]
    assert [500, 1_000, 2_000, 4_000] == [outlet.send(votes)[0] for _ in range(4)]
    publisher.vote_s = 0.005
    assert [4_000, 2_000, 1_000, 500, 250, 125] == [outlet.send(votes)[0] for _ in range(6)]


def test_few_votes_say_nothing_of_the_speed() -> None:
    client = TimedClient()
    outlet = ClusterOutlet(cast(JsonClient, client), client.clock)
    outlet.send([Vote("happy", "1")])
    outlet.send([Vote("happy", str(number)) for number in range(10_000)])
    assert [1, FIRST_VOTES] == client.sizes


def test_the_longest_texts_fit_in_a_request() -> None:
    vote = Vote('"' * OPTION_BYTES_MAX, f"wikimedia-{'0' * 32}", '"' * 128, first_only=True)
    assert VOTES_MAX * len(msgspec.json.encode(vote)) + VOTES_MAX < REQUEST_BYTES_MAX


def test_a_token_that_may_not_vote_is_told_before_there_are_votes(tmp_path: Path) -> None:
    with running(access=partial(access_by, write_tokens(tmp_path / "tokens.toml"))) as node:
        node.ask("POST", "/polls", MOOD, {"Authorization": "Bearer manage"})
        urls = [f"http://127.0.0.1:{node.port}"]
        ClusterOutlet(JsonClient(urls, token="vote")).check()
        with pytest.raises(Forbidden):
            ClusterOutlet(JsonClient(urls, token="read")).check()


def test_two_copies_need_two_nsqds_and_that_they_are_up_is_not_asked() -> None:
    NsqOutlet("votes", lambda: Publisher(["127.0.0.1:1", "127.0.0.1:2"], "votes", both=True)).check()
    with pytest.raises(Invalid, match="needs the addresses of two"):
        NsqOutlet("votes", lambda: Publisher(["127.0.0.1:1"], "votes", both=True)).check()


def test_an_nsqlookupd_that_knows_none_yet_is_waited_for() -> None:
    def none_yet() -> Publisher:
        raise NoNsqd("none has registered")

    outlet = NsqOutlet("votes", none_yet)
    outlet.check()
    with pytest.raises(NoNsqd):
        outlet.send([Vote("happy", "1")])
