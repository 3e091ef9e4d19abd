"""How long votes wait for options that the cluster does not know yet."""

from __future__ import annotations

import pytest

from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.unknown_options import UnknownOptions
from quorate.vote import Rejection, Tallied, Vote

MOOD = StreamPoll("mood", ("happy", "sad"))
TEA = StreamPoll("tea", ("milk", "lemon"))


def test_each_option_has_a_wait_of_its_own_and_another_once_it_was_known() -> None:
    now_s = 100.0
    unknown = UnknownOptions(10.0, lambda: (), lambda: now_s)
    votes = [Vote("happy", "1", "mood"), Vote("sad", "2", "mood"), Vote("sad", "3", "mood")]

    def answer(*reasons: str) -> list[str]:
        rejected = [Rejection(n, None, reason, "") for n, reason in enumerate(reasons) if reason]
        again, left = unknown.wait(votes, Tallied(3 - len(rejected), 0, rejected, 1))
        assert len(rejected) == len(again) + len(left.rejected)
        return [str(vote.id) for vote in again]

    assert ["2"] == answer("closed", "unknown_option", "")
    assert ["2", "3"] == answer("", "unknown_option", "unknown_option")
    now_s = 109.0
    assert ["1", "2"] == answer("unknown_poll", "unknown_option", "conflict")
    now_s = 110.0
    assert ["1"] == answer("unknown_poll", "unknown_option", "unknown_option")
    now_s = 200.0
    assert [] == answer("unknown_poll", "unknown_option", "unknown_option")
    assert [] == answer("", "", "")
    assert ["1", "2", "3"] == answer("unknown_poll", "unknown_option", "unknown_option")


MENDED = [
    [StreamPoll("mood", ("happy", "sad", "mad")), TEA],
    [StreamPoll("mood", ("happy", "sad"), Rules(one_per="author")), TEA],
    [
        StreamPoll("mood", ("happy", "sad")),
        TEA,
    ],  # deleted and made again between two readings of which none was voted in
]


@pytest.mark.parametrize("mended", MENDED)
def test_a_poll_that_was_never_taken_and_is_mended_waits_again(mended: list[StreamPoll]) -> None:
    """Without that, posts would be rejected while the cluster looks for the poll that it can take now."""
    now_s, polls = 100.0, [MOOD, TEA]
    unknown = UnknownOptions(10.0, lambda: polls, lambda: now_s)
    votes = [Vote("happy", "1", "mood"), Vote("milk", "2", "tea")]

    def waiting() -> list[str]:
        rejected = [Rejection(n, None, "unknown_poll", "") for n in range(2)]
        again, _ = unknown.wait(votes, Tallied(0, 0, rejected, 1))
        return [str(vote.id) for vote in again]

    assert ["1", "2"] == waiting()
    now_s = 120.0
    assert [] == waiting()
    polls = [*polls]
    assert [] == waiting()  # read again, and nothing has changed
    polls = mended
    assert ["1"] == waiting()
    now_s = 140.0
    assert [] == waiting()
