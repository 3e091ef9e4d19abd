"""What a mutant is run through: from a seed to the lines that say what is broken.

An error that ends a history is such a line, too: a node that does not start, or a cluster that never agrees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from tests.simulation.history import history

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


def _random_history(names: str, seconds: float, likelier: dict[str, float], seed: int) -> list[str]:
    return history(seed, names, seconds=seconds, likelier=likelier).broken


def random_history(names: str = "abc", seconds: float = 8.0, **likelier: float) -> Scenario:
    """A random history of `tests/simulation`, with faults that are so many times likelier than there."""
    return partial(
        _random_history, names, seconds, {name.replace("_", "-"): factor for name, factor in likelier.items()}
    )
