"""Commands that a client's retry would count twice: refused, or counted where the settings say so."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.http_node import MOOD
from tests.support.resp_node import running
from tests.support.tokens import access_by, bearer, write_tokens


def test_what_has_no_id_is_refused_with_the_reason() -> None:
    with running() as node, node.connect() as client:
        node.create()
        for words in (("HINCRBY", "poll:mood", "happy", 1), ("XADD", "poll:mood", "*", "option", "happy")):
            told = client.ask(*words)
            assert told.text.startswith("ERR clients send a command again by themselves, and this would count again")
        for incr in (("INCR", "poll:mood"), ("INCRBY", "poll:mood", "2")):
            assert "names no option" in client.ask(*incr).text
        assert {"happy": 0, "sad": 0} == node.tally()


def test_where_it_is_allowed_each_try_counts_and_tells_the_total() -> None:
    with running(allow_unkeyed=True) as node, node.connect() as client:
        node.create()
        assert [1, 3] == [client.ask("HINCRBY", "poll:mood", "happy", votes) for votes in (1, 2)]
        client.ask("XADD", "poll:mood", "*", "option", "happy")
        assert {"happy": 4, "sad": 0} == node.tally()
        assert 3 == node.door.counts.votes["applied"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("poll:mood", "angry", 1), "NOOPTION"),
        (("poll:food", "happy", 1), "NOPOLL"),
        (("votes", "happy", 1), "ERR"),
        (("poll:mood", "happy", 0), "ERR"),
        (("poll:mood", "happy", -1), "ERR"),
        (("poll:mood", "happy", "x"), "ERR"),
        (("poll:mood", "happy", 10**9), "ERR"),
    ],
)
def test_what_makes_no_sense_counts_nothing(words: tuple[str | int, ...], code: str) -> None:
    with running(allow_unkeyed=True) as node, node.connect() as client:
        node.create()
        assert code == client.ask("HINCRBY", *words).code
        assert {"happy": 0, "sad": 0} == node.tally()


def test_more_than_one_vote_needs_the_role_for_weights(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.toml")
    with running(allow_unkeyed=True, access=partial(access_by, file)) as node, node.connect() as client:
        node.http.ask("POST", "/polls", MOOD, bearer("manage"))
        client.ask("AUTH", "vote")
        assert "NOPERM" == client.ask("HINCRBY", "poll:mood", "happy", 2).code
        assert 1 == client.ask("HINCRBY", "poll:mood", "happy", 1)
