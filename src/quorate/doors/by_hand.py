"""A coroutine that is run by hand, from the callbacks of a protocol: for one vote a task would cost too much.

It may wait for futures, and let the loop do other things. It may not ask for its task, so it uses no `asyncio.timeout`:
the outcome of a vote has a deadline in the submitter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from quorate.tracing import REQUEST, RequestTrace

Work = Coroutine[Any, Any, Any]


class ByHand:
    """Runs one coroutine: until it waits for something, and again when that is there."""

    __slots__ = ("_send", "_work")

    def __init__(self) -> None:
        self._work: Work | None = None
        self._send: Callable[[Work], Any] | None = None  # called instead of `work.send(None)`, if it is set

    def ended(self, value: Any) -> None:
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        """An `Exception`, or a `CancelledError`: what it waited for may be cancelled, nothing else is."""
        raise NotImplementedError

    def run(self, work: Work) -> None:
        """`ended` or `failed` is called when it is over, maybe before this returns."""
        self._work = work
        self._go_on()

    def cut(self) -> None:
        """Give it up. Nothing is called any more."""
        if self._work is not None:
            self._work.close()
            self._work = None

    def trace(self, trace: RequestTrace) -> None:
        """What it does is done for this request: whoever is asked finds that in `REQUEST`."""

        def send(work: Work) -> Any:
            token = REQUEST.set(trace)
            try:
                return work.send(None)
            finally:
                REQUEST.reset(token)

        self._send = send

    def _go_on(self, outcome: asyncio.Future[Any] | None = None) -> None:
        if self._work is None:  # it was cut
            if outcome is not None and not outcome.cancelled():
                outcome.exception()  # taken note of: asyncio logs what nobody has looked at
            return
        try:
            waits_for = self._work.send(None) if self._send is None else self._send(self._work)
        except StopIteration as end:
            self.ended(end.value)
        except (Exception, asyncio.CancelledError) as error:
            self.failed(error)
        else:
            if waits_for is None:
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                waits_for._asyncio_future_blocking = False  # as a task says that it has taken it
                waits_for.add_done_callback(self._go_on)
