"""Whoever waits for long on a terminal is told so, and a question that nobody answers is no yes."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from quorate.cli import busy, main
from tests.support.http_node import Node
from tests.support.scripted_node import ScriptedNode
from tests.support.waiting import wait_for
from tests.unit.cli.told import Capture, Told


@contextlib.contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard error is a terminal, and this is its other end. (pytest sets the stream anew after the fixtures.)"""
    monkeypatch.setenv("TERM", "xterm")
    ours, its = os.openpty()
    os.set_blocking(ours, False)
    with open(its, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield ours
    os.close(ours)


def seen(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode()
    except BlockingIOError:
        return ""


@pytest.fixture(autouse=True)
def _asks_each_node_once() -> None:
    """Here a node is asked again."""


def test_a_request_that_takes_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes to load what shows it."""
    monkeypatch.setattr(busy, "SHOWN_AFTER_S", 0.05)
    node = ScriptedNode(["hang", (200, {"node": "n1"})])
    shown: list[str] = []

    def says_so(terminal: int) -> bool:
        shown.append(seen(terminal))
        return "waiting for an answer" in "".join(shown)

    def answer_when_it_says_so(terminal: int) -> None:
        wait_for("the words", lambda: says_so(terminal))
        node.release.set()

    try:
        with a_terminal(monkeypatch) as terminal, ThreadPoolExecutor(1) as pool:
            answered = pool.submit(answer_when_it_says_so, terminal)
            assert 0 == main(["status", "--node", node.url, "--timeout", "30"])
            answered.result()
    finally:
        node.stop()


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal:
        with busy.busy("reading"):
            pass
        assert "" == seen(terminal)


def test_the_words_go_when_the_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "SHOWN_AFTER_S", 0.0)
    with a_terminal(monkeypatch) as terminal:
        shown = []

        def is_shown() -> bool:
            shown.append(seen(terminal))
            return "reading it" in "".join(shown)

        with busy.busy("reading it"):
            wait_for("the words", is_shown)
        assert "\x1b[?25h" in seen(terminal), "the cursor is back"


def test_the_words_go_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    line = stopped(monkeypatch)
    with a_terminal(monkeypatch), pytest.raises(ZeroDivisionError), busy.busy("reading"):
        raise ZeroDivisionError
    assert ["stop"] == line


def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Is told when a line is stopped, which shows nothing."""
    seen: list[str] = []
    monkeypatch.setattr(busy, "_BusyLine", lambda _: SimpleNamespace(stop=lambda: seen.append("stop")))
    return seen


def test_what_has_ended_is_not_shown_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "SHOWN_AFTER_S", 60.0)
    with a_terminal(monkeypatch) as terminal:
        line = busy._BusyLine("reading")
        line.stop()
        line._timer.join(20)
        assert not line._timer.is_alive(), "it waits for nothing more"
        line._show()  # as if the timer had just begun to
        assert "" == seen(terminal)


@pytest.mark.parametrize(("said", "code", "words"), [("", 2, "nobody answered"), ("n\n", 1, "nothing was changed")])
def test_only_yes_is_yes(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch, said: str, code: int, words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    told = Told(capsys, "sink", "adopt")
    assert code == told.code
    assert words in told.err


def test_a_file_that_cannot_be_written_is_named(node: Node, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "none" / "mood.csv"
    told = Told(capsys, "export", "mood", str(file))
    assert (1, f"quorate: {file}: cannot be written: No such file or directory\n") == (told.code, told.err)


def test_watching_a_cluster_that_does_not_answer_says_so(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quorate.cli.watch.time", SimpleNamespace(sleep=stop))
    told = Told(capsys, "watch", "mood", "--node", "http://127.0.0.1:1", "--timeout", "0.2")
    assert 130 == told.code
    assert "cannot be reached; still asking" in told.err
