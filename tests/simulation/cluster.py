"""A cluster in one process and in virtual time: real replicas on simulated disks and a simulated network."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pysyncobj.syncobj

from quorate import crash_points
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import Environment, ReplicaSettings
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.status import RaftStatus
from quorate.cluster.raft.storage.directory import FORMAT, NodeIdentity
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.cluster.read.reads import Reads
from quorate.cluster.state import shares
from quorate.cluster.submit.submitter import Submitter
from quorate.crash_points import crash_point
from quorate.errors import Removed
from tests.simulation.deaths import RUNNING, NodeDied, as_node
from tests.simulation.files import PowerCut, SimFiles, SimWriter
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network, SimTransport

SYNC_S = (0.0002, 0.003)
TICK_S = 0.05  # a node ticks with every message anyway
SHARE_WINDOW = 10_000  # a smaller table of ids than in a node is packed more quickly
EPOCH_S = 1_700_000_000.0


@dataclass
class SimDirectory:
    """A node's data directory. It survives the node's processes."""

    files: SimFiles
    identity: NodeIdentity

    def save_identity(
        self, *, cluster_id: str | None, members: dict[str, str] | None, incarnation: str | None = None
    ) -> None:
        old = self.identity
        crash_point("identity-before-rename")
        self.identity = NodeIdentity(FORMAT, old.node_id, incarnation or old.incarnation, cluster_id, members)
        crash_point("identity-after-rename")

    def copy(self) -> SimDirectory:
        """A copy of it as it is now."""
        return SimDirectory(self.files.copy(), self.identity)

    def close(self) -> None:
        pass


class Disk(SimWriter):
    """A disk thread that takes time for each operation, keeps their order, and can be made to hang."""

    def __init__(self, files: SimFiles, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        super().__init__(files)
        self._loop, self._rng, self._dead = loop, rng, False
        self._owner = RUNNING.get()
        self._interrupted = False
        self._busy = self._held = False
        self.sync_s: tuple[float, float] | None = None  # instead of `SYNC_S`

    def run(self, operation: Any, done: Any, *, brief: bool = False) -> None:
        super().run(operation, done)
        self._later()

    def _later(self) -> None:
        if not (self._busy or self._held) and len(self):
            self._busy = True
            self._loop.call_later(self._rng.uniform(*self.sync_s or SYNC_S), self._next)

    def _next(self) -> None:
        self._busy = False
        if not (self._dead or self._held):
            try:
                with as_node(self._owner):
                    self.complete()
            except (NodeDied, PowerCut):  # within the operation
                self._interrupted = True
                return
            self._later()

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self._later()

    def die(self, steps: int) -> None:
        self._dead = True
        if not self._interrupted:
            super().die(steps)


@dataclass
class SimNode:
    directory: SimDirectory
    replica: RaftReplica | None = None
    submitter: Submitter | None = None
    reads: Reads | None = None
    disks: list[Disk] = field(default_factory=list)
    halted: BaseException | None = None
    dying: bool = False  # at a crash point
    installed: int = 0  # snapshots from others that this process has installed
    removed: bool = False


@contextmanager
def virtual_time() -> Iterator[asyncio.Runner]:
    """A runner whose loop has a time of its own. A `SimCluster` on it gives this time to PySyncObj as well."""
    clock, window = pysyncobj.syncobj.monotonicTime, shares.SHARE_WINDOW
    shares.SHARE_WINDOW = SHARE_WINDOW
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.get_loop().set_exception_handler(_handle)
            yield runner
    finally:
        crash_points.disarm()
        pysyncobj.syncobj.monotonicTime, shares.SHARE_WINDOW = clock, window


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a dying node leaves behind is no error."""
    if not isinstance(context.get("exception"), NodeDied | PowerCut):
        loop.default_exception_handler(context)


@dataclass
class SinkWeather:
    """Of the sink that whole nodes write to."""

    is_down: bool = False
    slow_s: float = 0.0

    def mend(self) -> None:
        self.is_down, self.slow_s = False, 0.0


class SimCluster:
    def __init__(self, seed: int, names: str = "abcde", *, network: int = 0, **settings: Any) -> None:
        self.seed = seed
        self.loop = cast(VirtualLoop, asyncio.get_running_loop())
        self.network = Network(self.loop, random.Random(f"network {seed} {network}"))
        self.settings = {"snapshot_bytes": 6_000, "keep_bytes": 1_500, "segment_bytes": 16_384, **settings}
        self.names = list(names)  # members, now or soon
        self.founders = list(names)
        self.leaving: set[str] = set()
        self.nodes = {name: SimNode(self._directory(name)) for name in names}
        self.addresses = {name: f"{name}:1" for name in names}  # where each node listens from its next start on
        self.stale_settings = False  # whether raft.peers has for ever the addresses that the nodes had first
        self.chains: dict[int, bytes] = {}  # applied index -> chain, the same on all nodes
        self.digests: dict[int, str] = {}
        self.acknowledged = 0  # the greatest version anybody was told
        self.broken: list[str] = []
        self.seen: Counter[str] = Counter()  # situations, see `situations.py`
        self.in_flight: Counter[str] = Counter()  # votes that a node was asked for and has not answered
        self.sink = SinkWeather()
        self.calm = False  # no new faults begin
        self.copies: dict[str, SimDirectory] = {}  # of the disks of nodes
        self.put_back = self.found_out = 0
        self.clock_ahead_s: dict[str, float] = {}
        pysyncobj.syncobj.monotonicTime = self.loop.time

    def _directory(self, name: str) -> SimDirectory:
        rng = random.Random(f"disk {name} {self.seed} {self.loop.time()}")
        return SimDirectory(SimFiles(rng), NodeIdentity(FORMAT, name, rng.randbytes(8).hex()))

    def wipe(self, name: str) -> None:
        """Give the node an empty disk, or its first one if it is new."""
        if name in self.nodes:
            self.crash(name)
        self.addresses.setdefault(name, f"{name}:1")
        self.copies.pop(name, None)
        self.nodes[name] = SimNode(self._directory(name))

    def move(self, name: str) -> None:
        """The node, which is down, starts at another address next."""
        host, _, port = self.addresses[name].partition(":")
        self.addresses[name] = f"{host}:{int(port) + 1}"

    def _peers(self, name: str) -> dict[str, str]:
        """`raft.peers` of a node that starts now. Its own address is right in any case."""
        peers = sorted({*self.founders, *self.names, name})
        stale = {peer: f"{peer}:1" for peer in peers} if self.stale_settings else {}
        return {**{peer: self.addresses[peer] for peer in peers}, **stale, name: self.addresses[name]}

    async def start(self, name: str) -> None:
        with as_node(name), suppress(NodeDied):
            await self._start(name)

    async def _start(self, name: str) -> None:
        node = self.nodes[name]
        rng = random.Random(f"{name} {self.loop.time()} {self.seed}")
        node.disks = []

        def disk(purpose: str) -> Disk:
            node.disks.append(Disk(node.directory.files, self.loop, rng))
            return node.disks[-1]

        environment = Environment(
            writer=disk,
            transport=lambda node_id, listener, key: cast(PeerTransport, SimTransport(self.network, node_id, listener)),
            rng=rng,
            wall=lambda: EPOCH_S + self.loop.time() + self.clock_ahead_s.get(name, 0.0),
            monotonic=self.loop.time,
            tick_s=TICK_S,
        )
        replica = RaftReplica(
            ReplicaSettings(
                node_id=name,
                cluster_name="sim",
                listen=[(name, int(self.addresses[name].partition(":")[2]))],
                peers=self._peers(name),
                http="",
                credentials=shared_key(),
                bootstrap=name in self.founders,
                timing=ElectionTiming(0.3),
                dedup_window=10_000,
                **self.settings,
            ),
            node.directory,
            on_halt=lambda error: self._halted(name, error),
            environment=environment,
        )
        reads = Reads(replica, clock=self.loop.time)
        submitter = Submitter(replica, catch_up=reads.catch_up)
        node.replica, node.submitter, node.reads, node.halted = replica, submitter, reads, None
        node.dying, node.installed = False, 0
        replica.on_applied(lambda applied: self._applied(name, replica))
        await replica.start()

    def _halted(self, name: str, error: BaseException) -> None:
        self.nodes[name].halted = error
        if "No space left" in str(error) and self.nodes[name].directory.files.room_bytes is not None:
            self.loop.call_soon(self.crash, name)  # somebody makes room, and starts it again
            return
        if isinstance(error, Removed) and name in self.leaving:
            self.nodes[name].removed = True
            self.loop.call_soon(self.crash, name)
            return
        self.broken.append(f"{self.loop.time():.3f} {name} halted: {error!r}")

    def _applied(self, name: str, replica: RaftReplica) -> None:
        """Check that all nodes with an equal applied index have applied the same entries, and that no entry's time is
        ahead of the true one: most clocks are right."""
        self._saw_snapshots(name, replica)
        point = replica.log_point()
        if self.chains.setdefault(point.index, point.chain) != point.chain:
            self.broken.append(f"{self.loop.time():.3f} {name} has another entry {point.index}")
        ahead_ms = replica.state.time_ms - int((EPOCH_S + self.loop.time()) * 1000)
        if ahead_ms > 0:
            self.broken.append(f"{self.loop.time():.3f} {name} applies an entry of {ahead_ms} ms from now")

    def crash(self, name: str, *, power: bool = True) -> None:
        """Kill the process; with `power`, unsynced data may be lost too."""
        node = self.nodes[name]
        if node.replica is None:
            return
        self._saw_crash(name)
        rng = random.Random(f"crash {name} {self.seed} {self.loop.time()}")
        self._end(node)
        for disk in node.disks:
            disk.die(rng.randint(0, 12))
        node.directory.files.room_bytes = None
        if not power:
            node.directory.files.kill()
        elif node.directory.files.crash():
            self.saw("unsynced writes lost")
        node.replica = node.submitter = node.reads = None

    def _end(self, node: SimNode) -> None:
        """Its code runs no more."""
        assert node.replica is not None
        node.replica.abandon()
        cast(SimTransport, node.replica.transport).die()

    def die_at(self, name: str, point: str) -> bool:
        """Its process ends here and now, at a crash point. False if it does not run."""
        node = self.nodes.get(name)
        if node is None or node.replica is None or node.dying:
            return False
        self.saw(f"died at {point}")
        node.dying = True
        self._end(node)
        node.directory.files.steps_left = 0
        self.loop.call_soon(self._after_death, node, name)
        return True

    def _after_death(self, node: SimNode, name: str) -> None:
        if self.nodes[name] is node and node.dying:  # neither wiped nor started meanwhile
            self.crash(name)

    def saw(self, situation: str, times: int = 1) -> None:
        self.seen[situation] += times

    def _saw_snapshots(self, name: str, replica: RaftReplica) -> None:
        node, running = self.nodes[name], replica._opened
        assert running is not None
        if (new := running._receiver.installed - node.installed) and replica is node.replica:
            node.installed += new
            self.saw("snapshot installed", new)
            if self.network.cut or self.network.loss:
                self.saw("snapshot installed while links are cut", new)

    def _saw_crash(self, name: str) -> None:
        if self.leader() == name:
            self.saw("leader killed")
            if self.in_flight[name]:
                self.saw("leader killed with votes in flight")

    def left(self) -> list[str]:
        """The nodes that are no members any more, and may not know it yet."""
        return sorted(name for name in self.leaving - set(self.names) if not self.nodes[name].removed)

    def is_out(self, name: str) -> bool:
        """Whether nobody can tell a node that it left.

        Every member refuses it, because its disk never was a member: it is that of a learner that left before it knew
        that it was a voter, or one that forgot its promises. Or all members have moved since it left, and it does not
        know where they are.
        """
        node = self.nodes[name]
        assert node.replica is not None
        assert node.replica._opened is not None
        never_member = node.directory.identity.cluster_id is None or not node.replica._opened.membership.member_at
        transport = cast(SimTransport, node.replica.transport)
        connected = any(transport.is_open(peer) for peer in self.names)
        lost = not any(transport.knows_way_to(self.network.ends[peer]) for peer in self.up())
        return (never_member or lost) and not connected and node.replica.leader is None

    def status(self, name: str) -> RaftStatus:
        replica = self.nodes[name].replica
        return RaftStatus() if replica is None else replica.status()

    def up(self) -> list[str]:
        return [name for name in self.names if self.nodes[name].replica is not None]

    def term(self) -> int:
        """The newest one that a running node knows."""
        return max((r.term for name in self.up() if (r := self.nodes[name].replica) is not None), default=0)

    def leader(self) -> str | None:
        return max(
            ((r.term, name) for name in self.up() if (r := self.nodes[name].replica) is not None and r.is_leader),
            default=(0, None),
        )[1]

    async def until(self, condition: Any, within_s: float, what: str) -> None:
        deadline_s = self.loop.time() + within_s
        while not condition():
            if self.loop.time() > deadline_s:
                raise AssertionError(f"seed {self.seed}: {what} not within {within_s} s; {self.broken}")
            await asyncio.sleep(0.01)
