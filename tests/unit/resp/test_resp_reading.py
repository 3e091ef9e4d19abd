"""What reads answer of a poll, of a poll that is not there, and of a key that can be none."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from quorate.cluster.fsm import StateMachine
from quorate.cluster.read.shared_results import ResultsForm
from quorate.resp import reading
from quorate.resp.parsing import ARGUMENTS_MAX, TOO_MANY
from tests.support.resp_client import Closed, command, xadd
from tests.support.resp_node import running

NAMES = ("HGETALL", "HGET", "HMGET", "HEXISTS", "HLEN", "HKEYS", "HVALS", "XLEN", "EXISTS", "TYPE")
EMPTY = [[], None, [None, None], 0, 0, [], [], 0, 0, "none"]


def test_reads_tell_of_a_poll_what_is_there_and_of_anything_else_nothing() -> None:
    more = {"HGET": ("happy",), "HMGET": ("sad", "angry"), "HEXISTS": ("happy",)}
    with running() as node, node.connect() as client:
        node.create()
        client.send(xadd(1))
        client.reply()
        answers = {
            key: [client.ask(name, key, *more.get(name, ())) for name in NAMES]
            for key in ("poll:mood", "linearizable:poll:mood", "poll:nothing", "votes", "anything")
        }
    tally = [["happy", "1", "sad", "0"], "1", ["0", None], 1, 2, ["happy", "sad"], ["1", "0"], 1, 1, "hash"]
    assert [tally, tally, EMPTY, EMPTY, EMPTY] == list(answers.values())


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_poll_is_encoded_once_a_change_and_not_once_a_reader(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    form = f"PAIRS_{protocol}"
    head, pairs, *_ = getattr(reading, form)

    def noted(names: Sequence[str], votes: Sequence[int]) -> bytes:
        encoded.append(sum(votes))
        return bytes(pairs(names, votes))

    monkeypatch.setattr(reading, form, ResultsForm(head, noted))
    with running() as node, contextlib.ExitStack() as clients:
        node.create()
        readers = [clients.enter_context(node.connect()) for _ in range(3)]
        for votes in (0, 1):
            for client in readers:
                client.ask("HELLO", protocol)
                assert str(votes) in str(client.ask("HGETALL", "poll:mood"))
            node.http.vote(option="happy")
    assert [0, 1] == encoded


def test_one_option_is_read_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateMachine, "results", None)
    with running() as node, node.connect() as client:
        node.create()
        assert ["0", ["0", None], 1] == [
            client.ask("HGET", "poll:mood", "sad"),
            client.ask("HMGET", "poll:mood", "happy", "angry"),
            client.ask("HEXISTS", "poll:mood", "sad"),
        ]


def test_many_keys_are_counted_each_time_that_they_stand_there() -> None:
    """As in Redis, and each at the newest level that one of them asks for."""
    with running() as node, node.connect() as client:
        node.create()
        node.create("lunch")
        keys = ("poll:mood", "poll:mood", "linearizable:poll:lunch", "poll:nothing", "votes")
        assert 3 == client.ask("EXISTS", *keys)
        assert [0, 0] == [client.ask("EXISTS", "votes"), client.ask("EXISTS", "poll:nothing")]


@pytest.mark.parametrize("words", [("EXISTS",), ("HMGET", "poll:mood")])
def test_a_command_of_very_many_words_is_refused_before_they_are_read(words: tuple[str, ...]) -> None:
    """Sixty clients that asked again and again whether there are 9,000 polls made a cluster elect five times."""
    with running() as node, node.connect() as client:
        node.create()
        keys = [f"poll:{number}" for number in range(ARGUMENTS_MAX)]
        answer = client.ask(*words, *keys[len(words) :])
        assert answer in (0, [None] * (ARGUMENTS_MAX - 2))
        client.send(command("PING") + command(*words, *keys))
        assert "PONG" == client.reply()
        assert f"ERR Protocol error: {TOO_MANY}" == client.reply().text
        assert {} == node.door.counts.failures
        with pytest.raises((Closed, ConnectionResetError)):
            client.ask("PING")


def test_texts_for_people_are_verbatim_strings_of_resp3() -> None:
    with running() as node, node.connect() as client:
        for protocol, kind, begins in ((2, "bulk", ""), (3, "verbatim", "txt:")):
            client.ask("HELLO", protocol)
            for words in ("INFO", "CLUSTER NODES", "CLUSTER INFO", "CLIENT INFO", "CLIENT LIST"):
                text = client.ask(*words.split())
                assert (kind, True) == (client.kind, text.startswith(begins)), words


def test_info_tells_all_that_redis_cli_shows_of_a_running_node() -> None:
    """`redis-cli --stat` shows a field that is missing as -9223372036854775808."""
    with running() as node, node.connect() as client:
        node.create("mood")
        node.create("food")
        told = dict(line.split(":", 1) for line in client.ask("INFO").splitlines() if ":" in line)
        assert "keys=2,expires=0,avg_ttl=0" == told["db0"]
        assert "0" == told["blocked_clients"]
        assert int(told["used_memory"]) > 1_000_000
        with node.connect() as other:
            again = dict(line.split(":", 1) for line in other.ask("INFO", "stats").splitlines() if ":" in line)
            assert int(told["total_connections_received"]) + 1 == int(again["total_connections_received"])
            assert "db0" not in again
