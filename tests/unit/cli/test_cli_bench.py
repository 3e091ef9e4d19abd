"""`quorate bench` on a node: its figures, its questions, and that its poll goes, however it ends."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.benchmark.bench_poll import PREFIX, BenchPoll
from quorate.cluster.entry import encode_raise
from quorate.errors import NoLeader
from tests.support import http_node
from tests.support.http_node import Node
from tests.support.tokens import access_by, write_tokens
from tests.support.waiting import wait_for
from tests.unit.cli.told import Capture, Told

QUICK = ["bench", "--clients", "1,4", "--duration", "1s"]


@pytest.fixture(autouse=True)
def _polls_can_be_deleted(node: Node) -> None:
    node.call(node.replica.state.raise_level, encode_raise(1))


def names(node: Node) -> list[str]:
    return [poll["id"] for poll in node.ask("GET", "/polls").json["polls"]]


def test_the_figures_are_told_and_the_poll_is_removed(node: Node, capsys: Capture) -> None:
    told = Told(capsys, *QUICK, "--yes", "--json")
    assert 0 == told.code, told.err
    found = told.json
    assert [1, 4] == [stage["clients"] for stage in found["stages"]]
    assert all(stage["votes_per_s"] > 0 and stage["p50_ms"] <= stage["p99_ms"] for stage in found["stages"])
    assert found["exact"]
    assert found["removed"]
    assert found["confirmed"] == found["total"] > 0
    assert any("same machine" in why for why in found["bounds"])
    assert ["mood"] == names(node)


def test_a_cluster_in_use_is_not_measured_unasked(node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    told = Told(capsys, *QUICK)
    assert 2 == told.code
    assert "Others may use this cluster: it has open polls (mood)." in told.err
    assert "window of protected ids" in told.err
    assert "nobody answered, so nothing was changed. --yes answers" in told.err
    assert ["mood"] == names(node)


def test_ctrl_c_shows_what_there_is_and_removes_the_poll(node: Node) -> None:
    command = [sys.executable, "-m", "quorate", "bench", "--duration", "1h", "--clients", "2", "--yes"]
    with running(command) as run:
        wait_for("votes of the bench", lambda: any(_has_votes(node, id) for id in names(node)))
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert (130, "") == (run.returncode, err), out
    assert "The tally is exactly what was confirmed" in out
    assert ["mood"] == names(node)


def _has_votes(node: Node, id: str) -> bool:
    return id.startswith(PREFIX) and sum(node.tally(id).values()) > 0


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_token_that_may_only_vote_is_told_what_it_needs(tmp_path: Path, capsys: Capture) -> None:
    tokens = write_tokens(tmp_path / "tokens.toml")
    (tmp_path / "token").write_text("vote")
    os.chmod(tmp_path / "token", 0o600)
    with http_node.running(access=lambda: access_by(tokens)) as node:
        url = f"http://127.0.0.1:{node.port}"
        told = Told(capsys, *QUICK, "--node", url, "--token-file", str(tmp_path / "token"))
    assert 1 == told.code, "it is refused before anybody is asked whether others may be disturbed"
    assert "manage" in told.err


def test_a_poll_that_cannot_be_removed_is_named(node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(_: BenchPoll) -> None:
        raise NoLeader("no leader is known")

    monkeypatch.setattr(BenchPoll, "remove", remove)
    told = Told(capsys, *QUICK, "--yes")
    assert 1 == told.code
    [left] = [id for id in names(node) if id.startswith(PREFIX)]
    assert f"the poll {left} may still be there: no leader is known" in told.err
    assert f"quorate polls delete {left}" in told.err


@pytest.mark.parametrize("value", ["0", "a", "1,,x", "1001", "", "-1"])
def test_other_numbers_of_clients_are_refused(capsys: Capture, value: str) -> None:
    told = Told(capsys, "bench", "--clients", value)
    assert 2 == told.code
    assert "numbers from 1 to 1,000" in told.err
