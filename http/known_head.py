"""The head of a request for votes that came before: a client sends the same head each time, and another body.

What was found out about these bytes is kept: that they are a whole head, of what headers, and how long the body is.
Who asks, and whether by a name of this node, is looked at each time.
"""

from __future__ import annotations

from quorate.http.reply import Headers

END = b"\r\n\r\n"
HEAD_BYTES_MAX = 1_024  # an idle connection holds it


class KnownHead:
    __slots__ = ("_head", "headers", "size")

    def __init__(self, head: bytes, headers: Headers, body_bytes: int) -> None:
        self._head, self.headers = head, headers
        self.size = len(head) + body_bytes

    def body_of(self, data: bytes) -> bytes | None:
        """The body of a request that has this head, and is all that came; None: it is something else."""
        if len(data) != self.size or not data.startswith(self._head):
            return None
        return data[len(self._head) :]


def known_head(data: bytes, headers: Headers, body_bytes: int) -> KnownHead | None:
    """Of a request that was complete with these bytes. None: more came with it, or the head is long."""
    head_bytes = data.find(END) + len(END)
    if head_bytes > HEAD_BYTES_MAX or head_bytes + body_bytes != len(data):
        return None
    return KnownHead(data[:head_bytes], headers, body_bytes)
