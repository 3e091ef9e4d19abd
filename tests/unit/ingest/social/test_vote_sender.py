"""The thread that sends votes says why nothing is taken, and does not say it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from quorate.errors import NoLeader
from quorate.ingest.social import vote_sender
from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.post_queue import PostBatch
from quorate.ingest.social.unknown_options import UnknownOptions
from quorate.ingest.social.vote_sender import VoteBatch, VoteSender
from quorate.vote import Tallied, Vote
from tests.support.waiting import wait_for


class NodesInTurn:
    """Two nodes that know no leader answer in turn, so many times. Then all is taken."""

    name, single = "the cluster", 0

    def __init__(self) -> None:
        self.refusals = 0

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        if self.refusals:
            self.refusals -= 1
            raise NoLeader(f"node {self.refusals % 2 + 1} knows no leader")
        return len(votes), None

    def check(self) -> None: ...

    def close(self) -> None: ...


def has_confirmed(confirmed: list[VoteBatch], number: int) -> bool:
    return len(confirmed) == number


def test_why_nothing_is_taken_is_said_once_however_the_words_change_from_try_to_try(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each try may be another node's. Without a leader for an hour their words would fill the log."""
    monkeypatch.setattr(vote_sender, "PAUSE_MAX_S", 0.001)
    monkeypatch.setattr(vote_sender, "PAUSE_S", 0.001)
    caplog.set_level("INFO")
    outlet, confirmed = NodesInTurn(), list[VoteBatch]()
    sender = VoteSender(outlet, StreamCounts(), confirmed.append, UnknownOptions(0.0, lambda: ()))
    sender.start()
    for number, refusals in enumerate((10, 1), 1):
        outlet.refusals = refusals
        sender.offer(VoteBatch([Vote("happy", str(number))], PostBatch()), 5.0)
        wait_for("it is taken", partial(has_confirmed, confirmed, number))
    sender.stop(5.0)
    said = [line.partition(": ")[2] for line in caplog.messages if "takes no votes" in line]
    assert [f"node {number} knows no leader; they are tried until it does" for number in (2, 1, 1)] == said
    assert 2 == sum("takes votes again" in line for line in caplog.messages)
