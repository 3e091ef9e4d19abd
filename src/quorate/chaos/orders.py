"""What a victim is told to do: a file in its data folder, which holds over kills and restarts of the node.

It is written under another name and renamed, so that a reader finds the old one or the new one, whole.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

ORDERS_NAME = "chaos.json"
CRASHED_NAME = "chaos.crashed"


class CrashOrder(msgspec.Struct, frozen=True):
    """Die at the `count`-th time from now that the code comes to this point. Each order is carried out once.

    With `stops` the process stands still there instead, as by SIGSTOP, until SIGCONT.
    """

    number: int
    point: str
    count: int = 1
    stops: bool = False


class Orders(msgspec.Struct, frozen=True, omit_defaults=True):
    """The default is a sound machine."""

    # The disk
    sync_delay_s: float = 0.0  # each sync takes so much longer
    hangs: bool = False  # each sync waits until this is taken back
    sync_fails: bool = False  # each sync fails, and what it should have written is gone
    room_bytes: int | None = None  # what can still be written until the disk is full
    holds_back: bool = False  # only what is synced reaches the disk for sure: a kill is a loss of power
    # The wall clock. The monotonic one is left alone.
    ahead_s: float = 0.0
    drift: float = 0.0  # seconds a second, from `drifts_from_s` on (Unix time)
    drifts_from_s: float = 0.0
    # The network
    doors: dict[str, int] = {}  # peer -> the port of 127.0.0.1 to dial instead
    # Sizes, read at the start. 0: as always
    keep_bytes: int = 0
    segment_bytes: int = 0
    seed: int = 0  # which unsynced writes reach the disk all the same
    crash: CrashOrder | None = None


SOUND_MACHINE = Orders()
_decode = msgspec.json.Decoder(Orders).decode


def read_orders(folder: Path) -> Orders:
    try:
        return _decode((folder / ORDERS_NAME).read_bytes())
    except FileNotFoundError:
        return SOUND_MACHINE


def write_orders(folder: Path, orders: Orders) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f"{ORDERS_NAME}.part"
    part.write_bytes(msgspec.json.encode(orders))
    os.replace(part, folder / ORDERS_NAME)


def last_crash(folder: Path) -> int:
    """The number of the last crash order that was carried out here; 0 if none was."""
    try:
        return int((folder / CRASHED_NAME).read_text())
    except (FileNotFoundError, ValueError):
        return 0
