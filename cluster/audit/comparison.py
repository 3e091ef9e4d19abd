"""Whether a document that stands in a sink is a tally that the poll had: pure.

The state of the past is not kept, and counting does not stop for an audit. But counts only ever grow. So a document
that was written between two moments holds of each option at least what the poll had at the first, and at most what it
had at the second. Of an option without votes meanwhile, that is one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quorate.cluster.audit.answers import Difference
from quorate.cluster.fsm import PollView
from quorate.sinks.auditable import FoundDocument
from quorate.vote import YEAR_9999_MS

TOLD_MAX = 20  # differences of one poll


@dataclass(frozen=True, slots=True)
class PollCopy:
    """A poll as the cluster has it at `version`."""

    view: PollView
    results: Mapping[str, int]
    version: int


class Moved(Exception):
    """The poll changed in such a way meanwhile that nothing can be said: look again."""


def compare(before: PollCopy, found: FoundDocument | None, after: PollCopy, cluster_id: str) -> list[Difference]:
    """`found` was written, or was to be written, between the two copies. Raises `Moved`."""
    id = before.view.id
    if _definition(before.view) != _definition(after.view):
        raise Moved
    if found is None:
        return [Difference(id, "missing", "the sink has no document of it")]
    if found.cluster != cluster_id:
        return [_not_ours(id, found)]
    if found.document is None:
        return [Difference(id, "unreadable", f"its document cannot be read: {found.why}")]
    differences = [
        *_of_texts(after.view, found),
        *_of_options(before.view, found, after.view),
        *_of_results(before, found, after),
        *_of_total(id, found),
    ]
    if not differences and found.edited:
        words = "something in its document was changed by hand or by another program"
        differences.append(Difference(id, "edited", words))
    if len(differences) > TOLD_MAX:
        more = len(differences) - TOLD_MAX
        return [*differences[:TOLD_MAX], Difference(id, "more", f"and {more:,} more differences")]
    return differences


def is_altered(found: FoundDocument | None) -> bool:
    """Whether the document is surely not what was written, however much the poll changes meanwhile."""
    return found is not None and found.cluster is not None and (found.edited or found.document is None)


def _not_ours(id: str, found: FoundDocument) -> Difference:
    if found.cluster is None:
        words = "a document that people put there stands in its place, and is not written over"
        return Difference(id, "by_hand", words)
    return Difference(id, "foreign", f"the sink has a document of another cluster ({found.cluster})")


def _of_texts(view: PollView, found: FoundDocument) -> Iterator[Difference]:
    document = found.document
    assert document is not None
    closes_at_ms = None if view.closes_at_ms is None else min(view.closes_at_ms, YEAR_9999_MS)
    pairs = (
        ("title", view.title, document.title),
        ("state", view.state, document.state),
        ("write_ins", view.write_ins, document.write_ins),
        ("closes_at", closes_at_ms, document.closes_at_ms),
    )
    for kind, ours, theirs in pairs:
        if ours != theirs:
            yield Difference(view.id, kind, f"its {kind} differs", None, _plain(ours), _plain(theirs))


def _of_options(before: PollView, found: FoundDocument, after: PollView) -> Iterator[Difference]:
    """Options that people add there are no difference: they are on their way into the poll."""
    assert found.document is not None
    own = set(after.options)
    stored = [option for option in found.document.options if after.write_ins or option in own]
    if len(stored) < len(before.options) or stored != list(after.options[: len(stored)]):
        yield Difference(after.id, "options", "its list of options differs", None, len(after.options), len(stored))


def _of_results(before: PollCopy, found: FoundDocument, after: PollCopy) -> Iterator[Difference]:
    assert found.document is not None
    id, stored = before.view.id, found.document.results
    if stored == before.results or stored == after.results:
        return
    for option, most in after.results.items():
        least, count = before.results.get(option, 0), stored.get(option)
        if least > most:  # an import that was done again
            raise Moved
        if count is None and option not in before.results:
            continue  # it came after the document
        if count is None:
            yield Difference(id, "result", "the sink has no result of it", option, most)
        elif not least <= count <= most:
            ours = most if count > most else least
            yield Difference(id, "result", f"the cluster has {ours:,}, the sink {count:,}", option, ours, count)
    for option in stored:
        if option not in after.results:
            yield Difference(id, "result", "the cluster has no such option", option, None, stored[option])


def _of_total(id: str, found: FoundDocument) -> Iterator[Difference]:
    assert found.document is not None
    total = found.document.total
    if found.total != total:
        words = f"its total is {found.total!r} there, and its results there are {total:,} together"
        yield Difference(id, "total", words)


def _definition(view: PollView) -> tuple[object, ...]:
    """All but its options, which are only added."""
    return view.creation, view.title, view.state, view.closes_at_ms, view.write_ins


def _plain(value: object) -> int | str | None:
    return value if isinstance(value, int | str) or value is None else str(value)
