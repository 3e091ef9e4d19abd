"""Random histories of a whole cluster: whatever breaks, acknowledged votes are counted once and all nodes agree.

`QUORATE_SEEDS=10000 pytest tests/simulation/test_histories.py` runs more of them. A failure names its seeds:
`python -m tests.simulation SEED` shows that history again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation import situations
from tests.simulation.history import history
from tests.simulation.many import play_all
from tests.simulation.schedule import drawn

SEEDS = int(os.environ.get("QUORATE_SEEDS", "1000"))
WORSE = SEEDS // 8  # of them are of three nodes, where any two are a majority: one that forgets something does harm
WORSE_FROM = 10_000_000


@pytest.mark.timeout(120 + 2 * SEEDS)
def test_no_acknowledged_vote_is_lost_and_all_nodes_agree(capsys: pytest.CaptureFixture[str]) -> None:
    usual = (drawn(seed) for seed in range(SEEDS - WORSE))
    worse = (
        drawn(seed, "abc", likelier={"copy": 2, "one-way": 3, "clock": 3})
        for seed in range(WORSE_FROM, WORSE_FROM + WORSE)
    )
    seen: Counter[str] = Counter()
    broken, empty = {}, []
    for schedule, verdict in play_all((*usual, *worse)):
        seen += verdict.seen
        if verdict.broken:
            broken[schedule.text()] = verdict.broken
        elif not verdict.acknowledged:
            empty.append(schedule.seed)
    with capsys.disabled():
        print(f"\n{SEEDS:,} histories came through:\n{situations.table(seen)}")
    assert {} == broken
    assert [] == empty, "a history in which nothing happened shows nothing"
    if SEEDS >= 1000:
        assert [] == situations.missed(seen)


def test_the_same_seed_gives_the_same_history_to_the_message() -> None:
    verdict = history(7)
    assert verdict == history(7)
    assert min(verdict.shares.get(share, 0) for share in range(3)) > 10, "votes came in all shares of the dedup window"


def test_the_same_seed_gives_the_same_history_in_every_process() -> None:
    """A worker's process finds a failure, and another one shows it again. Sets of texts have another order there."""
    program = (
        "import logging; logging.disable()\n"
        "from tests.simulation.history import history\n"
        "for seed in (1, 4):\n"  # the second one is of whole nodes
        "    it = history(seed)\n"
        "    print(it.messages, it.acknowledged, it.unknown, it.terms, it.digest, it.broken)"
    )
    verdicts = {
        subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1")
    }
    assert 1 == len(verdicts)
