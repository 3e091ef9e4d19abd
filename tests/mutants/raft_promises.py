"""Bugs of what a node promises before its disk has it."""

from __future__ import annotations

from quorate.cluster.raft.engine.elections import Elections
from quorate.cluster.raft.engine.replication import Replication
from quorate.cluster.raft.storage.journal import Journal
from tests.mutants.planting import Change, Mutant

MUTANTS = (
    Mutant(
        "ack-before-sync",
        "A leader counts its own copy of an entry before its disk has it.",
        (
            Change(
                Replication._SyncObj__getCurrentLogIndex,
                "return max(self.journal.synced_index, self.commit_index)",
                "return self.journal.last_index",
            ),
        ),
    ),
    Mutant(
        "follower-acks-before-sync",
        "A follower says that it has entries before its disk has them.",
        (
            Change(
                Elections.promise,
                "if self.journal.synced >= self.journal.position:",
                "if self.journal.synced >= self.journal.position or isinstance(message, messages.Appended):\n"
                "    self.journal.flush()",
            ),
        ),
    ),
    Mutant(
        "ballot-forgotten-on-restart",
        "A node's disk has the terms that it was in, and not the ballots that it gave.",
        (
            Change(
                Journal.setCurrentTerm,
                "self._append(segments.term_record(term, votedForNodeId))",
                "self._append(segments.term_record(term, None))",
            ),
            Change(
                Journal._group,
                "head = Head(number, self._restart_due, size, durable, *self._handed_over)",
                "head = Head(number, self._restart_due, size, durable, *self._handed_over[:2], None)",
            ),
        ),
    ),
    Mutant(
        "ballot-before-sync",
        "A node gives its ballot before its disk has it.",
        (
            Change(
                Elections.promise,
                "if self.journal.synced >= self.journal.position:",
                "if self.journal.synced >= self.journal.position or isinstance(message, messages.Ballot):\n"
                "    self.journal.flush()",
            ),
        ),
    ),
)
