"""Posts that mention very much, or take long to be looked through."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from quorate.ingest.social import pipeline as pipelines
from quorate.ingest.social.matching.matcher import Matcher, Mention
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.post import Post
from quorate.ingest.social.unknown_options import UnknownOptions
from quorate.vote import Rejection, Tallied, Vote
from tests.support.waiting import let_pass, wait_for
from tests.unit.ingest.social.test_pipeline import MemoryOutlet, Posts, Start, quick_stop, start, written

__all__ = ["quick_stop", "start"]  # fixtures


class ManyAtOnce(Posts):
    """Puts in all of its posts at once, when it may begin."""

    def __init__(self, posts: int) -> None:
        super().__init__(posts)
        self.may_begin = threading.Event()

    def run(self, inlet: Inlet, positions: Positions) -> None:
        self.may_begin.wait()
        inlet.put([Post(f"p{number}", "so happy, so sad") for number in range(self.posts)], {"": "all"})
        self.hang.wait()


def test_posts_that_mention_very_much_are_sent_in_parts_and_their_position_comes_last(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "VOTES_AT_ONCE", 20)
    outlet = MemoryOutlet(at_once=1_000_000)
    confirmed: list[tuple[int, dict[str, str]]] = []
    send = outlet.send

    def noted(votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        confirmed.append((len(votes), written(tmp_path)))
        return send(votes)

    outlet.send = noted  # type: ignore[method-assign]
    network = ManyAtOnce(95)
    run = start(network, outlet)
    network.may_begin.set()
    wait_for("all are confirmed", lambda: run.counts.numbers.confirmed_posts == 95)
    wait_for("the position is written", lambda: written(tmp_path) == {"": "all"})
    assert [20] * 9 + [10] == [votes for votes, _ in confirmed]
    assert all(place == {} for _, place in confirmed)
    assert 190 == len(outlet.votes)
    assert 0 == run.pipeline.queue.under_way


@pytest.mark.usefixtures("quick_stop")
def test_a_stop_is_seen_while_many_huge_posts_are_looked_through(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, match = [0], Matcher.match

    def slow(matcher: Matcher, post: Post) -> list[Mention]:
        run.stop = True
        looked[0] += 1
        let_pass(0.01, because="it is huge")
        return match(matcher, post)

    monkeypatch.setattr(Matcher, "match", slow)
    network = ManyAtOnce(1_000)
    run = start(network, MemoryOutlet())
    network.may_begin.set()
    run.ended()
    assert looked[0] < 1_000
    assert {} == written(tmp_path)
    assert run.pipeline.unconfirmed > 0


def test_very_many_options_that_the_cluster_never_takes_cost_one_wait() -> None:
    now_s = 100.0
    unknown = UnknownOptions(10.0, lambda: (), lambda: now_s)
    votes = [Vote(f"option {n}", str(n), "mood") for n in range(12_000)]
    nothing = Tallied(0, 0, [Rejection(n, None, "unknown_option", "") for n in range(len(votes))], 1)
    assert len(votes) == len(unknown.wait(votes, nothing)[0])
    now_s = 111.0
    assert [] == unknown.wait(votes, nothing)[0]
