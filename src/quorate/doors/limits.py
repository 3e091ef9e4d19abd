"""What clients may take from the node: sizes, times, and how much of anything there may be at once."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.vote import ENTRY_BYTES_MAX, REQUEST_BYTES_MAX, VOTES_PER_REQUEST_MAX


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one client, and all clients together, can take from the node."""

    body_bytes: int = REQUEST_BYTES_MAX  # only votes
    poll_bytes: int = (
        ENTRY_BYTES_MAX  # only POST and PATCH of polls: the text of the options may take 4 MiB, and JSON adds quotes
    )
    small_body_bytes: int = 64 * 1024  # all others
    votes: int = VOTES_PER_REQUEST_MAX
    timeout_s: float = 5.0  # how long a request waits for its outcome
    wait_max_s: float = 30.0  # the longest `wait=` a read may ask for
    operation_s: float = 30.0  # an operator's call: a member is removed and added, each with a deadline of its own
    head_timeout_s: float = 10.0  # from a request's first byte to the end of its headers
    body_timeout_s: float = 30.0
    stall_timeout_s: float = 30.0  # a client that reads nothing of its answer for so long is disconnected
    answer_bytes_per_s: int = 64 * 1024  # one that reads its answer is given so much longer as it takes at this speed
    waiting_bytes: int = 16 * 1024 * 1024  # of requests that wait behind others on their connections
    unsent_bytes: int = 64 * 1024 * 1024  # of answers that clients have not read
    head_bytes: int = 32 * 1024
    headers: int = 100
    keep_alive_s: int = 75
    connections: int = 10_000
    handshakes: int = 256  # of TLS that are not complete; old ones make room for new ones
    handshakes_per_s: float = 200.0  # that may begin
    handshakes_at_once: int = 50  # of these after a quiet time
    address_percent: int = 100  # of connections, streams and places before Flask, which one address may hold
    events: int = 1_000
    threads: int = 8
    waiting: int = 64  # requests that may wait for a free thread
