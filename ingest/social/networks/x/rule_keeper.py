"""Keeps the rules of the stream equal to the options. They act without a new connection, within about 20 seconds.

So an old rule is deleted only when the new ones that take its place surely act. Until then its posts come, too.
Only rules with our tag are added and removed. Others' are let be, and told: their posts come too, and are paid for.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from quorate.ingest.social.network import Inlet, Terms
from quorate.ingest.social.networks.defaults import X_TAG
from quorate.ingest.social.networks.x.api import XApi
from quorate.ingest.social.networks.x.problems import issue_of, said_in
from quorate.ingest.social.networks.x.rate_window import RateWindow
from quorate.ingest.social.networks.x.rules import RuleLimits, RulePlan, StreamRule, alternatives_of, inside, plan
from quorate.shown import name
from quorate.words import count

log = logging.getLogger(__name__)

PATH = "/2/tweets/search/stream/rules"
AT_ONCE = 100
CHECKED_EVERY_S = 300.0  # somebody else may have changed them
LOOK_S = 1.0
ACTS_S = 30.0
CHANGES = 30  # in 15 minutes; each takes two or three requests, and X takes 100
TOLD_MAX = 5


@dataclass(slots=True)
class RuleKeeper:
    inlet: Inlet
    api: XApi
    limits: RuleLimits
    suffix: str = ""
    tag: str = X_TAG
    acts_s: float = ACTS_S
    is_over: bool = False
    alternatives: Sequence[str] = ()
    _refused: set[str] = field(default_factory=set)  # X does not take them as a rule
    _foreign: int = 0
    _seen: int = -1
    _told: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _doomed: dict[str, float] = field(default_factory=dict)  # rules that are deleted after so many seconds
    _window: RateWindow = field(default_factory=lambda: RateWindow(CHANGES))
    _bringing: threading.Lock = field(default_factory=threading.Lock)

    def follow(self) -> None:
        """New options, as they come, until the network ends."""
        unchecked_s = 0.0
        while not self.is_over:
            terms = self.inlet.wait_for_terms(self._seen, LOOK_S)
            unchecked_s += LOOK_S
            if terms.version != self._seen or unchecked_s >= CHECKED_EVERY_S:
                self.inlet.pause(self._window.wait_s())
                self.bring()
                unchecked_s = 0.0
            else:
                self._delete_doomed(LOOK_S)

    def wait(self) -> None:
        """Until there is something to listen to."""
        while not self.alternatives:
            self.inlet.pause(0)
            with self._changed:
                self._changed.wait_for(lambda: self.alternatives or self.is_over, LOOK_S)

    def bring(self) -> None:
        """Make the rules those of the options. Raises `StreamRefused` if X does not let us. For all threads.

        The options are those of the moment in which it is this thread's turn. Otherwise rules that another thread has
        just made for newer options were deleted again.
        """
        with self._bringing:
            self._bring(self.inlet.terms)

    def _bring(self, terms: Terms) -> None:
        self._seen = terms.version
        wanted = [each for each in alternatives_of(terms.texts) if each not in self._refused]
        there = list(self._there())
        ours = [rule for rule in there if rule.tag == self.tag]
        self._tell_foreign(len(there) - len(ours))
        made = plan(ours, wanted, self.limits.rules - self._foreign, self.limits.characters, suffix=self.suffix)
        if made.has_gap:
            self.inlet.lost(
                "the account has no room for new rules beside the old ones, so some were replaced in between"
            )
        self._carry_out(made)
        self._tell_left_out([*made.left_out, *(each for each in alternatives_of(terms.texts) if each in self._refused)])
        with self._changed:
            left_out = set(made.left_out) | self._refused
            self.alternatives = [each for each in wanted if each not in left_out]
            self._changed.notify_all()

    def _there(self) -> Iterator[StreamRule]:
        token = ""
        while True:
            answer = self.api.ask("GET", PATH, params={"pagination_token": token} if token else None).json()
            found = _dicts(answer, "data")
            for rule in found:
                yield StreamRule(str(rule.get("id")), str(rule.get("value")), str(rule.get("tag") or ""))
            meta = answer.get("meta") if isinstance(answer, dict) else None
            token = str(meta.get("next_token") or "") if isinstance(meta, dict) else ""
            if not token or not found:
                return

    def _carry_out(self, made: RulePlan) -> None:
        self._delete(made.delete_first)
        for start in range(0, len(made.add), AT_ONCE):
            self._add(made.add[start : start + AT_ONCE])
        before = {} if made.add else self._doomed
        self._doomed = {id: before.get(id, self.acts_s if made.add else 0.0) for id in made.delete}
        if made.add or made.delete:
            log.info(
                "%s added at X; %s that no poll needs will be removed",
                count(len(made.add), "rule"),
                count(len(made.delete), "rule"),
            )
        self._delete_doomed(0.0)

    def _delete_doomed(self, passed_s: float) -> None:
        """Those whose time is over, now that some more has passed."""
        if not self._doomed:
            return
        with self._bringing if passed_s else contextlib.nullcontext():
            self._doomed = {id: left_s - passed_s for id, left_s in self._doomed.items()}
            due = [id for id, left_s in self._doomed.items() if left_s <= 0]
            self._delete(due)
            for id in due:
                del self._doomed[id]

    def _add(self, values: list[str]) -> None:
        """Those that X does not take are halved until it is known which alternative it is."""
        rules = [{"value": value, "tag": self.tag} for value in values]
        answer = self.api.ask("POST", PATH, json={"add": rules}, expected=(200, 201, 400)).json()
        for problem in _dicts(answer, "errors"):
            issue = issue_of(problem)
            if issue == "RulesCapExceeded":
                self.inlet.lost(f"X takes no more rules from this account: {said_in(problem)}")
            value = problem.get("value")
            if issue != "DuplicateRule" and isinstance(value, str) and value in values:
                self._halve(value)

    def _halve(self, value: str) -> None:
        alternatives = inside(value, self.suffix)
        if len(alternatives) < 2:
            self._refused.update(alternatives)
            return
        middle = len(alternatives) // 2
        parts = plan([], alternatives[:middle], 1, self.limits.characters, suffix=self.suffix).add
        parts += plan([], alternatives[middle:], 1, self.limits.characters, suffix=self.suffix).add
        self._add(parts)

    def _delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), AT_ONCE):
            some = list(ids[start : start + AT_ONCE])
            self.api.ask("POST", PATH, json={"delete": {"ids": some}}, expected=(200, 400))

    def _tell_foreign(self, foreign: int) -> None:
        if foreign and foreign != self._foreign:
            log.warning(
                "the account has %s that are not ours: what they find is read and paid for, too", count(foreign, "rule")
            )
        self._foreign = foreign

    def _tell_left_out(self, left_out: Sequence[str]) -> None:
        if not left_out:
            self._told = ""
            return
        some = ", ".join(name(each) for each in left_out[:TOLD_MAX])
        why = f"X cannot be asked for {count(len(left_out), 'phrase')} of the options: {some}"
        if why != self._told:
            self.inlet.lost(f"{why}{', …' if len(left_out) > TOLD_MAX else ''}")
        self._told = why


def _dicts(answer: Any, name: str) -> list[dict[str, Any]]:
    """Of a list in an answer, if there is one."""
    found = answer.get(name) if isinstance(answer, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
