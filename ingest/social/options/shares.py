"""Which of several readers looks for an option, where one connection's limits do not hold them all."""

from __future__ import annotations

import hashlib

from quorate.vote import normal_form


def share_of(option: str, shares: int) -> int:
    """0 to `shares` - 1: the same for an option on every machine, with every version."""
    digest = hashlib.blake2b(normal_form(option).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shares
