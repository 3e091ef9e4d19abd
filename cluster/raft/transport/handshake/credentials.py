"""With what a node proves to its peers who it is: mutual TLS, a key that all nodes share, or nothing.

A node may have several ways: TLS and a key while its cluster goes over from the key to TLS, and two keys while the key
is exchanged. It dials with the first, and if the other end does not know that one, with the next at the next time. It
accepts all. So nodes change one after the other, without a stop; see docs/links.md.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Protocol


class LinkTls(Protocol):
    """The contexts of now: they change when the files do."""

    @property
    def server(self) -> ssl.SSLContext: ...

    @property
    def client(self) -> ssl.SSLContext: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    keys: tuple[bytes, ...] = ()  # each is accepted
    tls: LinkTls | None = None

    @property
    def ways(self) -> int:
        """How many ways there are to dial."""
        return max(1, len(self.keys) + (self.tls is not None))

    def to_dial(self, turn: int) -> tuple[ssl.SSLContext | None, tuple[bytes, ...]]:
        """The way whose turn it is: TLS, or one key, or none."""
        at = turn % self.ways
        if self.tls is not None and at == 0:
            return self.tls.client, ()
        at -= self.tls is not None
        return None, self.keys[at : at + 1]


def shared_key(*keys: bytes | None) -> Credentials:
    """Credentials of these keys, without those that are not there."""
    return Credentials(tuple(key for key in keys if key))
