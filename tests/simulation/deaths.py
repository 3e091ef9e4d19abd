"""A node of the simulation dies at a crash point (`quorate.crash_points`), in the midst of its own code.

All nodes run in one thread. `RUNNING` says whose code runs: timers, callbacks and tasks take it over from whoever made
them, and where one node's code calls another's, `as_node` changes it. A node that reaches the armed point ends there:
`NodeDied` goes up through its code, which can change no file any more, and is sent nothing. Then it is a crash as any.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from quorate import crash_points
from quorate.errors import OutcomeUnknown

RUNNING: ContextVar[str] = ContextVar("RUNNING", default="")


class NodeDied(BaseException):
    """The node's process ends here. It is not an Exception, so that no code of the node's handles it."""


@contextmanager
def as_node(name: str) -> Iterator[None]:
    """What runs within is the node's code."""
    token = RUNNING.set(name)
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is thrown away is closed in another context
            RUNNING.reset(token)


@contextmanager
def as_client_of(name: str) -> Iterator[None]:
    """For a client that runs the node's code in its own task: if the node dies, the client does not learn why."""
    try:
        with as_node(name):
            yield
    except NodeDied:
        raise OutcomeUnknown(f"{name} died") from None


class ListenerOfNode:
    """A node's listener, as its transport calls it from another node's code."""

    def __init__(self, name: str, listener: Any) -> None:
        self._name, self._listener = name, listener

    def __getattr__(self, method: str) -> Callable[..., Any]:
        act = getattr(self._listener, method)

        def call(*arguments: Any) -> Any:
            token = RUNNING.set(self._name)
            try:
                return act(*arguments)
            except NodeDied:
                return "it died" if method == "opened" else None
            finally:
                RUNNING.reset(token)

        setattr(self, method, call)
        return call


def arm(rng: random.Random, die: Callable[[str, str], bool]) -> None:
    """Let the next node die that reaches a drawn point. `die` says whether it did: a node that runs no more cannot."""
    point = rng.choice(crash_points.POINTS)

    def reached() -> None:
        if die(RUNNING.get(), point):
            raise NodeDied(point)

    crash_points.arm(point, rng.choice((1, 1, 2, 5)), reached)
