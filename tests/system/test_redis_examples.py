"""docs/redis-clients.md: every example, run twice against a real cluster; its tables; and what its program counts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.resp.commands import COMMANDS
from quorate.resp.failures import CODES
from quorate.resp.votes import CODES as OF_VOTES
from tests.support.checkout import ROOT
from tests.support.cluster import Cluster
from tests.support.fetched import go_program, ioredis

PAGE = (ROOT / "docs" / "redis-clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.S | re.M)
OTHER_WORDS = {"MOVED", "WRONGPASS", "EXECABORT", "NOPROTO"}  # that come from no table
TRANSACTIONS = {"MULTI", "EXEC", "DISCARD"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("redis-examples"), resp=True) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        yield cluster


def example(cluster: Cluster, language: str, number: int = 0) -> str:
    """For the nodes of this cluster."""
    text: str = [text for each, text in BLOCKS if each == language][number]
    for at, port in enumerate(cluster.resp_ports, start=7001):
        text = text.replace(str(at), str(port))
    return text


def counts(cluster: Cluster, new: int, command: list[str], folder: Path) -> None:
    """Run it twice. It has `new` votes that were not counted before."""
    with cluster.client() as client:
        before = client.results("mood", level="linearizable")["results"]["happy"]
        for _ in range(2):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
            assert 0 == done.returncode, done.stdout + done.stderr
            assert str(before + new) in done.stdout
        assert before + new == client.results("mood", level="linearizable")["results"]["happy"]


@pytest.mark.parametrize(("number", "new"), [(0, 3), (1, 1)])
def test_python(cluster: Cluster, tmp_path: Path, number: int, new: int) -> None:
    counts(cluster, new, [sys.executable, "-c", example(cluster, "python", number)], tmp_path)


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
def test_redis_cli(cluster: Cluster, tmp_path: Path) -> None:
    counts(cluster, 1, ["bash", "-euo", "pipefail", "-c", example(cluster, "bash")], tmp_path)


def test_javascript(cluster: Cluster, tmp_path: Path) -> None:
    program = ioredis() / "example.mjs"
    program.write_text(example(cluster, "javascript"))
    counts(cluster, 1, ["node", str(program)], tmp_path)


@pytest.mark.timeout(700)
def test_go(cluster: Cluster, tmp_path: Path) -> None:
    counts(cluster, 1, [str(go_program(example(cluster, "go"), tmp_path))], tmp_path)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_a_program_counts_as_often_as_the_page_says() -> None:
    command = [sys.executable, "-m", "bench.cut_answers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert 0 == done.returncode, done.stderr
    (shown,) = (text for language, text in BLOCKS if language == "text")
    assert without_versions(shown) == without_versions(done.stdout)


def without_versions(text: str) -> str:
    return re.sub(r"\b\d+\.\d+\.\d+\b", "VERSION", text)


def test_the_tables_have_every_command_and_every_error() -> None:
    rows = re.findall(r"^\| (`[A-Z]+`(?:, `[A-Z]+`)*) \|", PAGE, re.M)
    named = {word for row in rows for word in re.findall("[A-Z]+", row)}
    errors = {word for _, word in CODES} | set(OF_VOTES.values()) | OTHER_WORDS
    assert set(COMMANDS) - {"XADD"} | TRANSACTIONS | errors == named
