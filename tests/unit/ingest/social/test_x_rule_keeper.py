"""The rules of X's stream, which two threads bring to the options: the reader where X has none, and the companion."""

from __future__ import annotations

from typing import Any

from quorate.ingest.social.networks.x.access import XAccess
from quorate.ingest.social.networks.x.api import XApi
from quorate.ingest.social.networks.x.rule_keeper import RuleKeeper
from quorate.ingest.social.networks.x.rules import RuleLimits
from tests.support.social_inlet import SocialInlet
from tests.unit.ingest.social.x_reading import KEYS, double, rules


class NewOptionsMeanwhile:
    """A lock for which somebody else had the turn before."""

    def __init__(self, inlet: SocialInlet, *texts: str) -> None:
        self._inlet, self._texts = inlet, texts

    def __enter__(self) -> None:
        self._inlet.change(*self._texts)

    def __exit__(self, *_: object) -> None:
        pass


def test_rules_are_made_for_the_options_of_then_and_not_for_those_of_before_the_wait() -> None:
    """The other thread has made the rules of the newer options, and they would be deleted again."""
    inlet = SocialInlet("happy")
    turn: Any = NewOptionsMeanwhile(inlet, "happy", "sad")
    with double(inlet) as x:
        api = XApi(x.base, XAccess(x.base, KEYS, inlet.closing), inlet)
        RuleKeeper(inlet, api, RuleLimits(), acts_s=0.0, _bringing=turn).bring()
        assert {"happy OR #happy OR sad OR #sad"} == rules(x)
