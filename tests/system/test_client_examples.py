"""Every example of docs/client.md, cookbook.md and start.md, run against a real cluster whose first node is dead.

Python runs here; curl, JavaScript and Go by their own programs, each of them twice: its vote counts once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.cluster.entry import FEATURE_LEVEL
from tests.support.checkout import ROOT
from tests.support.cluster import Cluster

PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.S | re.M)
PYTHON = [text for language, text in BLOCKS if language == "python"]
RECIPES = [
    text
    for page in ("cookbook.md", "start.md")
    for text in re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S | re.M)
]
GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("examples")) as cluster, cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"], title="How are you?")
        cluster.wait_for("the feature level is raised, for which all nodes are needed", lambda: has_level(cluster))
        cluster.nodes[0].kill()
        cluster.leader()
        yield cluster


def has_level(cluster: Cluster) -> bool:
    return all(node.get("/status")["raft"]["feature_level"] >= FEATURE_LEVEL for node in cluster.nodes)


def here(text: str, cluster: Cluster) -> str:
    """The example, for the nodes of this cluster."""
    for number, url in enumerate(cluster.urls, start=8001):
        text = text.replace(f"http://127.0.0.1:{number}", url)
    return text


def test_each_language_has_its_example() -> None:
    assert {"python", "bash", "javascript", "go"} == {language for language, _ in BLOCKS}
    assert len(PYTHON) >= 8


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python(cluster: Cluster, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What an example says that it prints, it prints. Only the first poll's numbers depend on what ran before."""
    printed, said = outcome(PYTHON[number], cluster, capsys)
    if number:
        assert set(said) <= set(printed)
    else:
        assert said == printed


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_recipe(cluster: Cluster, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has polls of its own, so all that it says is so."""
    printed, said = outcome(RECIPES[number], cluster, capsys)
    assert said == printed[: len(said)]
    assert printed


def outcome(text: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    """What an example prints, and what it says that it prints."""
    exec(compile(here(text, cluster), "an example", "exec"), {"__name__": "example"})
    return capsys.readouterr().out.splitlines(), re.findall(r"print\(.*\)  # (.*)$", text, re.M)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(cluster: Cluster, tmp_path: Path) -> None:
    counts_once(cluster, ["bash", written(cluster, "bash", tmp_path / "vote.sh")], tmp_path)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript(cluster: Cluster, tmp_path: Path) -> None:
    counts_once(cluster, ["node", written(cluster, "javascript", tmp_path / "vote.mjs")], tmp_path)


@pytest.mark.timeout(400)
@pytest.mark.skipif(GO is None, reason="Go is not installed")
def test_go(cluster: Cluster, tmp_path: Path) -> None:
    """The first build compiles Go's own library, 20 s of CPU. What it made is kept beside other things of tests."""
    source = written(cluster, "go", tmp_path / "main.go")
    env = {"GOCACHE": str(ROOT / ".cache" / "go-build"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
    built = subprocess.run(
        [str(GO), "build", "-o", "vote", source],
        cwd=tmp_path,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert 0 == built.returncode, built.stderr
    counts_once(cluster, [str(tmp_path / "vote")], tmp_path)


def written(cluster: Cluster, language: str, path: Path) -> str:
    (text,) = (text for each, text in BLOCKS if each == language)
    path.write_text(here(text, cluster), encoding="utf-8")
    return str(path)


def counts_once(cluster: Cluster, command: list[str], folder: Path) -> None:
    with cluster.client() as client:
        before = client.results("mood", level="linearizable")["results"]["happy"]
        for _ in range(2):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
            assert 0 == done.returncode, done.stdout + done.stderr
        assert before + 1 == client.results("mood", level="linearizable")["results"]["happy"]
