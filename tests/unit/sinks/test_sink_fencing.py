"""A document never gets older, in whatever order the writes of leaders arrive, late writes too."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.sinks.fencing import StoredDocument, judge
from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome
from quorate.sinks.sqlite import SqliteSink

CLUSTER = "c1"
FENCE = Fence(1, 5, 40)


def document(version: int = 40, initial_results: dict[str, int] | None = None) -> PollDocument:
    return PollDocument("p", "", ["a"], {"a": version}, "open", version, 0, initial_results=initial_results)


def by_hand(a: int) -> StoredDocument:
    return StoredDocument(None, None, ManualPoll("p", "p", ["a"], {"a": a}))


@pytest.mark.parametrize(
    ("stored", "ledger", "initial_results", "verdict"),
    [
        (None, None, None, WriteOutcome.WRITTEN),
        (None, 1, None, WriteOutcome.GONE),
        (None, 0, None, WriteOutcome.WRITTEN),  # not in this generation
        (None, None, {"a": 3}, WriteOutcome.WRITTEN),  # imported from another sink
        (None, 1, {"a": 3}, WriteOutcome.GONE),  # imported from another sink, and deleted in this one
        (StoredDocument(CLUSTER, str(FENCE)), 1, None, WriteOutcome.SAME),
        (StoredDocument(CLUSTER, str(Fence(1, 5, 39))), 1, None, WriteOutcome.WRITTEN),
        (StoredDocument(CLUSTER, str(Fence(1, 5, 41))), 1, None, WriteOutcome.NEWER),
        (StoredDocument(CLUSTER, str(Fence(1, 6, 1))), 1, None, WriteOutcome.NEWER),
        (StoredDocument(CLUSTER, str(Fence(2, 1, 1))), 1, None, WriteOutcome.NEWER),
        (StoredDocument(CLUSTER, str(Fence(0, 99, 99))), None, None, WriteOutcome.WRITTEN),
        (StoredDocument(CLUSTER, None), 1, None, WriteOutcome.WRITTEN),
        (StoredDocument("c2", str(Fence(0, 1, 1))), None, None, WriteOutcome.FOREIGN),
        (by_hand(3), None, None, WriteOutcome.TAKEN),
        (by_hand(3), None, {"a": 3}, WriteOutcome.WRITTEN),  # the import itself, or the same poll in another sink
        (by_hand(4), None, {"a": 3}, WriteOutcome.CHANGED),  # edited since, or another poll of this id in another sink
        (by_hand(3), 0, {"a": 3}, WriteOutcome.REPLACED),  # deleted and put there again
        (StoredDocument(None, None, Unreadable("p", "why")), None, {"a": 3}, WriteOutcome.CHANGED),
    ],
)
def test_who_may_write_over_what(
    stored: StoredDocument | None, ledger: int | None, initial_results: dict[str, int] | None, verdict: WriteOutcome
) -> None:
    assert verdict == judge(document(initial_results=initial_results), FENCE, CLUSTER, stored, ledger=ledger)


fences = st.builds(Fence, st.integers(0, 2**31), st.integers(0, 2**50), st.integers(0, 2**63 - 1))


@given(fences, fences)
def test_the_order_of_fences_is_the_order_of_their_texts(one: Fence, other: Fence) -> None:
    assert (one < other) == (str(one) < str(other))
    assert one == Fence.parse(str(one))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Fence, int]]:
    """Writes of leaders whose terms go up and whose versions never go down, in any order of arrival, some twice.

    A later leader has applied all that was committed, so it starts at or above the versions of those before it.
    """
    version, writes = 0, []
    for term in range(1, draw(st.integers(1, 4)) + 1):
        for _ in range(draw(st.integers(1, 4))):
            version += draw(st.integers(0, 2))
            writes.append((Fence(0, term, version), version))
    repeated = draw(st.lists(st.sampled_from(writes), max_size=4))
    return draw(st.permutations(writes + repeated))


@given(histories())
def test_a_document_never_goes_back(history: list[tuple[Fence, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sink = SqliteSink(Path(folder) / "ballots.db")
        seen, newest = 0, Fence(0, 0, 0)
        for fence, version in history:
            outcome = sink.write([document(version)], fence, CLUSTER, timeout_s=30)["p"]
            stands = sink.read(timeout_s=30)["p"].results["a"]
            assert stands >= seen
            assert (outcome is WriteOutcome.WRITTEN) == (fence > newest)
            seen, newest = stands, max(newest, fence)
        sink.close()
        assert max(version for _, version in history) == seen
