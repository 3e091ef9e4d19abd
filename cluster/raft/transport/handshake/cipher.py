"""The cipher of a connection: both ends prove that they have the cluster's key, and every frame is sealed.

Each end sends a fresh 32-byte nonce. HKDF-SHA256 (RFC 5869) over the shared key and both nonces gives one key for each
direction. Frames are sealed with ChaCha20-Poly1305 (RFC 8439) and a counter as nonce. So a recorded frame is worth
nothing on another connection; a frame cannot be repeated, dropped, reordered or changed on its own connection; and an
end without the key fails at its first frame. There is no forward secrecy, and any holder of the key can claim to be any
node. For a key of each node's own, use TLS underneath. The primitives come from the `cryptography` package.
"""

from __future__ import annotations

import hashlib
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 32

_counter = struct.Struct(">4xQ")


class BadFrame(Exception):
    """A frame that breaks the protocol, or was not sealed with this connection's key and counter."""


class Plain:
    """The cipher without a key, which changes nothing. For connections that cannot leave the machine."""

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        return data


class Sealed:
    """One end of a sealed connection. `ours` seals, `theirs` opens; each key has its own counter of frames."""

    def __init__(self, ours: bytes, theirs: bytes) -> None:
        self._seal, self._open = ChaCha20Poly1305(ours), ChaCha20Poly1305(theirs)
        self._sent = self._received = 0

    def seal(self, data: bytes) -> bytes:
        sealed = self._seal.encrypt(_counter.pack(self._sent), data, None)
        self._sent += 1
        return sealed

    def open(self, data: bytes) -> bytes:
        try:
            opened = self._open.decrypt(_counter.pack(self._received), data, None)
        except InvalidTag:
            raise BadFrame("the frame was not sealed with this cluster's key") from None
        self._received += 1
        return opened


def agree(key: bytes | None, *, dialled: bool, ours: bytes, theirs: bytes) -> Plain | Sealed:
    """The cipher of one connection. `ours` and `theirs` are the two hellos as sent; each holds a fresh nonce."""
    if key is None:
        return Plain()
    first, second = (ours, theirs) if dialled else (theirs, ours)
    transcript = hashlib.sha256(struct.pack(">I", len(first)) + first + second).digest()
    keys = HKDF(SHA256(), 64, salt=transcript, info=b"quorate link 1").derive(key)
    mine, other = (keys[:32], keys[32:]) if dialled else (keys[32:], keys[:32])
    return Sealed(mine, other)
