"""Which faults come when, and for how long: from a seed and the names of nemeses. The same seed gives the same steps.

The first steps go through every name once, so that a short run has seen each kind. From then on names are drawn at
random. A third of the steps begin a second fault while the first one is active. From time to time a step ends with a
complete repair: see `Step.heals`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PAUSE_S = (0.2, 1.2)  # between two steps
LASTS_S = (0.5, 2.5)
FIRST_PASS_S = (0.4, 1.2)  # how long the faults of the first pass last
# At the least, where it takes time to see what a fault brings about: two looks at a node, a second apart, with a vote
# between them, once the node has found its way over another follower.
LEAST_S = {"partition-leader-link": 4.0}
BESIDE = 1 / 3  # the share of steps with a second fault
HEAL_EVERY = 12  # steps


@dataclass(frozen=True, slots=True)
class Beside:
    """A second fault. It begins `after_s` after the first one and ends with it or before it."""

    name: str
    after_s: float
    lasts_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Step:
    """`seed` is for the nemesis: `random.Random(step.seed)` chooses its victims."""

    number: int
    pause_s: float
    name: str
    lasts_s: float
    seed: int
    beside: Beside | None
    heals: bool  # after it everything is mended, and the run waits until the cluster is whole


def steps(seed: int, names: Sequence[str], stretch: float = 1.0) -> Iterator[Step]:
    """Without an end: the run takes as many as fit into its time. `names` are not empty.

    Each fault lasts `stretch` times as long: systems that notice later that a node is gone need longer faults.
    """
    rng = random.Random(f"{seed}.schedule")
    first_pass = rng.sample(names, len(names))
    number = 0
    while True:
        is_first = number < len(first_pass)
        name = first_pass[number] if is_first else rng.choice(names)
        number += 1
        lasts_s = stretch * max(rng.uniform(*(FIRST_PASS_S if is_first else LASTS_S)), LEAST_S.get(name, 0.0))
        yield Step(
            number=number,
            pause_s=rng.uniform(*PAUSE_S),
            name=name,
            lasts_s=lasts_s,
            seed=rng.getrandbits(32),
            beside=_beside(rng, names, name, lasts_s),
            heals=number % HEAL_EVERY == 0,
        )


def _beside(rng: random.Random, names: Sequence[str], first: str, lasts_s: float) -> Beside | None:
    others = [name for name in names if name != first]
    wanted = rng.random() < BESIDE
    if not others or not wanted:
        return None
    after_s = rng.uniform(0, lasts_s / 2)
    return Beside(rng.choice(others), after_s, rng.uniform(0.2, 1.0) * (lasts_s - after_s), rng.getrandbits(32))
