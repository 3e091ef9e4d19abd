"""What an engine needs from the replica that it belongs to."""

from __future__ import annotations

from typing import Any, Protocol

from quorate.cluster.raft import messages


class EngineOwner(Protocol):
    """Called by the engine in its steps (`tick`, `receive`, `propose` …), never while the engine is being made."""

    def send(self, peer: str, message: messages.Message) -> bool:
        """Send to a peer by node id; False if the message surely was not sent."""
        ...

    def backlog(self, peer: str) -> int:
        """Bytes that wait to be sent to the peer."""
        ...

    def apply(self, payload: bytes, index: int, term: int) -> Any:
        """Apply a committed entry to the state machine; the result goes to the entry's proposer."""
        ...

    def apply_level(self, payload: bytes) -> Any:
        """Apply a committed entry that raises the feature level. Raises `Halted` if this program has a lower one."""
        ...

    def may_give_ballot(self, incarnation: str) -> bool:
        """Whether this node may give a ballot to a candidate whose log knows this node by `incarnation`."""
        ...

    def incarnation_of(self, peer: str) -> str:
        """The incarnation by which this node's log knows the peer; "" if the log names none."""
        ...

    def has_known_disk(self, peer: str) -> bool:
        """Whether the connected peer has the disk that the log means. False if that disk was replaced."""
        ...

    def members_changed(self, members: bytes) -> None:
        """From now on these members count. b"": the members that were known at the base of the log count."""
        ...

    def members_committed(self, members: bytes, index: int) -> None:
        """The membership entry at `index` is committed."""
        ...

    def offer_snapshot(self, peer: str) -> None:
        """Begin to send the peer a snapshot, or go on. Called at every heartbeat while the peer needs one."""
        ...

    def cancel_snapshot(self, peer: str) -> None:
        """The connection to the peer broke: stop sending."""
        ...
