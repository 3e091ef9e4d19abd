"""Bugs of reads."""

from __future__ import annotations

from quorate.cluster.read.reads import Reads
from tests.mutants.planting import Change, Mutant

MUTANTS = (
    Mutant(
        "read-from-the-future",
        "A read is answered with a later version than that of its tally.",
        (
            Change(
                Reads._facts,
                "return self._replica.state.version, query.level, age_ms",
                "return self._replica.state.version + 1, query.level, age_ms",
            ),
        ),
    ),
    Mutant(
        "follower-answers-linearizable",
        "Any node answers a linearizable read from what it has.",
        (
            Change(
                Reads._read,
                'if query.level == "none" or (query.level == "weak" and self._replica.is_leader):',
                'if query.level in ("none", "linearizable") or self._replica.is_leader:',
            ),
            Change(
                Reads._here,
                'if query.level == "linearizable":',
                'if query.level == "linearizable" and self._replica.is_leader:',
            ),
        ),
    ),
    Mutant(
        "min-version-ignored",
        "A read does not wait for the version that it was asked to have.",
        (
            Change(
                Reads._reached,
                "if version <= self._replica.state.version:",
                "if version <= self._replica.state.version or version < NO_VERSION:",
            ),
        ),
    ),
)
