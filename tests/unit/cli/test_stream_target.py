"""What a stream says at its start of the ids that the cluster protects, and which nsqds it counts on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from quorate.cli.stream_options import StreamOptions
from quorate.cli.stream_target import SMALL_WINDOW, VoteTarget, vote_target
from quorate.config import load
from quorate.errors import Invalid
from quorate.ingest.nsq import publisher as publishing
from quorate.ingest.nsq.publisher import NoNsqd
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.outlets import Outlet
from quorate.vote import Vote

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


LOOKUPD = "127.0.0.1:1"


def nsq_outlet(monkeypatch: pytest.MonkeyPatch, known: list[str], **flags: Any) -> Outlet:
    """With an nsqlookupd that knows these nsqds."""

    def nsqds_of(lookupds: list[str]) -> list[str]:
        if not known:
            raise NoNsqd("no nsqlookupd knows one")
        return known

    monkeypatch.setattr(publishing, "nsqds_of", nsqds_of)
    config = load(None, flags={"nsq.lookupd": [LOOKUPD]} | flags).config
    return vote_target(StreamOptions(config, "nsq", [], 1.0, Path(), False)).outlet


def test_an_nsqlookupd_that_knows_one_nsqd_at_the_moment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each nsqd registers at its own time, and one that was killed is forgotten. One copy is enough then."""
    nsq_outlet(monkeypatch, ["127.0.0.1:1"], **{"stream.both": True}).check()
    with pytest.raises(Invalid, match="needs the addresses of two"):
        nsq_outlet(monkeypatch, [], **{"nsq.lookupd": [], "nsq.nsqd": ["127.0.0.1:1"], "stream.both": True}).check()


def test_an_nsqd_that_is_named_is_asked_while_no_nsqlookupd_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cli.stream_target.NSQ_TRY_S", 0.1)
    outlet = nsq_outlet(monkeypatch, [], **{"nsq.nsqd": ["127.0.0.1:1"]})
    with pytest.raises(NoNsqd, match=r"none of 127\.0\.0\.1:1 takes messages"):
        outlet.send([Vote("happy", "1")])
