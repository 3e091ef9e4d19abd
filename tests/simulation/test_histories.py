"""Random histories of a whole cluster: whatever breaks, acknowledged votes are counted once and all nodes agree.

`QUORATE_SEEDS=1000 pytest tests/simulation/test_histories.py` runs more of them; a failure names its seed, and
`python -m tests.simulation SEED` shows that history again.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.history import history

SEEDS = int(os.environ.get("QUORATE_SEEDS", "40"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_acknowledged_vote_is_lost_and_all_nodes_agree(seed: int) -> None:
    verdict = history(seed)
    assert [] == verdict.broken, f"seed {seed}: {verdict}"
    assert verdict.acknowledged > 100, f"seed {seed}: a history in which hardly anything happened shows nothing"


@pytest.mark.parametrize("seed", range(10_000, 10_000 + SEEDS // 5))
def test_three_nodes_whose_disks_links_and_clocks_are_worse(seed: int) -> None:
    """Of three nodes any two are a majority, so a single one that has forgotten something would do harm."""
    verdict = history(seed, "abc", likelier={"copy": 2, "one-way": 3, "clock": 3})
    assert [] == verdict.broken, f"seed {seed}: {verdict}"


def test_the_same_seed_gives_the_same_history_to_the_message() -> None:
    verdict = history(7)
    assert verdict == history(7)
    assert min(verdict.shares.get(share, 0) for share in range(3)) > 10, "votes came in all shares of the dedup window"
