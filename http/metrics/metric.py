"""One metric: its name, its meaning, and where its samples come from.

Names follow Prometheus' conventions: base units at the end (`_seconds`, `_bytes`), `_total` for what only grows. The
values of labels are few: members, sinks, sources, routes and words of ours, never what clients send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quorate.http.metrics.observation import Observation
from quorate.measures import Histogram

Kind = Literal["counter", "gauge", "histogram"]
Sample = tuple[tuple[str, ...], float | Histogram]  # the labels' values, and the value
Take = Callable[[Observation], Iterable[Sample]]
Numbers = Callable[[Any], Iterable[tuple[tuple[str, ...], float]]]
EACH = "*"  # in a path: every key there, which becomes the value of a label


@dataclass(frozen=True, slots=True)
class ShownMetric:
    name: str
    kind: Kind
    help: str
    take: Take
    labels: Sequence[str] = ()


def of_status(path: str, numbers: Numbers | None = None, *, scale: float = 1) -> Take:
    """Take what /status has at a path such as `raft.links.*.open`. What is missing there, or null, gives no sample."""
    keys, read = path.split("."), numbers or number(scale)
    return lambda observed: (
        ((*above, *below), value) for above, found in _walk(observed.status, keys) for below, value in read(found)
    )


def _walk(found: Any, keys: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not keys:
        yield (), found
    elif isinstance(found, Mapping):
        first, *others = keys
        for key, value in found.items() if first == EACH else ((first, found.get(first)),):
            for above, inner in _walk(value, others):
                yield (str(key), *above) if first == EACH else above, inner


# ---- how a value of /status becomes numbers --------------------------------------------------------------------------


def number(scale: float = 1) -> Numbers:
    """A number, or 1 and 0 for true and false."""
    return lambda found: [((), found * scale)] if isinstance(found, (int, float)) else []


def is_given(found: Any) -> Iterable[tuple[tuple[str, ...], float]]:
    """1 if it is not null."""
    return [((), found is not None)]


def how_many(found: Any) -> Iterable[tuple[tuple[str, ...], float]]:
    return [((), len(found))] if found is not None else []


def by_value(*words: str) -> Numbers:
    """How many keys have each of these words as their value."""
    return lambda found: [((word,), list(found.values()).count(word)) for word in words] if found else []


def one_of(*words: str) -> Numbers:
    """1 for the word that it is now, and 0 for the others."""
    return lambda found: [((word,), word == found) for word in words] if found is not None else []
