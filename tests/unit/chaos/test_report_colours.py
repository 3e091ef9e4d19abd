"""The colours of a run's page: what is drawn stands out from its ground, and everybody can tell it apart."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import combinations

import pytest

from quorate.chaos.report.bands import HEIGHTS
from quorate.chaos.report.page import STYLE
from tests.support.contrast import SIGHTS, contrast, difference

LEAST_CONTRAST = 3.0  # WCAG 2.2, 1.4.11
LEAST_DIFFERENCE = 15.0
STATES = ("leader", "follower", "learner", "paused", "down", "silent", "cut", "harmed")
CHARTS = ("acks", "ops", "unknown", "fault", "bad")
WAYS = {"candidate": "hollow", "down": "hatched"}  # the others are filled
PAIRS = (("acks", "unknown"), ("ops", "unknown"), ("fault", "acks"), ("learner", "unknown"))  # in one picture
SCHEMES = ("light", "dark")


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{([^}]*--paper[^}]*)\}", STYLE.read_text())
    lights, darks = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", text)) for text in (light, dark))
    return lights if scheme == "light" else lights | darks


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_drawn_stands_out_from_the_card_behind_it(scheme: str) -> None:
    found = colours(scheme)
    ratios = {name: round(contrast(found[name], found["card"]), 2) for name in STATES + CHARTS}
    assert {} == {name: ratio for name, ratio in ratios.items() if ratio < LEAST_CONTRAST}


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_has_one_height_or_one_picture_is_told_apart_by_all_eyes(scheme: str, sight: str) -> None:
    found = colours(scheme)
    alike: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for state, height in HEIGHTS.items():
        alike[height, WAYS.get(state, "filled")].append(found.get(state, found["follower"]))
    pairs = [pair for states in alike.values() for pair in combinations(states, 2)]
    pairs += [(found[one], found[other]) for one, other in PAIRS]
    near = {pair: round(difference(*pair, sight), 1) for pair in pairs}
    assert {} == {pair: apart for pair, apart in near.items() if apart < LEAST_DIFFERENCE}
