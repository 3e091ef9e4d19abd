"""The lines of a running stream: what networks and servers say is part of them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from quorate.cli.stream_display import LiveLines

FORGED = "disconnected: gone\x1b[2J\nconnected\u202e to http://user:secret@host"


def test_what_a_server_says_stays_in_its_line_and_acts_on_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    display = LiveLines()
    display.tick(lambda now_s: [FORGED, "3 posts"])
    display.close()
    shown = out.getvalue()
    assert r"gone\x1b[2J\nconnected\u202e to http://***@host" in shown
    assert "3 posts" in [line.strip() for line in shown.splitlines()]
