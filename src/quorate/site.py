"""The host that an HTTP request or a web page names: a name or an address, and perhaps a port. Read strictly."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from quorate.host_port import ip_address, is_loopback

DEFAULT_PORTS = {"http": 80, "https": 443}
LENGTH_MAX = 300

_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
_SITE = re.compile(
    rf"(?:({_LABEL}(?:\.{_LABEL})*)\.?|\[([0-9A-Fa-f:.]+)(?:%[\w.~%-]+)?\])(?::(\d{{1,5}}))?",
    re.ASCII,
)


class Site(NamedTuple):
    """`name` is in lower case and without a last dot; an address is in its usual spelling. `port` may be left out."""

    name: str
    port: int | None
    is_address: bool

    @property
    def here(self) -> str:
        """The name, the same for all that mean this host: localhost, 127.0.0.1 and ::1."""
        return "localhost" if is_loopback(self.name) else self.name

    @property
    def leads_here(self) -> bool:
        """Whether no stranger can have this name lead to another host, and so a page of theirs to this one."""
        return self.is_address or self.name == "localhost"


def read_site(text: str) -> Site | None:
    """Read a name or an address, with a port or without, as a Host header has it (RFC 9112, 3.2). None: malformed."""
    found = _SITE.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if found is None:
        return None
    port = None if found[3] is None else int(found[3])
    if port is not None and port > 65_535:
        return None
    if found[2] is not None:
        try:
            return Site(str(ip_address(str(ipaddress.IPv6Address(found[2])))), port, True)
        except ValueError:
            return None
    address = ip_address(found[1])
    return Site(found[1].lower() if address is None else str(address), port, address is not None)


def read_name(text: str) -> Site | None:
    """As `read_site`, for what people write: a name may have letters that are not ASCII. Requests have it encoded."""
    try:
        return read_site(text if text.isascii() else text.encode("idna").decode())
    except UnicodeError:
        return None


def site_of_origin(text: str) -> Site | None:
    """The site of an Origin header, with its port. None: it is of no site that speaks HTTP, or malformed."""
    scheme, _, rest = text.partition("://")
    return _with_port(read_site(rest), scheme)


def site_of_url(url: str) -> Site | None:
    """The site of an http:// or https:// URL as people write it, with its port. None: it is no such URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return _with_port(read_name(parts.netloc.rpartition("@")[2]), parts.scheme)


def _with_port(site: Site | None, scheme: str) -> Site | None:
    if site is None or scheme not in DEFAULT_PORTS:
        return None
    return site if site.port is not None else site._replace(port=DEFAULT_PORTS[scheme])
