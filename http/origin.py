"""Which web pages may make changes through a browser: this node's own, under each of its names, and no other."""

from __future__ import annotations

import re
from collections.abc import Collection

from quorate.errors import Forbidden

PORT = re.compile(r":\d+$", re.ASCII)


def check_origin(origin: str | None, host: str | None, hosts: Collection[str]) -> None:
    """Refuse a change that a page of another site makes through a browser, since nodes do not check who asks.

    A browser sends the Origin header with every request to another site except GET and HEAD (Fetch standard). Other
    clients do not send it. A page of this node comes from the host that is asked, or, where a proxy asks in its own
    name, from one of `hosts` (`http.hosts`), which are in lower case, each with its port or for every port.
    """
    if origin is None:
        return
    site = origin.partition("://")[2]
    name = site.lower()
    if site == host or (name and (name in hosts or PORT.sub("", name) in hosts)):
        return
    proxy = (
        ". If it is this node's own page behind a proxy, have the proxy pass the Host header on "
        f"(nginx: proxy_set_header Host $http_host), or add {site[:100]!r} to http.hosts"
    )
    raise Forbidden(f"a page of {origin[:100]!r} cannot make changes at {(host or '')[:100]!r}{proxy if site else ''}")
