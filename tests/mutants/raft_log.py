"""Bugs of the log: what is counted, what is committed, what is cut."""

from __future__ import annotations

from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.replication import Replication
from quorate.cluster.raft.storage import replay
from tests.mutants.planting import Change, Mutant

COUNT_ALL = """\
self._counting_copies, self._wants_tick = True, False
if self.role == LEADER:
    copies = sorted([self.journal.synced_index, *self._SyncObj__raftMatchIndex.values()], reverse=True)
    most = copies[len(self.voters()) // 2]
    if most > self.commit_index and self.term_at(most) == self.term_now:
        self._commit(most)"""

COUNT_OLD = """\
self._counting_copies, self._wants_tick = True, False
if self.role == LEADER:
    copies = [self._SyncObj__raftMatchIndex[node] for node in self._SyncObj__otherNodes]
    most = sorted([self.journal.synced_index, *copies], reverse=True)[len(self.voters()) // 2]
    if most > self.commit_index:
        self._commit(most)"""

MUTANTS = (
    Mutant(
        "commit-beyond-what-matches",
        "A follower commits as far as the leader says, also entries of its own that nobody has compared.",
        (
            Change(
                Replication._on_append,
                "commit = min(message.commit_index, verified)",
                "commit = min(message.commit_index, self.journal.last_index)",
            ),
        ),
    ),
    Mutant(
        "commit-index-from-a-snapshot-message",
        "A follower that is offered a snapshot takes the snapshot's index for committed in its own log.",
        (
            Change(
                Engine.log_contains,
                "if not self.journal.first_index <= index <= self.journal.last_index or self.term_at(index) != term:",
                "if not self.journal.first_index <= index <= self.journal.last_index:",
            ),
            Change(
                Engine.log_contains,
                "if self.journal.chain_at(index) != chain:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "truncation-of-matching-entries",
        "A follower cuts all that follows the place where a message begins, also entries that are the leader's.",
        (
            Change(
                Replication._store,
                "index, last = prev, self.journal.last_index",
                "if prev < self.journal.last_index:\n"
                "    self._cut(prev + 1)\n"
                "index, last = prev, self.journal.last_index",
            ),
            Change(Replication._cut, "self._check_uncommitted(index)", "pass"),
        ),
    ),
    Mutant(
        "learner-in-the-majority",
        "A leader counts the copies of learners as if they were voters.",
        (Change(Engine.tick, "self._counting_copies, self._wants_tick = True, False", COUNT_ALL),),
    ),
    Mutant(
        "false-acknowledgement",
        "A leader answers a proposal as counted when another leader's entry has taken its place.",
        (
            Change(
                Engine._SyncObj__applyLogEntries,
                "ProposalOutcome.COMMITTED if proposed_term == term else ProposalOutcome.NEVER",
                "ProposalOutcome.COMMITTED",
            ),
            Change(Engine._fail_overtaken, "for index in list(waiting):", "for index in ():"),
        ),
    ),
    Mutant(
        "older-term-committed-by-counting",
        "A leader commits an entry of an earlier term as soon as a majority has it.",
        (Change(Engine.tick, "self._counting_copies, self._wants_tick = True, False", COUNT_OLD),),
    ),
    Mutant(
        "snapshot-says-never",
        "A proposal that a snapshot passes over is told to have changed nothing, though it may be in the snapshot.",
        (Change(Engine.snapshot_installed, "ProposalOutcome.UNKNOWN", "ProposalOutcome.NEVER"),),
    ),
    Mutant(
        "torn-tail-accepted",
        "A node that lost its power takes the torn end of its log for entries.",
        (
            Change(
                replay._read_records,
                "if stop > size_all or crc32(view[at + 4 : stop]) != crc:",
                "if stop > size_all or kind not in (1, 2, 3, 4, 5):",
            ),
            Change(replay._read_records, " or hashed.digest() != chain", ""),
        ),
    ),
)
