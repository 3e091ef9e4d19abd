"""Whether a dedup window is so small that others' votes can push an id out of it while its request is tried again.

The window has the last N accepted ids of all clients but those whose token has a share of its own, which nobody else
can fill. A client tries a request again for as long as the tries of one request last. If N other ids are accepted
meanwhile, the next try counts the vote once more.
"""

from __future__ import annotations

from quorate.vote import VOTES_PER_REQUEST_MAX
from quorate.words import count

TRIES = 3  # of one request, each as long as http.timeout_ms
FULL_REQUESTS_A_S = 2  # of others, each with 10,000 ids
FULL_REQUESTS_MIN = 3  # so many may come at once


def small_window(window: int, timeout_ms: int) -> str | None:
    """In words: why this window is small for this `http.timeout_ms`. None: it is not."""
    tried_s = TRIES * timeout_ms / 1000
    requests = max(FULL_REQUESTS_MIN, int(FULL_REQUESTS_A_S * tried_s))
    enough = requests * VOTES_PER_REQUEST_MAX
    if window >= enough:
        return None
    full = max(1, -(-window // VOTES_PER_REQUEST_MAX))
    return (
        f"votes.dedup_window is {window:,}: {count(full, 'request')} of {VOTES_PER_REQUEST_MAX:,} votes with ids "
        f"{'pushes' if full == 1 else 'push'} all other ids out, but for those in "
        f"shares of tokens. A vote that is tried again for {tried_s:g} s ({TRIES} "
        f"times http.timeout_ms) could count twice meanwhile. {enough:,} is enough for {requests} such requests"
    )
