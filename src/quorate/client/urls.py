"""The URLs of nodes, as people write them."""

from __future__ import annotations

import re
import urllib.parse

from quorate.errors import Invalid

DEFAULT_NODES = ("http://127.0.0.1:8001", "http://127.0.0.1:8002", "http://127.0.0.1:8003")


def base_url(node: str) -> str:
    """Make a URL of `host:port` or a URL, without a slash at the end. Raises `Invalid`."""
    url = node.strip() if "://" in node else f"http://{node.strip()}"
    try:
        parts = urllib.parse.urlsplit(url)
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in url
    except ValueError:  # its port is no number, or its brackets do not match
        is_url = False
    if not is_url:
        raise Invalid(f"{node!r} is no node's URL; give one as http://127.0.0.1:8001")
    return url.rstrip("/")


def split_urls(text: str) -> list[str]:
    """Several URLs in one text, divided by commas or spaces. Raises `Invalid`."""
    return [base_url(each) for each in re.split(r"[,\s]+", text) if each]
