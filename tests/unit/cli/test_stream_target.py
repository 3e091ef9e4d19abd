"""What a stream says at its start of the ids that the cluster protects."""

from __future__ import annotations

from typing import cast

import pytest

from quorate.cli.stream_target import SMALL_WINDOW, VoteTarget
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.outlets import Outlet

PLAIN, ONE = StreamPoll("mood", ("happy",)), Rules(one_per="author")


def said(caplog: pytest.LogCaptureFixture, window: int | None, *polls: StreamPoll) -> str:
    VoteTarget(cast(Outlet, None), "cluster c1", window).check_window(polls)
    return "\n".join(caplog.messages)


@pytest.mark.parametrize("window", [None, SMALL_WINDOW])
def test_nothing_is_said_while_ids_are_protected_for_long(caplog: pytest.LogCaptureFixture, window: int | None) -> None:
    assert "" == said(caplog, window, PLAIN)


def test_a_small_window_is_told(caplog: pytest.LogCaptureFixture) -> None:
    words = said(caplog, 1_000, PLAIN)
    assert "protects the last 1,000 ids only: posts that are read again may count twice" in words
    assert "quorate settings set votes.dedup_window N" in words


def test_one_vote_for_each_author_holds_only_so_long(caplog: pytest.LogCaptureFixture) -> None:
    polls = [StreamPoll(f"p{number}", ("happy",), ONE) for number in range(5)]
    words = said(caplog, 1_000_000, PLAIN, *polls)
    assert words.startswith(
        "p0, p1, p2 and 2 more: an author has one vote while its id is protected, for the next 1,000,000"
    )
