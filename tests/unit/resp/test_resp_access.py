"""Who may do what: tokens and their roles, polls, weights and rates, over connections that stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.doors.access import Access
from quorate.security.token_file import TokenFile
from tests.support.resp_client import Error, command, xadd
from tests.support.resp_node import RespNode, running
from tests.support.tokens import ONE_OF_EACH, access_by, write_tokens

ROLES = [None, "read", "vote", "manage", "operate"]
VOTE = "XADD poll:mood IDMP a {} * option happy"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RespNode]:
    file = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    roles = {**ONE_OF_EACH, "bound": "vote", "slow": "vote"}
    write_tokens(file, roles, {"bound": ["mood"]}, {"slow": "rate = 1\nburst = 10"})
    with running(access=lambda: access_by(file)) as node:
        headers = {"Authorization": "Bearer manage"}
        for poll in ("mood", "lunch"):
            made = {"id": poll, "title": "", "options": ["happy", "sad"], "state": "open"}
            assert 201 == node.http.ask("POST", "/polls", made, headers).status
        yield node


def code(reply: Any) -> str:
    return reply.code if isinstance(reply, Error) else "ok"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("PING", ["ok", "ok", "ok", "ok", "ok"]),
        ("HGETALL poll:mood", ["NOAUTH", "ok", "ok", "ok", "ok"]),
        ("KEYS *", ["NOAUTH", "ok", "ok", "ok", "ok"]),
        ("SCAN 0", ["NOAUTH", "ok", "ok", "ok", "ok"]),
        ("EXISTS poll:mood", ["NOAUTH", "ok", "ok", "ok", "ok"]),
        (VOTE, ["NOAUTH", "NOPERM", "ok", "ok", "ok"]),
        (f"{VOTE} weight 2", ["NOAUTH", "NOPERM", "NOPERM", "ok", "ok"]),
        ("XADD votes IDMP a {} * option happy", ["NOAUTH", "NOPERM", "ok", "ok", "ok"]),
    ],
)
@pytest.mark.parametrize("way", ["AUTH {}", "AUTH anybody {}", "HELLO 3 AUTH default {}"])
def test_a_role_may_what_it_may_by_http(node: RespNode, line: str, codes: list[str], way: str) -> None:
    found = []
    for number, role in enumerate(ROLES):
        with node.connect() as client:
            if role is not None:
                assert "ok" == code(client.ask(*way.format(role).split()))
            found.append(code(client.ask(*line.format(f"{line}{way}{number}".replace(" ", "")).split())))
    assert codes == found


def test_a_wrong_token_is_told_so_and_leaves_the_one_before(node: RespNode) -> None:
    with node.connect() as client:
        assert "WRONGPASS" == client.ask("AUTH", "nobody").code
        assert "NOAUTH" == client.ask("KEYS", "*").code
        assert "OK" == client.ask("AUTH", "read")
        assert "WRONGPASS" == client.ask("AUTH", "read ", "nobody").code
        assert "WRONGPASS" == client.ask("HELLO", 3, "AUTH", "a", "nobody").code
        assert "ERR" == client.ask("AUTH", "a", "b", "c").code
        assert 2 == len(client.ask("KEYS", "*"))
        assert "RESET" == client.ask("RESET")
        assert "NOAUTH" == client.ask("KEYS", "*").code


def test_a_bound_token_votes_and_reads_in_its_polls_alone(node: RespNode) -> None:
    with node.connect() as client:
        client.ask("AUTH", "bound")
        votes = xadd("b1") + xadd("b2", poll="lunch") + command("XADD", "votes", "IDMP", "a", "b", "*", "option", "sad")
        client.send(votes + command("KEYS", "*") + command("SCAN", 0) + command("DBSIZE"))
        own, others, all_polls, keys, (_, scanned), count = client.replies(6)
        assert ["ok", "NOPERM", "NOPERM"] == [code(reply) for reply in (own, others, all_polls)]
        assert (["poll:mood"], ["poll:mood"], 1) == (keys, scanned, count)
        for words in ("HGETALL poll:lunch", "HLEN poll:nowhere", "EXISTS poll:mood poll:lunch", "TYPE poll:lunch"):
            assert "NOPERM" == code(client.ask(*words.split())), words
    assert 0 == node.tally("lunch")["sad"]


def test_a_refused_vote_is_told_of_as_its_client_typed_it(node: RespNode) -> None:
    """It was called `vote 0`, and of a transaction, where others count, was told that nothing was counted."""
    with node.connect() as client:
        client.ask("AUTH", "bound")
        weighed = command("XADD", "poll:mood", "IDMP", "a", "w", "*", "option", "happy", "weight", 2)
        client.send(command("MULTI") + xadd("t1") + xadd("t2", poll="lunch") + weighed + command("EXEC"))
        *_, (counted, others, heavy) = client.replies(5)
    assert "ok" == code(counted)
    words = "NOPERM this XADD is for the poll 'lunch', and the token bound is bound to others; it was not counted"
    assert words == others.text
    assert "NOPERM this XADD has the weight 2, which needs the role manage; it was not counted" == heavy.text


def test_votes_beyond_the_rate_are_surely_not_counted(node: RespNode) -> None:
    """What comes together may go beyond the burst once, as a request of HTTP does."""
    with node.connect() as client:
        client.ask("AUTH", "slow")
        client.send(b"".join(xadd(f"s{number}", option="sad") for number in range(100)))
        client.replies(100)
        before = node.tally()["sad"]
        client.send(xadd("late", option="sad") + command("PING"))
        late, pong = client.replies(2)
        assert ("TRYAGAIN", "PONG") == (late.code, pong)
        assert before == node.tally()["sad"]


def test_a_token_that_is_revoked_ends_at_once(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.toml")
    tokens: list[TokenFile] = []

    def access() -> Access:
        tokens.append(TokenFile(file))
        return Access(tokens[0], "public")

    with running(access=access) as node, node.connect() as client:
        client.ask("AUTH", "vote")
        assert "ok" == code(client.ask("KEYS", "*"))
        write_tokens(file, {"read": "read"})
        for _ in range(2):  # it holds when it was read twice
            node.http.call(tokens[0].take, file.read_bytes())
        assert "NOAUTH" == client.ask("KEYS", "*").code
        client.send(xadd(1))
        assert "NOAUTH" == client.reply().code


def test_a_node_without_tokens_says_that_it_has_none() -> None:
    with running() as node, node.connect() as client:
        assert "no tokens" in client.ask("AUTH", "any").text
        assert "no tokens" in client.ask("HELLO", 3, "AUTH", "a", "any").text
        assert "PONG" == client.ask("PING")


def test_info_tells_how_many_polls_there_are_to_who_may_see_them(node: RespNode) -> None:
    with node.connect() as client:
        assert "keyspace" not in client.ask("INFO").lower()
        for token, told in (("bound", "keys=1,"), ("read", "keys=2,")):
            client.ask("AUTH", token)
            assert told in client.ask("INFO", "keyspace")
