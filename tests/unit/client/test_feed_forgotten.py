"""A feed whose session was forgotten is refused: only --new counts the file again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.client.checkpoint import Checkpoint
from quorate.client.feed import feed
from quorate.client.feed_start import Wanted
from quorate.client.http import JsonClient
from quorate.client.votes_file import VotesFile, scan
from quorate.cluster import entry
from quorate.errors import Conflict
from tests.support import http_node
from tests.support.http_node import Node


@pytest.fixture
def node() -> Iterator[Node]:
    with http_node.running() as started:
        started.call(started.replica.state.raise_level, entry.encode_raise(1))
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[JsonClient]:
    with JsonClient([f"http://127.0.0.1:{node.port}"], timeout_s=60) as made:
        yield made


def run(client: JsonClient, path: Path, state: Path, *, new: bool = False) -> int:
    file = VotesFile(path)
    with Checkpoint.held(str(path), state, "c1") as checkpoint:
        fed = feed(client, file, scan(file), checkpoint=checkpoint, wanted=Wanted(new=new, named=True))
    return fed.applied


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("content", ["happy\nsad\n", "happy\nsad\nhappy\n"])
def test_it_is_refused_with_and_without_its_checkpoint(
    client: JsonClient, tmp_path: Path, is_kept: bool, content: str
) -> None:
    path = tmp_path / "votes"
    path.write_text("happy\nsad\n")
    assert 2 == run(client, path, tmp_path / "state")
    for session in client.producers():
        client.forget_producer(session.producer, session.epoch)
    path.write_text(content)
    state = tmp_path / ("state" if is_kept else "another")
    for _ in range(2):
        with pytest.raises(Conflict, match=r"has forgotten the session .* use --new"):
            run(client, path, state)
    assert content.count("\n") == run(client, path, state, new=True)
    assert 0 == run(client, path, state)


def test_a_session_that_took_the_name_of_a_forgotten_one_is_no_place_to_go_on(
    client: JsonClient, tmp_path: Path
) -> None:
    """The name is not remembered any more, or somebody opened it as new: the checkpoint is further than the session."""
    path, state = tmp_path / "votes", tmp_path / "state"
    path.write_text("happy\nsad\n")
    assert 2 == run(client, path, state)
    for session in client.producers():
        client.forget_producer(session.producer, session.epoch)
        client.open_producer(session.producer, new=True)
    with pytest.raises(Conflict, match="has forgotten the session"):
        run(client, path, state)
