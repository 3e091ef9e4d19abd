"""Commands that ask nsqds, where none answers: which one, who named it, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scripted_node import nowhere
from tests.unit.cli.told import Capture, Told


def address() -> str:
    return nowhere().removeprefix("http://")


@pytest.fixture
def votes(tmp_path: Path) -> str:
    (tmp_path / "votes").write_text('{"option": "happy", "id": "1"}\n')
    return str(tmp_path / "votes")


def commands(votes: str) -> list[tuple[str, ...]]:
    return [("dead-letters", "list"), ("publish", votes, "--timeout", "0.2")]


def test_the_flag_that_named_it_is_told(capsys: Capture, votes: str) -> None:
    for command in commands(votes):
        nsqd, lookupd = address(), address()
        told = Told(capsys, *command, "--nsqd", nsqd)
        assert 3 == told.code
        assert "No nsqd answers" in told.err
        assert nsqd in told.err
        assert "It was named by --nsqd. Start it there, or name another one: --nsqd HOST:PORT" in told.err
        told = Told(capsys, *command, "--lookupd", lookupd)
        assert 3 == told.code
        assert lookupd in told.err
        assert "It was named by --lookupd." in told.err


def test_the_setting_that_named_it_is_told(
    capsys: Capture, votes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "quorate.toml"
    file.write_text(f'[nsq]\nnsqd = ["{address()}"]\n')
    for command in commands(votes):
        assert f"named by nsq.nsqd ({file})" in Told(capsys, *command, "--config", str(file)).err
    monkeypatch.setenv("QUORATE_NSQ_NSQD", address())
    for command in commands(votes):
        assert "named by nsq.nsqd ($QUORATE_NSQ_NSQD)" in Told(capsys, *command).err


def test_where_nobody_named_one_the_flags_are_told(
    capsys: Capture, votes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.cli.nsqds.DEFAULT", address())
    for command in commands(votes):
        told = Told(capsys, *command)
        assert 3 == told.code
        assert "No setting names one, so 127.0.0.1:" in told.err
        assert "--config FILE of a node that has nsq.nsqd or nsq.lookupd" in told.err
