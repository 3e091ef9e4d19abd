"""The pinned commit, which is version 0.1.0, and clusters in which nodes of it run beside nodes of this commit.

It is built once, from git's history, into a folder of its own under `.cache`: its own files, its own virtual
environment from its own lock file, made by its own set-up script.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from quorate.client.http import JsonClient
from quorate.config.write import toml_value
from quorate.processes.node import NodeProcess
from tests.support.checkout import ROOT
from tests.support.cluster import Cluster
from tests.system import faults

PINNED = "a4d6321473c3363cf9452a996987cee62f201470"
PINNED_PYTHON_BELOW = (3, 14)
SET_UP_S = 240
SMALL_LOGS = {"raft.snapshot_bytes": 65_536}


class Version(NamedTuple):
    """What a node is run from."""

    name: str
    python: Path
    root: Path

    def put_into(self, node: NodeProcess) -> None:
        """The node is of this version from its next start on; its folder stays as it is."""
        assert not node.running
        node.command[0], node.cwd = str(self.python), self.root
        if node.settings:
            write_config_for_both(node)


def write_config_for_both(node: NodeProcess) -> None:
    """Write the node's file once, with names that both versions read: the old one does not know `sqlite.path`."""
    sections: dict[str, list[str]] = {}
    for name, value in node.settings.items():
        section, _, key = name.replace("sqlite.path", "flush.path").partition(".")
        sections.setdefault(section, []).append(f"{key} = {toml_value(value)}")
    node.folder.mkdir(parents=True, exist_ok=True)
    node.config.write_text("".join(f"[{section}]\n{chr(10).join(lines)}\n" for section, lines in sections.items()))
    node.settings = {}  # so that a start leaves the file as it is


NEW = Version("new", Path(sys.executable), ROOT)


@pytest.fixture(scope="module")
def old() -> Version:
    if sys.version_info[:2] >= PINNED_PYTHON_BELOW:
        pytest.skip(f"commit {PINNED[:7]} does not run on Python {sys.version_info[0]}.{sys.version_info[1]}")
    if not has_pinned_commit():
        pytest.skip(f"git does not have commit {PINNED[:7]} here: a shallow clone, or no clone at all")
    root = ROOT / ".cache" / f"quorate-{PINNED[:7]}"
    with lock(root.with_suffix(".lock")):
        if not root.exists():
            unpack(root)
        set_up(root)
    return Version("old", root / ".venv" / "bin" / "python", root)


def has_pinned_commit() -> bool:
    if shutil.which("git") is None:
        return False
    asked = ["git", "cat-file", "-e", f"{PINNED}^{{commit}}"]
    return 0 == subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """One builder at a time: two test runs may share the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unpack(root: Path) -> None:
    part = root.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", PINNED], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=part, input=archive, check=True)
    part.rename(root)


def set_up(root: Path) -> None:
    """Does nothing, and asks no registry, if the environment is there already."""
    tools = f"{ROOT / '.cache' / 'uv-tool' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", ". scripts/setup.sh && set_up run"],
        cwd=root,
        env={**os.environ, "PATH": tools, "QUORATE_PYTHON": str(Path(sys.executable).resolve())},
        capture_output=True,
        text=True,
        timeout=SET_UP_S,
        check=False,
    )
    assert 0 == done.returncode, f"commit {PINNED[:7]} cannot be set up:\n{done.stderr}"
    python, program = str(root / ".venv" / "bin" / "python"), "import quorate; print(quorate.__file__)"
    imported = subprocess.run([python, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout
    assert str(root / "src" / "quorate" / "__init__.py") == imported.strip()


KEY = "27c1a9e7d40b5f68c3ef21da8b947065fb5e08d3c6a192470d9be8f3175ac642"


@contextmanager
def cluster_of(versions: Sequence[Version], folder: Path) -> Iterator[Cluster]:
    """Node n1 is of the first version, and so on. One poll is for the tests' votes, one for those of `make_leader`."""
    cluster = Cluster(folder, settings={**SMALL_LOGS, "raft.key": KEY})
    for node, version in zip(cluster.nodes, versions, strict=True):
        version.put_into(node)
    with cluster, client_of(cluster.nodes[1]) as client:
        if sys.platform == "linux":
            assert [v.root for v in versions] == [Path(f"/proc/{node.pid}/cwd").resolve() for node in cluster.nodes]
        assert client.create_poll("mood", faults.OPTIONS)
        assert client.create_poll("handovers", ["missed", "seen"])
        yield cluster


def client_of(node: NodeProcess) -> JsonClient:
    """A client that asks this node alone."""
    return JsonClient([node.url], timeout_s=20)
