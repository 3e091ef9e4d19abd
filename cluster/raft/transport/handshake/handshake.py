"""The handshake of one connection, as rules without input and output: whom the other end claims to be, and its proof.

Both ends send a hello, which is not sealed. From the two hellos each end makes the cipher. Then the end that dialled
introduces itself, and only when the other end could open that, it introduces itself too: whoever just dials is shown
nothing that was sealed, so nothing to try keys on. (A node of 0.1.0 shows it at once.) With two keys, the end that was
dialled takes the one that opens the first frame. All that is asked of a peer before it may speak is asked here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from quorate.cluster.raft.line_limit import LineLimit
from quorate.cluster.raft.transport.handshake.cipher import BadFrame, Plain, Sealed, agree
from quorate.cluster.raft.transport.handshake.hello import NO_NONCE, new_hello, read_hello
from quorate.cluster.raft.transport.handshake.introduction import Introduction, read_introduction
from quorate.cluster.raft.transport.link_reasons import OTHER_KEY

NOTHING_BYTES = 64
INTRODUCTIONS_AT_ONCE, INTRODUCTION_EVERY_S = 20, 1.0  # nodes that tell the truth have news once a second at the most


class WrongKey(BadFrame):
    """The other end's first frame was sealed with another key."""


def nothing() -> bytes:
    """A frame that no key opens: it tells the other end that its key is another one, and shows nothing of ours."""
    return os.urandom(NOTHING_BYTES)


class Handshake:
    """One end's part of it. The methods raise `BadFrame`, or one of `MALFORMED`, with the reason to end it."""

    def __init__(self, node_id: str, keys: Sequence[bytes], *, dialled: bool, tls_only: bool = False) -> None:
        self._keys, self._dialled, self._tls_only = tuple(keys), dialled, tls_only
        self.our_hello = new_hello(node_id, keyed=bool(keys), tls_only=tls_only)
        self._ciphers: list[Plain | Sealed] = []  # one a key
        self._introductions = LineLimit(INTRODUCTIONS_AT_ONCE, INTRODUCTION_EVERY_S)
        self.cipher: Plain | Sealed | None = None  # None until the other end's hello was read
        self.claimed_id = ""  # the node id that the other end claims, before it is proved: for log lines

    @property
    def is_sealed(self) -> bool:
        return isinstance(self.cipher, Sealed)

    def on_hello(self, frame: bytes) -> str:
        """Read the other end's hello, and agree on the cipher. Returns the node id that it claims."""
        hello = read_hello(frame)
        self.claimed_id = hello.node_id[:128]
        if (problem := hello.problem(keyed=bool(self._keys), tls_only=self._tls_only)) is not None:
            raise BadFrame(problem)
        if frame == self.our_hello:
            raise BadFrame(NO_NONCE)
        self._ciphers = [
            agree(key, dialled=self._dialled, ours=self.our_hello, theirs=frame) for key in self._keys or (None,)
        ]
        self.cipher = self._ciphers[0]
        return hello.node_id

    def open_unproved(self, frame: bytes) -> bytes:
        """Open a frame of an end that has not introduced itself yet, so its first one shows whether it has the key."""
        for cipher in self._ciphers:
            try:
                opened = cipher.open(frame)
            except BadFrame:
                continue
            self.cipher, self._ciphers = cipher, [cipher]
            return opened
        raise WrongKey(OTHER_KEY)

    def on_introduction(self, message: bytes, now_s: float) -> Introduction:
        """The first one, or a later one because something in it has changed."""
        if self._introductions.allow(now_s) is None:
            raise BadFrame("it introduces itself again and again")
        introduction = read_introduction(message)
        if introduction.node_id != self.claimed_id:
            raise BadFrame(f"it said {self.claimed_id!r} first and {introduction.node_id!r} then")
        return introduction
