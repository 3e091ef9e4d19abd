"""The log: replication, commit and apply, on PySyncObj's loop of ticks.

PySyncObj keeps its elections and its commit rule. What is sent, stored and believed is decided here. The invariants:

- A proposal is answered as committed only if its entry is committed at the index and in the term it was proposed in.
- A follower says "durable" only of entries that are on its disk.
- Entries that match the leader's are never cut. If a committed entry would have to be cut, the node stops.
- A snapshot proves that the entries in it are committed, and nothing about later ones.
- A command that cannot be applied stops the node, with the log intact.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any, Unpack

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine import stock
from quorate.cluster.raft.engine.apply_turns import HEAVY_BYTES, ApplyTurns, lets_others_go_first
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.elections import LEADER, EngineParts
from quorate.cluster.raft.engine.proposal_outcome import OnOutcome, ProposalOutcome
from quorate.cluster.raft.engine.replication import LEVEL, MEMBERS, NO_OP, REGULAR, Replication
from quorate.cluster.raft.engine.stock import raft_node, raft_nodes
from quorate.cluster.raft.members import MemberEntries
from quorate.cluster.raft.storage.journal import ENTRY_OVERHEAD_BYTES
from quorate.crash_points import crash_point
from quorate.errors import Halted

APPLY_S = 0.02  # how long one tick may apply entries before the loop runs other callbacks

log = logging.getLogger(__name__)


class Engine(Replication):
    """One replica of the log, driven by `receive`, `tick` and `propose`. Every method runs on the node's loop."""

    def __init__(self, node_id: str, voters: Iterable[str], **parts: Unpack[EngineParts]) -> None:
        self._wants_tick = False
        self._has_unsent = False
        self._ticked_as: tuple[int, int, str | None] | None = None  # its standing when it ticked last
        self._turns = ApplyTurns()
        self._noted_at_s = float("-inf")  # when `_committed_noted` was the commit index
        self._committed_noted = self._committed_a_while_ago = 0
        super().__init__(node_id, voters, **parts)
        stock.check()
        self._read_members(self.journal.first_index + 1)

    # ---- driving ----------------------------------------------------------------------------------------------------

    def receive(self, peer: str, message: messages.Message) -> None:
        """Take a message from an authenticated peer. Raises `Halted` if this node could answer wrongly from now on."""
        match message:
            case messages.Append():
                self._on_append(peer, message)
            case messages.Appended():
                self._on_appended(peer, message)
            case messages.RequestBallot():
                self.on_request_ballot(peer, message)
            case messages.Ballot():
                self.on_ballot(peer, message)
            case messages.TimeoutNow():
                self.on_timeout_now(peer, message)
            case _:
                raise Halted(f"{type(message).__name__} reached the log; it belongs to snapshots")

    def tick(self) -> bool:
        """Run one tick of PySyncObj. True if there is more to apply, so that the next tick must follow at once."""
        self._send_proposals()
        self._note_commit_index()
        self.tick_elections()
        self._counting_copies, self._wants_tick = True, False
        try:
            self.doTick(0)
        finally:
            self._counting_copies = False
        self.end_of_election_tick()
        self.journal.flush()
        self._ticked_as = self.standing()
        return self._wants_tick

    def step(self) -> bool:
        """What has to follow at once when messages, proposals or a sync came: a tick only if it finds something to do.

        Of three nodes, for example, the second copy of an entry commits nothing: the first one has.
        """
        self._send_proposals()
        if self.has_work():
            return self.tick()
        self.journal.flush()
        return False

    def has_work(self) -> bool:
        """Whether a tick finds something to do."""
        return (
            self.applied_index < self.commit_index
            or self.may_commit()
            or self._election_granted
            or self.standing() != self._ticked_as
        )

    def standing(self) -> tuple[int, int, str | None]:
        """Role, term and leader."""
        return self.role, self.term_now, self.leader_id

    def peer_connected(self, peer: str) -> None:
        node = raft_node(peer)
        self._SyncObj__onNodeConnected(node)
        if self.role == LEADER and node in self._SyncObj__raftNextIndex:
            # Entries sent on the old connection may be lost: go on from the last entry that the peer is known to have.
            self._doubt_copies(node)
            self._SyncObj__raftNextIndex[node] = max(self.had_index(peer) + 1, 2)
            self._replicate(node, heartbeat=True)

    def peer_disconnected(self, peer: str) -> None:
        self._SyncObj__onNodeDisconnected(raft_node(peer))
        self._owner.cancel_snapshot(peer)
        self.connection_lost(peer)

    # ---- proposing --------------------------------------------------------------------------------------------------

    def propose(self, payload: bytes, done: OnOutcome) -> tuple[int, int] | None:
        """Append to the log. Returns (index, term), or None if this node does not lead. The next tick sends the entry.

        `done` is called as soon as the outcome is known here, which may take for ever. Stock 0.3.17 sends a command
        only with the next period, and may answer "leader changed" for a command that is committed all the same
        (test_leader_changed_ambiguous).
        """
        return self._add(REGULAR + payload, done)

    def propose_members(self, members: bytes, done: OnOutcome) -> tuple[int, int] | None:
        """Append a membership entry. Returns None if this node does not lead or another change is not committed yet.

        One change at a time: Raft thesis 4.1. Stock 0.3.17 accepts a second change while the first is uncommitted
        (test_membership_guard).
        """
        if not self.may_change_members:
            return None
        return self._add(MEMBERS + members, done)

    def propose_level(self, payload: bytes, done: OnOutcome) -> tuple[int, int] | None:
        """Append an entry that raises the feature level. Returns None if this node does not lead."""
        return self._add(LEVEL + payload, done)

    @property
    def may_change_members(self) -> bool:
        return self.leads_its_term and self._members.last_index <= self.commit_index

    def caught_up(self, peer: str) -> bool:
        """Whether a learner answers and lacks so few entries that making it a voter costs no availability.

        It may lack the entries committed within about half an election timeout (Raft thesis 4.2.1), however many.
        """
        heard_s = self._SyncObj__lastResponseTime.get(raft_node(peer), float("-inf"))
        fresh = monotonic_s() - heard_s < self.timing.election_s / 2
        return fresh and self.copied_index(peer) >= max(self._committed_a_while_ago, self.journal.first_index)

    def _note_commit_index(self) -> None:
        """Remember the commit index of a while ago: a quarter to half of an election timeout."""
        now_s = monotonic_s()
        if self.role != LEADER:
            # A new leader does not know yet which entries are committed.
            self._committed_a_while_ago = self._committed_noted = self.journal.last_index
        elif now_s - self._noted_at_s > self.timing.election_s / 4:
            self._noted_at_s, self._committed_a_while_ago = now_s, self._committed_noted
            self._committed_noted = self.commit_index

    def responsive_peers(self) -> set[str]:
        """The peers that answered this leader within an election timeout."""
        since_s = monotonic_s() - self.timing.election_s
        return {str(node.id) for node, heard_s in self._SyncObj__lastResponseTime.items() if heard_s > since_s}

    def _add(self, command: bytes, done: OnOutcome) -> tuple[int, int] | None:
        if self.role != LEADER:
            return None
        index, term = self.journal.last_index + 1, self.term_now
        self.journal.add(command, index, term)
        self._SyncObj__commandsWaitingCommit[index].append((term, done))
        if command[:1] == MEMBERS:
            self._find_members(index)
        self._has_unsent = True
        return index, term

    def _send_proposals(self) -> None:
        """Send all proposals of one turn of the loop together: one message to each peer, one group to the disk."""
        if self._has_unsent:
            self._has_unsent = False
            if self.role == LEADER:
                self._send_all(heartbeat=False)
                crash_point("entries-sent-before-write")
            self.journal.flush()

    def next_index(self, peer: str) -> int:
        """The index of the next entry to send to the peer; 0 if this node sends it none."""
        return int(self._SyncObj__raftNextIndex.get(raft_node(peer), 0)) if self.role == LEADER else 0

    def lowest_needed_index(self, sent_index: Callable[[str], int]) -> int:
        """The lowest index from which a connected peer goes on, of those that the log still has.

        A peer goes on from the last entry it has, or from the snapshot that it is being sent (`sent_index`).
        """
        if self.role != LEADER:
            return self.journal.last_index
        peers = [str(node.id) for node in self._peers() if self._connected(node)]
        known = [max(self.had_index(peer), sent_index(peer)) for peer in peers]
        return min((at for at in known if at >= self.journal.first_index), default=self.journal.last_index)

    def transfer_to_caught_up(self, asked: Collection[str] = ()) -> str | None:
        """Ask a follower that has the whole log, and was not `asked` before, to start an election; its id, or None."""
        ready = sorted(
            peer
            for peer in self.voters() - {self.node_id, *asked}
            if self._connected(raft_node(peer)) and self.copied_index(peer) == self.journal.last_index
        )
        if self.role != LEADER or not ready:
            return None
        self._owner.send(ready[0], messages.TimeoutNow(self.term_now))
        return ready[0]

    # ---- applying ---------------------------------------------------------------------------------------------------

    def _SyncObj__applyLogEntries(self) -> bool:
        """Apply committed entries, each once, and tell their proposers the outcome.

        Stock 0.3.17 counts an entry as applied only after the callbacks, so a callback that raises applies the entry
        twice (test_callback_raises, test_wrong_version_double_apply). It retries a command that raises on every tick,
        for ever (test_apply_raises). And it holds the loop until everything is applied.
        """
        self._counting_copies = False
        until_s = monotonic_s() + APPLY_S
        waiting = self._SyncObj__commandsWaitingCommit
        while self.applied_index < self.commit_index:
            index = self.applied_index + 1
            command, _, term = self.journal[index - self.journal.first_index]
            if not self._may_apply(index, len(command)):
                break
            crash_point("commit-before-apply")
            result = self._apply_one(command, index, term)
            self._SyncObj__raftLastApplied = index
            for proposed_term, done in waiting.pop(index, ()):
                done(result, ProposalOutcome.COMMITTED if proposed_term == term else ProposalOutcome.NEVER)
            if monotonic_s() > until_s and self.applied_index < self.commit_index:
                self._wants_tick = True
                break
        self._answer_reads()
        return False

    def _may_apply(self, index: int, size: int) -> bool:
        """If not, a later tick asks again."""
        if size <= HEAVY_BYTES or not lets_others_go_first(self.node_id, self.leader_id, self.voters()):
            return True
        return self._turns.may_apply(index, self.commit_index, monotonic_s())

    def _apply_one(self, command: bytes, index: int, term: int) -> Any:
        kind = command[:1]
        if kind == NO_OP:
            self._fail_overtaken(term)
            return None
        if kind == MEMBERS:
            self._owner.members_committed(command[1:], index)
            return None
        try:
            if kind == LEVEL:
                return self._owner.apply_level(command[1:])
            if kind != REGULAR:
                raise ValueError(f"unknown kind {kind!r}")
            return self._owner.apply(command[1:], index, term)
        except Halted:
            raise
        except Exception as error:
            log.critical("entry %d of term %d cannot be applied: %r; it begins %r", index, term, error, command[:64])
            raise Halted(f"entry {index} of term {term} cannot be applied ({error}); it is still in the log") from error

    def _fail_overtaken(self, term: int) -> None:
        """An entry of `term` is committed: open proposals of earlier terms can never be. Tell their proposers now.

        Terms only grow along a log. No later entry may ever reach the index of such a proposal.
        """
        waiting = self._SyncObj__commandsWaitingCommit
        for index in list(waiting):
            late = [done for proposed_term, done in waiting[index] if proposed_term < term]
            waiting[index] = [each for each in waiting[index] if each[0] >= term]
            for done in late:
                done(None, ProposalOutcome.NEVER)

    def index_keeping(self, size: int) -> int:
        """The index such that the entries after it take about `size` bytes of memory."""
        at = len(self.journal) - 1
        while at > 0 and size > 0:
            size -= len(self.journal[at][0]) + ENTRY_OVERHEAD_BYTES
            at -= 1
        return self.journal.first_index + at

    def bytes_between(self, after: int, up_to: int) -> int:
        """The memory that the entries after `after`, up to `up_to`, take, as far as the log has them."""
        start, stop = (max(index - self.journal.first_index, 0) + 1 for index in (after, up_to))
        return sum(len(command) + ENTRY_OVERHEAD_BYTES for command, _, _ in self.journal[start:stop])

    def _checkCommandsToApply(self) -> None:
        """PySyncObj's queue stays empty: `propose` adds to the log itself.

        Stock 0.3.17 forwards a follower's command in a way that may never answer (test_leader_changed_ambiguous).
        """

    def _SyncObj__tryLogCompaction(self) -> None:
        """`Compaction` takes the snapshots.

        Stock 0.3.17 forks a child that keeps our sockets, or pickles and compresses on the loop (test_stalls,
        test_stall_election, test_attributes_pickled).
        """

    # ---- snapshots and members --------------------------------------------------------------------------------------

    def snapshot_installed(self, index: int) -> None:
        """A snapshot up to `index` has replaced the state and the log (`journal.reset` has been called).

        Nobody can tell whether open proposals up to `index` are in the snapshot. Stock 0.3.17 answers them as
        committed, and believes the entries of its own log after `index` (test_false_ack_snapshot: 20 of 20 wrong).
        """
        self.restored(index)
        self._members = MemberEntries()
        waiting = self._SyncObj__commandsWaitingCommit
        for passed in [at for at in waiting if at <= index]:
            for _, done in waiting.pop(passed):
                done(None, ProposalOutcome.UNKNOWN)
        self._fail_overtaken(self.term_at(index))

    def log_contains(self, index: int, term: int, chain: bytes) -> bool:
        """Whether our log has the last entry of a leader's snapshot.

        Then our entries up to it are committed and the snapshot is not needed. Our later entries stay, because the
        leader may count on them (Raft figure 13, step 6).
        """
        if not self.journal.first_index <= index <= self.journal.last_index or self.term_at(index) != term:
            return False
        if self.journal.chain_at(index) != chain:
            raise Halted(f"the leader's snapshot and our log differ about entry {index} or one before it. Stopping")
        self._commit(max(self.commit_index, index))
        return True

    def applied_point(self) -> tuple[int, bytes]:
        """The applied index, and the log's chain value there."""
        return self.applied_index, self.journal.chain_at(self.applied_index)

    def restored(self, index: int) -> None:
        """The state machine has been loaded from a snapshot up to `index`. Apply goes on after it."""
        self._SyncObj__raftCommitIndex = max(self.commit_index, index)
        self._SyncObj__raftLastApplied = index

    def set_members(self, voters: Iterable[str], learners: Iterable[str] = ()) -> None:
        """Use these members from now on: a membership entry counts as soon as it is appended (Raft thesis 4.1)."""
        voters, learners = set(voters), set(learners)
        self.is_voter = self.node_id in voters
        self._SyncObj__otherNodes = raft_nodes(voters - {self.node_id})
        self._SyncObj__readonlyNodes = raft_nodes(learners - {self.node_id})
        for table, start in (
            (self._SyncObj__raftNextIndex, self.journal.last_index + 1),
            (self._SyncObj__raftMatchIndex, 0),
            (self._SyncObj__lastResponseTime, float("-inf")),  # a new peer has not answered yet
        ):
            for gone in [node for node in table if node not in self._peers()]:
                del table[gone]
            if self.role == LEADER:
                for node in self._peers():
                    table.setdefault(node, start)
