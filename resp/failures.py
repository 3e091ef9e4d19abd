"""From the errors of this product to those of Redis' protocol, by their first word.

Clients look at that word. LOADING makes most of them come back in a moment, as does TRYAGAIN or CLUSTERDOWN where they
speak to a cluster. An error that leaves the outcome open has no word here: whatever one answered, some client would
read it as "not done". The connection is closed instead, and a client that tries again counts once all the same.
"""

from __future__ import annotations

from quorate.errors import (
    Deleted,
    Forbidden,
    NoLeader,
    NotReady,
    Overloaded,
    OverRate,
    PollClosed,
    QuorateError,
    Stale,
    TooLarge,
    Unauthorized,
    UnknownPoll,
)
from quorate.resp.encoding import Failure

CODES: tuple[tuple[type[QuorateError], str], ...] = (
    (NoLeader, "CLUSTERDOWN"),
    (Overloaded, "TRYAGAIN"),
    (OverRate, "TRYAGAIN"),
    (Stale, "TRYAGAIN"),
    (NotReady, "LOADING"),
    (Unauthorized, "NOAUTH"),
    (Forbidden, "NOPERM"),
    (TooLarge, "TOOLARGE"),
    (UnknownPoll, "NOPOLL"),
    (PollClosed, "CLOSED"),
    (Deleted, "DELETED"),
)


def failure_of(error: QuorateError) -> Failure:
    """Of an error that is definite."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), "ERR")
    words = error.detail
    if isinstance(error, Unauthorized):
        words = f"Authentication required: {_how(error)}"
    return Failure(code, words)


def _how(error: Unauthorized) -> str:
    if error.fields.get("token") == "unknown":
        return "the token that this connection gave is not known any more; AUTH with another one"
    needed = error.fields.get("needed")
    return f"AUTH with a token{f' of the role {needed}' if needed else ''} (quorate token new)"
