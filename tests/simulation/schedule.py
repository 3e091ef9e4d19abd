"""What a history is made of: the nodes, its length, and steps, each with random numbers of its own.

`drawn` makes one from a seed. A step can be left out without a change to the others, so a schedule that fails can be
made smaller (`shrinking.py`). As text it is one line of JSON, which `python -m tests.simulation --again` takes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tests.simulation.fault_shares import FAULT_SHARES, WHOLE_SHARES
from tests.simulation.operations import OPERATIONS

STEP_S = (0.02, 0.2)  # between two moments at which a fault may begin
WHOLE_SHARE = 0.1  # of the seeds: such a history costs three times as much
OPERATION_S = (0.5, 4.0)


class Step(NamedTuple):
    """`number` is that of its random numbers. `what` is a fault of `faults.FAULTS`, or an operation of the operator."""

    number: int
    at_s: float
    what: str

    @property
    def is_operation(self) -> bool:
        return self.what in OPERATIONS


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    seed: int
    names: str = "abc"
    seconds: float = 8.0
    steps: tuple[Step, ...] = ()
    polls: bool = False  # somebody deletes a poll and creates it anew, again and again
    late: float = 0.0  # the share of messages that are late
    repeated: float = 0.0
    stale_settings: bool = False  # raft.peers keeps the first addresses for ever
    whole: bool = False  # whole nodes, see `tests/simulation/whole`
    network: int = 0  # another number, other delays

    def random(self, purpose: object) -> random.Random:
        """Random numbers for one purpose."""
        return random.Random(f"{self.seed} {purpose}")

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


def parse(text: str) -> Schedule:
    return msgspec.json.decode(text, type=Schedule)


def drawn(
    seed: int,
    names: str | None = None,
    *,
    seconds: float | None = None,
    likelier: Mapping[str, float] | None = None,
    whole: bool | None = None,
) -> Schedule:
    """The schedule of a seed. Most have three nodes and are short; a few are large and long.

    A factor in `likelier` makes a fault likelier. Without `names` a tenth are of whole nodes, unless `whole` says so.
    """
    if whole is None:
        whole = names is None and random.Random(f"kind {seed}").random() < WHOLE_SHARE
    rng = random.Random(f"schedule {seed}")
    size = rng.choices(("abc", "abcde", "abcdefg"), (75, 22, 3))[0]
    length_s = rng.uniform(4, 9) if rng.random() < 0.96 else rng.uniform(15, 22)
    traits: dict[str, Any] = {
        "polls": rng.random() < 0.3,
        "late": rng.choice((0.0, 0.0, 0.02)),
        "repeated": rng.choice((0.0, 0.01)),
        "stale_settings": rng.random() < 0.5,
    }
    seconds = length_s if seconds is None else seconds
    has_operator = rng.random() < 0.7 and not whole
    shares, factors = WHOLE_SHARES if whole else FAULT_SHARES, likelier or {}
    steps = _faults(seed, seconds, {name: share * factors.get(name, 1.0) for name, share in shares.items()})
    steps += _operations(seed, seconds) if has_operator else []
    in_order = tuple(sorted(steps, key=lambda step: step.at_s))
    return Schedule(seed, names or size, round(seconds, 2), in_order, whole=whole, **traits)


def _faults(seed: int, seconds: float, shares: Mapping[str, float]) -> list[Step]:
    rng = random.Random(f"faults {seed}")
    names, weights = [*shares, ""], [*shares.values(), max(0.0, 1 - sum(shares.values()))]
    steps: list[Step] = []
    at_s = 0.6
    while (at_s := at_s + rng.uniform(*STEP_S)) < seconds:
        if what := rng.choices(names, weights)[0]:
            steps.append(Step(len(steps), round(at_s, 3), what))
    return steps


def _operations(seed: int, seconds: float) -> list[Step]:
    rng = random.Random(f"operations {seed}")
    steps: list[Step] = []
    at_s = 0.6
    while (at_s := at_s + rng.uniform(*OPERATION_S)) < seconds:
        steps.append(Step(1000 + len(steps), round(at_s, 3), rng.choice(OPERATIONS)))
    return steps
