"""Where log lines go."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from quorate import logs
from quorate.ingest.social.networks.twitter.keys import TwitterKeys


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers.copy(), root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_log_that_was_moved_away_is_begun_anew(format: str, tmp_path: Path) -> None:
    """As logrotate moves it, without a signal: SIGHUP would stop a node."""
    file, moved = tmp_path / "node.log", tmp_path / "node.log.1"
    logs.set_up("n1", level="info", format=format, file=str(file))
    logging.getLogger("quorate").info("before")
    file.rename(moved)
    logging.getLogger("quorate").info("after")
    assert ("before" in moved.read_text(), "after" in moved.read_text()) == (True, False)
    assert ("n1" in file.read_text(), "after" in file.read_text()) == (True, True)


def test_no_library_tells_what_goes_through_it(tmp_path: Path) -> None:
    """Not at any level: a request that is signed, and a message of a WebSocket."""
    file = tmp_path / "stream.log"
    logs.set_up("twitter", level="debug", format="text", file=str(file))
    keys = TwitterKeys("key-secret", "key-secret-2", "token-secret", "token-secret-2")
    requests.Request("POST", "http://127.0.0.1/", data={"track": "happy"}, auth=keys.auth()).prepare()
    logging.getLogger("websockets.client").debug("< TEXT 'somebody wrote a secret'")
    logging.getLogger("of.another.library").info("a secret")
    logging.getLogger("of.another.library").warning("it is told")
    logging.getLogger("quorate.ingest").debug("ours is told")
    found = file.read_text()
    assert ("secret" in found, "it is told" in found, "ours is told" in found) == (False, True, True)


FORGED = "n2\n2026-01-01T00:00:00.000Z INFO     n1 quorate.node: all is well\x1b[2J\u202e http://u:secret@c"


def log_one(file: Path, format: str, message: str, **others: object) -> str:
    logs.set_up("n1", level="info", format=format, file=str(file))
    logging.getLogger("quorate").warning("refused %s", message, **others)  # type: ignore[arg-type]
    return file.read_text()


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_a_stranger_wrote_stays_in_its_line(format: str, tmp_path: Path) -> None:
    found = log_one(tmp_path / "node.log", format, FORGED)
    assert 1 == len(found.splitlines())
    assert [] == [text for text in ("\x1b", "\u202e", "secret") if text in found]


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("text", ["x" * 1_000_000, "\n" * 1_000_000, "\ud800" * 1_000_000])
def test_a_line_of_the_log_is_bounded(format: str, text: str, tmp_path: Path) -> None:
    assert len(log_one(tmp_path / "node.log", format, text)) < 50_000


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_forges_no_line(format: str, tmp_path: Path) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        found = log_one(tmp_path / "node.log", format, "it", exc_info=error)
    assert [False, False, True] == [text in found for text in ("\x1b", "secret", "ValueError")]
    assert 1 == sum(not line.startswith(logs.INDENT) for line in found.splitlines())
