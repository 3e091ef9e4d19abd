"""An id that stands in two requests counts once all the same.

The other checkers know a request by its name, and take its votes for its own. So they cannot judge a history in which
two requests share an id: it is refused. If both answers say that the vote with the id counted, it is a violation.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple

from quorate.chaos import history
from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.checkers.findings import Findings
from quorate.chaos.checkers.resends import IdWindow
from quorate.errors import Invalid

SHARED = "SELECT id FROM named GROUP BY id HAVING min(request) <> max(request)"
LINES = "SELECT place FROM named WHERE id = ? ORDER BY place"
IN_ALL = 20  # ids that are looked at: one is enough to refuse a history


class IdCounted(NamedTuple):
    id: str
    request: str
    version: int
    place: int


def check_shared_ids(path: Path, evidence: Evidence, findings: Findings, window: IdWindow) -> None:
    """Raises `Invalid` if two requests share an id and the answers do not say that it counted in both."""
    shared = [row[0] for row in islice(evidence.select(SHARED), IN_ALL)]
    for hashed in shared:
        for id, casts in _by_id(path, [row[0] for row in evidence.select(LINES, hashed)]).items():
            requests = sorted({cast.request for _, cast in casts})
            if len(requests) < 2:  # two ids have one hash
                continue
            twice = _counted_twice(id, casts, window)
            if twice is None:
                raise Invalid(f"no history: the id {id!r} is in two requests, {requests[0]} and {requests[1]}")
            first, second = twice
            words = f"the id {id!r} counted in request {first.request} at version {first.version}, and in "
            words += f"{second.request} at {second.version} too"
            findings.violate("counted_once", words, [first.place, second.place])


def _by_id(path: Path, places: list[int]) -> dict[str, list[tuple[int, history.Cast]]]:
    found: dict[str, list[tuple[int, history.Cast]]] = {}
    for place in dict.fromkeys(places):
        cast = history.decode_record(history.line_at(path, place))
        if isinstance(cast, history.Cast):
            for id in {vote.id for vote in cast.votes if vote.id is not None}:
                found.setdefault(id, []).append((place, cast))
    return found


def _counted_twice(
    id: str, casts: list[tuple[int, history.Cast]], window: IdWindow
) -> tuple[IdCounted, IdCounted] | None:
    counted = sorted(_counted(id, casts), key=lambda each: each.version)
    for first, second in combinations(counted, 2):
        if first.request != second.request and not window.may_leave(first.version, second.version):
            return first, second
    return None


def _counted(id: str, casts: list[tuple[int, history.Cast]]) -> Iterator[IdCounted]:
    for place, cast in casts:
        if cast.outcome == "ok" and cast.version is not None and cast.applied == len(cast.votes):
            yield IdCounted(id, cast.request, cast.version, place)
