"""What a mutant is run through: from a seed to the lines that say what is broken.

An error that ends a history is such a line, too: a node that does not start, or a cluster that never agrees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import msgspec

from tests.simulation.history import play
from tests.simulation.schedule import drawn

Scenario = Callable[[int], list[str]]


def run_scenario(scenario: Scenario, seed: int) -> list[str]:
    """Without the nodes' own words: they say very much where something is wrong."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return scenario(seed)
    except Exception as error:
        return [repr(error)]
    finally:
        logging.disable(before)


def _random_history(
    names: str, seconds: float, likelier: dict[str, float], with_operator: bool, seed: int
) -> list[str]:
    schedule = drawn(seed, names, seconds=seconds, likelier=likelier)
    if not with_operator:
        steps = tuple(step for step in schedule.steps if not step.is_operation)
        schedule = msgspec.structs.replace(schedule, steps=steps)
    return play(schedule).broken


def random_history(
    names: str = "abc", seconds: float = 8.0, *, with_operator: bool = True, **likelier: float
) -> Scenario:
    """A random history of `tests/simulation`, with faults that are so many times likelier than there.

    The operator of a history changes members. Where no majority counts any more it waits for ever, and only that shows.
    """
    factors = {name.replace("_", "-"): factor for name, factor in likelier.items()}
    return partial(_random_history, names, seconds, factors, with_operator)
