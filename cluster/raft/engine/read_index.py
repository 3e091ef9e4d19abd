"""Linearizable reads without a log entry: leadership confirmed once for all who wait (Raft thesis 6.4, "ReadIndex").

A round is a number in the leader's messages that followers echo at once, whatever their disks do. When a majority has
echoed it, the node still led after the round began, so what was committed then is all that a read must see. One round
is under way at a time; who comes meanwhile waits for the next, for the one under way began before they came.
"""

from __future__ import annotations

from collections.abc import Callable

OnConfirmed = Callable[[bool], None]


class ReadIndex:
    """Pure bookkeeping; the engine sends and hears."""

    def __init__(self) -> None:
        self.round = 0
        self._echoed: dict[str, int] = {}
        self._waiting: list[OnConfirmed] = []  # for this round
        self._next: list[OnConfirmed] = []
        self._index = 0  # what was committed when the round began

    def begin_term(self) -> None:
        self._echoed = {}

    def join(self, done: OnConfirmed) -> None:
        self._next.append(done)

    def echoed(self, peer: str, number: int) -> bool:
        """Note what a peer echoed; whether that is news."""
        if number <= self._echoed.get(peer, 0):
            return False
        self._echoed[peer] = number
        return True

    def fail_all(self) -> None:
        """This node does not lead (any more): nobody waiting was confirmed."""
        waiting, self._waiting, self._next = self._waiting + self._next, [], []
        for done in waiting:
            done(False)

    def answer(self, majority: Callable[[set[str]], bool], applied: int, committed: int, node_id: str) -> bool:
        """Answer whoever can be; whether a new round has begun, so that it must be sent."""
        begun = False
        while True:
            if self._waiting and self._confirmed(majority) and self._index <= applied:
                confirmed, self._waiting = self._waiting, []
                for done in confirmed:
                    done(True)
                begun = False
            if self._waiting or not self._next:
                return begun
            self._waiting, self._next = self._next, []
            self._index = committed
            self.round += 1
            self._echoed[node_id] = self.round
            begun = True
            if not self._confirmed(majority):  # alone, a node is its own majority
                return begun

    def _confirmed(self, majority: Callable[[set[str]], bool]) -> bool:
        return majority({peer for peer, number in self._echoed.items() if number >= self.round})
