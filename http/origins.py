"""By which names this node may be asked, and which web pages may ask it: its own pages under its own names.

It is asked once a request, before any door and before a body is read (that of a small vote has come by then). Host
says by which name the node is asked. A page of another site can have its own name lead to this node (DNS rebinding),
and a browser takes the node for that page's own site then, so a name must be one of ours: that of a member's
`http.advertise`, or one of `http.hosts`. Addresses and localhost are no names that a stranger could lead here, so they
pass.

Origin says of which site a page is whose script asks. Browsers send it with each change and each read from another
site (Fetch standard); other clients do not send it. A page of ours comes from the host that is asked, from where a
member is advertised, or, behind a proxy that asks in its own name, from one of `http.hosts`. An address alone is no
proof here: anybody can have a page at an address.

What a page takes in as an image, a script or a frame is asked without Origin. The page cannot read it, but it learns
whether there was something, and an open stream or a read that waits is held for it. Browsers say of such a request
where it comes from (Fetch Metadata), where they trust the connection: over HTTPS, and to this host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from quorate.errors import Forbidden, Invalid, Misdirected
from quorate.site import Site, read_name, read_site, site_of_origin, site_of_url

ELSEWHERE = (b"cross-site", b"same-site")  # values of Sec-Fetch-Site; a site includes all ports of its host
PASSED_MAX = 1_024
SHOWN = 100  # characters of what a request says that a refusal repeats


def _no_urls() -> Iterable[str]:
    return ()


def hosts_in_line(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A further Host header if the request line names another host than Host does: then the request has two.

    RFC 9112, 3.2.2: the line outranks the header. No client of ours sends such a line.
    """
    authority = target.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
    given = [value for name, value in headers if name == b"host"]
    return [(b"host", authority)] if authority and any(one.lower() != authority.lower() for one in given) else []


def _check_no_part_of_a_page(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises `Forbidden` unless a link of another site was followed: then the answer is a page of its own."""
    told = dict(headers)
    if (told.get(b"sec-fetch-mode"), told.get(b"sec-fetch-dest")) != (b"navigate", b"document"):
        raise Forbidden("a page of another site may link to this node, and take nothing from it")


class Origins:
    """Used on the node's loop. `hosts` is `http.hosts`; `advertised` gives the members' URLs as they are known now.

    `scheme` is "https" if this node speaks TLS. Else it may be either, since a proxy may speak TLS for it.
    """

    def __init__(
        self,
        hosts: Iterable[str] = (),
        advertised: Callable[[], Iterable[str]] = _no_urls,
        scheme: Literal["http", "https"] = "http",
    ) -> None:
        self._default_ports = (443,) if scheme == "https" else (80, 443)  # that a Host without a port may mean
        named = [site for site in map(read_name, hosts) if site is not None]
        self._at_any_port = {site.name for site in named if site.port is None}
        self._at_one_port = {(site.name, site.port) for site in named if site.port is not None}
        self._advertised = advertised
        self._urls: tuple[str, ...] = ()
        self._members: set[tuple[str, int | None]] = set()  # names and ports where members are advertised
        self._member_names: set[str] = set()
        self.passed: set[bytes] = set()  # hosts that need no second look: most requests have one of few

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """The Origin of a page that may ask and comes from elsewhere, as another node's; None of all other requests.

        Raises `Misdirected` for a foreign Host, `Forbidden` for a foreign page, `Invalid` where one is unclear.
        """
        host = origin = fetch_site = None
        for name, value in headers:
            if name == b"host":
                if host is not None:
                    raise Invalid("Host is given twice; give it once")
                host = value
            elif name == b"origin":
                if origin is not None:
                    raise Invalid("Origin is given twice; give it once")
                origin = value
            elif name == b"sec-fetch-site":
                fetch_site = value
        if host not in self.passed:
            self._check_host(host)
        if host is not None and origin is not None:
            site = self._check_origin(origin.decode("latin-1"), host.decode("latin-1"))
            return None if self._is_asked(site, host.decode("latin-1")) else origin
        if fetch_site in ELSEWHERE:
            _check_no_part_of_a_page(headers)
        return None

    def refresh(self) -> None:
        """Look again where the members are. The server does it once a second, and a name that is not known does it."""
        urls = tuple(self._advertised())
        if urls == self._urls:
            return
        self._urls = urls
        sites = [site for site in map(site_of_url, urls) if site is not None]
        self._members = {(site.here, site.port) for site in sites}
        self._member_names = {site.name for site in sites}
        self.passed.clear()

    # ---- Host -------------------------------------------------------------------------------------------------------

    def _check_host(self, host: bytes | None) -> None:
        if host is None:
            raise Invalid("the request has no Host header; send the name or the address that it asks (RFC 9112, 3.2)")
        text = host.decode("latin-1")
        site = read_site(text)
        if site is None:
            raise Invalid(f"Host is {text[:SHOWN]!r}; give a name or an address, with a port or without")
        if not self._is_ours(site):
            self.refresh()
            if not self._is_ours(site):
                raise Misdirected(
                    f"this node is not known as {site.name[:SHOWN]!r}: ask it by its address, or by a name in "
                    f"http.advertise of a member. If the name is right, add {site.name[:SHOWN]!r} to http.hosts"
                )
        if len(self.passed) >= PASSED_MAX:
            self.passed.clear()
        self.passed.add(host)

    def _is_ours(self, site: Site) -> bool:
        if site.leads_here or site.name in self._member_names:
            return True
        return any(self._is_named(site.name, port) for port in self._ports_of(site))

    def _is_named(self, name: str, port: int | None) -> bool:
        return name in self._at_any_port or (name, port) in self._at_one_port

    # ---- Origin -----------------------------------------------------------------------------------------------------

    def _check_origin(self, origin: str, host: str) -> Site:
        site = site_of_origin(origin)
        if site is not None:
            if self._may_ask(site, host):
                return site
            self.refresh()
            if self._may_ask(site, host):
                return site
        shown = origin.partition("://")[2][:SHOWN]
        advice = (
            ". If it is this node's own page behind a proxy, have the proxy pass the Host header on "
            f"(nginx: proxy_set_header Host $http_host), or add {shown!r} to http.hosts"
        )
        raise Forbidden(f"a page of {origin[:SHOWN]!r} may not ask {host[:SHOWN]!r}{advice if site else ''}")

    def _is_asked(self, site: Site, host: str) -> bool:
        asked = read_site(host)
        return asked is not None and asked.name == site.name and site.port in self._ports_of(asked)

    def _may_ask(self, site: Site, host: str) -> bool:
        return (
            self._is_asked(site, host)
            or (site.here, site.port) in self._members
            or self._is_named(site.name, site.port)
        )

    def _ports_of(self, asked: Site) -> tuple[int, ...]:
        return self._default_ports if asked.port is None else (asked.port,)
