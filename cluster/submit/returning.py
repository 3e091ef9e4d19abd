"""Clients that were answered mostly ask again at once: whoever answered many waits a moment for them to be back.

An entry costs all nodes the same however many votes are in it. Without this wait, the first client that is back has an
entry for itself and a few others, and all the rest wait for that one to end. A wait ends at once when as many are back
as were answered, and takes no longer than the entry did. One client alone never waits. Where clients do something else
in between, so that few are back in time, the wait was in vain, and is left out for a while.
"""

from __future__ import annotations

CLOCK_S = 1e-6  # a loop's timer may fire earlier by less than this
WAIT_MAX_S = 0.01
MOST = 0.75  # of those that were answered; if fewer are back in time, the wait was in vain
LEFT_OUT_MAX = 15  # of waits, after some that were in vain
ALONE = (0, 0)  # nobody else is there


class Returning:
    """It counts clients of this node, and batches that followers forwarded. Those that wait to leave are "there"."""

    def __init__(self) -> None:
        self.expected = 0  # of both, that were answered and may be back
        self._there = 0  # of both, when these were answered
        self._clients = self._batches = 0  # that are there when all are back
        self._until_s = 0.0
        self._left_out = self._to_leave_out = 0

    def answered(self, clients: int, batches: int, now_s: float, took_s: float, there: tuple[int, int]) -> None:
        """So many are told their answers now. What they asked took so long."""
        self.expected = 0
        if self._to_leave_out:
            self._to_leave_out -= 1
        elif clients + batches > 1 or there != ALONE:
            self.expected, self._there = clients + batches, sum(there)
            self._clients, self._batches = there[0] + clients, there[1] + batches
            self._until_s = now_s + min(took_s, WAIT_MAX_S)

    def wait_s(self, clients: int, batches: int, now_s: float) -> float:
        """How many seconds those that are there have to wait for those that are expected; 0: they leave now."""
        if clients < self._clients or batches < self._batches:
            left_s = self._until_s - now_s
            if left_s >= CLOCK_S:
                return left_s
        in_vain = clients + batches - self._there < MOST * self.expected
        self._left_out = self._to_leave_out = min(2 * self._left_out + 1, LEFT_OUT_MAX) if in_vain else 0
        self.expected = 0
        return 0.0
