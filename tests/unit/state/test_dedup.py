"""How long an id is remembered, and at what cost."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cluster.state.dedup import AT_ONCE, CLOSED_MAX, SMALL_WINDOW_MAX, WINDOW_MAX, Dedup
from quorate.vote import Outcome
from tests.unit.state.fsm_model import Model

STAMP, OTHER = b"\1\2\3\4", b"\5\6\7\x08"
APPLIED, DUPLICATE, CONFLICT, CLOSED = Outcome.APPLIED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.CLOSED


def id_of(number: int) -> bytes:
    return random.Random(number).randbytes(8)


def admit(dedup: Dedup, ids: Iterable[bytes], stamp: bytes = STAMP, *, sure: bool = True) -> list[int]:
    joined = b"".join(ids)
    picks = array("I", bytes(len(joined) // 2))
    outcomes, _ = dedup.accept(joined, picks, [stamp], [stamp if sure else None], lambda pick: APPLIED)
    return list(outcomes)


def known(dedup: Dedup, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if dedup.find(id_of(number)) is not None]


@given(window=st.integers(1, 40), groups=st.lists(st.integers(1, 30), max_size=20), sure=st.booleans())
def test_an_id_is_known_for_at_least_the_next_window_of_accepted_ids(
    window: int, groups: list[int], sure: bool
) -> None:
    dedup, accepted = Dedup(window), 0
    for size in groups:
        admit(dedup, map(id_of, range(accepted, accepted + size)), sure=sure)
        accepted += size
        protected = range(max(0, accepted - window), accepted)
        assert list(protected) == known(dedup, protected)
        assert dedup.held <= 2 * window
        assert accepted == dedup.accepted
        forgotten = range(accepted - dedup.held)
        assert [] == known(dedup, forgotten)


def test_a_known_id_is_a_duplicate_or_a_conflict_by_its_fingerprint() -> None:
    dedup = Dedup(10)
    assert [APPLIED, DUPLICATE, APPLIED] == admit(dedup, [id_of(1), id_of(1), id_of(2)])
    assert [CONFLICT, APPLIED] == admit(dedup, [id_of(1), id_of(3)], OTHER)
    assert [STAMP, OTHER, None] == [dedup.find(id_of(number)) for number in (1, 3, 4)]


@pytest.mark.parametrize("window", [10, 100_000])
def test_a_vote_that_is_refused_leaves_no_trace(window: int) -> None:
    dedup = Dedup(window)
    outcomes, apart = dedup.accept(id_of(1), array("I", [0]), [STAMP], [None], lambda pick: CLOSED)
    assert ([CLOSED], [0]) == (list(outcomes), apart)
    assert (0, None) == (dedup.held, dedup.find(id_of(1)))


@pytest.mark.parametrize(("window", "head"), [(10, b"\7"), (100_000, b"\7\7")])
def test_bytes_of_two_records_side_by_side_are_not_taken_for_an_id(window: int, head: bytes) -> None:
    dedup, tail_bytes = Dedup(window), 8 - len(head)
    first, second = head + b"abcdefgh"[:tail_bytes], head + b"ABCDEFGH"[:tail_bytes]
    admit(dedup, [first, second])
    records = first[len(head) :] + STAMP + second[len(head) :] + STAMP
    for at in range(1, len(records) - tail_bytes):
        between = head + records[at : at + tail_bytes]
        if between != second:
            assert dedup.find(between) is None
            assert [APPLIED, DUPLICATE] == admit(dedup, [between, between])
            assert STAMP == dedup.find(between)
            dedup = Dedup(window)
            admit(dedup, [first, second])


@pytest.mark.parametrize("window", [7, 300, 100_000])
@pytest.mark.parametrize("choices", [1, 3])
def test_a_long_column_is_decided_as_its_votes_one_by_one(window: int, choices: int) -> None:
    """Some ids come twice, some for another choice, and of the last choice no vote counts for certain."""
    rng, stamps = random.Random(window + choices), [STAMP, OTHER, b"\x09" * 4][:choices]
    sure = [*stamps[:-1], None] if choices > 1 else stamps
    ids = [id_of(rng.randrange(400)) for _ in range(3 * AT_ONCE + 5)]
    picks = [rng.randrange(choices) for _ in ids]

    def decide(pick: int) -> int:
        return APPLIED if pick % 2 else CLOSED

    together, alone = Dedup(window), Dedup(window)
    outcomes, apart = together.accept(b"".join(ids), array("I", picks), stamps, sure, decide)
    each = [alone.accept(id, array("I", [pick]), stamps, sure, decide) for id, pick in zip(ids, picks, strict=True)]
    assert outcomes == b"".join(outcome for outcome, _ in each)
    assert apart == [place for place, (_, one) in enumerate(each) if one]
    assert together.freeze() == alone.freeze()
    assert {APPLIED, DUPLICATE} <= set(outcomes)


def test_growing_holds_all_that_is_held_for_the_new_window() -> None:
    dedup = Dedup(10)
    admit(dedup, map(id_of, range(15)))
    held = known(dedup, range(15))
    assert dedup.set_window(50) is None
    admit(dedup, map(id_of, range(100, 149)))
    assert held == known(dedup, range(15))
    admit(dedup, map(id_of, range(149, 151)))
    assert [] == known(dedup, range(15))
    assert 51 == dedup.held


def test_shrinking_keeps_the_old_promise_for_old_ids_and_the_new_one_for_new_ids() -> None:
    dedup = Dedup(50)
    admit(dedup, map(id_of, range(30)))
    assert dedup.set_window(5) is None
    for number in range(100, 149):
        admit(dedup, [id_of(number)])
        assert list(range(30)) == known(dedup, range(30))
        protected = range(max(100, number - 4), number + 1)
        assert list(protected) == known(dedup, protected)
    admit(dedup, [id_of(149)])
    assert [] == known(dedup, range(30))
    assert dedup.held <= 10


@given(
    window=st.integers(1, 12),
    steps=st.lists(st.tuples(st.integers(0, 8), st.none() | st.integers(1, 25)), max_size=25),
)
def test_after_changes_of_the_window_the_same_ids_are_forgotten_as_in_the_model(
    window: int, steps: list[tuple[int, int | None]]
) -> None:
    dedup, model, accepted = Dedup(window), Model(window), 0
    for size, change in steps:
        ids = [id_of(number) for number in range(accepted, accepted + size)]
        admit(dedup, ids)
        for id in ids:
            model.accept(id, (1, ()))
        accepted += size
        if change is not None and dedup.set_window(change) is None:
            model.set_window(change)
        assert [number for number in range(accepted) if model.find(id_of(number))] == known(dedup, range(accepted))
    assert dedup.freeze() == Dedup.restore(dedup.freeze()).freeze()


def test_too_many_changes_of_the_window_are_refused_until_old_ids_are_forgotten() -> None:
    dedup = Dedup(100)
    for number in range(CLOSED_MAX):
        admit(dedup, [id_of(number)])
        assert dedup.set_window(101 + number) is None
    admit(dedup, [id_of(50)])
    assert "changed too often" in str(dedup.set_window(200))
    assert 100 + CLOSED_MAX == dedup.window
    assert [*range(CLOSED_MAX), 50] == known(dedup, range(60))
    admit(dedup, map(id_of, range(1_000, 1_300)))
    assert dedup.set_window(200) is None


@pytest.mark.parametrize("window", [0, -1, WINDOW_MAX + 1])
def test_a_window_has_a_sensible_size(window: int) -> None:
    dedup = Dedup(10)
    assert "a dedup window is" in str(dedup.set_window(window))
    assert 10 == dedup.window


def test_a_much_larger_window_takes_its_ids_along() -> None:
    dedup = Dedup(100)
    admit(dedup, map(id_of, range(150)))
    admit(dedup, map(id_of, range(150, 160)), OTHER)
    dedup.set_window(SMALL_WINDOW_MAX + 1)
    again = Dedup.restore(dedup.freeze())
    for table in (dedup, again):
        assert [STAMP] * 150 + [OTHER] * 10 == [table.find(id_of(number)) for number in range(160)]
        admit(table, map(id_of, range(1_000, 1_000 + SMALL_WINDOW_MAX + 1)))
        assert [] == known(table, range(160))
        assert SMALL_WINDOW_MAX + 1 == table.held


def test_a_much_smaller_window_stays_where_it_is() -> None:
    dedup = Dedup(SMALL_WINDOW_MAX + 1)
    admit(dedup, map(id_of, range(20)))
    dedup.set_window(10)
    admit(dedup, map(id_of, range(20, 40)))
    assert [*range(20), *range(30, 40)] == known(dedup, range(40))
    assert 2 == dedup.freeze().head_bytes, "moving a million ids would stall the node"
    assert dedup.freeze() == Dedup.restore(dedup.freeze()).freeze()


@given(window=st.integers(1, 30), size=st.integers(0, 80), then=st.integers(0, 40))
def test_a_restored_table_goes_on_as_the_first_one(window: int, size: int, then: int) -> None:
    one = Dedup(window)
    admit(one, map(id_of, range(size)))
    other = Dedup.restore(one.freeze())
    for dedup in (one, other):
        admit(dedup, map(id_of, range(size - then // 2, size + then)))
    assert one.freeze() == other.freeze()


def test_a_frozen_table_does_not_change() -> None:
    dedup = Dedup(10)
    admit(dedup, map(id_of, range(15)))
    frozen = dedup.freeze()
    before = (list(frozen.buckets), list(frozen.closed))
    admit(dedup, map(id_of, range(15, 60)))
    dedup.set_window(100_000)
    assert before == (list(frozen.buckets), list(frozen.closed))


def test_a_million_protected_ids_take_less_than_thirty_megabytes() -> None:
    window = 1_000_000
    dedup, ids = Dedup(window), random.Random(1)
    picks = array("I", bytes(4 * 10_000))
    for _ in range(199):
        dedup.accept(ids.randbytes(80_000), picks, [STAMP], [STAMP], lambda pick: APPLIED)
    assert dedup.held >= 1.9 * window, "the worst moment: two generations, all but full"
    assert dedup.view().memory_bytes < 30_000_000
