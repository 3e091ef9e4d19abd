"""The repository as a new clone would have it: the tracked files, with their present content."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked(*under: str) -> list[Path]:
    """The files that git tracks, links included, relative to the root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nobody knows which files belong")
    listed = subprocess.run(["git", "ls-files", "-z", "--", *under], cwd=ROOT, capture_output=True, check=True).stdout
    return [Path(name) for name in listed.decode().split("\0") if name and os.path.lexists(ROOT / name)]


def copy_to(folder: Path) -> None:
    """Copy the files that a new clone would have."""
    for path in tracked():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path, follow_symlinks=False)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a new clone, without the network. Returns its file, in the folder."""
    tree = folder / "tree"
    copy_to(tree)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True, timeout=110)
    assert 0 == done.returncode, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel
