"""What a source of votes from NSQ is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NsqSettings:
    """The `nsq` section of a node's settings by the same names, and what tests want shorter."""

    lookupd: Sequence[str] = ()  # HTTP addresses, host:port
    nsqd: Sequence[str] = ()  # TCP addresses, host:port, besides those that nsqlookupd knows
    topic: str = "votes"
    channel: str = "counter"
    max_in_flight: int = 200
    dead_letter: str = "votes_dead"  # empty: dead letters are only counted and logged
    lookupd_poll_s: float = 5
    unknown_wait_s: float = 15  # how long a vote waits for its option or poll; 0: not at all
    auth_secret: str = ""
    msg_timeout_ms: int = 0  # nsqd gives a message to another node after this, unless it is touched; 0: nsqd's own
    cast_timeout_s: float = 2.0  # of one attempt to count a group
    hold_s: float = 5.0  # how long a message that cannot be counted here is kept before another node may have it
