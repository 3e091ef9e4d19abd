"""Makes a request that offers another protocol one that does not.

llhttp ends a request at the end of its headers if they offer an upgrade, because a server that takes the offer reads
another protocol from there. This server takes none, so the body that follows belongs to the request (RFC 9110, 7.8).
`connection.py` has such a head parsed once more, as `without_offer` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable


def without_offer(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The head of the request without its Upgrade headers. None if its parts could be read in another way than before.

    CONNECT asks for a tunnel and not for an answer: what follows it is no request of ours.
    """
    if method == b"CONNECT":
        return None
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if b"\n" in value or b"\r" in value:
            return None
        if name != b"upgrade":
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])
