"""Up to where X's posts were read: while gaps are open the position waits at the first of them."""

from __future__ import annotations

from quorate.ingest.social.networks.x.marks import OVERLAP_S, PART, Gap, Marks
from quorate.ingest.social.networks.x.rate_window import WINDOW_S, RateWindow
from quorate.ingest.social.networks.x.snowflake import id_at, ms_of

T0_MS = 1_800_000_000_000.0


def at(seconds: float) -> int:
    return id_at(T0_MS + seconds * 1_000)


def said(seconds: float) -> dict[str, str]:
    return {PART: str(at(seconds))}


def connect(marks: Marks, seconds: float) -> dict[str, str]:
    return marks.connected(T0_MS + seconds * 1_000)


def first(marks: Marks) -> Gap:
    gap = marks.next_gap(0)
    assert gap is not None
    return gap


def begun(marks: Marks, gap: Gap) -> bool:
    return marks.begin(gap, gap.connected_ms)


def test_the_first_time_it_begins_now() -> None:
    marks = Marks(0)
    assert said(5) == connect(marks, 5)
    assert marks.next_gap(0) is None
    assert said(7) == marks.before_put(at(7))
    marks.after_put(at(7))
    assert said(7) == marks.before_put(at(6)), "it never goes back"


def test_while_a_gap_is_open_the_position_stays_at_its_beginning() -> None:
    marks = Marks(at(100))
    beginning = said(100 - OVERLAP_S)
    assert beginning == connect(marks, 200)
    gap = first(marks)
    assert (at(100 - OVERLAP_S), at(200 + OVERLAP_S)) == (gap.since, gap.until)
    assert 100 == gap.seconds
    assert {} == marks.before_put(at(205))
    marks.after_put(at(205))
    assert {} == marks.quiet(T0_MS + 1_000_000)
    assert begun(marks, gap)
    assert said(1000 - 60) == marks.filled(gap)


def test_after_a_gap_all_until_the_connect_was_read() -> None:
    marks = Marks(at(100))
    connect(marks, 200)
    assert begun(marks, gap := first(marks))
    assert said(200) == marks.filled(gap)


def test_gaps_that_follow_closely_are_one() -> None:
    marks = Marks(at(100))
    for seconds in (200, 250, 300):
        connect(marks, seconds)
    gap = first(marks)
    assert (at(100 - OVERLAP_S), at(300 + OVERLAP_S)) == (gap.since, gap.until)
    assert begun(marks, gap)
    assert said(300) == marks.filled(gap)
    assert marks.next_gap(0) is None


def test_a_gap_that_has_grown_is_not_begun_as_it_was() -> None:
    """The search would know nothing yet of what was written just before the last connect."""
    marks = Marks(at(100))
    connect(marks, 200)
    gap = first(marks)
    connected_ms = gap.connected_ms
    connect(marks, 270)
    assert not marks.begin(gap, connected_ms)
    assert marks.begin(gap, T0_MS + 270_000)


def test_a_gap_that_is_being_filled_does_not_grow() -> None:
    marks = Marks(at(100))
    connect(marks, 200)
    assert begun(marks, gap := first(marks))
    marks.after_put(at(210))
    connect(marks, 220)
    assert at(200 + OVERLAP_S) == gap.until
    assert said(210 - OVERLAP_S) == marks.filled(gap)
    second = first(marks)
    assert (at(210 - OVERLAP_S), at(220 + OVERLAP_S)) == (second.since, second.until)


def test_a_gap_far_behind_another_one_is_its_own() -> None:
    marks = Marks(at(100))
    connect(marks, 200)
    marks.after_put(at(400))
    connect(marks, 500)
    gap = first(marks)
    assert at(200 + OVERLAP_S) == gap.until
    assert begun(marks, gap)
    assert said(400 - OVERLAP_S) == marks.filled(gap)


def test_what_is_given_up_is_not_filled() -> None:
    marks = Marks(at(100))
    connect(marks, 200)
    gap = first(marks)
    assert said(300) == marks.skip_to(T0_MS + 300_000)
    assert not begun(marks, gap)
    assert {} == marks.filled(gap)
    assert said(400) == connect(marks, 400)
    assert marks.next_gap(0) is None


def test_ids_tell_their_time() -> None:
    assert T0_MS == ms_of(id_at(T0_MS))
    assert 1 == id_at(0)


def test_requests_are_spread_over_the_window() -> None:
    now_s = [0.0]
    window = RateWindow(2, clock=lambda: now_s[0])
    assert [0, 0, WINDOW_S, WINDOW_S] == [window.wait_s() for _ in range(4)]
    now_s[0] = 2 * WINDOW_S
    assert 0 == window.wait_s()
