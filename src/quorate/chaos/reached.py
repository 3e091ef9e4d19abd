"""The list of situations that a run must have come through: without them, a clean history says little.

Those of `DERIVED` follow from the operations, and the checkers find them in any history. Others are noticed by the run
itself, which writes them into the history. A run asks for some of either kind. If one of these was missed, the verdict
is "inconclusive" where it would have been "clean".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

DERIVED = {
    "duplicate-answer": "a request was sent again and answered as a duplicate",
    "resend-answered-by-another-node": "a request was sent again to another node, which called it a duplicate",
    "resend-answered-by-another-leader": "a request was sent again under another leader and called a duplicate",
    "redis-resend-answered-by-another-leader": "a Redis client's vote was sent again under another leader, and counted",
    "unknown-outcome-had-counted": "a request without an answer turned out to have counted",
    "unknown-outcome-had-not-counted": "a request without an answer turned out not to have counted, and then counted",
    "unknown-outcome-refused-later": "a request without an answer was refused when it was sent again",
    "queued-vote-had-counted": "a vote that was published to a queue had counted when it was sent to a node",
    "vote-refused-as-closed": "a vote was refused because its poll was closed",
    "read-of-an-older-version": "a read was answered by a node that was behind",
    "older-document-in-a-sink": "a sink showed a tally that was older than one known already",
    "resend-beyond-the-dedup-window": "a request counted again because its id had left the dedup window",
    "old-epoch-refused": "a batch of an older epoch was refused after the session was opened again",
    "poll-closed-by-its-time": "a poll closed because its closing time had come",
    "poll-opened-again": "a poll that was closed was opened again",
    "sink-written-by-another-leader": "a sink's document was written under the fence of another term",
}


def missed(asked: Iterable[str], reached: Collection[str]) -> list[str]:
    return [name for name in dict.fromkeys(asked) if name not in reached]
