"""The budget for what clients send ahead: all that waits behind what is under way, on the connections of all doors."""

from __future__ import annotations


class WaitingBytes:
    """Used on the node's loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    @property
    def is_used_up(self) -> bool:
        return self.held > self.most
