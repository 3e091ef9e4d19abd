"""From posts to confirmed votes: positions follow confirmations, nothing is dropped, and a stop is never late."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from quorate.errors import Conflict, Invalid, NoLeader
from quorate.ingest.social import pipeline as pipelines
from quorate.ingest.social import places as places_module
from quorate.ingest.social import vote_sender
from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.matching.matcher import Matcher, Mention
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.options.live_polls import LivePolls
from quorate.ingest.social.options.polls_reader import PollsRead
from quorate.ingest.social.options.stream_poll import StreamPoll
from quorate.ingest.social.pipeline import Pipeline
from quorate.ingest.social.places import Places, PlacesFile
from quorate.ingest.social.post import Post
from quorate.ingest.social.unforeseen import Unforeseen
from quorate.vote import Rejection, Tallied, Vote
from tests.support.waiting import let_pass, wait_for


class Posts:
    """A network that puts in so many posts, ten at once, and then ends, or waits for ever."""

    name, source, keeps = "posts", "", "everything"
    promise = "exact"

    def __init__(self, posts: int, *, ends: bool = True, raises: Exception | None = None) -> None:
        self.posts, self._ends, self._raises = posts, ends, raises
        self.put = 0
        self.hang = threading.Event()

    def run(self, inlet: Inlet, positions: Positions) -> None:
        for first in range(int(positions.get("", "0")), self.posts, 10):
            posts = [Post(f"p{number}", "so happy") for number in range(first, min(first + 10, self.posts))]
            inlet.put(posts, {"": str(first + len(posts))})
            self.put = first + len(posts)
        if self._raises is not None:
            raise self._raises
        if not self._ends:
            self.hang.wait()


class MemoryOutlet:
    """Keeps each vote under its id. `answers`: what it does instead, once each, before it takes something."""

    name = "memory"

    def __init__(self, *answers: Exception, at_once: int = 100) -> None:
        self.votes: dict[str, Vote] = {}
        self.answers, self._at_once = list(answers), at_once
        self.sent = self.single = 0
        self.is_open = threading.Event()
        self.is_open.set()

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        self.sent += 1
        self.is_open.wait()
        if self.answers:
            raise self.answers.pop(0)
        part = votes[: self._at_once]
        fresh = sum(str(vote.id) not in self.votes for vote in part)
        self.votes |= {str(vote.id): vote for vote in part}
        return len(part), Tallied(fresh, len(part) - fresh, [], 1)

    def check(self) -> None: ...

    def close(self) -> None: ...


class OnePoll:
    def read(self) -> PollsRead:
        return PollsRead([StreamPoll("mood", ("happy", "sad"))])


class Run:
    """A pipeline in a thread."""

    def __init__(self, network: Posts, outlet: MemoryOutlet, folder: Path, wait_s: float = 0.0) -> None:
        self.network, self.outlet, self.counts = network, outlet, StreamCounts()
        self.error: BaseException | None = None
        self.stop = False
        self.places = Places(PlacesFile("test", folder / "places.json"))
        self.pipeline = Pipeline(
            network,  # type: ignore[arg-type]  # its promise is a text
            LivePolls(OnePoll()),
            outlet,
            self.places,
            self.counts,
            lambda: self.stop,
            unknown_wait_s=wait_s,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.pipeline.run()
        except BaseException as error:
            self.error = error

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def ended(self) -> None:
        wait_for("the stream has ended", lambda: self.is_over)
        if self.error is not None:
            raise self.error


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def make(network: Posts, outlet: MemoryOutlet, wait_s: float = 0.0) -> Run:
        runs.append(Run(network, outlet, tmp_path, wait_s))
        return runs[-1]

    yield make
    for run in runs:
        run.stop = True
        run.outlet.is_open.set()
        run.network.hang.set()


@pytest.fixture
def quick_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "STOP_S", 0.3)


def written(folder: Path) -> dict[str, str]:
    return dict(Places(PlacesFile("test", folder / "places.json")).at_start)


def test_each_post_becomes_a_vote_and_the_end_is_remembered(start: Start, tmp_path: Path) -> None:
    run = start(Posts(1_005), MemoryOutlet())
    run.ended()
    assert 1_005 == len(run.outlet.votes) == run.counts.numbers.confirmed_votes
    assert {"happy"} == {vote.option for vote in run.outlet.votes.values()}
    assert {"": "1005"} == written(tmp_path)
    again = start(Posts(1_007), run.outlet)
    again.ended()
    assert 2 == again.counts.numbers.posts
    assert 1_007 == len(run.outlet.votes)


def test_a_failure_is_tried_again_until_all_is_taken(start: Start, tmp_path: Path) -> None:
    run = start(Posts(300), MemoryOutlet(NoLeader("none yet"), OSError("broken"), NoLeader("none yet")))
    run.ended()
    assert 300 == len(run.outlet.votes)
    assert "" == run.pipeline.sender.trouble


def test_an_error_that_waiting_does_not_mend_ends_it_before_anything_was_taken(start: Start, tmp_path: Path) -> None:
    run = start(Posts(300, ends=False), MemoryOutlet(Invalid("no such topic")))
    with pytest.raises(Invalid, match="no such topic"):
        run.ended()
    assert {} == written(tmp_path)


def test_later_it_may_be_a_person_who_mends_it(start: Start) -> None:
    outlet = MemoryOutlet(at_once=100)
    run = start(Posts(100, ends=False), outlet)
    wait_for("all were taken", lambda: 100 == len(outlet.votes))
    outlet.answers = [Invalid("the token was taken out"), Invalid("the token was taken out")]
    run.pipeline.queue.put([Post("later", "happy")], {})
    wait_for("it is taken", lambda: 101 == len(outlet.votes))
    run.stop = True
    run.ended()


def test_while_nothing_is_taken_reading_stops_and_no_position_is_written(start: Start, tmp_path: Path) -> None:
    outlet = MemoryOutlet()
    outlet.is_open.clear()
    network = Posts(100_000)
    run = start(network, outlet)
    wait_for("the inlet is full", lambda: run.pipeline.queue.under_way > 19_000)
    let_pass(0.3, because="no more may be read")
    assert network.put <= 20_000
    assert {} == written(tmp_path)
    outlet.is_open.set()
    run.ended()
    assert 100_000 == len(outlet.votes)


def test_a_position_is_written_while_it_runs_and_only_of_what_is_confirmed(start: Start, tmp_path: Path) -> None:
    outlet = MemoryOutlet()
    run = start(Posts(100, ends=False), outlet)
    wait_for("the position is written", lambda: {"": "100"} == written(tmp_path))
    outlet.is_open.clear()
    run.pipeline.queue.put([Post("later", "happy")], {"": "101"})
    wait_for("the next vote is under way", lambda: outlet.sent > 1)
    let_pass(1.0, because="its position may not be written")
    assert {"": "100"} == written(tmp_path)


def test_a_stop_has_confirmed_what_was_read(start: Start, tmp_path: Path) -> None:
    outlet = MemoryOutlet()
    outlet.is_open.clear()
    network = Posts(15_000, ends=False)
    run = start(network, outlet)
    wait_for("all were read", lambda: 15_000 == network.put)
    run.stop = True
    let_pass(0.3, because="it must not give up yet")
    assert not run.is_over
    outlet.is_open.set()
    run.ended()
    assert {"": "15000"} == written(tmp_path)
    assert 0 == run.pipeline.unconfirmed


@pytest.mark.usefixtures("quick_stop")
def test_a_stop_waits_for_nobody_who_hangs(start: Start, tmp_path: Path) -> None:
    outlet = MemoryOutlet()
    network = Posts(50, ends=False)
    run = start(network, outlet)
    wait_for("the position is written", lambda: {"": "50"} == written(tmp_path))
    outlet.is_open.clear()
    run.pipeline.queue.put([Post("later", "happy")], {"": "51"})
    run.stop = True
    run.ended()
    assert 1 == run.pipeline.unconfirmed
    assert {"": "50"} == written(tmp_path)


def test_what_ends_the_network_is_raised_after_all_before_it_was_confirmed(start: Start, tmp_path: Path) -> None:
    run = start(Posts(100, raises=Conflict("the file has changed")), MemoryOutlet(NoLeader("none yet")))
    with pytest.raises(Conflict, match="the file has changed"):
        run.ended()
    assert 100 == len(run.outlet.votes)
    assert {"": "100"} == written(tmp_path)


def test_rejected_votes_are_counted_by_reason_and_passed(start: Start) -> None:
    class Closing(MemoryOutlet):
        def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
            rejected = [Rejection(n, vote.id, "closed", "the poll is closed") for n, vote in enumerate(votes)]
            return len(votes), Tallied(0, 0, rejected, 1)

    run = start(Posts(100), Closing())
    run.ended()
    assert {"closed": 100} == run.counts.numbers.rejected


def takes_nothing(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_takes_no_position_stops_no_counting(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = threading.Event()
    full.set()
    save = PlacesFile.save

    monkeypatch.setattr(PlacesFile, "save", lambda *saved: takes_nothing() if full.is_set() else save(*saved))
    monkeypatch.setattr(places_module, "TRIED_EVERY_S", 0.05)
    run = start(Posts(100, ends=False), MemoryOutlet())
    wait_for("it is noted", lambda: run.places.trouble)
    run.pipeline.queue.put([Post("later", "happy")], {"": "101"})
    wait_for("it goes on", lambda: 101 == len(run.outlet.votes))
    full.clear()
    wait_for("the position is written", lambda: {"": "101"} == written(tmp_path))
    wait_for("the trouble is over", lambda: not run.places.trouble)
    full.set()
    run.pipeline.queue.put([Post("last", "happy")], {"": "102"})
    wait_for("it goes on", lambda: 102 == len(run.outlet.votes))
    run.stop = True
    with pytest.raises(OSError, match=r"No space left on device\. What was read since .* is read again the next time"):
        run.ended()


def test_a_disk_that_takes_no_last_position_hides_no_other_failure(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PlacesFile, "save", takes_nothing)
    with pytest.raises(Conflict, match="the file has changed"):
        start(Posts(100, raises=Conflict("the file has changed")), MemoryOutlet()).ended()
    assert "No space left on device" in caplog.text


class Importing(MemoryOutlet):
    """Does not know half of what it gets until it has been asked so often."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self._asked = asked

    def send(self, votes: Sequence[Vote]) -> tuple[int, Tallied | None]:
        if self.sent >= self._asked:
            return super().send(votes)
        self.sent += 1
        half = [int(str(vote.id)[-1], 16) % 2 for vote in votes]
        rejected = [Rejection(n, vote.id, "unknown_poll", "") for n, vote in enumerate(votes) if half[n]]
        self.votes |= {str(vote.id): vote for n, vote in enumerate(votes) if not half[n]}
        return len(votes), Tallied(len(votes) - len(rejected), 0, rejected, 1)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vote_sender, "UNKNOWN_PAUSE_S", 0.01)


@pytest.mark.usefixtures("no_pause")
def test_votes_for_options_that_the_cluster_does_not_know_yet_wait(start: Start, tmp_path: Path) -> None:
    run = start(Posts(100), Importing(5), 3_600.0)
    run.ended()
    assert 100 == len(run.outlet.votes)
    assert {} == run.counts.numbers.rejected
    assert 100 == run.counts.numbers.confirmed_votes == run.counts.numbers.applied
    assert {"": "100"} == written(tmp_path)


@pytest.mark.usefixtures("no_pause")
def test_they_wait_while_nothing_is_lost_by_a_stop(start: Start, tmp_path: Path) -> None:
    run = start(Posts(10, ends=False), Importing(1_000_000), 3_600.0)
    wait_for("they wait", lambda: "does not know yet" in run.pipeline.sender.trouble)
    run.stop = True
    run.ended()
    assert {} == written(tmp_path)
    assert 10 == run.pipeline.unconfirmed


@pytest.mark.usefixtures("no_pause")
def test_an_option_that_the_cluster_never_takes_costs_one_wait(start: Start) -> None:
    run = start(Posts(1_000), Importing(1_000_000), 0.2)
    run.ended()
    numbers = run.counts.numbers
    assert 1_000 == numbers.confirmed_votes
    assert numbers.rejected["unknown_poll"] > 0
    assert 1_000 == numbers.applied + numbers.rejected["unknown_poll"]
    assert "" == run.pipeline.sender.trouble


def test_a_bug_that_one_post_meets_costs_that_post_alone_and_shows_nothing_of_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    match = Matcher.match

    def fails(matcher: Matcher, post: Post) -> list[Mention]:
        if post.id in ("p7", "p8"):
            raise KeyError(post.text)
        return match(matcher, post)

    monkeypatch.setattr(Matcher, "match", fails)
    run = start(Posts(20), MemoryOutlet())
    run.ended()
    assert 18 == len(run.outlet.votes)
    ((place, posts),) = run.counts.numbers.passed_over.items()
    assert 2 == posts
    assert place.startswith("KeyError at test_pipeline.py:")
    assert 1 == sum("could not be looked through" in line for line in caplog.messages)
    assert "so happy" not in caplog.text


def test_a_bug_of_a_network_is_told_without_what_people_wrote(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUORATE_TRACEBACK", raising=False)
    run = start(Posts(20, raises=KeyError("ana wrote this")), MemoryOutlet())
    with pytest.raises(Unforeseen, match=r"^KeyError at test_pipeline.py:\d+\. This is a bug"):
        run.ended()
    assert 20 == len(run.outlet.votes)
