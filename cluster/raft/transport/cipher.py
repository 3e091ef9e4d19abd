"""What makes a link private: both ends prove that they hold the cluster's key, and every frame is sealed.

Each side sends a fresh 32-byte nonce; HKDF-SHA256 (RFC 5869) over the shared key and both nonces gives a key for each
direction, and frames are sealed with ChaCha20-Poly1305 (RFC 8439) under a counter. So a recording proves nothing on
another connection, a frame cannot be repeated, dropped, reordered or changed within one, and who does not hold the key
fails at the first frame. There is no forward secrecy, and a holder of the key may claim to be any node: for a key of
each node's own use TLS underneath. The primitives are the `cryptography` package's.
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
    """A frame that was not sealed with this link's key, at this place."""


class Plain:
    """No key: what goes out is what came in. For links that cannot leave the machine."""

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        return data


class Sealed:
    """One end of a link. `theirs` and `ours` are used in the order frames are sent, each with its own counter."""

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
