"""A program that is on PATH, or words that say which Debian package has it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess

PACKAGES = {"etcd": "etcd-server", "redis-server": "redis-server"}


def missing(program: str) -> str | None:
    """None if it is on PATH."""
    if shutil.which(program) is not None:
        return None
    return f"{program} is not on PATH: on Debian it is in the package {PACKAGES[program]}"


def missing_redis_py() -> str | None:
    if importlib.util.find_spec("redis") is not None:
        return None
    return "redis-py is not installed: `make elsewhere` gets it, and so does `uv sync --group bench`"


def first_line(program: str) -> str:
    """What it says of its version."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.splitlines()[0]
