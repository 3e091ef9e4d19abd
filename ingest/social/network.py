"""What a social network offers (`Network`), and what it gets to put its posts into (`Inlet`).

A network is one module in `networks/`. It runs in a thread of its own, reconnects by itself and never gives up, except
for what only a person can mend (`QuorateError`: wrong credentials, a URL that is no such server).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from quorate.ingest.social.post import Post

Positions = Mapping[str, str]  # where each part of a network goes on: a relay, a tag, or "" where there are no parts


class StreamStopped(Exception):
    """The stream is being stopped. Whoever calls the inlet lets this pass."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What to ask the network for: the options, each text once, as people wrote them. Each change has a `version`."""

    version: int
    texts: Sequence[str]


class Inlet(Protocol):
    """All calls may come from any thread. Those that wait raise `StreamStopped` when the stream is stopped."""

    def put(self, posts: Sequence[Post], positions: Positions) -> None:
        """Hand over posts, and from where to go on once they are confirmed. Waits while too many are under way.

        Posts that are put again, because a network repeats them, are harmless. Without posts, only the positions move.
        An empty position forgets its part.
        """
        ...

    @property
    def terms(self) -> Terms: ...

    def wait_for_terms(self, seen: int, timeout_s: float) -> Terms:
        """The terms, as soon as their version is another one than `seen`, or when the time is over."""
        ...

    def pause(self, seconds: float) -> None:
        """Sleep, unless the stream is stopped."""
        ...

    def closing(self, close: Callable[[], None]) -> AbstractContextManager[None]:
        """While it is entered, a stop calls `close`: to wake a thread that reads from a socket."""
        ...

    def connected(self, part: str = "") -> None: ...

    def disconnected(self, reason: str, detail: str, part: str = "") -> None:
        """`reason` is one of a few words (a label of metrics): stalled, hung_up, refused, rate_limited, http_503 ….

        `detail` is for the log: a sentence without texts of posts, tokens or names of people.
        """
        ...

    def lost(self, why: str, part: str = "") -> None:
        """Posts are missing, or may be, and will never come: said loudly, once a gap."""
        ...


class Network(Protocol):
    """`promise` says what `kill -9`, or a long outage, can cost.

    - exact: the network repeats everything from a position; nothing is lost while it keeps it (`keeps` says how long)
    - lossy: what is said while nobody listens may be missing

    Fields do for the properties.
    """

    @property
    def name(self) -> str:
        """A part of every vote's id: it never changes."""
        ...

    @property
    def source(self) -> str:
        """Whose positions these are, without secrets: a URL, a file; "" if they hold at all its servers."""
        ...

    @property
    def promise(self) -> Literal["exact", "lossy"]: ...

    @property
    def keeps(self) -> str:
        """For people: "about 36 hours", "" if nothing."""
        ...

    def run(self, inlet: Inlet, positions: Positions) -> None:
        """Read until `StreamStopped`, from these positions on (none: from now). Returns at the end, if there is one."""
        ...


@runtime_checkable
class MayRest(Protocol):
    """A network may offer this, too."""

    @property
    def rests(self) -> str:
        """Why it is not connected on purpose, in words; "" if it is connected, or tries to be. Any thread may ask."""
        ...


@runtime_checkable
class HasFigures(Protocol):
    """A network may offer this, too."""

    def figures(self) -> Mapping[str, float]:
        """Numbers of its own, for status, metrics and the terminal: `budget_posts_left`, say. Few, and always the same
        names. Any thread may ask."""
        ...
