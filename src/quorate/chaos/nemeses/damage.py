"""Damage to the files of a node that is down, and replaced disks: never on so many that a majority has lost something.

A node that cannot trust its disk says so and does not start, or its peers tell it what it has forgotten. Then it is
replaced, as an operator would do it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import choice
from quorate.chaos.nemeses.nemesis import Nemesis, NotNow
from quorate.chaos.nemeses.ongoing import Ongoing, names
from quorate.chaos.nemeses.processes import becomes_ready, stop
from quorate.chaos.repair import KEPT, bring_back, empty

Harm = Callable[[Path, random.Random], str]  # raises NotNow; returns what was done, in words
OLD_COPY_READY_S = 10.0
TORN_BYTES = 2_000
SNAPSHOTS = "snapshot-*.snap"


@dataclass(frozen=True, slots=True)
class Damage:
    name: str
    about: str
    harm: Harm
    needs: str = "*"  # a pattern of files: a node that has none is not killed for nothing

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (node,) = choice.one(cluster, rng)
        _newest(node.folder, self.needs)
        cluster.harm(node)
        cluster.kill([node])
        try:
            words = self.harm(node.folder, rng)
        except NotNow:
            cluster.recovered(node)
            cluster.start_again([node])
            raise
        mend = partial(bring_back, cluster, node)
        return Ongoing([node], f"{node.id} is down, and {words}", mend, needs_others=True)


@dataclass(frozen=True, slots=True)
class OldCopy:
    """A copy of the disk is taken, the node goes on for a while, and the copy is put back."""

    name: str = "old-copy"
    about: str = "an old copy of a node's disk is put back"

    def missing(self, cluster: ChaosCluster) -> str | None:
        return None

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        (node,) = choice.one(cluster, rng)
        copy = cluster.folder / f"copy of {node.id}"
        stop(node)
        _copy_data(node.folder, copy)
        cluster.start_again([node])
        becomes_ready(node, OLD_COPY_READY_S)
        cluster.harm(node)
        cluster.kill([node])
        empty(node.folder)
        _copy_data(copy, node.folder)
        mend = partial(bring_back, cluster, node)
        return Ongoing([node], f"an old copy of {names([node])} is put back", mend, needs_others=True)


def _copy_data(folder: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    empty(to)
    for path in folder.iterdir():
        if path.is_file() and path.name not in KEPT:
            shutil.copy2(path, to)


# ---- what is done to the files --------------------------------------------------------------------------------------


def torn_tail(folder: Path, rng: random.Random) -> str:
    """A write that was under way when the node died: only a part of it is there, behind all that was acknowledged."""
    path = _newest(folder, "log-*")
    data = bytearray(path.read_bytes())
    end = len(data.rstrip(b"\0"))
    torn = rng.randbytes(rng.randint(1, TORN_BYTES))
    data[end + 8 : end + 8 + len(torn)] = torn  # a record may end with zeros
    path.write_bytes(data)
    return f"its log ends with {len(torn)} bytes of garbage"


def flipped_bit(folder: Path, rng: random.Random) -> str:
    path = rng.choice([*folder.glob("log-*"), *folder.glob(SNAPSHOTS)] or [_newest(folder, "log-*")])
    data = bytearray(path.read_bytes())
    used = len(data.rstrip(b"\0"))
    if not used:
        raise NotNow(f"{path.name} is empty")
    at = rng.randrange(used)
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"a bit of {path.name} is flipped at {at}"


def truncated_log(folder: Path, rng: random.Random) -> str:
    path = _newest(folder, "log-*")
    used = len(path.read_bytes().rstrip(b"\0"))
    size = rng.randint(0, used)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"its log is cut to {size} bytes"


def truncated_snapshot(folder: Path, rng: random.Random) -> str:
    path = _newest(folder, SNAPSHOTS)
    size = rng.randint(0, path.stat().st_size - 1)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"its snapshot is cut to {size} bytes"


def wiped(folder: Path, rng: random.Random) -> str:
    empty(folder)
    return "its disk is empty"


def _newest(folder: Path, pattern: str) -> Path:
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        raise NotNow(f"there is no {pattern}")
    return found[-1]


NEMESES: Sequence[Nemesis[ChaosCluster]] = (
    Damage("torn-tail", "the log of a node ends with a torn write", torn_tail),
    Damage("flipped-bit", "a bit of a log or of a snapshot is flipped while the node is down", flipped_bit),
    Damage("truncated-log", "the log of a node is cut while it is down", truncated_log),
    Damage("truncated-snapshot", "the snapshot of a node is cut while it is down", truncated_snapshot, SNAPSHOTS),
    Damage("wiped-disk", "a node loses its disk, and is replaced", wiped),
    OldCopy(),
)
