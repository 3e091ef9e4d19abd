"""Through which proxy a URL is asked: one rule for all HTTP that commands and nodes speak, by the environment.

`http_proxy` holds for http:// and `https_proxy` for https://, both also in capitals. `no_proxy` names what is asked
directly, with commas or spaces between: a host, with all hosts below it (`.example` is only those below); an address; a
network, as 10.0.0.0/8; each with `:port` if it holds for one port; or `*`. Loopback is never asked through a proxy, in
whatever spelling. That is what Go's programs do, so Consul's and NSQ's own. Other variables (`all_proxy`) are not read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from quorate.errors import ConfigError
from quorate.host_port import IpAddress, ip_address, is_loopback, is_wildcard

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url` may hold a password. Printing a proxy shows it without, and with the variable that names it."""

    url: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {_without_password(self.url)} ({self.variable})"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a URL asks: its host in lower case and without brackets, and its port."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> IpAddress | None:
        return ip_address(self.host)

    @property
    def is_here(self) -> bool:
        return is_loopback(self.host) or is_wildcard(self.host)


def proxy_for(url: str, env: Mapping[str, str]) -> Proxy | None:
    """None: the URL is asked directly. Raises `ConfigError` if the environment names a proxy that cannot be used."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None  # it is no URL, which whoever asks it finds out
    asked = _Asked(parts.scheme, host, port or PORTS.get(parts.scheme, 0))
    found = _proxy_variable(asked.scheme, env)
    if found is None or asked.is_here or _is_excepted(asked, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    return _checked(found, host)


def _proxy_variable(scheme: str, env: Mapping[str, str]) -> Proxy | None:
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper()]
    if scheme == "http" and "REQUEST_METHOD" in env:
        names.pop()  # in a CGI program, HTTP_PROXY is what a request's Proxy header says (httpoxy)
    return next((Proxy(value, name) for name in names if (value := env.get(name, "").strip())), None)


def _checked(proxy: Proxy, host: str) -> Proxy:
    url = proxy.url if "://" in proxy.url else f"http://{proxy.url}"
    way_out = f"to ask {host} without a proxy, add it to NO_PROXY"
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port is not False  # reading a port that is none raises
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{proxy.variable} is no proxy's URL; give one as http://proxy:3128, or {way_out}")
    if parts.scheme != "http":
        shown = _without_password(url)
        raise ConfigError(f"{proxy.variable} is {shown}, and only proxies by http:// can be used; {way_out}")
    return Proxy(url, proxy.variable)


def _without_password(url: str) -> str:
    before, at, host = url.rpartition("@")
    return f"{before.partition('://')[0]}://…@{host}" if at else url


def _is_excepted(asked: _Asked, no_proxy: str) -> bool:
    return any(_names(item, asked) for item in _items(no_proxy))


def _items(no_proxy: str) -> Iterator[str]:
    yield from no_proxy.lower().replace(",", " ").split()


def _names(item: str, asked: _Asked) -> bool:
    """Whether this item of NO_PROXY names what is asked."""
    if item == "*":
        return True
    host, port = _without_port(item)
    if port is not None and port != asked.port:
        return False
    address = asked.address
    if address is not None:
        try:
            return address == ip_address(host) or address in ipaddress.ip_network(host, strict=False)
        except ValueError:
            return False
    host = host.rstrip(".")
    below = host.removeprefix("*")
    return asked.host == host or asked.host.endswith(below if below.startswith(".") else f".{below}")


def _without_port(item: str) -> tuple[str, int | None]:
    """An IPv6 address has brackets if a port follows."""
    host, colon, port = item.rpartition(":")
    if colon and port.isdigit() and (host.endswith("]") or ":" not in host):
        return host.strip("[]"), int(port)
    return item.strip("[]"), None
