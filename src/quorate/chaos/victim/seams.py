"""The seams of a victim's node: its files, its wall clock, its doors to other nodes, and its crash points."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from quorate import crash_points
from quorate.chaos.orders import CRASHED_NAME, CrashOrder, Orders, last_crash
from quorate.chaos.victim.control import Control
from quorate.chaos.victim.files import VictimFiles
from quorate.chaos.victim.wall_clock import wall_clock
from quorate.cluster.raft.environment import Environment, ReplicaSettings
from quorate.cluster.raft.storage.files import DiskFiles, OsFiles
from quorate.cluster.raft.transport.connection import PeerConnection, Target
from quorate.cluster.raft.transport.handshake.credentials import Credentials
from quorate.cluster.raft.transport.transport import Listener, PeerTransport

HOST = "127.0.0.1"
STOPPED_S = 0.05  # until the signal has stopped every thread of a process


class VictimSeams:
    """`open_files` is called first, and tells where the orders are."""

    def __init__(self) -> None:
        self._controls: list[Control] = []
        self._clock = wall_clock()  # before anything of the node sleeps

    @property
    def control(self) -> Control:
        return self._controls[0]

    def open_files(self, path: Path) -> DiskFiles:
        self._controls.append(Control(path, partial(arm_crash, path), self._clock))
        self.control.watch()
        print(f"{path} is the disk of a victim: {self.control.orders}", file=sys.stderr, flush=True)
        return VictimFiles(OsFiles(path), self.control)

    def environment(self) -> Environment:
        return Environment(transport=partial(DoorTransport, self.control), wall=self.control.wall)

    def sized(self, settings: ReplicaSettings) -> ReplicaSettings:
        orders = self.control.orders
        return replace(
            settings,
            keep_bytes=orders.keep_bytes or settings.keep_bytes,
            segment_bytes=orders.segment_bytes or settings.segment_bytes,
        )


class DoorTransport(PeerTransport):
    """Dials a peer at the door that is meant for this node, if there is one: so a relay knows who dials."""

    def __init__(self, control: Control, node_id: str, listener: Listener, credentials: Credentials) -> None:
        super().__init__(node_id, listener, credentials)
        self._control = control

    async def connect(self, target: Target, host: str, port: int) -> PeerConnection:
        door = self._control.orders.doors.get(target.peer)
        return await super().connect(target, *((host, port) if door is None else (HOST, door)))


def arm_crash(folder: Path, orders: Orders) -> None:
    """Let the ordered crash point kill or stop this process, unless that was done already."""
    order = orders.crash
    if order is None or order.number <= last_crash(folder):
        crash_points.disarm()
    else:
        crash_points.arm(order.point, order.count, partial(stand_still if order.stops else die, folder, order))


def stand_still(folder: Path, order: CrashOrder) -> None:
    """As by SIGSTOP. The code goes on here when somebody sends SIGCONT."""
    _note(folder, order)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(STOPPED_S)


def die(folder: Path, order: CrashOrder) -> None:
    """As by kill -9, at once."""
    _note(folder, order)
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()


def _note(folder: Path, order: CrashOrder) -> None:
    """The order is carried out. The note is for us: the power of the node does not fail by it."""
    (folder / CRASHED_NAME).write_text(f"{order.number}\n")
