"""An inlet that keeps what a network puts into it, and a way to run a network in a thread.

A pause takes almost no time: it is noted, and the clock of the inlet is moved on by it. A double that is given this
clock sees its client come as late as it promised to come.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from quorate.ingest.social.network import Network, StreamStopped, Terms
from quorate.ingest.social.post import Post
from tests.support.waiting import wait_for

PAUSE_MAX_S = 0.005


@dataclass(slots=True)
class Slept:
    """How long all pauses were together."""

    seconds: float = 0.0


class SocialInlet:
    """`room`: how many posts it takes before `put` waits, until `take_more`. `slept`: that of an earlier inlet."""

    def __init__(self, *texts: str, room: int | None = None, slept: Slept | None = None) -> None:
        self.posts: list[Post] = []
        self.positions: dict[str, str] = {}
        self.moves: list[tuple[int, dict[str, str]]] = []  # how many posts had come, and the positions then
        self.pauses: list[float] = []
        self.connects: list[str] = []  # the parts
        self.disconnects: list[tuple[str, str, str]] = []  # reason, detail, part
        self.losses: list[str] = []
        self._terms = Terms(1, texts)
        self._room = room
        self._changed = threading.Condition()
        self._stopped = False
        self.slept = slept or Slept()
        self._closers: list[Callable[[], None]] = []

    def clock(self) -> float:
        """`time.monotonic`, and all the time that was slept."""
        return time.monotonic() + self.slept.seconds

    def unix_s(self) -> float:
        return time.time() + self.slept.seconds

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _, _ in self.disconnects]

    @property
    def texts(self) -> list[str]:
        return [post.text for post in self.posts]

    def change(self, *texts: str) -> None:
        with self._changed:
            self._terms = Terms(self._terms.version + 1, texts)
            self._changed.notify_all()

    def take_more(self, posts: int) -> None:
        with self._changed:
            self._room = None if self._room is None else self._room + posts
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            closers = list(self._closers)
            self._changed.notify_all()
        for close in closers:
            close()

    # What a network calls.

    def put(self, posts: Sequence[Post], positions: Mapping[str, str]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._room is None or len(self.posts) < self._room)
            self._check()
            self.posts.extend(posts)
            self.positions.update(positions)
            self.moves.append((len(self.posts), dict(self.positions)))

    @property
    def terms(self) -> Terms:
        return self._terms

    def wait_for_terms(self, seen: int, timeout_s: float) -> Terms:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._terms.version != seen, timeout_s)
            self._check()
            return self._terms

    def pause(self, seconds: float) -> None:
        with self._changed:
            self._check()
            if seconds:
                self.pauses.append(seconds)
            self.slept.seconds += seconds
            self._changed.wait_for(lambda: self._stopped, min(seconds, PAUSE_MAX_S))
            self._check()

    @contextlib.contextmanager
    def closing(self, close: Callable[[], None]) -> Iterator[None]:
        with self._changed:
            self._check()
            self._closers.append(close)
        try:
            yield
        finally:
            with self._changed:
                self._closers.remove(close)

    def connected(self, part: str = "") -> None:
        self.connects.append(part)

    def disconnected(self, reason: str, detail: str, part: str = "") -> None:
        self.disconnects.append((reason, detail, part))

    def lost(self, why: str, part: str = "") -> None:
        self.losses.append(why)

    def _check(self) -> None:
        if self._stopped:
            raise StreamStopped


class RunningNetwork:
    """A network in its thread. `error` is what it raised, but for the stop."""

    def __init__(self, network: Network, inlet: SocialInlet, positions: Mapping[str, str]) -> None:
        self.error: Exception | None = None
        self._network, self._inlet, self._positions = network, inlet, positions
        self._thread = threading.Thread(target=self._run, name=network.name, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def end(self) -> None:
        self._inlet.stop()
        wait_for("the network stops", lambda: self.is_over, deadline_s=5)

    def _run(self) -> None:
        try:
            self._network.run(self._inlet, self._positions)
        except StreamStopped:
            pass
        except Exception as error:
            self.error = error


@contextlib.contextmanager
def running(
    network: Network, inlet: SocialInlet, positions: Mapping[str, str] | None = None
) -> Iterator[RunningNetwork]:
    run = RunningNetwork(network, inlet, positions or {})
    try:
        yield run
    finally:
        run.end()
    if run.error is not None:
        raise run.error
