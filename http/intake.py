"""What has come over a connection and is held: requests that a client sends before it has its answers, and big heads.

HTTP lets a client send its next requests at once ("pipelining"), and answers them in order. So they wait, and each that
is parsed holds some KiB. No more than 16 are; what lies behind them stays as it came, and nothing further is read. A
client never notices, if it reads its answers. All that waits so has one budget. When it is used up, a connection that
holds more than a few requests is broken off: what it had sent behind the answered ones was not done.

The heads of most requests are small. A big one counts to the same budget, from its first bytes until its request is
answered: a read may wait for half a minute and a stream for ever, and a header costs far more memory than its bytes.

Data is parsed in small slices where requests may be many. A slice of a long body is as long as the body is.
"""

from __future__ import annotations

from collections.abc import Callable, Sized

from quorate.doors.waiting_bytes import WaitingBytes

PIPELINED_MAX = 16
FIRST_BYTES = 1024  # parsed at once, of a client that has no request here
SLICE_BYTES = 128  # of one that has: it may hold seven requests
QUEUED_BYTES = 4 * 1024  # what one that is parsed and waits takes, about
FEW_BYTES = 2 * QUEUED_BYTES
HEADER_BYTES = 128  # what a header takes beside its own bytes, about
SMALL_HEAD_BYTES = 4 * 1024  # by that account; most heads are smaller, and are not counted


class Intake:
    """Of one connection. `parse` takes a slice, and returns False when the connection takes no more."""

    def __init__(self, parse: Callable[[bytes], bool], pipeline: Sized, budget: WaitingBytes) -> None:
        self._parse, self._pipeline, self._budget = parse, pipeline, budget
        self.held = b""  # not parsed
        self.heads = 0  # what the big heads of requests take that are not answered
        self.charged = 0

    def take(self, data: bytes, body_left: Callable[[], int], *, busy: bool) -> None:
        """Parse the data. `body_left` are the bytes that the present request's body still has, as far as is known."""
        if self.held:  # the system had them already when reading was paused
            self.held += data
        else:
            self._take_slices(data, body_left, FIRST_BYTES if not busy else SLICE_BYTES)

    def _take_slices(self, data: bytes, body_left: Callable[[], int], first: int) -> None:
        at, size = 0, first
        while at < len(data):
            if len(self._pipeline) >= PIPELINED_MAX:
                self.held = data[at:]
                return
            size = max(size, body_left())
            if not self._parse(data[at : at + size]):
                return
            at, size = at + size, SLICE_BYTES

    def release(self) -> bytes:
        """What is held, if there is place for requests that may be in it."""
        if len(self._pipeline) >= PIPELINED_MAX:
            return b""
        held, self.held = self.held, b""
        return held

    def has_room_for_head(self, head_bytes: int) -> bool:
        """Whether a request with this big head may begin. It is charged for from the next `account` on."""
        if self._budget.held + head_bytes > self._budget.most:
            return False
        self.heads += head_bytes
        return True

    def account(self, queued_bytes: int, head_bytes: int) -> bool:
        """Charge what is held now, also of the requests that wait, and of a head that is not complete.

        False: the budget is used up, and this connection holds much of it.
        """
        waits = len(self.held) + self.heads + head_bytes + QUEUED_BYTES * len(self._pipeline) + queued_bytes
        self._budget.held += waits - self.charged
        self.charged = waits
        return waits <= FEW_BYTES or not self._budget.is_used_up

    def close(self) -> None:
        self._budget.held -= self.charged
        self.charged, self.heads, self.held = 0, 0, b""
