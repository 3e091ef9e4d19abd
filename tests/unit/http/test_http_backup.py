"""GET /backup: the whole state as a stream, of one version, and with nothing left when its client is gone."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.backup import taking
from quorate.backup.envelope import BackupCheck, CheckedBackup
from quorate.http.api import BACKUPS_MAX
from tests.support.http_node import MOOD, Node, running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for


@pytest.fixture
def node() -> Iterator[Node]:
    with running() as node:
        assert 201 == node.ask("POST", "/polls", MOOD).status
        node.vote(option="happy", id="u1")
        yield node


@pytest.fixture
def big(node: Node) -> Node:
    """Its backup is more than sockets take."""
    node.hold_little_in_sockets()
    for poll in range(40):
        options = [f"{poll:03}{option:05}" + "x" * 200 for option in range(1_000)]
        assert 201 == node.ask("POST", "/polls", {"id": f"p{poll}", "options": options}).status
    return node


def checked(body: bytes) -> CheckedBackup:
    check = BackupCheck("the answer")
    check.add(body)
    return check.finish()


def places(node: Node) -> int:
    return node.call(lambda: node.api.places.backups._taken)


def test_it_is_the_state_at_the_version_that_the_answer_names(node: Node) -> None:
    answer = node.ask("GET", "/backup")
    assert 200 == answer.status, answer.body
    found = checked(answer.body)
    assert (3, "3") == (found.head.version, answer.headers["x-quorate-version"])
    assert node.call(node.replica.state.digest) == found.digest
    assert (1, 2, 1, 1) == (found.head.polls, found.head.options, found.head.votes, found.head.ids)
    assert "application/vnd.quorate.backup" == answer.headers["content-type"]
    assert 0 == places(node)


def test_votes_that_come_while_it_is_sent_are_not_in_it(big: Node) -> None:
    version, digest = big.call(lambda: (big.replica.state.version, big.replica.state.digest()))
    connection = big.connect()
    connection.request("GET", "/backup")
    answer = connection.getresponse()
    start = answer.read(1_000)
    for number in range(20):
        assert 200 == big.vote(option="sad", id=f"meanwhile-{number}").status
    found = checked(start + answer.read())
    connection.close()
    assert (version, digest) == (found.head.version, found.digest)
    assert version + 20 == big.call(lambda: big.replica.state.version)


def test_a_client_that_leaves_or_reads_nothing_frees_its_place(big: Node, caplog: pytest.LogCaptureFixture) -> None:
    leaving, silent = begin(big), begin(big)
    wait_for("both are sent", lambda: places(big) == BACKUPS_MAX)
    refused = big.ask("GET", "/backup")
    assert (429, True) == (refused.status, "backups under way" in refused.json["detail"])
    leaving.close()
    wait_for("the one that left is forgotten", lambda: places(big) == BACKUPS_MAX - 1)
    assert 200 == big.ask("GET", "/backup").status
    big.limit(stall_timeout_s=0.5)
    wait_for("the one that reads nothing is broken off", lambda: places(big) == 0)
    silent.close()
    assert [] == [record for record in caplog.records if record.exc_info]


def begin(node: Node) -> Any:
    sock = node.dial()
    sock.sendall(b"GET /backup HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return sock


def test_one_that_fails_in_the_middle_is_broken_off(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> Iterator[bytes]:
        yield b"x" * taking.PIECE_BYTES
        raise ValueError("planted")

    monkeypatch.setattr(taking, "pieces_of", failing)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        node.ask("GET", "/backup")
    wait_for("its place is free", lambda: places(node) == 0)


def test_without_a_leader_only_what_the_node_has_is_backed_up(node: Node) -> None:
    node.call(node.replica.lead, None)
    node.replica.expects_leader = False
    refused = node.ask("GET", "/backup")
    assert (503, True) == (refused.status, "level=none" in refused.json["detail"])
    assert 3 == checked(node.ask("GET", "/backup?level=none").body).head.version
    assert 400 == node.ask("GET", "/backup?level=weak").status


def test_a_node_of_no_cluster_has_nothing_to_back_up() -> None:
    with running(form=False) as node:
        assert 503 == node.ask("GET", "/backup?level=none").status


def test_head_sends_no_body(node: Node) -> None:
    answer = node.ask("HEAD", "/backup")
    assert (200, b"", "3") == (answer.status, answer.body, answer.headers["x-quorate-version"])
    assert 0 == places(node)


def test_only_operators_may_take_one(tmp_path: Path) -> None:
    file = write_tokens(tmp_path / "tokens.toml")
    with running(access=lambda: access_by(file)) as node:
        assert 401 == node.ask("GET", "/backup").status
        assert 403 == node.ask("GET", "/backup", headers=bearer("manage")).status
        assert 200 == node.ask("GET", "/backup", headers=bearer("operate")).status


def test_both_doors_give_the_same(node: Node) -> None:
    with running(hot=False) as flask:
        answer = flask.ask("GET", "/backup")
        assert (200, "1") == (answer.status, answer.headers["x-quorate-version"])
        assert 1 == checked(answer.body).head.version
