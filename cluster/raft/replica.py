"""The replica of a node: the Raft engine on an event loop, with its disk, its connections and its state machine.

It ticks every few milliseconds, and makes a step, which costs less, when something has happened. Any error that could
make this node answer wrongly stops the replica: every open proposal is answered, no message is taken any more, and the
owner is told once, in words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from quorate.cluster import entry
from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.raft import log_point, messages
from quorate.cluster.raft.commit_announcer import CommitAnnouncer
from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.proposals import Proposals
from quorate.cluster.raft.environment import Directory, Environment, ReplicaSettings, blocking, in_words
from quorate.cluster.raft.leader_clock import LeaderClock
from quorate.cluster.raft.local_state import LocalState
from quorate.cluster.raft.member_clocks import MemberClocks
from quorate.cluster.raft.members import Member, Members
from quorate.cluster.raft.membership.address_changes import AddressChanges
from quorate.cluster.raft.membership.bootstrap import Bootstrap
from quorate.cluster.raft.opening import open_storage
from quorate.cluster.raft.own_leadership import OwnLeadership
from quorate.cluster.raft.running import RunningReplica
from quorate.cluster.raft.status import RaftStatus
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.writer import GuardedWriter, Writer
from quorate.cluster.raft.ticker import Ticker
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.replica import LogPage, LogPoint, PeerHandler
from quorate.errors import Halted, NoLeader, NotReady, OutcomeUnknown, QuorateError
from quorate.measures import Histogram

log = logging.getLogger(__name__)


class RaftReplica:
    """The `Replica` of a node that is a member of a cluster. It is starting, running, halted by an error, or stopped.
    Its parts that need the disk are in `RunningReplica`, which `start` makes once the disk has been read.
    """

    def __init__(
        self,
        settings: ReplicaSettings,
        directory: Directory,
        *,
        on_halt: Callable[[BaseException], None],
        environment: Environment | None = None,
    ) -> None:
        self._environment = environment = environment or Environment()
        self.settings = settings
        self.node_id = settings.node_id
        self.clock = LeaderClock(environment.wall, environment.monotonic)
        self._state = LocalState(self.clock)
        self._directory = directory
        self._files: Files = directory.files
        self._on_halt = on_halt
        founders = set(settings.peers if settings.bootstrap else ())
        self.bootstrap = Bootstrap(directory.identity, settings.cluster_name, founders)
        self.transport = environment.transport(settings.node_id, self, settings.credentials)
        self._clocks = MemberClocks(settings.node_id, self.transport, environment.wall, environment.monotonic)
        self._leadership = OwnLeadership(self._leadership_changed)
        self._proposals = Proposals(self._state)
        self._writers: list[Writer] = []
        self._ticker = Ticker(self._tick, self._step, self._unless_stopped, environment.tick_s)
        self._ticked_as: object = None  # the engine's standing when all was ticked last
        self._announcer = CommitAnnouncer(self._unless_stopped)
        self._opened: RunningReplica | None = None  # None: starting
        self._halted: BaseException | None = None
        self._stopped = False

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read what is on disk, then listen. Raises `DataError` in words, or `ConfigError` if the port is taken."""
        log_writer, snapshot_writer = self._new_writer("quorate-disk"), self._new_writer("quorate-snapshots")
        storage = await open_storage(
            self._files,
            log_writer,
            self.settings,
            may_create=self._directory.identity.cluster_id is None,
            on_synced=self._log_synced,
            on_failure=self._halt,
        )
        if storage.state is not None:
            self._state.load(storage.state)
        self._opened = running = RunningReplica(
            self.settings,
            storage,
            self._directory,
            self.transport,
            self.bootstrap,
            self._state,
            snapshot_writer=snapshot_writer,
            memory_writer=self._new_writer("quorate-memory"),
            rng=self._environment.rng,
            snapshot_installed=self._ticker.soon,
            halt=self._halt,
        )
        running.save_identity()
        await self.transport.start(self.settings.listen)
        self._ticker.start()

    def _new_writer(self, name: str) -> Writer:
        self._writers.append(GuardedWriter(self._environment.writer(name), self._unless_stopped))
        return self._writers[-1]

    def set_initial_peers(self, peers: Mapping[str, str], *, bootstrap: bool) -> None:
        """Set the peers of the settings later: where they are learned only after `start`. `bootstrap` as there."""
        if (running := self._running) is None:
            return
        if bootstrap:
            self.bootstrap.expect_members(set(peers))
        self._guard(running.set_initial_peers, peers)
        self._guard(running.save_identity)

    async def stop(self) -> None:
        if self._stopped:
            return
        self.abandon()
        self._fail_open_requests(OutcomeUnknown("this node stopped before the outcome was known"))
        await self.transport.stop()
        if self._opened is not None and self._halted is None:
            await blocking(self._opened.close_disk)
        for writer in self._writers:
            await blocking(writer.stop)
        self._directory.close()

    def abandon(self) -> None:
        """Stop without an answer to anybody, as a killed process does: for simulations."""
        self._stopped = True
        self._clocks.stop()
        if self._opened is not None:
            self._opened.stop()
        self._ticker.stop()
        self._announcer.stop()

    def _halt(self, error: BaseException) -> None:
        """Stop answering, for good. The owner decides what happens to the process."""
        if self._halted is None:
            self._halted = error = in_words(error, self._files.where)
            log.critical("this replica stops: %s", error.detail if isinstance(error, QuorateError) else repr(error))
            self._fail_open_requests(OutcomeUnknown("this node stopped itself before the outcome was known"))
            self._leadership.note(self.is_leader)
            self._on_halt(error)

    def _fail_open_requests(self, error: QuorateError) -> None:
        """Answer every open proposal and every read that waits for its confirmation."""
        self._proposals.fail_all(error)
        if self._opened is not None:
            self._opened.engine.fail_reads()

    # ---- steps ------------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> RunningReplica | None:
        """None unless this replica may act: its disk has been read, and it is neither halted nor stopped."""
        return None if self._halted is not None or self._stopped else self._opened

    def _guard(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step of the engine. An error in it stops the replica, not the loop."""
        try:
            return action(*arguments)
        except Exception as error:
            if not isinstance(error, Halted):
                log.exception("the replica failed inside")
            self._halt(error)
            return None

    def _unless_stopped(self, action: Callable[..., Any], *arguments: Any) -> bool:
        """Make a step of the engine, if this replica has not stopped meanwhile. Returns whether it runs after that."""
        if self._running is not None:
            with self.transport.flushes:
                self._guard(action, *arguments)
        return self._running is not None

    def _log_synced(self) -> None:
        """More of the log is durable. Called in a step of the disk's."""
        if (running := self._running) is not None:
            self._proposals.synced(running.engine.journal.synced_index)
            running.engine.on_synced()
            self._ticker.soon()

    def _tick(self) -> None:
        running = self._require_running()
        if running.engine.tick():
            self._ticker.soon()
        self._ticked_as = running.engine.standing()
        self._clocks.tick(leads=running.engine.role == LEADER, voters=running.engine.voters)
        running.tick_membership()
        self._leadership.note(self.is_leader)
        running.tick_watches()
        self._announcer.note(running.engine)
        running.compaction.compact_if_due()

    def _step(self) -> None:
        engine = self._require_running().engine
        if engine.step():
            self._ticker.soon()
        # A new leader asks for the clocks of others before it proposes. Who follows it says so before it answers.
        if engine.standing() != self._ticked_as:
            self._tick()
        self._leadership.note(self.is_leader)
        self._announcer.note(engine)

    def _leadership_changed(self, leads: bool) -> None:
        if self._opened is not None:
            handing_over = self._leadership.handing_over
            self._opened.log_leadership(leads, stops=self._running is None, handing_over=handing_over)
        if leads and not self.state.cluster_id:
            self._propose_cluster()

    def _propose_cluster(self) -> None:
        """Give the new state machine the id, the key and the settings that all replicas must share."""
        cluster_id = self.bootstrap.identity.cluster_id
        assert cluster_id is not None
        command = entry.FormCluster(cluster_id, self._environment.rng.randbytes(16), self.settings.dedup_window)
        proposed = self.propose(entry.encode_entry(self.now_ms(), [entry.encode_batch([command])]))
        proposed.add_done_callback(lambda done: done.exception())  # if it is lost, the next leader proposes it again

    # ---- for the transport, see `Listener` --------------------------------------------------------------------------

    def introduction(self) -> Introduction:
        assert self._opened is not None  # the transport starts after it
        return self._opened.introductions.own()

    def opened(self, peer: str, introduction: Introduction, replaces: Introduction | None = None) -> str | None:
        if self._opened is None:
            return "this node is starting"
        refusal = self._opened.introduced(peer, introduction, replaces)
        self._guard(self._opened.save_identity)
        return refusal

    def refuses_certificate(self, fingerprint: str) -> str | None:
        return None if self._opened is None else self._opened.introductions.refuses_certificate(fingerprint)

    def refused(self, peer: str, why: str) -> None:
        if (running := self._running) is not None:
            self._guard(running.introductions.refused, peer, why)

    def connected(self, peer: str) -> None:
        if (running := self._running) is not None:
            self._guard(running.connected, peer)
            self._ticker.soon()

    def disconnected(self, peer: str) -> None:
        if (running := self._running) is not None:
            self._guard(running.disconnected, peer)
        if not self.transport.is_open(peer):  # it may be: by a newer connection
            self.bootstrap.connection_closed(peer)

    def progress(self, peer: str) -> None:
        if (running := self._running) is not None:
            running.engine.progress(peer)

    def received(self, peer: str, message: messages.Message) -> None:
        if (running := self._running) is not None:
            self._guard(running.receive, peer, message)
            if running.engine.has_work():  # proposals wait for the others of this turn; what came does not
                self._unless_stopped(self._step)

    # ---- for the rest of the node, see `Replica` --------------------------------------------------------------------

    @property
    def state(self) -> StateMachine:
        return self._state.current

    @property
    def leader(self) -> str | None:
        return None if self._running is None else self._running.ways.leader

    @property
    def leader_via(self) -> str | None:
        return None if self._running is None else self._running.ways.via

    @property
    def expects_leader(self) -> bool:
        return self._running is None or self._running.expects_leader

    @property
    def is_leader(self) -> bool:
        return self._running is not None and self._running.engine.leads_its_term

    @property
    def term(self) -> int:
        return 0 if self._opened is None else self._opened.engine.term_now

    @property
    def place(self) -> tuple[int, int]:
        """The term, and the index of the entry that was applied last. May be asked on any thread."""
        return (0, 0) if (opened := self._opened) is None else (opened.engine.term_now, opened.engine.applied_index)

    def now_ms(self) -> int:
        return self._clocks.now_ms(self.state.time_ms, self.clock.now_ms)

    def propose(self, entry: bytes) -> asyncio.Future[Applied]:
        answer: asyncio.Future[Applied] = (self._ticker.loop or asyncio.get_running_loop()).create_future()
        running = self._running
        if running is None:
            answer.set_exception(NotReady("this node is starting or stopping"))
        elif self._leadership.handing_over:
            answer.set_exception(NoLeader(f"{self.node_id} hands leadership over"))
        elif (refusal := self._proposals.refusal(len(entry))) is not None:
            answer.set_exception(refusal)
        elif place := self._guard(
            running.engine.propose, entry, lambda applied, outcome: self._proposals.settle(answer, applied, outcome)
        ):
            self._proposals.add(answer, len(entry), place[0])
            self._ticker.soon()
        elif not answer.done():
            # If the engine failed while it added the entry, the entry may be in the log.
            unknown = OutcomeUnknown("this node stopped itself before the outcome was known")
            answer.set_exception(unknown if self._halted else NoLeader(f"{self.node_id} does not lead now"))
        return answer

    async def barrier(self) -> int:
        running = self._require_running()
        confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._guard(
            running.engine.confirm_reads, lambda leads: None if confirmed.done() else confirmed.set_result(leads)
        )
        self._ticker.soon()
        if not await confirmed:
            raise NoLeader(f"{self.node_id} does not lead now")
        return self.state.version

    async def call(self, peer: str, kind: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        return await self.transport.call(peer, kind, request, timeout_s=timeout_s)

    def call_leader(
        self, leader: str, kind: str, request: bytes, *, timeout_s: float | None = None
    ) -> Awaitable[bytes]:
        call = self.transport.call if self._running is None else self._running.ways.call
        return call(leader, kind, request, timeout_s=timeout_s)

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self.transport.serve(kind, handler)

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        self._state.on_applied(listener)

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        self._leadership.listen(listener)

    async def transfer_leadership(self) -> bool:
        if self._opened is None:
            return False
        engine = self._opened.engine
        return await self._leadership.transfer(engine, is_running=lambda: self._running is not None, guard=self._guard)

    def status(self) -> RaftStatus:
        if self._opened is None:
            return RaftStatus()
        return self._opened.status(
            halted=self._halted is not None,
            clock_jumps_refused=self.clock.refused,
            clock_offsets_ms=self._clocks.offsets_ms(),
        )

    def measures(self) -> Mapping[str, Histogram]:
        """What it has measured since it runs, by name: commit, entry_bytes, apply; sync as soon as it has a log."""
        sync = {} if self._opened is None else {"sync": self._opened.engine.journal.sync_times}
        return self._proposals.measures() | {"apply": self._state.apply_times} | sync

    # ---- members ----------------------------------------------------------------------------------------------------

    def require_level(self, level: int, what: str) -> None:
        self._require_running().level.require(level, what)

    async def change_members(self, change: Callable[[Members], Members]) -> Members:
        """Change the members, one at a time, and wait until the change is committed. Leader only."""
        return await self._require_running().membership.change(change)

    @property
    def addresses(self) -> AddressChanges:
        return self._require_running().addresses

    def members(self) -> list[Member]:
        return [] if self._opened is None else self._opened.membership.list_members()

    def http_addresses(self) -> Mapping[str, str]:
        """The HTTP address of each peer that has introduced itself, and of a leader that this node was told of."""
        return {} if self._opened is None else self._opened.ways.http

    def log_point(self, index: int | None = None) -> LogPoint:
        return log_point.applied_point(self._require_running().engine, index)

    def log_page(self, first: int | None, entries_max: int, bytes_max: int) -> LogPage:
        return log_point.applied_page(self._require_running().engine, first, entries_max, bytes_max)

    def _require_running(self) -> RunningReplica:
        if self._running is None:
            raise NotReady("this node is starting or stopping")
        return self._running
