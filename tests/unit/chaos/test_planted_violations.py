"""Each kind of violation, planted into right histories, is refused, and what is shown for it is among the guilty."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from tests.unit.chaos import planted_elsewhere, planted_in_tallies
from tests.unit.chaos.files import judged
from tests.unit.chaos.planting import PLANTS, NotHere
from tests.unit.chaos.random_run import RandomRun

KINDS = (planted_in_tallies, planted_elsewhere)  # each registers its plants
HISTORIES = 5  # of each kind
SEEDS = 200


@pytest.mark.parametrize("words", PLANTS)
def test_a_planted_violation_is_refused(words: str, tmp_path: Path) -> None:
    plant, mix = PLANTS[words]
    planted = 0
    for seed in range(SEEDS):
        records = RandomRun(seed, operations=100, mix=mix).records
        try:
            made = plant(records, random.Random(seed))
        except NotHere:
            continue
        verdict = judged(tmp_path, records)
        found = [each for each in verdict.violations if each.property in made.rules]
        assert found, f"seed {seed}: {verdict.verdict}, {[(v.property, v.words) for v in verdict.violations]}"
        assert "violated" == verdict.verdict
        assert all(1 <= len(each.operations) <= 5 for each in verdict.violations)
        shown = {bytes(line) for each in found for line in each.operations}
        guilty = {msgspec.json.encode(each) for each in made.guilty}
        assert shown & guilty, f"seed {seed}: {[each.words for each in found]}"
        planted += 1
        if planted == HISTORIES:
            return
    pytest.fail(f"only {planted} of {SEEDS} histories had a place for it")
