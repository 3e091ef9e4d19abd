"""From where the commands of `quorate stream` have their polls."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import click
import pytest

from quorate.cli.node_options import asks_nodes
from quorate.cli.stream_polls import polls_reader
from quorate.config import load
from quorate.errors import ConfigError
from quorate.ingest.social.options.polls_reader import PollsRead
from quorate.ingest.social.options.stream_poll import Rules
from tests.support.http_node import Node


def read_in_a_thread(*arguments: str, **settings: Any) -> list[PollsRead]:
    """Make the reader in a command, as a stream does, and read the polls in another thread."""
    found: list[PollsRead] = []

    @click.command()
    @asks_nodes()
    def command(nodes: list[str], timeout_s: float) -> None:
        config = load(None, flags={f"stream.{name}": value for name, value in settings.items()}).config
        reader = polls_reader(config, nodes, timeout_s)
        reading = threading.Thread(target=lambda: found.append(reader.read()))
        reading.start()
        reading.join()

    command.main([*arguments], standalone_mode=False)
    return found


def test_polls_are_read_in_any_thread_with_the_token_of_the_command(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o600)
    monkeypatch.setenv("QUORATE_TOKEN_FILE", str(token))
    (read,) = read_in_a_thread(polls=["mood: substring"])
    assert [("mood", ("happy", "sad"), Rules(match="substring"))] == [(p.id, p.options, p.rules) for p in read.polls]


def test_rules_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="'regex' is none"):
        read_in_a_thread(polls=["mood: regex"])
