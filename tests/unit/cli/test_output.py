"""The exit code tells the effect, whatever happens to the output: closed, full, a reader that left, an encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from quorate.cli import main

MEMBER = {"id": "n1", "voter": True, "raft": "127.0.0.1:9001", "incarnation": "a"}
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/status"): {"state": {"cluster_id": "c1"}},
    ("POST", "/votes"): {"applied": 1, "duplicates": 0, "rejected": [], "version": 7},
    ("POST", "/producers"): {"producer": "p", "epoch": 1, "sequence": 0},
    ("POST", "/polls"): {},
    ("GET", "/polls"): {"polls": []},
    ("POST", "/polls/mood/state"): {"id": "mood", "state": "closed"},
    ("POST", "/members"): {"members": [MEMBER]},
    ("POST", "/leader/transfer"): {"leader": "n2"},
    ("GET", "/members"): {"members": [{"id": "n1", "raft": "h:1", "voter": True, "incarnation": "i1"}]},
    ("GET", "/leader"): {"id": "n2", "term": 2, "http": "http://127.0.0.1:8002"},
    ("POST", "/sink/adopt"): {"documents": 1, "generation": 2},
    ("GET", "/polls/mood/results"): {
        "id": "mood",
        "state": "open",
        "results": {"grün": 1},
        "total": 1,
        "version": 1,
        "level": "weak",
    },
}
CHANGES = [
    ["vote", "happy"],
    ["vote", "happy", "--json"],
    ["vote", "grün"],
    ["polls", "create", "mood", "--option", "a", "--option", "b"],
    ["polls", "close", "mood"],
    ["polls", "close", "mood", "--json"],
    ["members", "add", "n4", "127.0.0.1:9004"],
    ["members", "remove", "n1", "--json"],
    ["members", "replace", "n1"],
    ["members", "update", "n1", "--address", "127.0.0.1:9004"],
    ["leader", "--hand-over"],
    ["sink", "adopt", "--yes"],
    ["feed", "VOTES"],
]
# Each leaves standard output in another state; $* is the command.
CLOSED = '"$@" >&-'
ALL_CLOSED = '"$@" <&- >&- 2>&-'
FULL = '"$@" >/dev/full'
ALL_FULL = '"$@" >/dev/full 2>/dev/full'
READER_GONE = '"$@" | true; exit "${PIPESTATUS[0]}"'
CYRILLIC = 'PYTHONIOENCODING=iso8859-5 "$@"'
WAYS = [CLOSED, ALL_CLOSED, FULL, ALL_FULL, READER_GONE, CYRILLIC]


class Cluster(ThreadingHTTPServer):
    """Answers each request as a node does when all is well, and remembers what was changed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.changes: list[str] = []
        self.bodies: list[bytes] = []
        self.answers = dict(ANSWERS)


class Handler(BaseHTTPRequestHandler):
    server: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = (self.command, self.path.partition("?")[0])
        found = self.server.answers.get(asked)
        if self.command == "POST":
            self.server.changes.append(asked[1])
            self.server.bodies.append(sent)
        body = json.dumps(found if found is not None else {"type": "no-leader", "detail": "none"}).encode()
        self.send_response(200 if found is not None else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    server = Cluster()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join(5)
    server.server_close()


def run(cluster: Cluster, way: str, arguments: Sequence[bytes | str]) -> subprocess.CompletedProcess[bytes]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
    env |= {"QUORATE_NODES": f"http://127.0.0.1:{cluster.server_port}", "PYTHONUTF8": "1"}
    command = ["bash", "-c", way, "bash", sys.executable, "-m", "quorate", *arguments]
    with tempfile.TemporaryDirectory() as state:
        env["XDG_STATE_HOME"] = state
        done = subprocess.run(command, capture_output=True, timeout=60, env=env, check=False)
    assert b"Traceback" not in done.stderr, done.stderr
    assert b"This is a bug" not in done.stderr, done.stderr
    assert b"Exception ignored" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("command", CHANGES, ids=" ".join)
def test_a_change_that_was_made_ends_with_0_whatever_happens_to_the_output(
    cluster: Cluster, command: list[str], tmp_path: Path
) -> None:
    votes = tmp_path / "votes"
    votes.write_text("happy\n")
    arguments = [str(votes) if each == "VOTES" else each for each in command]
    for way in WAYS if command == ["vote", "happy"] else (ALL_CLOSED, FULL):
        done = run(cluster, way, arguments)
        assert (way, 0) == (way, done.returncode), done.stderr
        assert cluster.changes, "it was made"
        cluster.changes.clear()


def test_what_could_not_be_shown_is_said(cluster: Cluster) -> None:
    said = run(cluster, FULL, ["vote", "happy"]).stderr
    assert b"No space left on device" in said
    assert b"was made" in said


@pytest.mark.parametrize("way", WAYS)
def test_what_was_not_done_is_still_told_by_the_exit_code(cluster: Cluster, way: str) -> None:
    cluster.answers.clear()
    done = run(cluster, way, ["vote", "happy", "--timeout", "3"])
    assert 3 == done.returncode, done.stderr


@pytest.mark.parametrize("way", [ALL_CLOSED, ALL_FULL])
def test_wrong_usage_is_still_told_by_the_exit_code(cluster: Cluster, way: str) -> None:
    assert 2 == run(cluster, way, ["vote"]).returncode


def test_a_tally_that_cannot_be_written_is_a_failure_in_words(cluster: Cluster) -> None:
    done = run(cluster, FULL, ["results", "mood"])
    assert 1 == done.returncode
    assert b"the output cannot be written: No space left on device" in done.stderr
    assert 1 == run(cluster, FULL, ["--help"]).returncode


@pytest.mark.parametrize("way", [CLOSED, ALL_CLOSED, READER_GONE])
def test_a_tally_that_nobody_wants_is_no_failure(cluster: Cluster, way: str) -> None:
    assert 0 == run(cluster, way, ["results", "mood"]).returncode


def test_an_encoding_without_a_character_shows_the_rest(cluster: Cluster) -> None:
    done = run(cluster, CYRILLIC, ["results", "mood"])
    assert (0, True) == (done.returncode, rb"gr\xfcn" in done.stdout), done.stderr


def test_a_change_stands_though_what_was_asked_after_it_failed(cluster: Cluster) -> None:
    """The poll is created and the leader has handed over; then no leader is there to ask."""
    del cluster.answers["GET", "/leader"]
    for command in (["leader", "--hand-over"], ["polls", "create", "p", "--option", "a", "--option", "b", "--json"]):
        done = run(cluster, '"$@"', [*command, "--timeout", "3"])
        assert 0 == done.returncode, done.stderr
        assert b"Nothing was changed" not in done.stderr
        assert b"was made" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["vote", b"\xff"],
        ["vote", "happy", "--id", b"\xff"],
        ["vote", "happy", "--poll", b"\xff"],
        ["polls", "show", b"\xff"],
        ["polls", "create", b"\xff", "--option", "a"],
        ["members", "add", b"\xff", "127.0.0.1:1"],
        ["sink", "adopt", b"\xff", "--yes"],
        ["results", b"\xff"],
        ["config", "check", "--set", b"raft.key=\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"],
        ["vote", "happy", "--node", b"http://\xff:1"],
        ["feed", "VOTES", "--poll", b"\xff"],
        ["feed", "VOTES", "--producer", b"\xff"],
        ["publish", "VOTES", "--run-id", b"\xff"],
        ["publish", "VOTES", "--poll", b"\xff"],
    ],
    ids=str,
)
def test_an_argument_that_is_no_utf_8_is_wrong_usage(
    cluster: Cluster,
    arguments: list[str | bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{cluster.server_port}")
    votes = tmp_path / "votes"
    votes.write_text("happy\n")
    code = main([str(votes) if each == "VOTES" else os.fsdecode(each) for each in arguments])
    said = capsys.readouterr().err
    assert (2, True) == (code, "UTF-8" in said), said
    assert [] == cluster.changes


def test_an_options_file_may_have_a_byte_order_mark_and_must_be_text(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{cluster.server_port}")
    file = tmp_path / "options"
    create = ["polls", "create", "mood", "--options-file", str(file)]
    for text in ("\ufeffgrün\r\nblau\r\n".encode(), "grün\nblau".encode()):
        file.write_bytes(text)
        assert 0 == main(create)
        assert ["grün", "blau"] == json.loads(cluster.bodies[-1])["options"]
    cluster.changes.clear()
    for text in ("gelb\ngrün\n".encode("latin-1"), "grün\nblau\n".encode("utf-16")):
        file.write_bytes(text)
        assert 2 == main(create)
        assert f"{file}: line " in (said := capsys.readouterr().err), said
        assert "is not UTF-8 text" in said
    assert [] == cluster.changes


def test_a_file_may_have_a_name_that_is_no_utf_8(cluster: Cluster, tmp_path: Path) -> None:
    votes = bytes(tmp_path) + b"/votes-\xff"
    with open(votes, "w") as file:
        file.write("happy\n")
    assert 0 == run(cluster, '"$@"', ["feed", votes]).returncode
    config = bytes(tmp_path) + b"/config-\xff.toml"
    with open(config, "w") as file:
        file.write('[node]\nid = "n2"\n')
    assert 0 == run(cluster, '"$@"', ["config", "check", config]).returncode
