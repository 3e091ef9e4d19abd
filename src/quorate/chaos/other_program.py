"""Another program that nodes can be: another version of Quorate, or the same one on another Python.

It is told by an interpreter in whose environment that Quorate is installed.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from quorate.errors import Invalid

ASK_S = 30.0
SHOW = (
    "import platform, quorate, quorate.chaos.victim as _, quorate.resp as _; "
    "print(f'Quorate {quorate.__version__} on Python {platform.python_version()}')"
)


@dataclass(frozen=True, slots=True)
class OtherProgram:
    python: str
    words: str  # "Quorate 0.2.0 on Python 3.12.1"


def other_program(python: Path) -> OtherProgram:
    """Raises `Invalid` if no Quorate that can be a victim is installed there."""
    try:
        done = subprocess.run([str(python), "-P", "-c", SHOW], capture_output=True, text=True, timeout=ASK_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Invalid(f"{python} is no Python that can be started: {error}") from None
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["it ended"])[-1]
        raise Invalid(f"{python} has no Quorate that quorate chaos can start as a node: {why}")
    return OtherProgram(str(python), done.stdout.strip())
