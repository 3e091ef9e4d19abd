"""What a node, or whoever answers in its place, writes: shown by commands so that nothing acts on the terminal."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import quorate.cli
from tests.unit.cli.told import Capture, Told

EVIL = "mood\x1b[2J\x9b31m\u202e\r\x7f"
FORGED = f"{EVIL}\nn1 leads"
POLL = {
    "id": EVIL,
    "title": f"{EVIL}\nn1 leads",
    "state": EVIL,
    "options": [f"{EVIL}\nn1 leads"],
    "write_ins": False,
    "closes_at": EVIL,
}
ANSWERS: dict[str, tuple[int, Any]] = {
    "/polls": (200, {"polls": [POLL]}),
    "/polls/mood": (200, POLL),
    "/polls/mood/results": (200, {"id": EVIL, "state": EVIL, "results": {EVIL: 1}, "total": 1, "version": 1}),
    "/leader": (200, {"id": EVIL, "term": 2, "http": EVIL}),
    "/members": (200, {"members": [{"id": EVIL, "raft": EVIL, "voter": True, "incarnation": EVIL}]}),
    "/votes": (404, {"type": EVIL, "title": EVIL, "status": 404, "detail": EVIL}),
}
COMMANDS = [
    ["polls"],
    ["polls", "show", "mood"],
    ["results", "mood"],
    ["results", "mood", "--json"],
    ["leader"],
    ["members"],
    ["vote", "happy"],
    ["vote", "happy", "--json"],
    ["results"],
]
PRINTS = ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, answer = ANSWERS[self.path.partition("?")[0]] if self.path != "/polls?state=open" else (200, OPEN)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *_: Any) -> None:
        pass


OPEN = {"polls": [POLL, {**POLL, "id": FORGED}]}  # two, so that `results` asks which one


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_character_of_an_answer_acts_on_the_terminal(stranger: None, command: list[str], capsys: Capture) -> None:
    told = Told(capsys, *command)
    shown = (told.out + told.err).lower()
    assert "mood" in shown
    assert [] == [text for text in ("\x1b", "\x9b", "\u202e", "\r", "\x7f") if text in shown]
    assert "n1 leads" not in [line.strip() for line in shown.splitlines()]


def test_commands_print_in_one_way_alone() -> None:
    """`output.echo` makes safe what it prints, so nothing may print past it."""
    found = []
    for path in Path(quorate.cli.__file__).parent.glob("*.py"):
        calls = [each for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(each, ast.Call)]
        found += [path.name for each in calls if ast.unparse(each.func) in PRINTS]
    assert ["output.py"] == found
