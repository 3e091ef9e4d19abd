"""What a page of another node may read here: when its own node dies, it goes on at this one (CORS, Fetch standard).

`Origins` says which pages these are: those that may ask for changes as well. A browser shows an answer to a page of
another site only if the answer names that page, and asks first, without a token, whether it may send what we need.
"""

from __future__ import annotations

from typing import Any

from quorate.http.reply import TEXT, Headers, Reply

PAGE = "quorate.page"  # the scope's key for the headers that let a page of another node read the answer

METHODS = b"GET, POST, PUT, PATCH, DELETE"
SENT = b"Authorization, Content-Type, Last-Event-ID"
READ = b"X-Quorate-Node, X-Quorate-Leader, X-Quorate-Version, Retry-After"
KEPT_S = b"600"  # so long a browser need not ask again


def readable_by(origin: bytes) -> Headers:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", READ),
        (b"vary", b"Origin"),
    ]


def answer_beforehand(scope: dict[str, Any]) -> Reply | None:
    """The answer if a browser asks whether a page may ask. It says nothing but what `Origins` has let pass already."""
    if scope["method"] != "OPTIONS" or not any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    ):
        return None
    more = (
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", SENT),
        (b"access-control-max-age", KEPT_S),
    )
    return Reply(200, b"", TEXT, more=more)
