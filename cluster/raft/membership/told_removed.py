"""Whether what peers say is enough for a node to believe that it was removed, and to stop for good.

A member may lie, so the word of one stops nobody whom another one goes on taking for a member. The others mostly say
the same within a second. Some may be down, or not met yet after a start: they are waited for, and not for ever, because
a node that was removed may come back when most of those that it knows are gone. When most of them say so, nobody else
matters: another one that was removed, and has not learnt it either, goes on taking this node for a member.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

SILENT_S = 10.0  # so long members that say nothing are waited for; a node is started again in less


class ToldRemoved:
    """Times in seconds, of any clock that only goes forward."""

    def __init__(self) -> None:
        self._said: set[str] = set()  # since a peer was last connected that does not say so
        self._ever_said: set[str] = set()
        self._since_s = 0.0

    def hear(self, peer: str, now_s: float) -> None:
        """A peer that this node takes for a member says that this node was removed."""
        if not self._said:
            self._since_s = now_s
        self._said.add(peer)
        self._ever_said.add(peer)

    @property
    def is_said(self) -> bool:
        """Whether any peer has said so. Without that there is nothing to decide."""
        return bool(self._ever_said)

    def decide(self, others: AbstractSet[str], connected: AbstractSet[str], now_s: float) -> str | None:
        """Who says so, if that is enough, or None. `others` are the other members that this node knows."""
        if 2 * len(self._ever_said & others) > len(others) + 1:  # a majority of all, this node among them
            return ", ".join(sorted(self._ever_said & others))
        if connected - self._said:
            self._said.clear()
        enough = others <= self._said or now_s - self._since_s >= SILENT_S
        return ", ".join(sorted(self._said)) if self._said and enough else None

    def forget(self) -> None:
        """This node leads, so it was not removed."""
        self._said.clear()
        self._ever_said.clear()
