"""From posts to confirmed votes: the main thread of a stream.

The network's thread puts posts into the queue, this one matches them and writes the positions, and the sender's thread
has the votes confirmed. All keep the order of the posts. So when a batch is confirmed, all before it is, and its
positions can be written.

A stop closes the network's connection, sends what was read, and ends within four seconds, whatever hangs: threads that
do not end by then are left. What could not be confirmed is read again the next time, as far as the network repeats it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from quorate.ingest.social.counts import StreamCounts
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.network import MayRest, Network, StreamStopped
from quorate.ingest.social.options.live_polls import LivePolls
from quorate.ingest.social.outlets import Outlet
from quorate.ingest.social.places import Places
from quorate.ingest.social.post import Post
from quorate.ingest.social.post_queue import PostBatch, PostQueue, size_of
from quorate.ingest.social.unforeseen import place_of, without_text
from quorate.ingest.social.unknown_options import UnknownOptions
from quorate.ingest.social.vote_sender import VoteBatch, VoteSender
from quorate.ingest.social.votes import vote_for
from quorate.vote import Vote
from quorate.words import count

log = logging.getLogger(__name__)

POSTS_AT_ONCE = 2_000
VOTES_AT_ONCE = 20_000  # a part of a batch is not much bigger
TICK_S = 0.2  # how soon a stop is seen, and positions are written
STOP_S = 2.8  # after a stop was asked for, to have confirmed what was read
SENDER_ENDS_S, NETWORK_ENDS_S = 0.3, 0.7  # for threads to end, before they are left


@dataclass(slots=True)
class _NetworkThread:
    """The network, in its thread. `error` is what ended it."""

    network: Network
    queue: PostQueue
    places: Places
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.network.run(self.queue, dict(self.places.at_start))
        except StreamStopped:
            pass
        except BaseException as error:  # the main thread raises it again
            self.error = error
        finally:
            self.queue.end()


class Pipeline:
    """`is_stop_asked` is looked at some times a second, as is `on_tick` called. `unknown_wait_s`: how long votes wait
    for options that the cluster does not know."""

    def __init__(
        self,
        network: Network,
        polls: LivePolls,
        outlet: Outlet,
        places: Places,
        counts: StreamCounts,
        is_stop_asked: Callable[[], bool],
        on_tick: Callable[[], None] = lambda: None,
        *,
        unknown_wait_s: float = 0.0,
    ) -> None:
        self._network, self._polls, self._places, self._counts = network, polls, places, counts
        self._is_stop_asked, self._on_tick = is_stop_asked, on_tick
        self.queue = PostQueue(polls.current.terms, counts)
        self.sender = VoteSender(
            outlet, counts, self._confirmed, UnknownOptions(unknown_wait_s, lambda: polls.current.polls)
        )
        self._reading = _NetworkThread(network, self.queue, places)
        self._thread = threading.Thread(target=self._reading.run, name="network", daemon=True)
        self._stop_at_s: float | None = None  # by when all must have ended
        self._tick_due_s = 0.0
        self._unwritten: OSError | None = None  # why the last position was not
        self.unconfirmed = 0
        self.ticked_at_s = self.connected_at_s = time.time()

    def run(self) -> None:
        """Until the network ends, or a stop. Raises what ended the network, or what no waiting mends."""
        self._polls.start(self.queue.set_terms)
        self.sender.start()
        self._thread.start()
        try:
            while not self._is_finished():
                batch = self.queue.take(POSTS_AT_ONCE, self._patience_s())
                for part in self._parts(batch) if batch is not None else ():
                    self._hand_over(part)
                self._tick()
            while not self.sender.wait_idle(self._patience_s()) and not self._is_late():
                self._tick()
        finally:
            self._end()
        if (error := self.sender.error or self._reading.error or self._unwritten) is not None:
            raise without_text(error)

    def _is_finished(self) -> bool:
        return self.queue.is_over or self.sender.error is not None or self._is_late()

    def _is_late(self) -> bool:
        return self._stop_at_s is not None and time.monotonic() >= self._stop_at_s

    def _patience_s(self) -> float:
        return TICK_S if self._stop_at_s is None else max(0.0, min(TICK_S, self._stop_at_s - time.monotonic()))

    def _tick(self) -> None:
        self.ticked_at_s, self._tick_due_s = time.time(), time.monotonic() + TICK_S
        if self._counts.is_connected or not self._polls.current.terms.texts or self.rests:
            self.connected_at_s = self.ticked_at_s  # nobody need be, without options
        self._places.write_if_due()
        self._on_tick()
        if self._stop_at_s is None and self._is_stop_asked():
            self._stop_at_s = time.monotonic() + STOP_S
            log.info("stopping: what was read is sent; a second signal ends this at once")
            self.queue.stop()

    def _parts(self, batch: PostBatch) -> Iterator[VoteBatch]:
        """Its votes, in parts that are not too big: a post may mention ten thousand options. The positions come with
        the last part. Huge posts take their time, so it ticks between them; once it is late, no more parts come."""
        matcher, votes, matched, begin, left = self._polls.current.matcher, list[Vote](), 0, 0, batch.size
        for end, post in enumerate(batch.posts, 1):
            if time.monotonic() >= self._tick_due_s:
                self._tick()
                if self._is_late():
                    return
            found = self._votes(matcher, post)
            matched += bool(found)
            votes += found
            if len(votes) >= VOTES_AT_ONCE and end < len(batch.posts):
                posts = batch.posts[begin:end]
                part = PostBatch(posts, {}, sum(map(size_of, posts)))
                left -= part.size
                self._counts.matched(posts, votes, matched)
                yield VoteBatch(votes, part)
                votes, matched, begin = [], 0, end
        last = PostBatch(batch.posts[begin:], batch.positions, left)
        self._counts.matched(last.posts, votes, matched)
        yield VoteBatch(votes, last)

    def _votes(self, matcher: Matcher, post: Post) -> list[Vote]:
        try:
            return [vote_for(self._network.name, post, mention) for mention in matcher.match(post)]
        except Exception as error:  # one post that nobody foresaw must not stop all that come after it, at each start
            self._counts.passed_over(place_of(error))
            return []

    def _hand_over(self, batch: VoteBatch) -> None:
        while not self.sender.offer(batch, self._patience_s()) and not self._is_late():
            self._tick()

    def _confirmed(self, batch: VoteBatch) -> None:
        self._places.confirmed(batch.source.positions)
        self._counts.confirmed(batch.source.posts)
        self.queue.done(batch.source)

    @property
    def rests(self) -> str:
        """Why the network is not connected on purpose."""
        return self._network.rests if isinstance(self._network, MayRest) else ""

    @property
    def leaves_threads(self) -> bool:
        """Whether some hang, after it has ended."""
        return self._thread.is_alive() or self.sender.is_alive

    def _end(self) -> None:
        self.queue.stop()
        self._polls.stop()
        self.sender.stop(SENDER_ENDS_S)
        self._write_last()
        self._thread.join(NETWORK_ENDS_S)
        self.unconfirmed = self.queue.under_way
        if self.unconfirmed:
            log.warning("%s could not be confirmed in time", count(self.unconfirmed, "post"))

    def _write_last(self) -> None:
        try:
            self._places.write_last()
        except OSError as error:
            log.warning("%s", error.strerror)
            self._unwritten = error
