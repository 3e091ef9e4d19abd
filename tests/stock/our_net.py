"""A cluster of our real replicas, on simulated disks, under the same faults."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar, cast

from quorate.cluster import entry
from quorate.cluster.fsm import Applied
from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import LEADER, ElectionTiming
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.environment import Environment, ReplicaSettings
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.running import RunningReplica
from quorate.cluster.raft.storage.directory import FORMAT, NodeIdentity
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.cluster import Disk, SimDirectory
from tests.simulation.files import SimFiles
from tests.simulation.network import SimTransport
from tests.stock.net import ClientOutcome, Net, Wire

POLL = "mood"
EPOCH_S = 1_700_000_000.0
CAST_S = 1.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class End(SimTransport):
    """One node's transport in the simulated network. The hook sees every message that it sends."""

    def send(self, peer: str, message: messages.Message) -> bool:
        if peer not in self.connection:
            return False
        data = messages.encode(message)
        cast(Wire, self.network).post(
            self.node_id, peer, message, lambda there: there.listener.received(self.node_id, messages.decode(data))
        )
        return True


class OurNet(Net):
    """A cluster of our replicas. `settings` are those of `ReplicaSettings`."""

    def __init__(self, seed: int = 0, *, election_s: float = 0.4, power_losses: float = 0.0, **settings: Any) -> None:
        super().__init__(seed, **settings)
        self.election_s = election_s
        self.power_losses = power_losses  # the share of crashes that are that
        self.replicas: dict[str, RaftReplica] = {}
        self.submitters: dict[str, Submitter] = {}
        self.directories: dict[str, SimDirectory] = {}
        self.disks: dict[str, dict[str, Disk]] = {}  # node -> purpose -> its thread
        self.halted: dict[str, BaseException] = {}
        self.levels: dict[str, int] = {}  # the feature level of a node's program, if it is an older one
        self.rng = random.Random(f"faults {seed}")
        self.addresses: dict[str, str] = {}  # where a node listens from its next start on, if it has moved
        self.peers: dict[str, dict[str, str]] = {}  # the raft.peers of a node, if they are not the true addresses
        self.clock_ahead_s: dict[str, float] = {}  # of the wall clocks that are wrong
        self._casting: set[asyncio.Task[None]] = set()

    def _now(self) -> float:
        return self.loop.time()

    def wait_for(self, what: Awaitable[T]) -> T:
        async def wait() -> T:
            return await what

        return self._runner.run(wait())

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def start_all(self, names: str) -> None:
        """Start the nodes, wait until the cluster is formed, and create a poll."""
        super().start_all(names)
        leader = self.elect()
        create = entry.CreatePoll(POLL, "", ["-"], "open", None, True)
        self.wait_for(self.submitters[leader].create_poll(create, timeout_s=10))
        assert self.until(lambda: all(self.replicas[name].state.poll(POLL) for name in names)), "a poll everywhere"

    def start(self, name: str) -> None:
        """Start a node. Raises `DataError` as a node does."""
        rng = random.Random(f"{name} {self.now_s} {self.seed}")
        if name not in self.directories:
            self.wipe(name)
        disks: dict[str, Disk] = {}
        files = self.directories[name].files

        def disk(purpose: str) -> Disk:
            disks[purpose] = Disk(files, self.loop, rng)
            return disks[purpose]

        environment = Environment(
            writer=disk,
            transport=lambda node_id, listener, key: cast(
                PeerTransport, End(self.wire, node_id, cast(RaftReplica, listener))
            ),
            rng=rng,
            wall=lambda: EPOCH_S + self.loop.time() + self.clock_ahead_s.get(name, 0.0),
            monotonic=self.loop.time,
        )
        settings: dict[str, Any] = {"snapshot_bytes": 1 << 30, "keep_bytes": 1_000, "dedup_window": 10_000}
        replica = RaftReplica(
            ReplicaSettings(
                node_id=name,
                cluster_name="sim",
                listen=[(name, int(self.address(name).partition(":")[2]))],
                peers=self.peers.get(name) or {peer: self.address(peer) for peer in self.names},
                http="",
                credentials=shared_key(),
                bootstrap=True,
                timing=ElectionTiming(self.election_s),
                feature_level=self.levels.get(name, entry.FEATURE_LEVEL),
                **{**settings, **self.settings},
            ),
            self.directories[name],
            on_halt=lambda error: self.halted.__setitem__(name, error),
            environment=environment,
        )
        self.disks[name] = disks

        async def start() -> None:
            await replica.start()
            self.replicas[name], self.submitters[name] = replica, Submitter(replica)

        self.wait_for(start())

    def address(self, name: str) -> str:
        return self.addresses.get(name, f"{name}:1")

    def crash(self, name: str, *, power: bool | None = None) -> None:
        """Kill the process; with `power`, what the disk had not synced may be gone."""
        power = self.rng.random() < self.power_losses if power is None else power

        async def crash() -> None:
            replica = self.replicas.pop(name)
            replica.abandon()
            del self.submitters[name]
            cast(SimTransport, replica.transport).die()

        self.wait_for(crash())
        for disk in self.disks[name].values():
            disk.die(self.rng.randint(0, 12))
        files = self.directories[name].files
        (files.crash if power else files.kill)()

    def stop(self, name: str) -> None:
        """Stop a node in order."""
        del self.submitters[name]
        self.wait_for(self.replicas.pop(name).stop())

    def wipe(self, name: str) -> None:
        """The node, which is down, gets an empty disk."""
        rng = random.Random(f"disk {name} {self.seed} {self.now_s}")
        self.directories[name] = SimDirectory(SimFiles(rng), NodeIdentity(FORMAT, name, rng.randbytes(8).hex()))

    def copy_of_disk(self, name: str) -> SimDirectory:
        """A copy of the node's data folder as it is now."""
        return self.directories[name].copy()

    def up(self) -> Iterable[str]:
        return self.replicas

    def refused_by(self, name: str) -> dict[str, str]:
        """The peers that have refused the node since it started, and why."""
        return cast(SimTransport, self.replicas[name].transport).refused_by

    def engine(self, name: str) -> Engine:
        return self.running(name).engine

    def running(self, name: str) -> RunningReplica:
        running = self.replicas[name]._opened
        assert running is not None
        return running

    def journal(self, name: str) -> Journal:
        return self.engine(name).journal

    def leads(self, name: str) -> bool:
        return self.engine(name).role == LEADER

    def term(self, name: str) -> int:
        return self.replicas[name].term

    def last_index(self, name: str) -> int:
        return self.journal(name).last_index

    def tags(self, name: str) -> list[str]:
        results = self.replicas[name].state.results(POLL) or {}
        return [tag for tag, count in results.items() for _ in range(count)]

    # ---- proposing --------------------------------------------------------------------------------------------------

    def entry(self, tag: str, pad: bytes = b"") -> bytes:
        command = entry.CastVotes([entry.Choice(tag, POLL, 1, 0)], plain=[(0, 1)])
        batches = [entry.encode_batch([command]), *([pad] if pad else [])]  # no batch, so it is refused: not votes
        return entry.encode_entry(int((EPOCH_S + self.now_s) * 1000), batches)

    def propose(self, name: str, tag: str, pad: bytes = b"") -> None:
        """Propose to the log itself, as a leader does."""

        async def propose() -> None:
            self.replicas[name].propose(self.entry(tag, pad)).add_done_callback(told)

        def told(answer: asyncio.Future[Applied]) -> None:
            self.outcomes.setdefault(tag, outcome_of(answer))

        self.wait_for(propose())

    def propose_raw(self, leader: str, command: bytes) -> None:
        """Put a command into the log that no proposer makes. Its first byte is its kind."""
        self.wait_for(_called(lambda: self.engine(leader)._add(command, lambda result, outcome: None)))

    def create_big_poll(self, leader: str, *, options: int) -> None:
        """Make the state big: some 50 bytes an option."""
        texts = [f"option {number} {self.rng.randbytes(16).hex()}" for number in range(options)]
        create = entry.CreatePoll("big", "", texts, "open", None, False)
        self.wait_for(self.submitters[leader].create_poll(create, timeout_s=10))

    def ask(self, name: str, tag: str, *, timeout_s: float = CAST_S) -> None:
        """Cast a vote once, with the tag as its id."""

        async def cast() -> None:
            casting = self.submitters[name].cast([Vote(tag, id=tag, poll=POLL)], timeout_s=timeout_s)
            task = asyncio.get_running_loop().create_task(counted(casting))
            self._casting.add(task)
            task.add_done_callback(self._casting.discard)

        async def counted(casting: Coroutine[Any, Any, Any]) -> None:
            try:
                await casting
                self.outcomes[tag] = "success"
            except QuorateError as error:
                self.outcomes[tag] = "no" if error.definite else "unknown"

        self.wait_for(cast())

    def hand_over(self, leader: str, to: str) -> None:
        engine = self.engine(leader)
        self.wait_for(_called(lambda: self.running(leader).send(to, messages.TimeoutNow(engine.term_now))))

    def deliver(self, source: str, target: str, message: Any) -> None:
        self.wait_for(_called(lambda: self.replicas[target].received(source, message)))

    @staticmethod
    def kind(message: Any) -> str:
        match message:
            case messages.Append():
                return "append" if message.entries else "heartbeat"
            case messages.SnapshotChunk():
                return "snapshot"
            case messages.RequestBallot():
                return "request"
        return type(message).__name__.lower()


async def _called(step: Callable[[], object]) -> None:
    step()


def outcome_of(answer: asyncio.Future[Applied]) -> ClientOutcome:
    error = answer.exception()
    if error is None:
        return "success"
    assert isinstance(error, QuorateError), error
    return "no" if error.definite else "unknown"
