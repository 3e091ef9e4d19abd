"""Redis clients of other languages, fetched where a test needs them and kept in .cache. A test is skipped, and says
why, where their language or the network is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

FOLDER = ROOT / ".cache" / "redis-clients"
FETCH_S, BUILD_S = 200.0, 400.0
IOREDIS = "ioredis@5.11.1"
GO_REDIS = "github.com/redis/go-redis/v9@v9.23.0"
GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
GO_ENV = {"GOCACHE": str(ROOT / ".cache" / "go-build"), "GOMODCACHE": str(FOLDER / "go"), "GOFLAGS": "-modcacherw"}


def ioredis() -> Path:
    """A folder in which programs can import ioredis."""
    folder = FOLDER / "npm"
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another part of the tests may want it at the same time
        if not (folder / "node_modules" / "ioredis" / "package.json").exists():
            (folder / "package.json").write_text("{}")
            _fetch(["npm", "install", "--no-audit", "--no-fund", IOREDIS], folder)
    return folder


def go_program(source: str, folder: Path) -> Path:
    """A program that uses go-redis, built in `folder`. The first build compiles Go's own library too."""
    if GO is None:
        pytest.skip("Go is not installed")
    (folder / "main.go").write_text(source)
    (folder / "go.mod").write_text("module votes\n\ngo 1.24\n")
    _fetch([GO, "get", GO_REDIS], folder)
    built = _run([GO, "build", "-o", "votes", "."], folder, BUILD_S)
    assert 0 == built.returncode, built.stderr
    return folder / "votes"


def _fetch(command: list[str], folder: Path) -> None:
    try:
        done = _run(command, folder, FETCH_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{' '.join(command)}: nothing came within {FETCH_S:g} s")
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {' '.join((done.stderr or done.stdout).split())[:300]}")


def _run(command: list[str], folder: Path, deadline_s: float) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **GO_ENV, "CGO_ENABLED": "0"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=deadline_s)
