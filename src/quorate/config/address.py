"""host:port, several of them, and the list of peers. All are read strictly; an error says in words what is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from quorate.errors import ConfigError
from quorate.host_port import ip_address, is_loopback, is_wildcard, read_host_port
from quorate.shown import name as shown_name
from quorate.shown import without_password
from quorate.words import NAME


class Address(NamedTuple):
    """An IPv6 host is without brackets here, as sockets want it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def is_wildcard(self) -> bool:
        return is_wildcard(self.host)

    @property
    def is_name(self) -> bool:
        return ip_address(self.host) is None

    @property
    def dialled_here(self) -> Address:
        """The address by which this host reaches itself, if it listens at this one."""
        return Address("127.0.0.1", self.port) if self.is_wildcard else self


def parse_address(text: str) -> Address:
    """Read `host:port` or `[v6]:port`. A numeric host gets its usual spelling. Raises `ConfigError`."""
    try:
        host, port = read_host_port(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if host == "*":
        wrong = shown_name(text)
        raise ConfigError(f"{wrong!r}: for all addresses give [::]:{port}, or 0.0.0.0:{port} for those of IPv4")
    return Address(str(ip_address(host) or host), port)


def parse_addresses(text: str) -> list[Address]:
    """Read one or several addresses, separated by commas. Raises `ConfigError`; there is at least one."""
    return [parse_address(each) for each in (item.strip() for item in text.split(",")) if each] or [parse_address(text)]


def why_no_url(text: str, schemes: Collection[str], example: str) -> str:
    """What is wrong with a URL of a server, which has a host, and no name or password in it. "" if it is right."""
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in schemes and parts.hostname and (parts.port or 1)
        if is_right and not parts.username and not parts.password:
            return ""
    except ValueError:  # a port that is none, half an IPv6 address
        pass
    return f"{shown_name(without_password(text))!r} is no URL such as {example}, without a name or password"


def told_address(listen: Sequence[Address]) -> Address:
    """Of the addresses to listen on, the one that others are told: one that other hosts can reach, if there is any."""
    named = [address for address in listen if not address.is_wildcard]
    wildcards = [address for address in listen if address.is_wildcard]
    return next(iter([*(a for a in named if not a.is_loopback), *wildcards, *named]))


def parse_peers(peers: list[str]) -> dict[str, Address]:
    """Read items of `id=host:port`. Raises `ConfigError` for the first that is wrong or given twice."""
    members: dict[str, Address] = {}
    for peer in peers:
        id, equals, text = peer.partition("=")
        if not equals or not id:
            raise ConfigError(f"{shown_name(without_password(peer))!r} is not id=host:port, as n1=127.0.0.1:9001")
        if not re.fullmatch(NAME, id):
            raise ConfigError(
                f"{shown_name(id)!r} is no name of a node (letters, digits, '.', '_' and '-', at most 64)"
            )
        address = parse_address(text)
        if id in members:
            raise ConfigError(f"two nodes have the id {id}: {members[id]} and {address}; each needs its own")
        for other, taken in members.items():
            if taken == address:
                raise ConfigError(f"{other} and {id} have the same address {address}; each needs its own")
        members[id] = address
    return members
