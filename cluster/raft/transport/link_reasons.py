"""Why there is no connection to a peer: what this node has against it, or it against this node, in words.

Whoever claims to be a peer without having proved it makes a reason as well. So a reason says why connections fail, and
nothing about the peer itself.
"""

from __future__ import annotations

from collections.abc import Sequence

OTHER_KEY = "its raft.key is another one than this node's: give every node the same one"
ENDED_EARLY = "it ended the connection instead of introducing itself: is its raft.key the same one? See its log"
TLS_HERE = "it speaks TLS, and this node has no raft.tls_cert"
FRESH_S = 10.0  # peers dial again twice a second, so an older reason is not true any more


def unreadable(peer: str, node: str, error: Exception) -> str:
    """Both sides read this: the peer is told it, too."""
    return f"{peer} sent what {node} cannot read ({error}): run the same version of Quorate on both, or near ones"


def other_name(claimed: str, names: Sequence[str]) -> str:
    """Both sides read this: the peer is told it, too."""
    return f"it calls itself {claimed}, and its certificate is for {', '.join(names)[:300] or 'nobody'}"


def no_greeting(error: Exception) -> str:
    return f"its first bytes are no greeting that this version of Quorate knows ({error})"


class LinkReasons:
    """Times are those of any clock that only goes forward, in seconds."""

    def __init__(self) -> None:
        self._reasons: dict[str, tuple[str, float]] = {}

    def note(self, peer: str, why: str, now_s: float) -> None:
        self._reasons[peer] = why, now_s

    def forget(self, peer: str) -> None:
        self._reasons.pop(peer, None)

    def why(self, peer: str, now_s: float) -> str:
        """The last reason; "" if there is none that is fresh."""
        why, noted_s = self._reasons.get(peer, ("", float("-inf")))
        return why if now_s - noted_s < FRESH_S else ""
