"""The inlet of a stream: bounded, in order, and left at once by everybody when the stream stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.network import StreamStopped, Terms
from quorate.ingest.social.post import Post
from quorate.ingest.social.post_queue import PostQueue
from tests.support.waiting import let_pass, wait_for


def posts(count: int, *, text: str = "", first: int = 0) -> list[Post]:
    return [Post(f"p{number}", text) for number in range(first, first + count)]


def queue(**limits: int) -> PostQueue:
    return PostQueue(Terms(1, ()), StreamCounts(), **limits)


class InThread:
    """A call in a thread: whether it has returned, and what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self.error = error


@pytest.fixture
def full() -> Iterator[PostQueue]:
    made = queue(posts_max=10)
    made.put(posts(10), {"": "1"})
    yield made
    made.stop()


def test_what_comes_in_goes_out_in_order_with_the_newest_position_of_each_part() -> None:
    inlet = queue()
    inlet.put(posts(2), {"a": "1", "b": "1"})
    inlet.put(posts(1, first=2), {"a": "2"})
    inlet.put([], {"c": "9"})
    taken = inlet.take(100, 0)
    assert taken is not None
    assert ["p0", "p1", "p2"] == [post.id for post in taken.posts]
    assert {"a": "2", "b": "1", "c": "9"} == taken.positions
    assert inlet.take(100, 0) is None


def test_positions_are_taken_with_their_posts_and_not_before() -> None:
    inlet = queue()
    inlet.put(posts(3), {"": "3"})
    inlet.put(posts(3, first=3), {"": "6"})
    taken = [inlet.take(4, 0), inlet.take(4, 0)]
    assert [{"": "3"}, {"": "6"}] == [each.positions for each in taken if each]


def test_what_is_taken_counts_until_it_is_confirmed(full: PostQueue) -> None:
    taken = full.take(100, 0)
    assert taken is not None
    putting = InThread(lambda: full.put(posts(1), {}))
    let_pass(0.05, because="it must not be let in")
    assert not putting.is_over
    full.done(taken)
    wait_for("it is let in", lambda: putting.is_over)
    assert putting.error is None


def test_bytes_are_bounded_too() -> None:
    inlet = queue(bytes_max=100_000)
    inlet.put(posts(1, text="x" * 40_000), {})
    putting = InThread(lambda: inlet.put(posts(1, text="x" * 40_000), {}))
    let_pass(0.05, because="it must not be let in")
    assert not putting.is_over
    inlet.stop()
    wait_for("it is over", lambda: putting.is_over)


def test_positions_without_posts_are_bounded_too() -> None:
    inlet = queue(posts_max=10)

    def put_many() -> None:
        for number in range(11):
            inlet.put([], {"": str(number)})

    putting = InThread(put_many)
    let_pass(0.05, because="it must not be let in")
    assert not putting.is_over
    assert inlet.take(100, 0)
    wait_for("it is let in", lambda: putting.is_over)


def test_more_at_once_than_may_wait_goes_alone() -> None:
    inlet = queue(posts_max=10)
    inlet.put(posts(25), {})
    taken = inlet.take(5, 0)
    assert taken is not None
    assert 25 == len(taken.posts)


@pytest.mark.parametrize(
    "call",
    [
        lambda inlet: inlet.put(posts(1), {}),
        lambda inlet: inlet.pause(3_600),
        lambda inlet: inlet.wait_for_terms(1, 3_600),
    ],
)
def test_a_stop_wakes_whoever_waits_and_refuses_whoever_comes(
    full: PostQueue, call: Callable[[PostQueue], object]
) -> None:
    waiting = InThread(lambda: call(full))
    let_pass(0.05, because="it is to wait")
    assert not waiting.is_over
    full.stop()
    wait_for("it is woken", lambda: waiting.is_over)
    assert isinstance(waiting.error, StreamStopped)
    with pytest.raises(StreamStopped):
        call(full)
    with pytest.raises(StreamStopped):
        _ = full.terms


def test_a_stop_closes_what_is_open_even_if_one_of_the_closes_hangs() -> None:
    inlet, forever, closed = queue(), threading.Event(), threading.Event()

    def fail() -> None:
        raise OSError("it was closed already")

    with inlet.closing(forever.wait), inlet.closing(fail), inlet.closing(closed.set):  # type: ignore[arg-type]
        inlet.stop()
        assert closed.wait(5)
    forever.set()
    with pytest.raises(StreamStopped), inlet.closing(fail):
        pass


def test_what_is_closed_by_its_owner_is_not_closed_again() -> None:
    inlet, closed = queue(), []
    with inlet.closing(lambda: closed.append(1)):
        pass
    inlet.stop()
    let_pass(0.05, because="nothing is to be closed")
    assert [] == closed


def test_new_terms_wake_the_network() -> None:
    inlet = queue()
    assert Terms(1, ()) == inlet.wait_for_terms(1, 0)
    found: list[Terms] = []
    waiting = InThread(lambda: found.append(inlet.wait_for_terms(1, 3_600)))
    inlet.set_terms(Terms(2, ("happy",)))
    wait_for("it is woken", lambda: waiting.is_over)
    assert [Terms(2, ("happy",))] == found == [inlet.terms]


def test_of_huge_posts_few_are_taken_at_once() -> None:
    huge = queue()
    for number in range(10):
        huge.put(posts(1, text="x" * 500_000, first=number), {"": str(number)})
    batch = huge.take(2_000, 0)
    assert batch is not None
    assert (4, {"": "3"}) == (len(batch.posts), batch.positions)


def test_tags_take_room_as_texts_do() -> None:
    tagged = queue(bytes_max=10_000)
    tagged.put([Post("1", "text", tags=("tag" * 1_000,) * 2)], {})
    more = InThread(lambda: tagged.put([Post("2", "text")], {}))
    let_pass(0.05, because="it has no room")
    assert not more.is_over
    tagged.stop()
