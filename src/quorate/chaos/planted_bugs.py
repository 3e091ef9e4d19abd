"""Nodes with a planted bug, so that people can watch one being caught. The bugs are in test code, in no release.

So they work from a source checkout only: `tests/mutants` is looked for beside the source that runs. This process never
loads it; it asks, and starts, processes that do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from quorate.errors import Invalid
from quorate.unreadable import UNREADABLE
from quorate.words import did_you_mean

ROOT = Path(__file__).resolve().parents[3]
ASK_S = 30.0


class PlantedBug(msgspec.Struct):
    """As `python -m tests.mutants --json` tells it."""

    name: str
    about: str
    faults: list[str]  # under which a run catches it soon; none: the simulation catches it, and a run hardly ever does


@dataclass(frozen=True, slots=True)
class BuggyNodes:
    """How the nodes of a cluster are started so that all have the bug."""

    bug: PlantedBug
    command: Sequence[str]
    env: Mapping[str, str]


def planted_bugs(root: Path = ROOT) -> list[PlantedBug]:
    """Raises `Invalid`, in words, where there are none."""
    if not (root / "tests" / "mutants" / "victim.py").is_file():
        raise Invalid(f"planted bugs are in no release: run this from a source checkout ({root} is none)")
    asked = [sys.executable, "-P", "-m", "tests.mutants", "--json"]
    try:
        done = subprocess.run(asked, env=_env(root), capture_output=True, check=True, timeout=ASK_S)
        return msgspec.json.decode(done.stdout, type=list[PlantedBug])
    except subprocess.CalledProcessError as error:
        why = error.stderr.decode(errors="replace").strip().splitlines()
        raise Invalid(f"tests/mutants does not tell its bugs: {why[-1] if why else 'it ended'}") from None
    except (subprocess.TimeoutExpired, *UNREADABLE) as error:
        raise Invalid(f"tests/mutants does not tell its bugs: {error}") from None


def nodes_with(name: str, root: Path = ROOT) -> BuggyNodes:
    """Raises `Invalid` if no bug has this name."""
    bugs = {bug.name: bug for bug in planted_bugs(root)}
    if name not in bugs:
        near = did_you_mean(name, bugs) or ":"
        raise Invalid(f"no planted bug is called {name!r}{near} quorate chaos --mutant list shows all")
    command = (sys.executable, "-P", "-m", "tests.mutants.victim", name)
    return BuggyNodes(bugs[name], command, {"PYTHONPATH": _env(root)["PYTHONPATH"]})


def _env(root: Path) -> dict[str, str]:
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
