"""Commands send the token that they are given, and feed counts a file once for the token that it is fed with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from quorate.cli import main
from quorate.client.http import JsonClient
from quorate.client.token_file import read_token
from quorate.errors import ConfigError, Unauthorized
from tests.support.http_node import MOOD, Node, running
from tests.support.tokens import access_by, bearer, write_tokens

ROLES = {"ann": "vote", "bob": "vote", "carl": "manage", "boss": "operate", "reader": "read"}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Node]:
    path = write_tokens(tmp_path / "tokens.toml", ROLES, {"ann": ["mood"]})
    with running(access=partial(access_by, path)) as node:
        assert 201 == node.ask("POST", "/polls", MOOD, bearer("carl")).status
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{node.port}")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield node


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    """The folder in which each user keeps a token, whose text is the user's name."""
    for name in ROLES:
        path = tmp_path / f"{name}.token"
        path.touch(0o600)
        path.write_text(f"{name}\n")
    return tmp_path


def run(keep: Path, who: str, *arguments: object) -> int:
    return main([*map(str, arguments), "--token-file", str(keep / f"{who}.token")])


def test_a_client_sends_its_token(node: Node) -> None:
    url = f"http://127.0.0.1:{node.port}"
    with JsonClient([url], token="reader") as client:
        assert "n1" == client.leader()["id"]
    with JsonClient([url]) as client, pytest.raises(Unauthorized):
        client.leader()


@pytest.mark.parametrize(
    ("who", "arguments", "code"),
    [
        ("reader", ["leader"], 0),
        ("reader", ["nodes"], 0),
        ("reader", ["status"], 0),
        ("reader", ["results", "mood"], 0),
        ("reader", ["polls"], 0),
        ("reader", ["vote", "happy"], 1),
        ("bob", ["vote", "happy"], 0),
        ("bob", ["polls", "create", "x", "a", "b"], 1),
        ("carl", ["polls", "create", "x", "a", "b"], 0),
        ("carl", ["polls", "close", "mood"], 0),
    ],
)
def test_commands_send_it(node: Node, keep: Path, who: str, arguments: list[str], code: int) -> None:
    assert code == run(keep, who, *arguments)


def test_the_environment_may_name_the_file(node: Node, keep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 == main(["leader"])
    monkeypatch.setenv("QUORATE_TOKEN_FILE", str(keep / "reader.token"))
    assert 0 == main(["leader"])


def test_without_a_token_the_command_says_how_to_give_one(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["vote", "happy"])
    assert "--token-file" in capsys.readouterr().err


def test_a_file_that_others_may_read_is_warned_of(node: Node, keep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (keep / "reader.token").chmod(0o644)
    assert 0 == run(keep, "reader", "leader")
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "two words", "one\ntwo", "h\u00e9", "x" * 5000, "a\r\nX: y"])
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_token(path)
    assert not text or text not in refused.value.detail


# ---- feed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "votes.txt"
    path.write_text("happy\nsad\nhappy\n")
    return path


def test_a_vote_token_feeds_a_file_once_under_its_own_name(node: Node, keep: Path, file: Path) -> None:
    for _ in range(2):
        assert 0 == run(keep, "bob", "feed", file)
    assert {"happy": 2, "sad": 1} == node.tally()
    assert all(name.startswith("bob/feed-") for name in node.replica.state._sessions._sessions)


def test_a_token_that_is_bound_feeds_its_poll(node: Node, keep: Path, file: Path) -> None:
    assert 1 == run(keep, "ann", "feed", file)
    assert 0 == run(keep, "ann", "feed", file, "--poll", "mood", "--new")
    assert {"happy": 2, "sad": 1} == node.tally()


def test_a_file_that_comes_with_another_token_is_refused_and_counts_nothing(
    node: Node, keep: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run(keep, "bob", "feed", file)
    assert 1 == run(keep, "carl", "feed", file)
    assert "with the token bob, and now it comes with the token carl" in capsys.readouterr().err
    assert {"happy": 2, "sad": 1} == node.tally()
    assert 0 == run(keep, "bob", "feed", file)
    assert {"happy": 2, "sad": 1} == node.tally()
