"""Where a bearer token may go: it is all that a thief needs, so nowhere in the clear but to this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from quorate.errors import ConfigError


def is_private(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_private(url: str) -> None:
    """Raises `ConfigError`."""
    if not is_private(url):
        raise ConfigError(f"{url} would get the credentials in the clear; give its https:// address")
