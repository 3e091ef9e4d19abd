"""The handshake of one connection, as rules without input and output: whom the other end claims to be, and its proof.

Both ends send a hello, which is not sealed. From the two hellos each end makes the cipher. Then both introduce
themselves, and an end that can open the other's introduction has the proof that the other end has the key. All that is
asked of a peer before it may speak is asked here.
"""

from __future__ import annotations

from quorate.cluster.raft.transport.handshake.cipher import BadFrame, Plain, Sealed, agree
from quorate.cluster.raft.transport.handshake.hello import NO_NONCE, new_hello, read_hello
from quorate.cluster.raft.transport.handshake.introduction import Introduction, read_introduction
from quorate.cluster.raft.transport.link_reasons import OTHER_KEY


class Handshake:
    """One end's part of it. The methods raise `BadFrame`, or one of `MALFORMED`, with the reason to end it."""

    def __init__(self, node_id: str, key: bytes | None, *, dialled: bool) -> None:
        self._key, self._dialled = key, dialled
        self.our_hello = new_hello(node_id, keyed=key is not None)
        self.cipher: Plain | Sealed | None = None  # None until the other end's hello was read
        self.claimed_id = ""  # the node id that the other end claims, before it is proved: for log lines

    @property
    def is_sealed(self) -> bool:
        return isinstance(self.cipher, Sealed)

    def on_hello(self, frame: bytes) -> str:
        """Read the other end's hello, and agree on the cipher. Returns the node id that it claims."""
        hello = read_hello(frame)
        self.claimed_id = hello.node_id[:128]
        if (problem := hello.problem(keyed=self._key is not None)) is not None:
            raise BadFrame(problem)
        if frame == self.our_hello:
            raise BadFrame(NO_NONCE)
        self.cipher = agree(self._key, dialled=self._dialled, ours=self.our_hello, theirs=frame)
        return hello.node_id

    def open_unproved(self, frame: bytes) -> bytes:
        """Open a frame of an end that has not introduced itself yet, so its first one shows whether it has the key."""
        assert self.cipher is not None
        try:
            return self.cipher.open(frame)
        except BadFrame:
            raise BadFrame(OTHER_KEY) from None

    def on_introduction(self, message: bytes) -> Introduction:
        introduction = read_introduction(message)
        if introduction.node_id != self.claimed_id:
            raise BadFrame(f"it said {self.claimed_id!r} first and {introduction.node_id!r} then")
        return introduction
