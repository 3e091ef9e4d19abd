"""By what each mutant is caught, and how fast: a number of seeds that was measured, with a margin.

A seed catches a mutant if what the scenario says is broken has the words. The number is such that a mutant which a seed
catches with the chance that was measured survives all of them once in ten thousand times. So it stays right when the
seeds come to mean other histories.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tests.mutants import dramas
from tests.mutants.all import MUTANTS
from tests.mutants.planting import Mutant, planted
from tests.mutants.queues import from_a_queue
from tests.mutants.scenarios import Scenario, random_history, run_scenario
from tests.mutants.sinks import two_leaders
from tests.mutants.telling import story

SURVIVES = 1e-4  # of the mutants, by bad luck

RESTARTS = random_history(with_operator=False, crash_all=15, crash=3, disk=5, start=3)
CUT_LINKS = random_history(with_operator=False, partition=4, one_way=4, crash=2, start=2, mend=1.5)
STALE_READS = random_history(seconds=6.0, partition=5, one_way=6, bridge=0, ring=0, mend=2, hand_over=3)
OLD_DISKS = random_history(copy=2)

TOLD = story(crash=2, start=2, partition=2, one_way=2)
QUEUED = from_a_queue(crash=3, start=2)

DIFFER = "never agree|differ at the end"
FORGOT = "has forgotten what|agreement after healing not within"
STALE = r"read version \d+ after \d+ was told"


@dataclass(frozen=True, slots=True)
class Catch:
    scenario: Scenario
    chance: float  # that one seed catches it, as it was measured
    words: str  # a pattern; what is broken says so

    @property
    def is_sure(self) -> bool:
        return self.chance >= 0.99

    @property
    def seeds(self) -> int:
        """As many as are tried."""
        return 3 if self.is_sure else math.ceil(math.log(SURVIVES) / math.log(1 - self.chance))


@dataclass(frozen=True, slots=True)
class Caught:
    seed: int
    words: str


CATCHES: dict[str, Catch] = {
    "ack-before-sync": Catch(RESTARTS, 0.3, FORGOT),
    "follower-acks-before-sync": Catch(RESTARTS, 0.4, FORGOT),
    "ballot-forgotten-on-restart": Catch(RESTARTS, 0.6, FORGOT),
    "ballot-before-sync": Catch(RESTARTS, 0.25, FORGOT),
    "truncation-of-matching-entries": Catch(CUT_LINKS, 0.35, f"halted|is not held|{FORGOT}"),
    "commit-beyond-what-matches": Catch(dramas.BIG_ENTRIES, 1.0, DIFFER),
    "commit-index-from-a-snapshot-message": Catch(dramas.PASSED_BY_A_SNAPSHOT, 1.0, DIFFER),
    "older-term-committed-by-counting": Catch(dramas.FIGURE_8, 1.0, FORGOT),
    "ballot-counted-twice": Catch(dramas.BALLOT_TWICE, 0.25, DIFFER),
    "snapshot-says-never": Catch(dramas.IN_A_SNAPSHOT, 1.0, "was told no, and"),
    "torn-tail-accepted": Catch(RESTARTS, 0.2, f"is damaged|{DIFFER}|has another entry|{FORGOT}"),
    "false-acknowledgement": Catch(dramas.OTHER_TAIL, 1.0, "was told success"),
    "learner-in-the-majority": Catch(dramas.LEARNER, 1.0, DIFFER),
    "wiped-disk-keeps-its-ballot": Catch(dramas.EMPTY_DISK, 1.0, DIFFER),
    "old-disk-counts": Catch(OLD_DISKS, 0.4, "did not find out that its disk is old"),
    "reads-by-lease": Catch(STALE_READS, 0.25, STALE),
    "no-op-left-out": Catch(dramas.NEW_LEADER, 0.9, "a read at . lacked"),
    "snapshot-without-the-dedup-window": Catch(TOLD, 0.9, "^agreement|^reads|^resends"),
    "snapshot-without-sessions": Catch(TOLD, 0.9, "^sessions|^agreement"),
    "dedup-by-clock": Catch(TOLD, 0.75, "^resends|^reads"),
    "dedup-window-trimmed-early": Catch(TOLD, 0.6, "^resends|^reads"),
    "session-floor-lost": Catch(TOLD, 0.9, "^sessions"),
    "old-epoch-counts": Catch(TOLD, 0.9, "^sessions: .* after epoch"),
    "votes-after-the-close": Catch(TOLD, 0.9, "^closing"),
    "unknown-told-as-never": Catch(TOLD, 0.35, "^counted_once"),
    "forwarding-retries-with-new-ids": Catch(TOLD, 0.6, "^reads|^resends|^counted_once"),
    "duplicate-answered-before-commit": Catch(TOLD, 0.9, "^real_time|^counted_once"),
    "read-from-the-future": Catch(TOLD, 0.9, "^real_time|^reads"),
    "follower-answers-linearizable": Catch(TOLD, 0.9, "^real_time: a linearizable read"),
    "min-version-ignored": Catch(TOLD, 0.9, "^real_time: a read that wanted"),
    "closing-by-the-local-clock": Catch(TOLD, 0.9, "^agreement"),
    "inc-flush": Catch(two_leaders, 0.9, "and the tally was"),
    "no-fence": Catch(two_leaders, 0.8, "the fence of .* fell"),
    "older-totals-under-an-equal-fence": Catch(two_leaders, 0.9, "under the same fence|and the tally was"),
    "early-fin": Catch(QUEUED, 0.55, "were sent and finished"),
    "new-id-on-retry": Catch(QUEUED, 0.65, "were sent and finished"),
}


def hunt(mutant: Mutant, catch: Catch) -> Caught | None:
    """Try the seeds one after another until one catches the mutant. None: it survives."""
    for seed in range(catch.seeds):
        with planted(mutant):
            broken = run_scenario(catch.scenario, seed)
        if words := next((line for line in broken if re.search(catch.words, line)), None):
            return Caught(seed, words)
    return None


def by_simulation() -> list[str]:
    return [name for name in MUTANTS if name in CATCHES]
