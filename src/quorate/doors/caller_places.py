"""A bounded number of places, of which no caller takes all from the others.

What one address may hold (`address_shares.py`) bounds nobody who has many addresses, and nobody behind a proxy. But
whoever sends a token is known by it. So the last places are kept: a quarter from a token that holds many, an eighth for
operators, and more from callers without a token, where tokens are configured. Whoever may do everything has them all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from quorate.doors.access import REVOKED
from quorate.doors.address_shares import share_key
from quorate.errors import Overloaded, Unauthorized
from quorate.security.caller import Caller


def holder_of(caller: Caller) -> str:
    """The name of whoever uses up what is for all: of a token, or of the address that asks without one."""
    return f"token {caller.name}" if caller.token is not None else share_key(caller.address)


class CallerPlaces:
    """Used on the node's loop. `what` there are so many of, for people: "event streams"."""

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self._taken = 0
        self._held: dict[str, int] = {}  # by the name of a token
        self._waiting: dict[asyncio.Timeout, Caller] = {}

    def take(self, caller: Caller) -> None:
        """A place, which the caller holds until `give_back`. Raises `Overloaded`."""
        if self._taken + self._kept_from(caller) >= self._total:
            raise Overloaded(self._why_none(caller))
        self._taken += 1
        if caller.token is not None:
            self._held[caller.name] = self._held.get(caller.name, 0) + 1

    def give_back(self, caller: Caller) -> None:
        self._taken -= 1
        if caller.token is None:
            return
        if (left := self._held[caller.name] - 1) > 0:
            self._held[caller.name] = left
        else:
            del self._held[caller.name]

    @contextlib.contextmanager
    def held(self, caller: Caller) -> Iterator[None]:
        self.take(caller)
        try:
            yield
        finally:
            self.give_back(caller)

    @contextlib.asynccontextmanager
    async def waiting(self, caller: Caller) -> AsyncIterator[None]:
        """As `held`, around what may wait long. Raises `Unauthorized` when the caller's token is revoked (`end`)."""
        with self.held(caller):
            limit = asyncio.timeout(None)
            try:
                async with limit:
                    self._waiting[limit] = caller
                    yield
            except TimeoutError:
                if limit.expired():
                    raise Unauthorized(REVOKED, token="unknown") from None
                raise
            finally:
                self._waiting.pop(limit, None)

    def end(self, caller_may: Callable[[Caller], bool]) -> None:
        """End what waits for callers that may not go on: their token was revoked, or is another one now."""
        for limit, caller in self._waiting.items():
            if not caller_may(caller):
                limit.reschedule(asyncio.get_running_loop().time())

    def _kept_from(self, caller: Caller) -> int:
        """How many of the last places this caller leaves to others."""
        if caller.may("operate"):
            return 0
        if caller.token is None:
            return self._total // (4 if caller.may("read") else 2) if caller.is_stranger else 0
        few = self._total // 8
        return few if self._held.get(caller.name, 0) < few else self._total // 4

    def _why_none(self, caller: Caller) -> str:
        if self._taken >= self._total:
            return f"this node has {self._total:,} {self._what} already; try again in a moment, or another node"
        if caller.token is None:
            return f"the last of {self._total:,} {self._what} are kept for callers with a token; try again in a moment"
        held = self._held.get(caller.name, 0)
        return (
            f"the token {caller.name} holds {held:,} of {self._total:,} {self._what} of this node, and the last are "
            "kept for others; try again in a moment, or another node"
        )
