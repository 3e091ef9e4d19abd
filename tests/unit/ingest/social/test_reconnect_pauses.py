"""The pauses that the documents of Twitter and X ask for."""

from __future__ import annotations

import pytest

from quorate.ingest.social.reading.pauses import ReconnectPauses

NOW_S = 1_800_000_000.0


@pytest.fixture
def pauses() -> ReconnectPauses:
    return ReconnectPauses(unix_s=lambda: NOW_S)


def test_an_established_connection_that_drops_is_made_again_at_once(pauses: ReconnectPauses) -> None:
    assert 0 == pauses.dropped(60, heard=True)
    assert 0 == pauses.dropped(60, heard=True)


def test_a_server_that_hangs_up_as_soon_as_it_answers_is_not_hammered(pauses: ReconnectPauses) -> None:
    assert 0.25 == pauses.dropped(0.01, heard=True)
    assert [0.25, 0.5, 0.75] == [pauses.dropped(60, heard=False) for _ in range(3)]


def test_no_connection(pauses: ReconnectPauses) -> None:
    waits = [pauses.unreachable() for _ in range(70)]
    assert [0.25, 0.5, 0.75] == waits[:3]
    assert [16, 16] == waits[-2:]


@pytest.mark.parametrize(("status", "first", "last"), [(503, 5, 320), (420, 60, 3600), (429, 60, 3600)])
def test_answers_that_are_no_success(pauses: ReconnectPauses, status: int, first: float, last: float) -> None:
    waits = [pauses.answered(status, {}) for _ in range(10)]
    for doubled, wait in enumerate(waits):
        assert min(last, first * 2**doubled) <= wait <= 1.1 * min(last, first * 2**doubled)


def test_the_kinds_do_not_add_up(pauses: ReconnectPauses) -> None:
    assert pauses.answered(503, {}) >= 5
    assert pauses.answered(429, {}) >= 60
    assert 10 <= pauses.answered(503, {}) <= 11
    assert 0.25 == pauses.unreachable()


def test_something_that_comes_ends_all_of_it(pauses: ReconnectPauses) -> None:
    for _ in range(3):
        pauses.unreachable()
        pauses.answered(503, {})
        pauses.answered(429, {})
    pauses.established()
    assert 0.25 == pauses.unreachable()
    assert pauses.answered(503, {}) <= 5.5
    assert pauses.answered(429, {}) <= 66


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "100"}, 100),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(NOW_S + 700)}, 700),
        ({"x-rate-limit-remaining": "3", "x-rate-limit-reset": str(NOW_S + 700)}, 60),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(NOW_S + 1_000_000)}, 3600),
        ({"Retry-After": "soon", "x-rate-limit-reset": "later"}, 60),
        ({"Retry-After": "-5"}, 60),
    ],
)
def test_never_sooner_than_the_answer_says(pauses: ReconnectPauses, headers: dict[str, str], least: float) -> None:
    assert least <= pauses.answered(429, headers) <= max(least, 66)


def test_a_limit_whose_end_alone_is_told_is_waited_for(pauses: ReconnectPauses) -> None:
    headers = {"x-rate-limit-reset": str(int(NOW_S + 700))}
    assert 700 == pauses.answered(429, headers)
    assert 6 >= pauses.answered(503, headers)
