"""Bugs of elections, of leaderships, and of the disks that count in them."""

from __future__ import annotations

from quorate.cluster.raft import remembered
from quorate.cluster.raft.engine.elections import Elections
from quorate.cluster.raft.engine.read_index import ReadIndex
from quorate.cluster.raft.engine.replication import Replication
from quorate.cluster.raft.membership.membership import Membership
from tests.mutants.planting import Change, Mutant

MUTANTS = (
    Mutant(
        "reads-by-lease",
        "A leader answers a linearizable read without asking a majority whether it still leads.",
        (
            Change(
                ReadIndex._confirmed,
                "return majority({peer for peer, number in self._echoed.items() if number >= self.round})",
                "return True",
            ),
        ),
    ),
    Mutant(
        "no-op-left-out",
        "A new leader takes itself for one before an entry of its own term is applied.",
        (
            Change(
                Replication.leads_its_term,
                "return self.role == LEADER and noop is not None and noop <= self.applied_index",
                "return self.role == LEADER",
            ),
        ),
    ),
    Mutant(
        "ballot-counted-twice",
        "A candidate counts a ballot again when the message comes twice.",
        (Change(Elections.on_ballot, "peer not in self._ballots and ", ""),),
    ),
    Mutant(
        "wiped-disk-keeps-its-ballot",
        "A node whose disk was emptied gives ballots and copies as if it were the one before.",
        (
            Change(
                Membership.may_give_ballot,
                "return to == self._bootstrap.identity.incarnation if to else self._bootstrap.remembers_ballots",
                "return True",
            ),
            Change(
                Membership.has_known_disk,
                "return not known or introduction is None or introduction.incarnation == known",
                "return True",
            ),
        ),
    ),
    Mutant(
        "old-disk-counts",
        "A node whose disk is an old copy does not find out, and counts as before.",
        (
            Change(
                remembered.forgotten,
                'had = f"entry {known.entry_index:,} of term {known.entry_term}"',
                'return ""',
            ),
        ),
    ),
)
