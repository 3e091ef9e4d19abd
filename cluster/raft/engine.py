"""The log: replication, commit and apply, on PySyncObj's loop of ticks.

What is left to PySyncObj is its elections and its commit rule; what it sends, stores and believes is decided here. The
invariants: an entry is answered as committed only in the term and at the index it was proposed at; a follower says
"durable" only of what is on its disk; matching entries are never cut, a committed one stops the node instead; a
snapshot proves no more than it holds; a command that cannot be applied stops the node with the log intact.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterable
from typing import Any

from quorate.cluster.raft import pinned, wire
from quorate.cluster.raft.elections import LEADER, ROLES, Elections, Send, Timing
from quorate.cluster.raft.fate import Fate, OnFate
from quorate.cluster.raft.journal import ENTRY_OVERHEAD_BYTES, Journal
from quorate.cluster.raft.members import MemberEntries
from quorate.cluster.raft.pinned import Node
from quorate.cluster.raft.rounds import OnConfirmed, ReadRounds
from quorate.errors import Halted

REGULAR, NO_OP, MEMBERS = b"\x00", b"\x01", b"\x02"  # the first byte of a log entry, as PySyncObj has it

APPEND_BYTES = 1024 * 1024  # about how much one message carries; a bigger entry travels alone
WINDOW_BYTES = 4 * 1024 * 1024  # sent and not yet taken by the peer's socket; beyond, only heartbeats
PENDING_BYTES_MAX = 32 * 1024 * 1024  # of entries that a follower's disk has not begun to write
CAUGHT_UP_ENTRIES = 64
APPLY_S = 0.02  # how long one tick may apply before others get the loop

Applier = Callable[[bytes, int, int], Any]  # payload, index, term -> result

log = logging.getLogger(__name__)


class Engine(Elections):
    """One replica's log. Drive it by `receive`, `tick` and `propose`; it answers by callbacks. Single-threaded."""

    def __init__(
        self,
        node_id: str,
        voters: Iterable[str],
        *,
        journal: Journal,
        send: Send,
        apply: Applier,
        timing: Timing,
        rng: random.Random,
        backlog: Callable[[str], int] = lambda peer: 0,
    ) -> None:
        self._apply = apply
        self._backlog = backlog
        self._counting = False
        self._wants_tick = False
        self._rounds = ReadRounds()
        self._commit_told = 0
        self.history_index = journal.last_index  # up to here, entries may be older than this node's view of a leader
        self.offer_snapshot: Callable[[str], None] = lambda peer: None  # begin or go on sending it; at every heartbeat
        self.cancel_snapshot: Callable[[str], None] = lambda peer: None  # the link broke
        self.on_members: Callable[[bytes], None] = lambda members: None  # in force from now on; b"": those of the base
        self.on_members_committed: Callable[[bytes, int], None] = lambda members, index: None
        self._members = MemberEntries()
        super().__init__(node_id, voters, journal=journal, send=send, timing=timing, rng=rng)
        pinned.check()
        self._find_members(journal.first_index + 1)

    # ---- driving ----------------------------------------------------------------------------------------------------

    def receive(self, peer: str, message: wire.Message) -> None:
        """A message from an authenticated peer. Raises `Halted` if going on could make this node answer wrongly."""
        match message:
            case wire.Append():
                self._on_append(peer, message)
            case wire.Appended():
                self._on_appended(peer, message)
            case wire.RequestBallot():
                self.on_request_ballot(peer, message)
            case wire.Ballot():
                self.on_ballot(peer, message)
            case wire.TimeoutNow():
                self.on_timeout_now(peer, message)
            case _:
                raise Halted(f"{type(message).__name__} reached the log; it belongs to snapshots")

    def tick(self) -> bool:
        """Let PySyncObj do what is due. True if it should be called again at once: there is more to apply."""
        self.tick_elections()
        self._counting, self._wants_tick = True, False
        try:
            self.doTick(0)
        finally:
            self._counting = False
        self.end_of_election_tick()
        self.journal.flush()
        return self._wants_tick

    def peer_connected(self, peer: str) -> None:
        node = Node(peer)
        self._SyncObj__onNodeConnected(node)
        if self.role == LEADER and node in self._SyncObj__raftNextIndex:
            # What was sent on the old connection may be lost: go on from what the peer is known to have.
            self._SyncObj__raftNextIndex[node] = max(self._match(peer) + 1, 2)
            self._replicate(node, heartbeat=True)

    def peer_disconnected(self, peer: str) -> None:
        self._SyncObj__onNodeDisconnected(Node(peer))
        self.cancel_snapshot(peer)
        self.lost_link(peer)

    # ---- proposing --------------------------------------------------------------------------------------------------

    def propose(self, payload: bytes, done: OnFate) -> tuple[int, int] | None:
        """Append to the log and send it out at once; (index, term), or None if this node does not lead.

        `done` is called with its fate, as soon as that is known here and not before; it may take for ever. Stock
        queues a command and sends it with the next period, and gives up with "leader changed" on commands that are
        committed all the same (test_leader_changed_ambiguous).
        """
        return self._add(REGULAR + payload, done)

    def propose_members(self, members: bytes, done: OnFate) -> tuple[int, int] | None:
        """Change the members, one change at a time (Raft thesis 4.1); None if not the leader or one is under way.

        Stock accepts a second change while the first is uncommitted (test_membership_guard).
        """
        if not self.may_change_members:
            return None
        return self._add(MEMBERS + members, done)

    @property
    def may_change_members(self) -> bool:
        return self.leads_its_term and self._members.last_index <= self.commit_index

    def caught_up(self, peer: str) -> bool:
        """Whether a learner hears us now and lacks so little that making it a voter costs no availability."""
        heard_s = self._SyncObj__lastResponseTime.get(Node(peer), float("-inf"))
        fresh = pinned.monotonic() - heard_s < self.timing.election_s / 2
        return fresh and self._match(peer) >= max(self.commit_index - CAUGHT_UP_ENTRIES, self.journal.first_index)

    def _add(self, command: bytes, done: OnFate) -> tuple[int, int] | None:
        if self.role != LEADER:
            return None
        index, term = self.journal.last_index + 1, self.term_now
        self.journal.add(command, index, term)
        self._SyncObj__commandsWaitingCommit[index].append((term, done))
        if command[:1] == MEMBERS:
            self._find_members(index)
        self._send_all(heartbeat=False)
        self.journal.flush()
        return index, term

    def transfer_to_most_caught_up(self, asked: Collection[str] = ()) -> str | None:
        """Ask a follower that has everything, and was not `asked`, to stand for election; its id, or None."""
        ready = sorted(
            peer
            for peer in self.voters() - {self.node_id, *asked}
            if self._connected(Node(peer)) and self._match(peer) == self.journal.last_index
        )
        if self.role != LEADER or not ready:
            return None
        self._send(ready[0], wire.TimeoutNow(self.term_now))
        return ready[0]

    # ---- reading ----------------------------------------------------------------------------------------------------

    @property
    def leads_its_term(self) -> bool:
        """Leader with an entry of its own term applied: only then its commit index is the cluster's (Raft §8)."""
        noop = self._SyncObj__noopIDx
        return self.role == LEADER and noop is not None and noop <= self.applied_index

    def confirm_reads(self, done: OnConfirmed) -> None:
        """`done(True)` once a majority confirmed this leadership after this call and all that was committed then is
        applied; `done(False)` if leadership was lost. A node's word that it leads proves nothing by itself: stock
        0.3.17 calls itself leader for 30 s behind a cut (test_disruptive)."""
        self._rounds.join(done)
        self._answer_reads()

    def give_up_reads(self) -> None:
        """This replica ends: nobody who waits will be confirmed."""
        self._rounds.lost()

    def _answer_reads(self) -> None:
        if not self.leads_its_term:
            self._rounds.lost()
        elif self._rounds.answer(self._majority, self.applied_index, self.commit_index, self.node_id):
            self._send_all(heartbeat=True)

    # ---- leader: sending --------------------------------------------------------------------------------------------

    def _SyncObj__onBecomeLeader(self) -> None:
        """Start a term with nobody's copies known, and the no-op at the true end of the log."""
        counting, self._counting = self._counting, False
        self._rounds.begin_term()
        super()._SyncObj__onBecomeLeader()
        self._counting = counting
        self.journal.flush()

    def _SyncObj__sendAppendEntries(self) -> None:
        """Send each peer what it lacks, pipelined, as far as its socket takes it.

        Stock 0.3.17 spins up to 0.1 s a call while a snapshot is made (test_snapshot_flood: 14,000 messages), stalls
        for good at an entry over `appendEntriesBatchSizeBytes` (test_big_entry), and buffers without bound for a
        slow follower.
        """
        self._send_all(heartbeat=True)

    def _send_all(self, *, heartbeat: bool) -> None:
        self._SyncObj__newAppendEntriesTime = pinned.monotonic() + self.timing.heartbeat_s
        self._commit_told = self.commit_index
        for node in sorted(self._peers(), key=lambda node: str(node.id)):
            self._replicate(node, heartbeat=heartbeat)

    def _peers(self) -> set[Node]:
        return self._SyncObj__otherNodes | self._SyncObj__readonlyNodes

    def _connected(self, node: Node) -> bool:
        return node in self._SyncObj__connectedNodes

    def _match(self, peer: str) -> int:
        return int(self._SyncObj__raftMatchIndex.get(Node(peer), 0))

    def _replicate(self, node: Node, *, heartbeat: bool) -> None:
        """Send what the peer lacks; if there is nothing to send, or no room, only a heartbeat, if one is due."""
        if not self._connected(node):
            return
        peer, journal = str(node.id), self.journal
        next_index = self._SyncObj__raftNextIndex[node]
        if next_index <= journal.first_index:
            self.offer_snapshot(peer)
            if heartbeat:
                self._send(peer, self._append(journal.last_index, []))
            return
        while next_index <= journal.last_index and self._backlog(peer) <= WINDOW_BYTES:
            entries = self._slice(next_index)
            if not self._send(peer, self._append(next_index - 1, entries)):
                return
            next_index += len(entries)
            self._SyncObj__raftNextIndex[node] = next_index
            heartbeat = False
        if heartbeat:
            self._send(peer, self._append(next_index - 1, []))

    def _append(self, prev_index: int, entries: list[tuple[int, bytes]]) -> wire.Append:
        return wire.Append(
            self.term_now, self.commit_index, prev_index, self.term_at(prev_index), entries, self._rounds.number
        )

    def _slice(self, first: int) -> list[tuple[int, bytes]]:
        """Entries from index `first`, about `APPEND_BYTES` of them, at least one if there is any."""
        entries: list[tuple[int, bytes]] = []
        size, at = 0, first - self.journal.first_index
        while size < APPEND_BYTES and at < len(self.journal):
            command, _, term = self.journal[at]
            size += len(command) + 16
            if entries and size > APPEND_BYTES:
                break
            entries.append((term, command))
            at += 1
        return entries

    def term_at(self, index: int) -> int:
        return int(self.journal[index - self.journal.first_index][2])

    # ---- leader: hearing --------------------------------------------------------------------------------------------

    def _on_appended(self, peer: str, message: wire.Appended) -> None:
        """A follower's answer counts only in the term it was given in.

        Stock 0.3.17's has no term: one to an earlier leadership counts as a copy (test_stale_ack: success with 2 of
        5 copies), and one that goes back goes back one entry at a time (test_backoff_livelock).
        """
        if message.term > self.term_now:
            self.learn_term(message.term)
            return
        node = Node(peer)
        if message.term != self.term_now or self.role != LEADER or node not in self._SyncObj__raftNextIndex:
            return
        if not 0 <= message.next_index <= self.journal.last_index + 1:
            raise Halted(
                f"{peer} says it holds index {message.next_index - 1}; this leader's log ends at "
                f"{self.journal.last_index}. One of the two logs is not this cluster's"
            )
        if message.success:
            self._SyncObj__raftNextIndex[node] = max(self._SyncObj__raftNextIndex[node], message.next_index)
        if message.reset:
            self._SyncObj__raftNextIndex[node] = message.next_index
        if self.is_itself(peer):
            self._count(node, message)
        if self._SyncObj__raftNextIndex[node] > self.journal.first_index:
            self._replicate(node, heartbeat=False)

    def _count(self, node: Node, message: wire.Appended) -> None:
        self._SyncObj__lastResponseTime[node] = pinned.monotonic()
        if message.success:
            self._SyncObj__raftMatchIndex[node] = max(self._SyncObj__raftMatchIndex[node], message.next_index - 1)
        if self._rounds.heard(str(node.id), message.round):
            self._answer_reads()

    def forget_copies(self, peer: str) -> None:
        """They were on a disk that the peer has no more."""
        if self.role == LEADER and Node(peer) in self._SyncObj__raftMatchIndex:
            self._SyncObj__raftMatchIndex[Node(peer)] = 0

    def _SyncObj__getCurrentLogIndex(self) -> int:
        """While copies are counted, our own log ends where our disk does.

        Stock 0.3.17 counts the leader's copy as soon as it is in memory (test_lost_unsynced_tail).
        """
        if self._counting and self.role == LEADER:
            return max(self.journal.synced_index, self.commit_index)
        return self.journal.last_index

    # ---- follower ---------------------------------------------------------------------------------------------------

    def _on_append(self, peer: str, message: wire.Append) -> None:
        """Keep what matches, cut only what conflicts, commit only what this very message proved (Raft §5.3).

        Stock 0.3.17 cuts everything behind `prev` even if it is equal (test_truncate_matching: acknowledged entries
        lost to one late heartbeat), and goes back by one entry a round (test_slow_rollback).
        """
        if message.term < self.term_now:
            self._send(peer, wire.Appended(self.term_now, 0, success=False, reset=False))
            return
        if not self.leader_is_fresh():
            self.history_index = max(self.history_index, message.commit_index)
        self.follow(peer, message.term)
        if self.journal.pending_bytes > PENDING_BYTES_MAX:  # the disk hangs, so only this: we are alive
            self._send(peer, self._heard(message, reset=False))
            return
        first, last = self.journal.first_index, self.journal.last_index
        prev, entries = message.prev_index, message.entries
        if prev < first:  # all up to our base is committed, hence the leader's as well (Raft §5.4, leader completeness)
            entries = entries[first - prev :]
            prev = first
        elif prev > last or self.term_at(prev) != message.prev_term:
            self._check_open(prev)
            self._send(peer, self._heard(message, reset=True))
            return
        self._take(prev, entries)
        verified = prev + len(entries)
        commit = min(message.commit_index, verified)
        self._SyncObj__leaderCommitIndex = message.commit_index
        if commit > self.commit_index:
            self._commit(commit)
        if self.journal.synced < self.journal.position and not entries:
            self._send(peer, self._heard(message, reset=False))  # alive, whatever the disk does
        self.promise(peer, wire.Appended(message.term, verified + 1, success=True, reset=False, round=message.round))

    def _heard(self, message: wire.Append, *, reset: bool) -> wire.Appended:
        """Nothing is promised; with `reset` the leader goes on from our commit index: all above may differ."""
        return wire.Appended(message.term, self.commit_index + 1, success=False, reset=reset, round=message.round)

    def _take(self, prev: int, entries: list[tuple[int, bytes]]) -> None:
        index, last = prev, self.journal.last_index
        for at, (term, _) in enumerate(entries):
            index = prev + 1 + at
            if index > last:
                break
            if self.term_at(index) != term:
                self._cut(index)
                break
        else:
            return
        for term, command in entries[index - prev - 1 :]:
            self.journal.add(command, index, term)
            if command[:1] == MEMBERS:
                self._find_members(index)
            index += 1

    def _check_open(self, index: int) -> None:
        """Where the leader's log differs from ours, ours must not be committed."""
        if index <= self.commit_index:
            raise Halted(
                f"the leader's log differs from ours at index {index}, which is committed (up to {self.commit_index}). "
                "Committed entries are never cut: stopping"
            )

    def _cut(self, index: int) -> None:
        self._check_open(index)
        self.journal.deleteEntriesFrom(index - self.journal.first_index)
        if self._members.last_index >= index:
            self._find_members(index)

    # ---- applying ---------------------------------------------------------------------------------------------------

    @property
    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    def _commit(self, index: int) -> None:
        """As a follower, that is told so; a leader finds out in its tick."""
        self._SyncObj__raftCommitIndex = index
        self.journal.setRaftCommitIndex(index)

    @property
    def applied_index(self) -> int:
        return int(self._SyncObj__raftLastApplied)

    def _SyncObj__applyLogEntries(self) -> bool:
        """Apply what is committed, each entry once, and say what became of it.

        Stock 0.3.17 counts an entry as applied after the callbacks, so that one that raises applies it twice
        (test_callback_raises, test_wrong_version_double_apply); retries a command that raises on every tick for ever
        (test_apply_raises); and holds the loop until all is applied.
        """
        self._counting = False
        until_s = pinned.monotonic() + APPLY_S
        waiting = self._SyncObj__commandsWaitingCommit
        while self.applied_index < self.commit_index:
            index = self.applied_index + 1
            command, _, term = self.journal[index - self.journal.first_index]
            result = self._apply_one(command, index, term)
            self._SyncObj__raftLastApplied = index
            for proposed_term, done in waiting.pop(index, ()):
                done(result, Fate.COMMITTED if proposed_term == term else Fate.NEVER)
            if pinned.monotonic() > until_s and self.applied_index < self.commit_index:
                self._wants_tick = True
                break
        self._answer_reads()
        return False

    def _apply_one(self, command: bytes, index: int, term: int) -> Any:
        kind = command[:1]
        if kind == NO_OP:
            self._overtake(term)
            return None
        if kind == MEMBERS:
            self.on_members_committed(command[1:], index)
            return None
        try:
            if kind != REGULAR:
                raise ValueError(f"unknown kind {kind!r}")
            return self._apply(command[1:], index, term)
        except Exception as error:
            log.critical("entry %d of term %d cannot be applied: %r; it begins %r", index, term, error, command[:64])
            raise Halted(f"entry {index} of term {term} cannot be applied ({error}); it is still in the log") from error

    def _overtake(self, term: int) -> None:
        """An entry of `term` is committed. Terms only grow along a log: proposals of earlier ones that are not
        committed by now never will be, and nobody may ever come by their index again to say so."""
        waiting = self._SyncObj__commandsWaitingCommit
        for index in list(waiting):
            late = [done for proposed_term, done in waiting[index] if proposed_term < term]
            waiting[index] = [each for each in waiting[index] if each[0] >= term]
            for done in late:
                done(None, Fate.NEVER)

    def index_with_behind(self, size: int) -> int:
        """The index with about `size` bytes of memory behind it."""
        at = len(self.journal) - 1
        while at > 0 and size > 0:
            size -= len(self.journal[at][0]) + ENTRY_OVERHEAD_BYTES
            at -= 1
        return self.journal.first_index + at

    def commit_untold(self) -> bool:
        """Whether followers have not been told yet how far we have committed."""
        return self.role == LEADER and self._commit_told < self.commit_index

    def tell_commit(self) -> None:
        if self.commit_untold():
            self._send_all(heartbeat=True)

    def _checkCommandsToApply(self) -> None:
        """Nothing waits in PySyncObj's queue: `propose` adds to the log itself.

        Stock 0.3.17 forwards a follower's command in a way that may never answer (test_leader_changed_ambiguous).
        """

    def _SyncObj__tryLogCompaction(self) -> None:
        """Snapshots are the replica's business. Stock forks a child that keeps our sockets, or pickles and gzips on the
        loop (test_stalls, test_stall_election, test_attributes_pickled)."""

    def status(self) -> dict[str, Any]:
        """The log's part of /status."""
        journal = self.journal
        return {
            "role": ROLES[self.role],
            "term": self.term_now,
            "voter": self.is_voter and self.may_stand,
            "last_index": journal.last_index,
            "synced_index": journal.synced_index,
            "commit_index": self.commit_index,
            "applied_index": self.applied_index,
            "first_index": journal.first_index,
            "log_bytes": journal.bytes_on_disk,
            "log_memory_bytes": journal.bytes_in_memory,
            "chain": journal.chain_at(self.applied_index).hex(),
            "election_timeout_ms": int(self.timing.election_s * 1000),
        }

    # ---- snapshots and members --------------------------------------------------------------------------------------

    def installed(self, index: int) -> None:
        """A snapshot up to `index` is now state and base of the log (`journal.reset` has been called).

        Whether proposals at or below it are in it cannot be told. Stock answers them as committed, and believes
        what lies above it in its own log (test_false_ack_snapshot: 20 of 20 wrong).
        """
        self.restored(index)
        self._members = MemberEntries()
        waiting = self._SyncObj__commandsWaitingCommit
        for passed in [at for at in waiting if at <= index]:
            for _, done in waiting.pop(passed):
                done(None, Fate.UNKNOWN)
        self._overtake(self.term_at(index))

    def proves(self, index: int, term: int, chain: bytes) -> bool:
        """Whether our log has the entry that a leader's snapshot ends with. Then all up to it is committed, and needs
        no snapshot; what we hold behind it others may count on, so it stays (Raft figure 13, step 6)."""
        if not self.journal.first_index <= index <= self.journal.last_index or self.term_at(index) != term:
            return False
        if self.journal.chain_at(index) != chain:
            raise Halted(f"the leader's snapshot and our log differ about entry {index} or one before it. Stopping")
        self._commit(max(self.commit_index, index))
        return True

    def restored(self, index: int) -> None:
        """The state machine was read from a snapshot up to `index`; the log goes on from there."""
        self._SyncObj__raftCommitIndex = max(self.commit_index, index)
        self._SyncObj__raftLastApplied = index

    def set_members(self, voters: Iterable[str], learners: Iterable[str] = ()) -> None:
        """From now on these count: an appended membership entry is in force at once (Raft thesis 4.1)."""
        voters, learners = set(voters), set(learners)
        self.is_voter = self.node_id in voters
        self._SyncObj__otherNodes = {Node(peer) for peer in voters - {self.node_id}}
        self._SyncObj__readonlyNodes = {Node(peer) for peer in learners - {self.node_id}}
        for table, start in (
            (self._SyncObj__raftNextIndex, self.journal.last_index + 1),
            (self._SyncObj__raftMatchIndex, 0),
            (self._SyncObj__lastResponseTime, float("-inf")),  # it counts as heard when it is
        ):
            for gone in [node for node in table if node not in self._peers()]:
                del table[gone]
            if self.role == LEADER:
                for node in self._peers():
                    table.setdefault(node, start)

    def _find_members(self, from_index: int) -> None:
        """Read the membership entries at or above `from_index` anew, and tell who counts from now on."""
        self._members.cut(from_index)
        for at in range(max(0, from_index - self.journal.first_index), len(self.journal)):
            command, index, _ = self.journal[at]
            if command[:1] == MEMBERS:
                self._members.add(index, command[1:])
        self.on_members(self.members_at(self.journal.last_index))

    @property
    def members_index(self) -> int:
        """Where the newest membership in the log stands; 0 if there is none above its base."""
        return self._members.last_index

    def members_at(self, index: int) -> bytes:
        """The newest membership at or below `index` in the log; b"" if the log has none above its base."""
        return self._members.at(index)
