"""Two judges that share nothing agree: the checkers' sweeps, and a search of all orders of a small history.

Where requests have one vote and there is one poll, the checkers are exact, so both must say the same of any history,
right or wrong. Elsewhere the checkers may be weaker: they never refuse what has a right order.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.chaos.history import Cast, Read, Record, SinkLook
from tests.unit.chaos import planted_elsewhere, planted_in_tallies
from tests.unit.chaos.all_orders import AllOrders
from tests.unit.chaos.files import judged
from tests.unit.chaos.planting import PLANTS, NotHere
from tests.unit.chaos.random_run import WEIGHTS, Mix, RandomRun

EXACT = Mix(several=0, keyed=0, sessions=0, plain=0, digest=0, resend=5, read=8, change=0, polls=("p",), lost=0.25)
CHANGING = Mix(several=0, keyed=0, sessions=0, plain=0.5, digest=0, change=1.5, polls=("p",), lost=0.15, named=1)
REDIS = replace(EXACT, redis=1, resend=8)
ANY = Mix(several=3, keyed=0, sessions=0, digest=0, change=1, lost=0.2)
HISTORIES = 120  # of each kind
PLANTED_IN = (planted_in_tallies, planted_elsewhere)  # each registers its plants
KNOWN_TO_BOTH = (  # violations that the search can see, too: it knows nothing of fences, sessions and `min_version`
    "an acknowledged id is lost",
    "an acknowledged id is lost for a while only",
    "an id is counted twice",
    "a vote without an answer is counted twice",
    "a vote that was called a duplicate was never counted",
    "two reads are swapped",
    "a linearizable read is stale",
    "a read of level none is from the future",
    "a read of level weak is from the future",
    "a read shows a vote before it was sent",
    "two nodes show different results at one version",
    "a version goes back in real time",
    "an id is applied again",
    "a new id is called a duplicate",
    "a sink's total is off by one",
)
PLANTED = 8  # histories of each of these
SEEDS = 600

pytestmark = pytest.mark.timeout(600)  # it searches for up to a minute


def spoil(records: list[Record], rng: random.Random) -> None:
    """Change one thing that a client was told, so that the history may be wrong."""
    seen = [each for each in records if isinstance(each, SinkLook) or (isinstance(each, Read) and each.outcome == "ok")]
    casts = [each for each in records if isinstance(each, Cast) and each.outcome == "ok" and each.version]
    kind = rng.choice(["result", "version", "swap", "written", "duplicate"])
    if kind == "result":
        look, option = rng.choice(seen), rng.choice(list(WEIGHTS))
        look.results[option] = max(0, look.results[option] + rng.choice([-1, 1]) * WEIGHTS[option])
    elif kind == "version":
        look = rng.choice(seen)
        look.version = max(1, (look.version or 0) + rng.choice([-3, -2, -1, 1, 2, 3]))
    elif kind == "swap":
        one, other = rng.choice(seen), rng.choice(seen)
        one.results, other.results = other.results, one.results
    elif kind == "written" and casts:
        cast = rng.choice(casts)
        cast.version = max(1, (cast.version or 0) + rng.choice([-3, -2, -1, 1, 2, 3]))
    elif casts:
        cast = rng.choice(casts)
        cast.applied, cast.duplicates = cast.duplicates, cast.applied
    hide(records)


def hide(records: list[Record]) -> None:
    """Take out what the search knows nothing of."""
    for each in records:
        if isinstance(each, Read):
            each.total, each.min_version = sum(each.results.values()), None
        elif isinstance(each, SinkLook):
            each.fence = ""


@pytest.mark.parametrize(
    ("mix", "is_exact", "operations"), [(EXACT, True, 22), (REDIS, True, 22), (CHANGING, False, 22), (ANY, False, 13)]
)
def test_both_judges_agree(mix: Mix, is_exact: bool, operations: int, tmp_path: Path) -> None:
    wrong = 0
    for seed in range(HISTORIES):
        run = RandomRun(seed, operations=operations, clients=6, mix=mix)
        rng = random.Random(seed)
        for _ in range(seed % 3):  # a third of the histories is right
            spoil(run.records, rng)
        is_right = AllOrders(run.records).is_right()
        verdict = judged(tmp_path, run.records)
        said = [f"{each.property}: {each.words}" for each in verdict.violations]
        assert is_right or seed % 3, f"seed {seed}: the search finds no order of a right history"
        if is_right or is_exact:
            assert is_right == (not said), f"seed {seed}: the search says {is_right}, the checkers {said}"
        wrong += not is_right
    assert wrong > HISTORIES / 5


@pytest.mark.parametrize("words", KNOWN_TO_BOTH)
def test_both_judges_refuse_what_was_planted_and_accept_the_history_before(words: str, tmp_path: Path) -> None:
    plant, _ = PLANTS[words]
    planted = 0
    for seed in range(SEEDS):
        right = RandomRun(seed, operations=22, clients=6, mix=EXACT).records
        wrong = RandomRun(seed, operations=22, clients=6, mix=EXACT).records
        hide(right)
        try:
            plant(wrong, random.Random(seed))
        except NotHere:
            continue
        hide(wrong)
        assert AllOrders(right).is_right(), f"seed {seed}"
        assert [] == judged(tmp_path, right).violations, f"seed {seed}"
        said = [f"{each.property}: {each.words}" for each in judged(tmp_path, wrong).violations]
        assert AllOrders(wrong).is_right() == (not said), f"seed {seed}: the checkers say {said}"
        planted += bool(said)
        if planted == PLANTED:
            return
    pytest.fail(f"only {planted} of {SEEDS} histories had a place for it")
