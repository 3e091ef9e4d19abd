"""The replica of a running node: the engine on an event loop, with its disk, its links and its state machine.

Ticks when something happened, and every few milliseconds besides. Whatever could make this node answer wrongly stops
it: every open proposal is answered, the links are cut, and the owner is told once, in words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from quorate.cluster import entry
from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import LEADER
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.proposals import Proposals, settle
from quorate.cluster.raft.environment import Directory, Environment, ReplicaSettings, blocking, in_words
from quorate.cluster.raft.leader_clock import LeaderClock
from quorate.cluster.raft.members import Member, Members
from quorate.cluster.raft.membership.bootstrap import Bootstrap
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.snapshot.compaction import Compaction
from quorate.cluster.raft.snapshot.transfer import Transfer
from quorate.cluster.raft.storage.files import Files
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.cluster.raft.storage.writer import GuardedWriter, Writer
from quorate.cluster.raft.transport.connection import Introduction
from quorate.cluster.replica import PeerHandler
from quorate.errors import Halted, NoLeader, NotReady, OutcomeUnknown, QuorateError

TICK_S = 0.02
ANNOUNCE_COMMIT_S = 0.01  # followers learn of a commit with the next entry, or after this long
TRANSFER_S = 2.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class RaftReplica:
    """See `quorate.cluster.replica.Replica`, which this is."""

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
        self.state = StateMachine()
        self.clock = LeaderClock(environment.wall, environment.monotonic)
        self._directory = directory
        self._files: Files = directory.files
        self._on_halt = on_halt
        self.bootstrap = Bootstrap(
            directory.identity, settings.cluster_name, set(settings.peers) if settings.bootstrap else set()
        )
        self.transport = environment.transport(settings.node_id, self, settings.key)
        self._applied_listeners: list[Callable[[Applied], None]] = []
        self._leadership_listeners: list[Callable[[bool], None]] = []
        self._proposals = Proposals()
        self._was_leader = False
        self._http: dict[str, str] = {}
        self._halted: BaseException | None = None
        self._stopped = False
        self._tick_scheduled = False
        self._tick_timer: asyncio.TimerHandle | None = None
        self._announce_timer: asyncio.TimerHandle | None = None
        self._engine: Engine | None = None
        self._writers: list[Writer] = []
        self._handing_over = False

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read what is on disk, then listen. Raises `DataError` in words, or OSError if the port is taken."""
        writer, snapshot_writer = self._new_writer("quorate-disk"), self._new_writer("quorate-snapshots")
        snapshots = SnapshotStore(self._files, node_id=self.node_id, accept=StateMachine.restore)
        snapshot = await blocking(snapshots.newest)
        if snapshot is not None:
            image = await blocking(snapshots.load, snapshot)
            self.state = await blocking(StateMachine.restore, image)
        self._journal = await blocking(
            Journal.open,
            self._files,
            writer,
            snapshot=snapshot,
            on_failure=self._halt,
            node_id=self.node_id,
            segment_bytes=self.settings.segment_bytes,
            may_create=self._directory.identity.cluster_id is None,
        )
        self._engine = engine = Engine(
            self.node_id,
            self.settings.peers,
            journal=self._journal,
            send=self.transport.send,
            apply=self._apply,
            timing=self.settings.timing,
            rng=self._environment.rng,
            backlog=self.transport.backlog,
        )
        if snapshot is not None:
            engine.restored(snapshot.index)
        self._membership = Membership(
            self.node_id,
            engine,
            self.transport,
            self.bootstrap,
            self.settings.peers,
            snapshot,
        )
        self._compaction = Compaction(
            snapshots,
            snapshot_writer,
            engine,
            self._membership,
            self.settings,
            snapshot,
            freeze=lambda: self.state.freeze(),
            replace=self._replace_state,
            failed=self._halt,
        )
        self._transfer = Transfer(
            engine,
            snapshots,
            snapshot_writer,
            newest=lambda: self._compaction.newest,
            send=self.transport.send,
            backlog=self.transport.backlog,
            install=self._compaction.install,
        )
        self._compaction.held = self._transfer.held
        engine.offer_snapshot, engine.cancel_snapshot = self._transfer.offer, self._transfer.cancel
        engine.on_durable = self._tick_soon
        self._save_identity()
        await self.transport.start(*self.settings.listen)
        self._tick_periodically()

    def _new_writer(self, name: str) -> Writer:
        self._writers.append(GuardedWriter(self._environment.writer(name), self._step))
        return self._writers[-1]

    def set_initial_peers(self, peers: Mapping[str, str], *, bootstrap: bool) -> None:
        """Whom to meet while the log names nobody, where that is learned only after `start`; as the settings' peers."""
        if not self._running:
            return
        if bootstrap:
            self.bootstrap.expect_members(set(peers))
        self._guard(self._membership.set_initial_peers, peers)
        self._guard(self._save_identity)

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        for timer in (self._tick_timer, self._announce_timer):
            if timer is not None:
                timer.cancel()
        self._fail_open_requests(OutcomeUnknown("this node stopped before the outcome was known"))
        await self.transport.stop()
        if self._engine is not None and self._halted is None:
            await blocking(self._journal.close)
        for writer in self._writers:
            await blocking(writer.stop)
        self._directory.close()

    def abandon(self) -> None:
        """Stop without a word, as a killed process does: for simulations."""
        self._stopped = True
        for timer in (self._tick_timer, self._announce_timer):
            if timer is not None:
                timer.cancel()

    def _halt(self, error: BaseException) -> None:
        """Stop answering, once and for all. The owner decides what becomes of the process."""
        if self._halted is None:
            self._halted = error = in_words(error, self._files.where)
            log.critical("this replica stops: %s", error.detail if isinstance(error, QuorateError) else repr(error))
            self._fail_open_requests(OutcomeUnknown("this node stopped itself before the outcome was known"))
            self._check_leadership()
            self._on_halt(error)

    def _fail_open_requests(self, error: QuorateError) -> None:
        """Whoever waits for a proposal or a read."""
        self._proposals.fail_all(error)
        if self._engine is not None:
            self._engine.fail_reads()

    # ---- driving the engine -----------------------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self._engine is not None and self._halted is None and not self._stopped

    def _guard(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Run a step of the engine; whatever it raises stops the replica rather than the loop."""
        try:
            return action(*arguments)
        except Exception as error:
            if not isinstance(error, Halted):
                log.exception("the replica failed inside")
            self._halt(error)
            return None

    def _step(self, action: Callable[..., Any], *arguments: Any) -> None:
        """What a disk thread has done changes nothing any more once the replica has stopped."""
        if self._running:
            self._guard(action, *arguments)

    def _tick_soon(self) -> None:
        if not self._tick_scheduled and self._running:
            self._tick_scheduled = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick_periodically(self) -> None:
        self._tick()
        if self._running:
            self._tick_timer = asyncio.get_running_loop().call_later(TICK_S, self._tick_periodically)

    def _tick(self) -> None:
        self._tick_scheduled = False
        if self._running:
            self._guard(self._run_tick)

    def _run_tick(self) -> None:
        engine = self._engine
        assert engine is not None
        if engine.tick():
            self._tick_soon()
        self._membership.tick()
        if self.bootstrap.identity != self._directory.identity:
            self._save_identity()
        self._check_leadership()
        if engine.commit_unannounced() and self._announce_timer is None:
            self._announce_timer = asyncio.get_running_loop().call_later(ANNOUNCE_COMMIT_S, self._announce_commit)
        self._compaction.compact_if_due()

    def _announce_commit(self) -> None:
        self._announce_timer = None
        if self._running:
            assert self._engine is not None
            self._guard(self._engine.announce_commit)

    def _check_leadership(self) -> None:
        leads = self.is_leader
        if leads != self._was_leader:
            self._was_leader = leads
            log.info("%s in term %d", "this node leads" if leads else "this node leads no more", self.term)
            if leads and not self.state.cluster_id:
                self._form_state()
            for listener in self._leadership_listeners:
                _notify(listener, leads)

    def _form_state(self) -> None:
        assert self.bootstrap.identity.cluster_id is not None
        command = entry.FormCluster(
            self.bootstrap.identity.cluster_id, self._environment.rng.randbytes(16), self.settings.dedup_window
        )
        formed = self.propose(entry.encode_entry(self.now_ms(), [entry.encode_batch([command])]))
        formed.add_done_callback(lambda done: done.exception())  # if it is lost, the next leader forms it

    # ---- links tell us ----------------------------------------------------------------------------------------------

    def introduction(self) -> Introduction:
        identity = self.bootstrap.identity
        return Introduction(
            self.node_id,
            identity.incarnation,
            self.settings.cluster_name,
            identity.cluster_id,
            None if identity.members is None else dict(identity.members),
            sorted(self.bootstrap.expected),
            self.settings.http,
            self._membership.member_at if self._engine is not None else 0,
        )

    def opened(self, peer: str, introduction: Introduction) -> str | None:
        if self._engine is None:
            return "this node is starting"
        refusal = self._membership.refusal(peer, introduction) or self.bootstrap.introduced(peer, introduction)
        if refusal is None:  # who is refused changes nothing for the member whose name it has
            self._membership.introduced(peer, introduction)
            self._http[peer] = introduction.http
        self._guard(self._save_identity)
        return refusal

    def refused(self, peer: str, why: str) -> None:
        if self._running:
            self._guard(self._membership.refused, peer, why)

    def _reintroduce(self) -> None:
        """Those who have not met everybody learn from us that the cluster is formed."""
        for peer in self._http:
            if self.transport.is_open(peer):
                self.transport.reintroduce(peer)

    def _save_identity(self) -> None:
        """Write down that the cluster is formed, before this node acts on it."""
        identity = self.bootstrap.identity
        if identity != self._directory.identity:
            self._directory.save_identity(cluster_id=identity.cluster_id, members=identity.members)
            asyncio.get_running_loop().call_soon(self._reintroduce)
        self._membership.update_candidacy()

    def connected(self, peer: str) -> None:
        if self._running:
            assert self._engine is not None
            self._guard(self._engine.peer_connected, peer)
            self._tick_soon()

    def disconnected(self, peer: str) -> None:
        if self._running:
            assert self._engine is not None
            self._guard(self._engine.peer_disconnected, peer)
        if not self.transport.is_open(peer):  # by a newer connection
            self.bootstrap.connection_closed(peer)

    def progress(self, peer: str) -> None:
        if self._running:
            assert self._engine is not None
            self._engine.progress(peer)

    def received(self, peer: str, message: messages.Message) -> None:
        if not self._running:
            return
        assert self._engine is not None
        match message:
            case messages.SnapshotChunk():
                self._guard(self._transfer.on_chunk, peer, message)
            case messages.SnapshotAck():
                self._guard(self._transfer.on_ack, peer, message)
            case _:
                self._guard(self._engine.receive, peer, message)
        self._tick_soon()

    # ---- what others see --------------------------------------------------------------------------------------------

    @property
    def leader(self) -> str | None:
        if not self._running:
            return None
        assert self._engine is not None
        leader = self._engine.leader_id
        return leader if leader == self.node_id or (leader is not None and self.transport.is_open(leader)) else None

    @property
    def is_leader(self) -> bool:
        return self._running and self._engine is not None and self._engine.leads_its_term

    @property
    def term(self) -> int:
        return 0 if self._engine is None else self._engine.term_now

    @property
    def age_ms(self) -> int:
        return 0 if self.is_leader or self._engine is None else self._engine.silence_ms

    async def change_members(self, change: Callable[[Members], Members]) -> Members:
        """Change the members, one at a time, and wait until that is committed. Leader only."""
        if not self._running or self._engine is None:
            raise NotReady("this node is starting or stopping")
        return await self._membership.change(change)

    def connected_incarnation(self, peer: str) -> str | None:
        """Which disk of `peer` this node is connected with now; None if with none."""
        return self._membership.connected_incarnation(peer) if self._engine is not None else None

    def members(self) -> list[Member]:
        return [] if self._engine is None else self._membership.list_members()

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def propose(self, entry: bytes) -> asyncio.Future[Applied]:
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        if not self._running or self._engine is None:
            answer.set_exception(NotReady("this node is starting or stopping"))
        elif self._handing_over:
            answer.set_exception(NoLeader(f"{self.node_id} hands leadership over"))
        elif (refusal := self._proposals.refusal(len(entry))) is not None:
            answer.set_exception(refusal)
        elif (
            self._guard(self._engine.propose, entry, lambda applied, outcome: settle(answer, applied, outcome))
            is not None
        ):
            self._proposals.add(answer, len(entry))
            self._tick_soon()
        elif not answer.done():
            # A halt in the middle of it: it may stand in the log already.
            unknown = OutcomeUnknown("this node stopped itself before the outcome was known")
            answer.set_exception(unknown if self._halted else NoLeader(f"{self.node_id} does not lead now"))
        return answer

    async def barrier(self) -> int:
        if not self._running or self._engine is None:
            raise NotReady("this node is starting or stopping")
        confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._guard(self._engine.confirm_reads, lambda leads: None if confirmed.done() else confirmed.set_result(leads))
        self._tick_soon()
        if not await confirmed:
            raise NoLeader(f"{self.node_id} does not lead now")
        return self.state.version

    async def call(self, peer: str, kind: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        return await self.transport.call(peer, kind, request, timeout_s=timeout_s)

    def serve(self, kind: str, handler: PeerHandler) -> None:
        self.transport.serve(kind, handler)

    def on_applied(self, listener: Callable[[Applied], None]) -> None:
        self._applied_listeners.append(listener)

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        self._leadership_listeners.append(listener)

    async def transfer_leadership(self) -> bool:
        """Nothing is proposed meanwhile: somebody must get to have everything (Raft thesis 3.10)."""
        if self._engine is None or self._engine.voters() == {self.node_id}:
            return False
        self._handing_over = True
        try:
            return await self._hand_over(asyncio.get_running_loop())
        finally:
            self._handing_over = False

    async def _hand_over(self, loop: asyncio.AbstractEventLoop) -> bool:
        asked: list[str] = []  # in turn: one may be asked in vain
        patient_until_s, deadline_s = 0.0, loop.time() + TRANSFER_S
        while self._running and self._engine is not None and self._engine.role == LEADER and loop.time() < deadline_s:
            if loop.time() >= patient_until_s:
                peer = self._guard(self._engine.transfer_to_caught_up, asked)
                if peer is not None:
                    asked.append(peer)
                    patient_until_s = loop.time() + self.settings.timing.election_s / 2
            await asyncio.sleep(0.01)
        return self._running and self._engine is not None and self._engine.role != LEADER

    def applied_point(self) -> tuple[int, bytes]:
        """The index applied last, and the log's chain there: equal on all nodes at equal index."""
        assert self._engine is not None
        index = self._engine.applied_index
        return index, self._journal.chain_at(index)

    def http_addresses(self) -> dict[str, str]:
        """Where the nodes that have introduced themselves serve HTTP."""
        return dict(self._http)

    def status(self) -> Mapping[str, Any]:
        if self._engine is None:
            return {"role": "starting"}
        engine = self._engine.status()
        return {
            **engine,
            "role": "halted" if self._halted else engine["role"],
            "leader": self.leader,
            **self._membership.status(),
            **self._compaction.status(),
            "snapshots_received": self._transfer.received,
            "links": self.transport.status(),
            "refused_connections": self.transport.refusals,
            "clock_jumps_refused": self.clock.refused,
        }

    # ---- state machine --------------------------------------------------------------------------------

    def _apply(self, payload: bytes, index: int, term: int) -> Applied:
        applied = self.state.apply(payload)
        assert self._engine is not None
        live = term == self._engine.term_now and index > self._engine.history_index
        self.clock.observe(applied.time_ms, live=live)
        for listener in self._applied_listeners:
            _notify(listener, applied)
        return applied

    def _replace_state(self, state: StateMachine) -> None:
        """A snapshot's state takes the place of ours: to who listens, everything may have changed."""
        self.state = state
        everything = Applied(state.version, state.time_ms, [], (), [poll.id for poll in state.polls()])
        for listener in self._applied_listeners:
            _notify(listener, everything)
        self._tick_soon()


def _notify(listener: Callable[[Any], None], news: Any) -> None:
    try:
        listener(news)
    except Exception:
        log.exception("a listener failed; the replica goes on")
