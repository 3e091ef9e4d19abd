"""What the checkers found: violations, how much each of them checked, and situations that the run came through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

SHOWN_MAX = 20  # violations of one property
PROOF_MAX = 5  # operations that are shown for one violation

# The properties, by the names of their files in this folder, in the order in which they are shown.
PROPERTIES = (
    "counted_once",
    "reads",
    "real_time",
    "resends",
    "agreement",
    "closing",
    "sinks",
    "sessions",
    "memory",
)


@dataclass(frozen=True, slots=True)
class Violation:
    """`places` are the lines of the history that prove it: the bytes at which they begin."""

    rule: str  # the property
    words: str
    places: tuple[int, ...]


@dataclass(slots=True)
class Situation:
    """`place` is the line of the first time; 0, the history's first line, where no single line shows it."""

    times: int
    place: int


@dataclass(slots=True)
class Findings:
    violations: list[Violation] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)  # by property: all violations, also those not shown
    checked: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in PROPERTIES})
    situations: dict[str, Situation] = field(default_factory=dict)
    open_requests: int = 0  # whose outcome never became known
    open_place: int | None = None  # of the first

    def violate(self, rule: str, words: str, places: Iterable[int]) -> None:
        self.found[rule] += 1
        if self.found[rule] <= SHOWN_MAX:
            proof = tuple(dict.fromkeys(places))[:PROOF_MAX]
            self.violations.append(Violation(rule, words, proof))

    def count(self, rule: str, what: str, number: int = 1) -> None:
        self.checked[rule][what] += number

    def reach(self, name: str, place: int) -> None:
        known = self.situations.get(name)
        if known is None:
            self.situations[name] = Situation(1, place)
        else:
            known.times += 1

    def leave_open(self, place: int) -> None:
        self.open_requests += 1
        if self.open_place is None:
            self.open_place = place
