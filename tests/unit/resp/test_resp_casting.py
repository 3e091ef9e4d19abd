"""Votes of many connections that are cast together: each is told its own outcome."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.submit.vote_columns import DecidedColumns, VoteColumns
from quorate.doors.casting import MANY
from quorate.errors import OutcomeUnknown
from tests.support.http_node import MOOD
from tests.support.resp_client import command, xadd
from tests.support.resp_node import running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.unit.submit.test_early_answers import logged

CLIENTS = 150  # more than go together


def test_votes_of_many_clients_are_few_requests_and_each_is_told_its_own_outcome() -> None:
    with running() as node, ExitStack() as stack:
        node.create()
        clients = [stack.enter_context(node.connect()) for _ in range(CLIENTS)]
        kinds = ("happy", "nothing", "sad")
        with_bad = [xadd(number, kinds[number % 3]) for number in range(CLIENTS)]
        pairs = zip(clients, with_bad, strict=True)
        node.http.call(lambda: [client.sock.send(vote) for client, vote in pairs])  # so one turn reads all
        replies = [client.reply() for client in clients]
        for number, reply in enumerate(replies):
            assert ("NOOPTION" if number % 3 == 1 else "0") == (
                reply.code if number % 3 == 1 else reply.partition("-")[2]
            ), number
        assert {"PONG"} == {client.ask("PING") for client in clients}, "each was answered once"
        assert {"happy": 50, "sad": 50} == node.tally()
        assert {"applied": 100, "duplicate": 0, "unknown_option": 50} == node.door.counts.votes


def test_clients_that_send_together_are_one_request_to_the_submitter() -> None:
    """All are read in one turn, because the loop is held while they send."""
    with running() as node, ExitStack() as stack:
        node.create()
        clients = [stack.enter_context(node.connect()) for _ in range(20)]
        [client.ask("PING") for client in clients]
        before = sum(node.http.api.submitter.batch_requests.buckets)

        def send_all() -> None:
            for number, client in enumerate(clients):
                client.send(xadd(number))

        node.http.call(send_all)
        versions = {client.reply().partition("-")[0] for client in clients}
        assert 1 == len(versions)
        requests = node.http.api.submitter.batch_requests
        assert 1 == sum(requests.buckets) - before
        assert {"happy": 20, "sad": 0} == node.tally()


def test_tokens_of_different_shares_go_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = {"a": "share = 1", "b": "share = 2"}
    file = write_tokens(tmp_path / "tokens.toml", {"a": "vote", "b": "vote", "manage": "manage"}, bounds=bounds)
    with running(access=partial(access_by, file)) as node, node.connect() as one, node.connect() as other:
        node.http.ask("POST", "/polls", MOOD, bearer("manage"))
        for client, token in ((one, "a"), (other, "b")):
            assert "OK" == client.ask("AUTH", token)
        cast, shares = node.door.submitter.cast_columns, []

        def noted(
            votes: VoteColumns, *, timeout_s: float, share: int, clients: int
        ) -> Coroutine[Any, Any, DecidedColumns]:
            shares.append((len(votes), share, clients))
            return cast(votes, timeout_s=timeout_s, share=share, clients=clients)

        monkeypatch.setattr(node.door.submitter, "cast_columns", noted)
        node.http.call(lambda: [client.sock.send(xadd(number)) for number, client in enumerate((one, other))])
        assert ["0", "0"] == [client.reply().partition("-")[2] for client in (one, other)]
        assert [(1, 1, 1), (1, 2, 1)] == sorted(shares)
        assert {"happy": 2, "sad": 0} == node.tally()


def test_an_outcome_that_is_not_known_closes_each_connection_without_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lost(votes: VoteColumns, **_: object) -> DecidedColumns:
        raise OutcomeUnknown("leadership was lost")

    with running() as node, ExitStack() as stack:
        node.create()
        clients = [stack.enter_context(node.connect()) for _ in range(5)]
        monkeypatch.setattr(node.door.submitter, "cast_columns", lost)
        for number, client in enumerate(clients):
            client.send(command("ECHO", "first") + xadd(number) + command("PING"))
        assert [b"$5\r\nfirst\r\n"] * 5 == [client.rest() for client in clients]
        assert 5 == node.door.counts.unknown_outcomes


@pytest.mark.parametrize("votes", [1, 20, MANY, 150])
def test_votes_that_are_refused_at_once_are_answered(votes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as node, node.connect() as client:
        node.create()
        monkeypatch.setattr(node.door.submitter._queue, "_waiting_bytes_max", 0)
        client.send(b"".join(xadd(number) for number in range(votes)) + command("PING"))
        *told, pong = client.replies(votes + 1)
        assert ["TRYAGAIN"] * votes == [reply.code for reply in told]
        assert "PONG" == pong


def test_a_pipeline_of_votes_for_what_no_poll_has_is_one_vote_in_the_log() -> None:
    """All of them were in the log of each node, for nothing. What comes in another piece may be too few for that."""
    with running() as node, node.connect() as client:
        node.create()
        before = len(node.http.replica.proposed)
        client.send(b"".join(xadd(number, option=f"strange {number}") for number in range(300)))
        assert {"NOOPTION"} == {reply.code for reply in client.replies(300)}
        assert logged(node.http.replica, before) <= MANY
