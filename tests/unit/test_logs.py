"""Where log lines go."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from quorate import logs
from quorate.config.general import Log
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


def form_of(line: str) -> str:
    return "json" if line.startswith("{") else "text"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_by_default_it_is_text_for_people_and_json_for_machines(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", out)
    logs.set_up("n1", level="info", format=Log().format, file="")
    logging.getLogger("quorate").info("it")
    assert ("text" if is_terminal else "json") == form_of(out.getvalue())
    assert "json" == form_of(log_one(tmp_path / "node.log", Log().format, "it"))


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_line_tells_where_in_its_log_the_node_was(format: str, tmp_path: Path) -> None:
    before = log_one(tmp_path / "before.log", format, "it")
    place = 7, 1234
    logs.tell_where(lambda: place)
    try:
        found = log_one(tmp_path / "node.log", format, "it")
    finally:
        logs.tell_where(lambda: (0, 0))
    assert ["refused it"] * 2 == [logs.message_of(line.rstrip()) for line in (before, found)]
    if format == "json":
        assert (7, 1234, None) == (
            json.loads(found)["term"],
            json.loads(found)["index"],
            json.loads(before).get("term"),
        )
    else:
        assert " n1 t7 i1234 quorate: refused it" in found


def test_the_level_is_changed_while_a_node_runs(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    logs.set_up("n1", level="warning", format="text", file=str(file))
    for level in ("warning", "debug", "error"):
        logs.set_level(level)
        assert level == logs.level()
        logging.getLogger("quorate").info("at %s", level)
        logging.getLogger("uvicorn").info("a library at %s", level)
    assert ["at debug"] == [logs.message_of(line) for line in file.read_text().splitlines()]
