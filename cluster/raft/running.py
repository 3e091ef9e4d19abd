"""The parts of a replica whose disk has been read: engine, membership, compaction and snapshot transfer.

`RunningReplica` makes them in order, each with the parts that it needs, and passes messages and news between them. It
is used by `RaftReplica` only, on the loop, one step at a time: an error in a step stops the replica there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from quorate.cluster.fsm import Applied
from quorate.cluster.raft import messages
from quorate.cluster.raft.catch_up import CatchUp
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.elections import DISK_HANG_TIMEOUTS, LEADER, ROLES
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.environment import Directory, ReplicaSettings, without_system_calls
from quorate.cluster.raft.leader_watch import LeaderWatch
from quorate.cluster.raft.leader_ways import LeaderWays
from quorate.cluster.raft.local_state import LocalState
from quorate.cluster.raft.membership.address_changes import AddressChanges
from quorate.cluster.raft.membership.bootstrap import Bootstrap
from quorate.cluster.raft.membership.feature_level import FeatureLevel
from quorate.cluster.raft.membership.histories import Histories
from quorate.cluster.raft.membership.introductions import Introductions
from quorate.cluster.raft.membership.membership import Membership
from quorate.cluster.raft.membership.past_member import PastMember
from quorate.cluster.raft.membership.peer_memory import PeerMemory
from quorate.cluster.raft.opening import OpenedStorage
from quorate.cluster.raft.remembered import forgotten_words
from quorate.cluster.raft.snapshot.compaction import Compaction
from quorate.cluster.raft.snapshot.transfer import SnapshotReceiver, SnapshotSender
from quorate.cluster.raft.status import RaftStatus
from quorate.cluster.raft.storage.directory import INCARNATION_BYTES
from quorate.cluster.raft.storage.writer import Writer
from quorate.cluster.raft.transport.handshake.introduction import Introduction
from quorate.cluster.raft.transport.transport import PeerTransport
from quorate.cluster.raft.trust import Trust

HEARD_S = 2.0  # a peer that sent nothing for so long does not help to elect; idle peers send something every second

log = logging.getLogger(__name__)


class RunningReplica:
    """See the module. It is also the `EngineOwner` of its engine."""

    def __init__(
        self,
        settings: ReplicaSettings,
        storage: OpenedStorage,
        directory: Directory,
        transport: PeerTransport,
        bootstrap: Bootstrap,
        state: LocalState,
        *,
        snapshot_writer: Writer,
        memory_writer: Writer,
        rng: random.Random,
        snapshot_installed: Callable[[], None],
        halt: Callable[[BaseException], None],
    ) -> None:
        self._settings, self._directory = settings, directory
        self._transport, self._bootstrap, self._state = transport, bootstrap, state
        self._rng = rng
        self._began_s = monotonic_s()
        self.catch_up = CatchUp()
        self.leader_watch = LeaderWatch(
            settings.node_id, settings.timing.election_s, monotonic_s(), transport.end_calls
        )
        self._tell_snapshot_installed = snapshot_installed
        # The engine asks its owner only in its steps, and none is made before all parts below exist.
        self.engine = Engine(
            settings.node_id,
            settings.peers,
            journal=storage.journal,
            owner=self,
            timing=settings.timing,
            rng=without_system_calls(rng),
        )
        self._trust = Trust(self.engine)
        self._had_index = self.engine.journal.last_index  # what this node knew when it was started
        if storage.snapshot is not None:
            self.engine.restored(storage.snapshot.index)
        past = PastMember(bootstrap, state)
        self.membership = Membership(
            settings.node_id, self.engine, transport, bootstrap, past, settings.peers, storage.snapshot
        )
        self.memory = PeerMemory(
            settings.node_id,
            self.engine,
            self.membership,
            bootstrap,
            storage.memory,
            memory_writer,
            storage.remembered,
        )
        self.addresses = AddressChanges(settings.node_id, settings.peers, self.engine, self.membership, transport)
        self.level = FeatureLevel(settings.feature_level, settings.node_id, self.engine, self.membership, state)
        self.histories = Histories(settings.node_id, self.engine)
        self.introductions = Introductions(
            settings,
            self.engine,
            transport,
            bootstrap,
            self.membership,
            past,
            self.memory,
            self.addresses,
            self.level,
            self.histories,
        )
        self.ways = LeaderWays(
            settings.node_id,
            self.engine,
            transport,
            level=lambda: self.level.now,
            http=self.introductions.http,
        )
        self._sender = SnapshotSender(self.engine, storage.snapshots, snapshot_writer, transport)
        self.compaction = Compaction(
            storage.snapshots,
            snapshot_writer,
            self.engine,
            self.membership,
            settings,
            storage.snapshot,
            state=state,
            sender=self._sender,
            installed=self._snapshot_installed,
            failed=halt,
        )
        self._receiver = SnapshotReceiver(
            self.engine, storage.snapshots, snapshot_writer, transport, install=self.compaction.install
        )

    def stop(self) -> None:
        """End what waits. Idempotent."""
        self.ways.stop()
        self.addresses.stop()

    # ---- steps ------------------------------------------------------------------------------------------------------

    def tick_membership(self) -> None:
        self.membership.tick()
        self.addresses.tick()
        self.level.tick()
        self.memory.tick(monotonic_s())
        self.introductions.tick()
        if self._bootstrap.identity != self._directory.identity:
            self.save_identity()

    def tick_watches(self) -> None:
        """Note who leads, how far this node is behind, and which snapshots have arrived."""
        self._sender.tick()
        now_s, engine = monotonic_s(), self.engine
        self.leader_watch.tick(now_s, self.ways.tick(now_s))
        self.catch_up.tick(now_s, engine.applied_index, engine.known_commit_index)

    def receive(self, peer: str, message: messages.Message) -> None:
        if (refusal := self._forget(peer, self.memory.accepted_by(peer))) is not None:
            self._transport.refuse(peer, refusal)
            return
        if self._trust.drops(peer, message):
            return
        match message:
            case messages.SnapshotChunk():
                self._receiver.on_chunk(peer, message)
            case messages.SnapshotAck():
                self._sender.on_ack(peer, message)
            case _:
                self.memory.heard(peer, message)
                self.engine.receive(peer, message)

    def close_disk(self) -> None:
        """Write all that waits; blocking, for an orderly stop."""
        self.engine.journal.close()
        self.memory.close()

    def set_initial_peers(self, peers: Mapping[str, str]) -> None:
        """The peers to connect with while the log names no members."""
        self.membership.set_initial_peers(peers)

    def save_identity(self) -> None:
        """Write down that the cluster is formed, before this node acts on it."""
        identity = self._bootstrap.identity
        if identity != self._directory.identity:
            self._directory.save_identity(
                cluster_id=identity.cluster_id, members=identity.members, incarnation=identity.incarnation
            )
            asyncio.get_running_loop().call_soon(self.introductions.tell_all)
        self.membership.update_candidacy()

    # ---- connections ------------------------------------------------------------------------------------------------

    def introduced(self, peer: str, introduction: Introduction, replaces: Introduction | None = None) -> str | None:
        """A peer said what it is: a reason to refuse it, or None. A refused peer changes nothing here."""
        refusal = self.introductions.refusal(peer, introduction, replaces)
        if refusal is None:
            again = replaces is None and self._transport.is_open(peer)
            refusal = self._forget(peer, self.introductions.accept(peer, introduction, again=again))
        return refusal

    def connected(self, peer: str) -> None:
        """Introduce this node again, which shows the peer that it was accepted: see `PeerMemory.introduced`."""
        self._transport.reintroduce(peer)
        self.engine.peer_connected(peer)

    def _forget(self, peer: str, missing: str) -> str | None:
        """If the peer remembers more of this node's disk than is on it: count as another disk from now on.

        Returns what to tell the peer, whose connection is closed: it must not count what it knows of the old disk.
        """
        if not missing:
            return None
        self.membership.forget(self._rng.randbytes(INCARNATION_BYTES).hex())
        self.save_identity()
        words = f"{forgotten_words(self._settings.node_id)}; {peer} remembers of it that {missing}"
        log.critical("%s", words)
        asyncio.get_running_loop().call_soon(self.introductions.refuse_all, words)
        return words

    def disconnected(self, peer: str) -> None:
        self.memory.peer_lost(peer, monotonic_s())
        self.engine.peer_disconnected(peer)

    # ---- who leads --------------------------------------------------------------------------------------------------

    @property
    def expects_leader(self) -> bool:
        """See `Replica.expects_leader`."""
        return self.ways.leader is not None or self.leader_watch.may_expect(self._hears_majority())

    def _hears_majority(self) -> bool:
        voters = self.engine.voters()
        heard = self._transport.heard_within(HEARD_S) | {self._settings.node_id}
        return len(heard & voters) * 2 > len(voters)

    def log_leadership(self, leads: bool, *, stops: bool, handing_over: bool) -> None:
        """This node leads now, or leads no more."""
        why = "it stops" if stops else self._why_deposed(handing_over=handing_over)
        self.leader_watch.own_leadership(leads, self.engine.term_now, why)

    def _why_deposed(self, *, handing_over: bool) -> str:
        """Why this node, which led until a moment ago, leads no more."""
        engine, election_s = self.engine, self._settings.timing.election_s
        if engine.role == LEADER:
            return "it is elected again, and has yet to apply its log"
        if handing_over:
            return f"it handed leadership over; term {engine.term_now} began"
        if engine.term_now > self.leader_watch.term:
            return f"another node began term {engine.term_now}"
        if engine.disk_hangs():
            return f"its disk has taken nothing for {DISK_HANG_TIMEOUTS * election_s:.3g} s"
        return f"no majority answered for {election_s:.3g} s"

    def status(self, *, halted: bool, clock_jumps_refused: int, clock_offsets_ms: dict[str, int]) -> RaftStatus:
        engine, journal, newest = self.engine, self.engine.journal, self.compaction.newest
        return RaftStatus(
            role="halted" if halted else ROLES[engine.role],
            term=engine.term_now,
            voter=engine.is_voter and engine.may_be_candidate,
            last_index=journal.last_index,
            synced_index=journal.synced_index,
            commit_index=engine.commit_index,
            applied_index=engine.applied_index,
            first_index=journal.first_index,
            log_bytes=journal.bytes_on_disk,
            log_memory_bytes=journal.bytes_in_memory,
            chain=journal.chain_at(engine.applied_index).hex(),
            election_timeout_ms=int(engine.timing.election_s * 1000),
            leader=None if halted else self.ways.leader,
            leader_via=None if halted else self.ways.via,
            members={m.id: "voter" if m.voter else "learner" for m in self.membership.list_members()},
            cluster_id=self._bootstrap.identity.cluster_id,
            waiting_for=self._bootstrap.waiting_for(),
            other_histories=self.histories.others(),
            stranger_to=self._bootstrap.stranger_to,
            forgotten=self.membership.disowned,
            snapshot_index=newest.index if newest else 0,
            snapshot_bytes=newest.size if newest else 0,
            snapshots_received=self._receiver.installed,
            links=self._transport.status(),
            refused_connections=self._transport.refusals,
            clock_jumps_refused=clock_jumps_refused,
            clock_offsets_ms=clock_offsets_ms,
            leader_heard_ms_ago=self.leader_watch.silent_ms,
            leader_changes=self.leader_watch.changes,
            leaderless_s=round(self.leader_watch.missing_s, 3),
            elections=engine.elections,
            lag_entries=self.catch_up.entries,
            lag_ms=int(self.catch_up.seconds * 1000),
            feature_level=self.level.now,
            feature_levels=self.level.told(),
            address_differences=self.addresses.differences(),
        )

    # ---- for the engine, see `EngineOwner` --------------------------------------------------------------------------

    def send(self, peer: str, message: messages.Message) -> bool:
        return self._transport.send(peer, message)

    def backlog(self, peer: str) -> int:
        return self._transport.backlog(peer)

    def apply(self, payload: bytes, index: int, term: int) -> Applied:
        live = term == self.engine.term_now and index > self.engine.history_index
        return self._state.apply(payload, live=live)

    def apply_level(self, payload: bytes) -> Applied:
        applied = self._state.raise_level(payload)
        self.level.applied(is_news=self.engine.applied_index >= self._had_index)
        return applied

    def _snapshot_installed(self) -> None:
        self.level.applied()
        self._tell_snapshot_installed()

    def may_give_ballot(self, incarnation: str) -> bool:
        return self._others_had_their_say() and self.membership.may_give_ballot(incarnation)

    def _others_had_their_say(self) -> bool:
        """Wait a moment after the start: a peer that is up may remember more of this disk than is on it."""
        others = self.engine.voters() - {self._settings.node_id}
        waited_s = monotonic_s() - self._began_s
        if waited_s > self._settings.timing.election_s:
            return True
        return self.membership.have_all_introduced(others) and self.memory.have_all_told(others)

    def incarnation_of(self, peer: str) -> str:
        return self.membership.incarnation_of(peer)

    def has_known_disk(self, peer: str) -> bool:
        return self.membership.has_known_disk(peer)

    def members_changed(self, members: bytes) -> None:
        self.membership.use_members(members)

    def members_committed(self, members: bytes, index: int) -> None:
        self.membership.committed(members, index)

    def offer_snapshot(self, peer: str) -> None:
        self._sender.offer(peer, self.compaction.newest)

    def cancel_snapshot(self, peer: str) -> None:
        self._sender.disconnected(peer)
