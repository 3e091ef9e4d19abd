"""A Docker engine, if one answers. The program `docker` proves nothing: it may be a client without an engine."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence

import fetch
from folder import REPOSITORY, Folder

COMPOSE = REPOSITORY / "deploy/compose/services.yml"


@functools.cache
def answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        engine = subprocess.run(["docker", "info"], capture_output=True, timeout=20)
        compose = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return engine.returncode == 0 and compose.returncode == 0


def up(folder: Folder, services: Sequence[str], ports: Mapping[str, int]) -> None:
    env = {name: str(port) for name, port in ports.items()}
    fetch.run([*_compose(folder), "up", "--detach", *services], env=env)


def stop(folder: Folder, services: Sequence[str]) -> None:
    """Stop and remove the containers. Their volumes stay."""
    fetch.run([*_compose(folder), "rm", "--stop", "--force", *services], timeout_s=120)


def purge(folder: Folder) -> None:
    if answers():
        fetch.run([*_compose(folder), "down", "--volumes"], timeout_s=120)


def _compose(folder: Folder) -> list[str]:
    project = "quorate-" + hashlib.blake2b(str(folder.path).encode(), digest_size=4).hexdigest()
    return ["docker", "compose", "--project-name", project, "--file", str(COMPOSE)]
