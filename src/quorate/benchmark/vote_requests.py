"""Makes requests of votes with ids: from a number to the bytes of an HTTP request, in about a microsecond.

Numbers have a fixed width, so the length of a request never changes and its head is made once for each node.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

DIGITS = 12
MARK = b"@" * DIGITS
encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class BenchTarget:
    """A node, and where it answers. `path` stands before each path of the API. `token` is sent with every request."""

    url: str
    host: str
    port: int
    tls: bool
    path: str = ""
    token: str | None = None

    @classmethod
    def of(cls, url: str, token: str | None) -> BenchTarget:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(url, parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"), token)


class VoteRequests:
    """Votes for one option of one poll. Each vote has an id that no other vote has."""

    def __init__(self, poll: str, option: str, votes: int) -> None:
        self.votes = votes
        if votes == 1:
            body = encode(_vote(poll, option, MARK.decode()))
        else:
            body = encode([_vote(poll, option, f"{MARK.decode()}.{place}") for place in range(votes)])
        self._body = body

    def head(self, target: BenchTarget) -> bytes:
        """What stands before the body, the same for all requests to this node."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"POST {target.path}/votes HTTP/1.1", f"Host: {host}:{target.port}", "Content-Type: application/json"]
        if target.token is not None:
            lines.append(f"Authorization: Bearer {target.token}")
        return "\r\n".join([*lines, f"Content-Length: {len(self._body)}", "", ""]).encode()

    def body(self, number: int) -> bytes:
        return self._body.replace(MARK, b"%012d" % number)


def _vote(poll: str, option: str, id: str) -> dict[str, str]:
    return {"option": option, "id": f"{poll}.{id}", "poll": poll}
