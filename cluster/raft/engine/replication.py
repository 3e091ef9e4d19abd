"""Log replication: what a leader sends and counts, and what a follower stores.

A follower keeps entries that match, cuts entries that conflict, and never touches committed ones. It says "durable"
only of entries that are on its disk. A leader believes an answer only in the term in which it was given.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Unpack

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.clock import monotonic_s
from quorate.cluster.raft.engine.elections import FOLLOWER, LEADER, Elections, EngineParts
from quorate.cluster.raft.engine.read_index import OnConfirmed, ReadIndex
from quorate.cluster.raft.engine.stock import RaftNode, field, raft_node
from quorate.cluster.raft.members import MemberEntries
from quorate.crash_points import crash_point
from quorate.errors import Halted

# The first byte of a log entry, as PySyncObj has it. Version 0.1.0 stops at LEVEL, which no cluster with it has.
REGULAR, NO_OP, MEMBERS, LEVEL = b"\x00", b"\x01", b"\x02", b"\x03"
KINDS = frozenset((REGULAR, NO_OP, MEMBERS, LEVEL))

APPEND_BYTES = 1024 * 1024  # of entries in one message, about; a bigger entry gets a message of its own
WINDOW_BYTES = 4 * 1024 * 1024  # if more waits to be sent to a peer, it gets only heartbeats
PENDING_BYTES_MAX = 32 * 1024 * 1024  # if more waits for a follower's disk, it takes no entries

_id_of = attrgetter("_id")


class Replication(Elections):
    """Sends, stores and counts copies of the log. The class below elects; the one above proposes and applies."""

    def __init__(self, node_id: str, voters: Iterable[str], **parts: Unpack[EngineParts]) -> None:
        self._counting_copies = False
        self._read_index = ReadIndex()
        self._commit_announced = 0
        self._members = MemberEntries()
        self._doubted: dict[str, int] = {}  # what a peer had copied before its connection was made anew
        self.history_index = parts["journal"].last_index  # entries up to here may be old: no fresh leader sent them
        super().__init__(node_id, voters, **parts)

    # ---- indexes ----------------------------------------------------------------------------------------------------

    commit_index: int = field("_SyncObj__raftCommitIndex")
    applied_index: int = field("_SyncObj__raftLastApplied")

    def _commit(self, index: int) -> None:
        """Take the commit index that a leader told. A leader finds its own in PySyncObj's tick."""
        self._SyncObj__raftCommitIndex = index
        self.journal.setRaftCommitIndex(index)

    @property
    def known_commit_index(self) -> int:
        """What is committed in the cluster, as far as this node was told. It may not have these entries yet."""
        return max(self.commit_index, int(self._SyncObj__leaderCommitIndex or 0))

    # ---- reading ----------------------------------------------------------------------------------------------------

    @property
    def leads_its_term(self) -> bool:
        """Whether it leads and has applied an entry of its own term: only then it knows what is committed (Raft §8)."""
        noop = self._SyncObj__noopIDx
        return self.role == LEADER and noop is not None and noop <= self.applied_index

    def confirm_reads(self, done: OnConfirmed) -> None:
        """Call `done(True)` when a linearizable read may begin, or `done(False)` if this node leads no more.

        A read may begin when a majority has confirmed this leadership after this call, and every entry that was
        committed at the time of the call is applied. A leader's own belief is not enough: stock 0.3.17 calls itself
        leader for 30 s after it was cut off (test_disruptive).
        """
        self._read_index.join(done)
        self._answer_reads()

    @property
    def read_round(self) -> int:
        """The newest round that this node has asked its peers to echo."""
        return self._read_index.round

    def fail_reads(self) -> None:
        """The replica stops: no waiting read will be confirmed."""
        self._read_index.fail_all()

    def _answer_reads(self) -> None:
        if not self.leads_its_term:
            self._read_index.fail_all()
        elif self._read_index.answer(self._majority, self.applied_index, self.commit_index, self.node_id):
            self._send_all(heartbeat=True)

    # ---- leader: sending --------------------------------------------------------------------------------------------

    def _SyncObj__onBecomeLeader(self) -> None:
        """Start a term: no peer's copies are known, and the no-op goes to the true end of the log."""
        counting, self._counting_copies = self._counting_copies, False
        self._elections_since_leader = 0
        self._read_index.begin_term()
        self._doubted.clear()
        super()._SyncObj__onBecomeLeader()
        crash_point("leader-elected")
        self._counting_copies = counting
        self.journal.flush()

    def _SyncObj__sendAppendEntries(self) -> None:
        """Send each peer the entries that it lacks, without waiting for answers, as far as its socket takes them.

        Stock 0.3.17 repeats this for up to 0.1 s a call while a snapshot is made (test_snapshot_flood: thousands of
        messages). It sends an entry over `appendEntriesBatchSizeBytes` in pieces that its receiver fails to read
        (test_big_entry: an exception a piece). And it buffers without bound for a slow follower.
        """
        self._send_all(heartbeat=True)

    def _send_all(self, *, heartbeat: bool) -> None:
        if heartbeat:  # entries do not delay the next heartbeat: a peer that is sent a snapshot gets no entries
            self._SyncObj__newAppendEntriesTime = monotonic_s() + self.timing.heartbeat_s
        self._commit_announced = self.commit_index
        for node in self._peers():
            self._replicate(node, heartbeat=heartbeat)

    def _peers(self) -> list[RaftNode]:
        """In the order of their ids."""
        others, learners = self._SyncObj__otherNodes, self._SyncObj__readonlyNodes
        return sorted(others | learners if learners else others, key=_id_of)

    def _connected(self, node: RaftNode) -> bool:
        return node in self._SyncObj__connectedNodes

    def copied_index(self, peer: str) -> int:
        """As a leader: up to which index the peer has said that its disk has our entries."""
        return int(self._SyncObj__raftMatchIndex.get(raft_node(peer), 0))

    def had_index(self, peer: str) -> int:
        """As a leader: the same, or what the peer had said before its connection was made anew."""
        return max(self.copied_index(peer), self._doubted.get(peer, 0))

    def _replicate(self, node: RaftNode, *, heartbeat: bool) -> None:
        """Send the entries that the peer lacks. If there are none, or no room, send a heartbeat if one is due."""
        if not self._connected(node):
            return
        peer, journal = str(node.id), self.journal
        next_index = self._SyncObj__raftNextIndex[node]
        if next_index <= journal.first_index:
            self._owner.offer_snapshot(peer)
            if heartbeat:
                self._owner.send(peer, self._append(journal.last_index, []))
            return
        while next_index <= journal.last_index and self._owner.backlog(peer) <= WINDOW_BYTES:
            entries = self._slice(next_index)
            if not self._owner.send(peer, self._append(next_index - 1, entries)):
                return
            next_index += len(entries)
            self._SyncObj__raftNextIndex[node] = next_index
            heartbeat = False
        if heartbeat:
            self._owner.send(peer, self._append(next_index - 1, []))

    def _append(self, prev_index: int, entries: list[tuple[int, bytes]]) -> messages.Append:
        return messages.Append(
            self.term_now, self.commit_index, prev_index, self.term_at(prev_index), entries, self._read_index.round
        )

    def _slice(self, first: int) -> list[tuple[int, bytes]]:
        """Entries from index `first` on: about `APPEND_BYTES`, but at least one if there is any."""
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

    def commit_unannounced(self) -> bool:
        """Whether followers do not know this leader's commit index yet."""
        return self.role == LEADER and self._commit_announced < self.commit_index

    def doubt_own_term(self) -> None:
        """Another node says that it leads this term. If a majority has taken an entry of this leadership, it does not.

        Otherwise nobody can tell, so both have to be elected again.
        """
        if not self.leads_its_term:
            self._step_down()

    def announce_commit(self) -> None:
        if self.commit_unannounced():
            self._send_all(heartbeat=True)

    # ---- leader: hearing --------------------------------------------------------------------------------------------

    def _on_appended(self, peer: str, message: messages.Appended) -> None:
        """Count a follower's answer, but only in the term in which it was given.

        Stock 0.3.17's answers have no term. An answer to an earlier leadership is counted as a copy (test_stale_ack:
        success with 2 of 5 copies). And a leader goes back only one entry for each refusal (test_backoff_livelock).
        """
        if message.term > self.term_now:
            self.learn_term(message.term)
            return
        node = raft_node(peer)
        if message.term != self.term_now or self.role != LEADER or node not in self._SyncObj__raftNextIndex:
            return
        if message.success:
            self._SyncObj__raftNextIndex[node] = max(self._SyncObj__raftNextIndex[node], message.next_index)
        if message.reset:
            self._SyncObj__raftNextIndex[node] = message.next_index
        if self._owner.has_known_disk(peer):
            self._count_copy(node, message)
        if self._SyncObj__raftNextIndex[node] > self.journal.first_index:
            self._replicate(node, heartbeat=False)

    def _count_copy(self, node: RaftNode, message: messages.Appended) -> None:
        self._SyncObj__lastResponseTime[node] = monotonic_s()
        if message.success:
            self._doubted.pop(str(node.id), None)
            self._SyncObj__raftMatchIndex[node] = max(self._SyncObj__raftMatchIndex[node], message.next_index - 1)
        if self._read_index.echoed(str(node.id), message.round):
            self._answer_reads()

    def may_commit(self) -> bool:
        """As a leader: whether a majority has more on disk than is committed, so that a tick can commit it."""
        committed = self.commit_index
        if self.role != LEADER or self.journal.synced_index <= committed:
            return False
        others, copies = self._SyncObj__otherNodes, self._SyncObj__raftMatchIndex
        return (1 + sum(int(copies[node]) > committed for node in others)) * 2 > 1 + len(others)

    def _doubt_copies(self, node: RaftNode) -> None:
        """The peer was away, and may come back with an old copy of its disk: count what it says from now on."""
        self._doubted[str(node.id)] = self.had_index(str(node.id))
        self._SyncObj__raftMatchIndex[node] = 0

    def forget_copies(self, peer: str) -> None:
        """The peer has another disk now: its copies of entries are gone, and it is not the leader that was heard."""
        self._doubted.pop(peer, None)
        if self.role == FOLLOWER and peer == self.leader_id:
            self.connection_lost(peer)
            self._SyncObj__raftLeader = None
        if self.role == LEADER and raft_node(peer) in self._SyncObj__raftMatchIndex:
            self._SyncObj__raftMatchIndex[raft_node(peer)] = 0

    def _SyncObj__getCurrentLogIndex(self) -> int:
        """While PySyncObj counts copies, the leader's own log ends at its last durable entry.

        Stock 0.3.17 counts the leader's copy as soon as it is in memory (test_lost_unsynced_tail).
        """
        if self._counting_copies and self.role == LEADER:
            return max(self.journal.synced_index, self.commit_index)
        return self.journal.last_index

    # ---- follower ---------------------------------------------------------------------------------------------------

    def _on_append(self, peer: str, message: messages.Append) -> None:
        """Keep entries that match, cut those that conflict, commit only what this message proves (Raft §5.3).

        Stock 0.3.17 cuts all entries after `prev`, even equal ones (test_truncate_matching: one late heartbeat loses
        acknowledged entries). And it goes back by one entry a round (test_slow_rollback).
        """
        if message.term < self.term_now:
            self._owner.send(peer, messages.Appended(self.term_now, 0, success=False, reset=False))
            return
        if not self.leader_is_fresh():
            self.history_index = max(self.history_index, message.commit_index)
        self.follow(peer, message.term)
        self._SyncObj__leaderCommitIndex = message.commit_index
        if self.journal.pending_bytes > PENDING_BYTES_MAX:  # the disk hangs: take nothing, but say that we are alive
            self._owner.send(peer, self._alive_answer(message, reset=False))
            return
        first, last = self.journal.first_index, self.journal.last_index
        prev, entries = message.prev_index, message.entries
        if (
            prev < first
        ):  # entries up to our base are committed, so the leader has the same (leader completeness, Raft §5.4)
            entries = entries[first - prev :]
            prev = first
        elif prev > last or self.term_at(prev) != message.prev_term:
            self._check_uncommitted(prev)
            self._owner.send(peer, self._alive_answer(message, reset=True))
            return
        self._store(prev, entries)
        verified = prev + len(entries)
        commit = min(message.commit_index, verified)
        if commit > self.commit_index:
            self._commit(commit)
        if self.journal.synced < self.journal.position and not entries:
            self._owner.send(
                peer, self._alive_answer(message, reset=False)
            )  # the promise below waits for the disk; this does not
        self.promise(
            peer, messages.Appended(message.term, verified + 1, success=True, reset=False, round=message.round)
        )

    def _alive_answer(self, message: messages.Append, *, reset: bool) -> messages.Appended:
        """An answer that promises nothing. `reset` asks for the entries after our commit index: ours may differ."""
        return messages.Appended(message.term, self.commit_index + 1, success=False, reset=reset, round=message.round)

    def _store(self, prev: int, entries: list[tuple[int, bytes]]) -> None:
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
        crash_point("entries-before-store")
        for term, command in entries[index - prev - 1 :]:
            self.journal.add(command, index, term)
            if command[:1] == MEMBERS:
                self._find_members(index)
            index += 1

    def _check_uncommitted(self, index: int) -> None:
        """The leader's log differs from ours at `index`. Raises `Halted` if our entry there is committed."""
        if index <= self.commit_index:
            raise Halted(
                f"the leader's log differs from ours at index {index}, which is committed (up to {self.commit_index}). "
                "Committed entries are never cut: stopping"
            )

    def _cut(self, index: int) -> None:
        self._check_uncommitted(index)
        self.journal.deleteEntriesFrom(index - self.journal.first_index)
        if self._members.last_index >= index:
            self._find_members(index)

    # ---- members in the log -----------------------------------------------------------------------------------------

    def _find_members(self, from_index: int) -> None:
        """Read the membership entries from `from_index` on again, and tell the owner which members count now."""
        self._read_members(from_index)
        self._owner.members_changed(self.members_at(self.journal.last_index))

    def _read_members(self, from_index: int) -> None:
        self._members.cut(from_index)
        for at in range(max(0, from_index - self.journal.first_index), len(self.journal)):
            command, index, _ = self.journal[at]
            if command[:1] == MEMBERS:
                self._members.add(index, command[1:])

    def member_entries(self, up_to: int) -> list[tuple[int, bytes]]:
        """The membership entries that the log has after its base: (index, members), the oldest first."""
        return self._members.up_to(up_to)

    def members_at(self, index: int) -> bytes:
        """The newest membership entry at or before `index`; b"" if the log has none after its base."""
        return self._members.at(index)
