"""host:port, read strictly. An error says in words what is wrong."""

from __future__ import annotations

import ipaddress


def read_host_port(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; a v6 host comes without brackets. Raises `ValueError` in words."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: put an IPv6 address in brackets, as [::1]:9001")
    if not colon or not host or any(c.isspace() or c in "/@" for c in host):
        raise ValueError(f"{text!r} is not host:port, as 127.0.0.1:9001")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"{text!r}: the port must be a number from 0 to 65535")
    return host, int(port)


def is_wildcard(host: str) -> bool:
    """Whether it stands for every address of a host, as 0.0.0.0: others cannot reach a node by it."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def why_unreachable(text: str) -> str | None:
    """Why others cannot reach a node at this address, whatever runs there; None if they may."""
    try:
        host, port = read_host_port(text)
    except ValueError as error:
        return str(error)
    if port == 0 or is_wildcard(host):
        return f"{text} is no address that others can reach; give its host and port"
    return None
