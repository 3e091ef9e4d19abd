"""Linearizable reads without a log entry: one confirmation of leadership serves all waiting reads (Raft thesis 6.4).

A round is a number in the leader's messages. Followers echo it at once, without waiting for their disks. When a
majority has echoed it, this node was still the leader after the round began. So a read must see every entry that was
committed when the round began, and no more. One round is open at a time. A read that arrives meanwhile waits for the
next round, because the open one began before the read did.
"""

from __future__ import annotations

from collections.abc import Callable

OnConfirmed = Callable[[bool], None]


class ReadIndex:
    """Keeps the rounds and the reads that wait for them. The engine sends the rounds and hears the echoes."""

    def __init__(self) -> None:
        self.round = 0  # the newest
        self._echoed: dict[str, int] = {}
        self._waiting: list[OnConfirmed] = []  # for the open round
        self._next: list[OnConfirmed] = []  # for the round after it
        self._index = 0  # the commit index when the open round began

    def begin_term(self) -> None:
        self._echoed = {}

    def join(self, done: OnConfirmed) -> None:
        self._next.append(done)

    def echoed(self, peer: str, number: int) -> bool:
        """Note the round that a peer echoed. True if it is a later one than before."""
        if number <= self._echoed.get(peer, 0):
            return False
        self._echoed[peer] = number
        return True

    def fail_all(self) -> None:
        """This node does not lead: no waiting read can be confirmed."""
        waiting, self._waiting, self._next = self._waiting + self._next, [], []
        for done in waiting:
            done(False)

    def answer(self, majority: Callable[[set[str]], bool], applied: int, committed: int, node_id: str) -> bool:
        """Confirm the reads that can be. True if a new round has begun, so that it must be sent to the peers."""
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
            if not self._confirmed(majority):  # a single node is its own majority and goes on
                return begun

    def _confirmed(self, majority: Callable[[set[str]], bool]) -> bool:
        return majority({peer for peer, number in self._echoed.items() if number >= self.round})
