"""A cluster in one process and in virtual time: real replicas, a disk and a network that can be taken away.

`history(seed)` is a whole random history with its verdict; the same seed gives the same history, to the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Any, cast

import pysyncobj.syncobj

from quorate.cluster.entry import CreatePoll
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import Environment, ReplicaSettings
from quorate.cluster.raft.members import REMOVED
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.storage.directory import FORMAT, NodeIdentity
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.files import SimFiles, SimWriter
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network, SimTransport

OPTIONS = ["happy", "sad", "calm"]
SYNC_S = (0.0002, 0.003)
EPOCH_S = 1_700_000_000.0


@dataclass
class SimDirectory:
    """A node's data directory: outlives its processes."""

    files: SimFiles
    identity: NodeIdentity

    def save_identity(self, *, cluster_id: str | None, members: dict[str, str] | None) -> None:
        old = self.identity
        self.identity = NodeIdentity(FORMAT, old.node_id, old.incarnation, cluster_id, members)

    def close(self) -> None:
        pass


class Disk(SimWriter):
    """A disk thread that takes its time, in order, and can be made to hang."""

    def __init__(self, files: SimFiles, loop: asyncio.AbstractEventLoop, rng: random.Random) -> None:
        super().__init__(files)
        self._loop, self._rng, self._dead = loop, rng, False
        self._busy = self._held = False
        self.sync_s: tuple[float, float] | None = None  # instead of `SYNC_S`

    def run(self, operation: Any, done: Any) -> None:
        super().run(operation, done)
        self._later()

    def _later(self) -> None:
        if not (self._busy or self._held) and len(self):
            self._busy = True
            self._loop.call_later(self._rng.uniform(*self.sync_s or SYNC_S), self._next)

    def _next(self) -> None:
        self._busy = False
        if not (self._dead or self._held):
            self.complete()
            self._later()

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self._later()

    def die(self, steps: int) -> None:
        self._dead = True
        super().die(steps)


@dataclass
class SimNode:
    directory: SimDirectory
    replica: RaftReplica | None = None
    submitter: Submitter | None = None
    disks: list[Disk] = field(default_factory=list)
    halted: BaseException | None = None
    removed: bool = False


class SimCluster:
    def __init__(self, seed: int, names: str = "abcde", **settings: Any) -> None:
        self.seed = seed
        self.rng = random.Random(f"faults {seed}")
        self.loop = cast(VirtualLoop, asyncio.get_running_loop())
        self.network = Network(self.loop, random.Random(f"network {seed}"))
        self.settings = {"snapshot_bytes": 6_000, "keep_bytes": 1_500, "segment_bytes": 16_384, **settings}
        self.names = list(names)  # members, now or soon
        self.founders = list(names)
        self.leaving: set[str] = set()
        self.nodes = {name: SimNode(self._directory(name)) for name in names}
        self.chains: dict[int, bytes] = {}  # applied index -> chain, the same on all nodes
        self.digests: dict[int, str] = {}
        self.acknowledged = 0  # the greatest version anybody was told
        self.broken: list[str] = []
        pysyncobj.syncobj.monotonicTime = self.loop.time

    def _directory(self, name: str) -> SimDirectory:
        rng = random.Random(f"disk {name} {self.seed} {self.loop.time()}")
        return SimDirectory(SimFiles(rng), NodeIdentity(FORMAT, name, rng.randbytes(8).hex()))

    def wipe(self, name: str) -> None:
        """The node gets an empty disk; or its first, if it is new."""
        if name in self.nodes:
            self.crash(name)
        self.nodes[name] = SimNode(self._directory(name))

    async def start(self, name: str) -> None:
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
            wall=lambda: EPOCH_S + self.loop.time(),
            monotonic=self.loop.time,
        )
        replica = RaftReplica(
            ReplicaSettings(
                node_id=name,
                cluster_name="sim",
                listen=("", 0),
                peers={peer: peer for peer in sorted({*self.founders, *self.names, name})},
                http="",
                key=None,
                bootstrap=name in self.founders,
                timing=ElectionTiming(0.3),
                dedup_window=10_000,
                **self.settings,
            ),
            node.directory,
            on_halt=lambda error: self._halted(name, error),
            environment=environment,
        )
        node.replica, node.submitter, node.halted = replica, Submitter(replica), None
        replica.on_applied(lambda applied: self._applied(name, replica))
        await replica.start()

    def _halted(self, name: str, error: BaseException) -> None:
        self.nodes[name].halted = error
        if "No space left" in str(error) and self.nodes[name].directory.files.room_bytes is not None:
            self.loop.call_soon(self.crash, name)  # somebody makes room, and starts it again
            return
        if REMOVED in str(error) and name in self.leaving:
            self.nodes[name].removed = True
            return
        self.broken.append(f"{self.loop.time():.3f} {name} halted: {error!r}")

    def _applied(self, name: str, replica: RaftReplica) -> None:
        """Nodes that applied as much must have applied the same."""
        index, chain = replica.applied_point()
        if self.chains.setdefault(index, chain) != chain:
            self.broken.append(f"{self.loop.time():.3f} {name} has another entry {index}")

    def crash(self, name: str, *, power: bool = True) -> None:
        """The process is gone, and with `power` what the disk had not synced."""
        node = self.nodes[name]
        if node.replica is None:
            return
        node.replica.abandon()
        cast(SimTransport, node.replica.transport).die()
        for disk in node.disks:
            disk.die(self.rng.randint(0, 12))
        node.directory.files.room_bytes = None
        if power:
            node.directory.files.crash()
        else:
            node.directory.files.kill()
        node.replica = node.submitter = None

    def up(self) -> list[str]:
        return [name for name in self.names if self.nodes[name].replica is not None]

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


@dataclass
class Verdict:
    seed: int
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    snapshots: int = 0
    terms: int = 0
    messages: int = 0
    digest: str = ""
    broken: list[str] = field(default_factory=list)


async def _voter(cluster: SimCluster, name: str, number: int, outcomes: dict[str, str], rng: random.Random) -> None:
    """Cast one vote at one node, and again under the same id while its fate is unknown, wherever a node is up."""
    vote_id = f"v{number}"
    option = rng.choice(OPTIONS)
    for _ in range(3):
        submitter = cluster.nodes[name].submitter
        if submitter is None:
            return
        try:
            outcomes.setdefault(vote_id, "unknown")  # until we hear otherwise
            tallied = await submitter.cast([Vote(option, id=vote_id)], timeout_s=1.0)
            outcomes[vote_id] = f"counted {option}" if not tallied.rejected else "rejected"
            cluster.acknowledged = max(cluster.acknowledged, tallied.version)
            return
        except QuorateError as error:
            if error.definite and outcomes[vote_id] != "maybe":
                outcomes[vote_id] = "refused"
                return
            outcomes[vote_id] = "maybe"
            name = rng.choice(cluster.up() or [name])


async def _reader(cluster: SimCluster, name: str) -> None:
    """Whoever confirms a read has applied all that was acknowledged before it was asked."""
    replica, before = cluster.nodes[name].replica, cluster.acknowledged
    with contextlib.suppress(QuorateError, TimeoutError):
        assert replica is not None
        version = await asyncio.wait_for(replica.barrier(), 5)
        if version < before:
            cluster.broken.append(f"{cluster.loop.time():.3f} {name} read version {version} after {before} was told")


async def run_history(seed: int, names: str = "abcde", *, seconds: float = 20.0) -> Verdict:
    cluster = SimCluster(seed, names)
    rng = cluster.rng
    for name in cluster.names:
        await cluster.start(name)
    await cluster.until(cluster.leader, 20, "a first leader")
    first = cluster.leader()
    assert first is not None
    submitter = cluster.nodes[first].submitter
    assert submitter is not None
    await cluster.until(lambda: cluster.nodes[first].replica.state.hash_key, 10, "a formed state")  # type: ignore[union-attr]
    await submitter.create_poll(CreatePoll("mood", "", OPTIONS, "open", None, False), timeout_s=10)
    outcomes: dict[str, str] = {}
    voters: set[asyncio.Task[None]] = set()
    operator = cluster.loop.create_task(_operator(cluster, seconds)) if rng.random() < 0.7 else None
    cluster.network.late = rng.choice((0.0, 0.0, 0.02))
    cluster.network.repeated = rng.choice((0.0, 0.01))
    number = 0
    while cluster.loop.time() < seconds:
        for name in cluster.up():
            for _ in range(rng.randrange(4)):
                number += 1
                task = cluster.loop.create_task(_voter(cluster, name, number, outcomes, rng))
                voters.add(task)
                task.add_done_callback(voters.discard)
            if rng.random() < 0.3:
                voters.add(reader := cluster.loop.create_task(_reader(cluster, name)))
                reader.add_done_callback(voters.discard)
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        await _fault(cluster)
    await _heal(cluster)
    await asyncio.wait_for(asyncio.gather(*voters), 60)
    if operator is not None:
        await asyncio.wait_for(operator, 120)
        await _heal(cluster)  # whoever it found in the way
    return await _judge(cluster, outcomes)


async def _operator(cluster: SimCluster, seconds: float) -> None:
    """Somebody who adds, removes and replaces members while all that goes on, until the job is done."""
    rng = random.Random(f"operator {cluster.seed}")
    spare = iter("fgh")
    while cluster.loop.time() < seconds:
        await asyncio.sleep(rng.uniform(1, 5))
        what = rng.choice(("add", "add and regret", "remove", "replace"))
        if what.startswith("add") and len(cluster.names) < 7:
            name = next(spare, None)
            if name is None:
                continue
            cluster.names.append(name)
            cluster.wipe(name)
            await cluster.start(name)
            await _change(cluster, name, present=True)
            if what == "add and regret":  # it may be in the midst of catching up
                await asyncio.sleep(rng.uniform(0, 0.5))
                await _remove(cluster, name)
        elif what == "remove" and len(cluster.names) > 3:
            await _remove(cluster, rng.choice(cluster.names))
        elif what == "replace" and all(cluster.nodes[each].replica for each in cluster.names):
            name = rng.choice(cluster.names)
            cluster.wipe(name)
            await cluster.start(name)
            await _change(cluster, name, present=False)
            await _change(cluster, name, present=True)
        else:
            continue
        await _settled(cluster)


async def _remove(cluster: SimCluster, name: str) -> None:
    cluster.leaving.add(name)
    await _change(cluster, name, present=False)
    cluster.names.remove(name)
    cluster.crash(name)


async def _change(cluster: SimCluster, name: str, *, present: bool) -> None:
    """Ask whoever leads until the membership is so; a leader that is to go hands over first."""
    while True:
        await asyncio.sleep(0.1)
        leader = cluster.leader()
        replica = None if leader is None else cluster.nodes[leader].replica
        if replica is None:
            continue
        known = {member.id: member for member in replica.members()}
        if (name in known) == present and (not present or known[name].incarnation in ("", _incarnation(cluster, name))):
            return
        with contextlib.suppress(QuorateError):
            if leader == name:
                await replica.transfer_leadership()
            else:
                await replica.change_members(
                    (lambda members: members.adding(name, name)) if present else lambda members: members.removing(name)
                )


def _incarnation(cluster: SimCluster, name: str) -> str:
    return cluster.nodes[name].directory.identity.incarnation


async def _settled(cluster: SimCluster) -> None:
    """Wait until every member is a voter: the next change must not find a majority of learners."""
    while True:
        await asyncio.sleep(0.1)
        leader = cluster.leader()
        replica = None if leader is None else cluster.nodes[leader].replica
        if replica is not None and {m.id for m in replica.members() if m.voter} == set(cluster.names):
            return


async def _fault(cluster: SimCluster) -> None:
    rng, network = cluster.rng, cluster.network
    what, name = rng.random(), rng.choice(cluster.names)
    other = rng.choice([peer for peer in cluster.names if peer != name])
    if what < 0.05:
        side = set(rng.sample(cluster.names, rng.randint(1, len(cluster.names) // 2)))
        network.cut = {frozenset((a, b)) for a in side for b in cluster.names if b not in side}
        network.settle()
    elif what < 0.12:
        network.cut, network.loss = set(), {}
        network.settle()
    elif what < 0.17:
        network.flap(name, other)
    elif what < 0.20:
        cluster.crash(name, power=rng.random() < 0.7)
    elif what < 0.21 and rng.random() < 0.3:
        for each in cluster.up():
            cluster.crash(each)
    elif what < 0.24:
        network.loss[name, other] = rng.choice((0.1, 0.5, 1.0))
    elif what < 0.26 and (leader := cluster.leader()) is not None:
        replica = cluster.nodes[leader].replica
        assert replica is not None
        cluster.loop.create_task(replica.transfer_leadership())
    elif what < 0.28 and (up := cluster.up()):
        _harm_disk(cluster, rng.choice(up))
    elif what > 0.93:
        for down in [each for each in cluster.names if cluster.nodes[each].replica is None]:
            await cluster.start(down)


def _harm_disk(cluster: SimCluster, name: str) -> None:
    """It is full; or it hangs, or is slow, for a while."""
    rng, node = cluster.rng, cluster.nodes[name]
    how = rng.random()
    if how < 0.3:
        node.directory.files.room_bytes = rng.randrange(20_000)
    elif how < 0.6:
        for disk in node.disks:
            disk.hold()
            cluster.loop.call_later(rng.uniform(0.1, 4), disk.release)
    else:
        for disk in node.disks:
            disk.sync_s = rng.choice((None, (0.02, 0.1), (0.1, 0.3)))


async def _heal(cluster: SimCluster) -> None:
    network = cluster.network
    for node in cluster.nodes.values():
        node.directory.files.room_bytes = None
        for disk in node.disks:
            disk.sync_s = None
            disk.release()
    network.cut, network.loss, network.late, network.repeated = set(), {}, 0.0, 0.0
    network.settle()
    for name in cluster.names:
        if cluster.nodes[name].replica is None:
            await cluster.start(name)


async def _judge(cluster: SimCluster, outcomes: dict[str, str]) -> Verdict:
    nodes = [cluster.nodes[name] for name in cluster.names]
    replicas = [node.replica for node in nodes if node.replica is not None]

    def agreed() -> bool:
        return cluster.leader() is not None and 1 == len({replica.state.version for replica in replicas})

    verdict = Verdict(cluster.seed, broken=cluster.broken, messages=cluster.network.messages)
    if not cluster.broken:
        await cluster.until(agreed, 60, "agreement after healing")
        await asyncio.sleep(1)
    digests = {replica.state.digest() for replica in replicas}
    if len(digests) != 1:
        verdict.broken.append("nodes differ at the end")
    results = replicas[0].state.results("mood") or {}
    for option in OPTIONS:
        sure = sum(outcome == f"counted {option}" for outcome in outcomes.values())
        maybe = sum(outcome in ("unknown", "maybe") for outcome in outcomes.values())
        if not sure <= results.get(option, 0) <= sure + maybe:
            verdict.broken.append(f"{option}: {sure} acknowledged, {maybe} unknown, {results.get(option)} counted")
    verdict.acknowledged = sum(outcome.startswith("counted") for outcome in outcomes.values())
    verdict.unknown = sum(outcome in ("unknown", "maybe") for outcome in outcomes.values())
    verdict.refused = sum(outcome == "refused" for outcome in outcomes.values())
    verdict.snapshots = sum(int(replica.status().snapshots_received) for replica in replicas)
    verdict.terms = max(replica.term for replica in replicas)
    verdict.digest = digests.pop()
    for replica in replicas:
        await replica.stop()
    return verdict


def history(seed: int, names: str = "abcde", *, seconds: float = 20.0) -> Verdict:
    """One random history, from the seed alone."""
    clock = pysyncobj.syncobj.monotonicTime
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(run_history(seed, names, seconds=seconds))
    finally:
        pysyncobj.syncobj.monotonicTime = clock
