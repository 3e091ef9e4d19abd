"""host:port, read strictly. An error says in words what is wrong."""

from __future__ import annotations

import ipaddress
import re
import socket

from quorate import shown

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_NUMERIC = re.compile(r"[\dx.a-f]*\d[\dx.a-f]*", re.ASCII)
_HOST = re.compile(r"[\w.:%-]+|\*")  # a name may be of any language, and an IPv6 address may name its interface
TEXT_MAX = 300  # DNS allows a name 253 characters
_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"}


def read_host_port(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; a v6 host comes without brackets. Raises `ValueError` in words."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{_shown(text)}: put an IPv6 address in brackets, as [::1]:9001")
    if not colon or len(text) > TEXT_MAX or not _HOST.fullmatch(host):
        raise ValueError(f"{_shown(text)} is not host:port, as 127.0.0.1:9001")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"{_shown(text)}: the port must be a number from 0 to 65535")
    return host, int(port)


def _shown(text: str) -> str:
    return repr(shown.name(shown.without_password(text)))


def ip_address(host: str) -> IpAddress | None:
    """The address, in whatever spelling a socket takes it: 127.1 and ::ffff:127.0.0.1 are 127.0.0.1. None: a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _short_ipv4(host.lower())
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _short_ipv4(host: str) -> ipaddress.IPv4Address | None:
    if not _NUMERIC.fullmatch(host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def is_wildcard(host: str) -> bool:
    """Whether it stands for every address of a host, as 0.0.0.0: others cannot reach a node by it."""
    address = ip_address(host)
    return address is not None and address.is_unspecified


def is_loopback(host: str) -> bool:
    """Whether only this host can reach it. Of names, those that mean loopback everywhere: another may mean any host."""
    address = ip_address(host)
    if address is not None:
        return address.is_loopback
    name = host.lower().rstrip(".")
    return name in _LOOPBACK_NAMES or name.endswith(".localhost")


def is_url(text: str) -> bool:
    """Whether it is a plain URL of HTTP, by which others may be asked: with a host, and without a user or blanks."""
    scheme, _, rest = text.partition("://")
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    try:
        read_host_port(place if re.search(r":\d+\Z", place) else f"{place}:80")
    except ValueError:
        return False
    return scheme in ("http", "https") and len(text) <= TEXT_MAX and text.isprintable() and " " not in text


def why_unreachable(text: str) -> str | None:
    """Why others cannot reach a node at this address, whatever runs there; None if they may."""
    try:
        host, port = read_host_port(text)
    except ValueError as error:
        return str(error)
    if port == 0 or host == "*" or is_wildcard(host):
        return f"{text} is no address that others can reach; give its host and port"
    return None
