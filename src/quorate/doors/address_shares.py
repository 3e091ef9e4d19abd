"""What one address may hold of something that all clients share: so that one host cannot take all of it.

Clients of this host itself, and all where a proxy asks for others (`http.hosts`), come from one address and may hold
everything. A host has a whole /64 of IPv6 addresses, so these count as one.
"""

from __future__ import annotations

import ipaddress


def share_key(host: str) -> str:
    """The address that a client's host counts as; "" for a client of this host itself, which has no bound."""
    if ":" not in host:
        return "" if host.startswith("127.") else host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return share_key(str(address.ipv4_mapped))
    return "" if address.is_loopback else str(ipaddress.IPv6Network((address, 64), strict=False))


class AddressShares:
    """How many of `total` each address holds. `percent` is what one may have; 100: no bound."""

    def __init__(self, total: int, percent: int) -> None:
        self.most = max(1, total * percent // 100)
        self._bounded = percent < 100
        self._held: dict[str, int] = {}  # by address; clients of this host are not counted

    def take(self, key: str) -> None:
        if key and self._bounded:
            self._held[key] = self._held.get(key, 0) + 1

    def give_back(self, key: str) -> None:
        if (left := self._held.get(key, 0) - 1) > 0:
            self._held[key] = left
        else:
            self._held.pop(key, None)

    def is_over(self, key: str) -> bool:
        return self._held.get(key, 0) > self.most

    def is_full(self, key: str) -> bool:
        return self._held.get(key, 0) >= self.most
