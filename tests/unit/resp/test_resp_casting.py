"""Votes of many connections that are cast together: each is told its own outcome."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.support.http_node import MOOD
from tests.support.resp_client import xadd
from tests.support.resp_node import running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for

CLIENTS = 150  # more than go together


def test_votes_of_many_clients_are_few_requests_and_each_is_told_its_own_outcome() -> None:
    with running() as node, ExitStack() as stack:
        node.create()
        clients = [stack.enter_context(node.connect()) for _ in range(CLIENTS)]
        kinds = ("happy", "nothing", "sad")
        with_bad = [xadd(number, kinds[number % 3]) for number in range(CLIENTS)]
        for client, vote in zip(clients, with_bad, strict=True):
            client.send(vote)
        replies = [client.reply() for client in clients]
        for number, reply in enumerate(replies):
            assert ("NOOPTION" if number % 3 == 1 else "0") == (
                reply.code if number % 3 == 1 else reply.partition("-")[2]
            ), number
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


def test_tokens_of_different_shares_go_apart(tmp_path: Path) -> None:
    bounds = {"a": "share = 1", "b": "share = 2"}
    file = write_tokens(tmp_path / "tokens.toml", {"a": "vote", "b": "vote", "manage": "manage"}, bounds=bounds)
    with running(access=partial(access_by, file)) as node, node.connect() as one, node.connect() as other:
        node.http.ask("POST", "/polls", MOOD, bearer("manage"))
        for client, token in ((one, "a"), (other, "b")):
            assert "OK" == client.ask("AUTH", token)
        node.http.call(one.send, xadd(1))
        other.send(xadd(2))
        assert ["0", "0"] == [client.reply().partition("-")[2] for client in (one, other)]
        assert {"happy": 2, "sad": 0} == node.tally()


def test_an_outcome_that_is_not_known_closes_each_connection_without_an_answer() -> None:
    with running() as node, ExitStack() as stack:
        node.create()
        clients = [stack.enter_context(node.connect()) for _ in range(5)]
        node.http.replica.held = []
        node.http.call(lambda: [client.sock.send(xadd(number)) for number, client in enumerate(clients)])
        wait_for("they are proposed", lambda: node.http.replica.held)
        node.http.call(node.http.replica.lead, "n2")
        assert all(client.is_closed() for client in clients)
        assert 5 == node.door.counts.unknown_outcomes
