"""Where log lines go."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate import logs


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
