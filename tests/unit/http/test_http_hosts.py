"""By which names a node may be asked. A page of another site that has its own name lead to a node (DNS rebinding) is
refused by the Host header, whatever it asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from quorate.errors import Forbidden
from quorate.http import routes
from quorate.http.api import MemberAddresses
from quorate.http.origins import Origins
from quorate.http.routing import PLACEHOLDER, Route
from tests.support.http_node import MOOD, Node, running

ROUTES = [pytest.param(route, id=route.endpoint) for route in routes.ROUTES]
HOSTS = frozenset({"votes.example", "other.example:8443", "plain.example:80", "[2001:db8::1]", "bücher.example"})


@pytest.fixture(scope="module", params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    members = [
        MemberAddresses("n1", "http://127.0.0.1:8001", "127.0.0.1:9001"),
        MemberAddresses("n2", "https://Second.example:8002/", "127.0.0.1:9002"),
        MemberAddresses("n3", "", "127.0.0.1:9003"),
        MemberAddresses("n4", "http://[half", "127.0.0.1:9003"),
        MemberAddresses("n5", "http://käse.example:8001", "127.0.0.1:9004"),
    ]
    with running(hot=request.param, hosts=HOSTS, members=members) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def raw(node: Node, *lines: bytes, target: bytes = b"/livez", version: bytes = b"1.1") -> bytes:
    """The whole answer to a request with these header lines and no others but one that ends the connection."""
    with node.dial() as sock:
        head = b"GET %b HTTP/%b" % (target, version)
        sock.sendall(b"\r\n".join([head, *lines, b"Connection: close", b"", b""]))
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def asked_by(node: Node, host: str) -> int:
    return status(raw(node, b"Host: " + host.encode("latin-1")))


@pytest.mark.parametrize("route", ROUTES)
def test_no_route_is_asked_by_a_foreign_name_with_its_own_origin(node: Node, route: Route) -> None:
    path = PLACEHOLDER.sub("mood", route.pattern)
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    answer = node.ask(route.method, path, b'{"option": "happy"}', headers)
    assert (421, "misdirected") == (answer.status, answer.json["type"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/nowhere", "//votes", "/"])
def test_what_is_no_route_is_refused_too(node: Node, method: str, path: str) -> None:
    assert 421 == node.ask(method, path, None, {"Host": "evil.example"}).status


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:1", "localhost.:8001", "127.0.0.1", "10.1.2.3:8001", "192.0.2.1.", "127.1", "0x7f.1"),
        *("[::1]", "[::1]:8001", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]:80", "[fe80::1%eth0]"),
        *("second.example", "SECOND.example:8002", "second.example:443", "second.example.:9"),
        *("votes.example", "votes.example:8080", "Votes.Example.", "other.example:8443", "[2001:db8::1]:80"),
        *("plain.example", "plain.example:80", "xn--bcher-kva.example", "xn--kse-qla.example:8001"),
    ],
)
def test_addresses_localhost_and_the_clusters_names_pass(node: Node, host: str) -> None:
    assert 200 == asked_by(node, host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8001", "votes.example.evil.example", "evil-votes.example", "example"),
        *("localhost.evil.example", "evil.localhost", "localhost.localdomain", "127.0.0.1.evil.example", "1.2.3.4.5"),
        *("other.example", "other.example:844", "plain.example:443", "first.example", "127.0.0.1x", "half"),
    ],
)
def test_other_names_are_misdirected(node: Node, host: str) -> None:
    assert 421 == asked_by(node, host)


MALFORMED = [
    *(
        "",
        "a b",
        "a,b",
        "http://localhost",
        "localhost/",
        "u@localhost",
        "localhost:",
        "localhost:x",
        "localhost:65536",
    ),
    *(
        "localhost:80:80",
        "::1",
        "[::1",
        "[::1]x",
        "[localhost]",
        "[127.0.0.1]",
        "[v1.x]",
        "locälhost",
        "-",
        "a..b",
        "..",
    ),
    *(
        "localhost\t:80",
        "local%68ost",
        "*",
        "127.0.0.1:+1",
        "localhost:080000001",
        "[::1%]",
        "[fe80::1%a b]",
        "[::1%é]",
    ),
]


@pytest.mark.parametrize("host", MALFORMED)
def test_a_malformed_host_is_refused(node: Node, host: str) -> None:
    assert 400 == asked_by(node, host)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_request_without_host_is_refused(node: Node, version: bytes) -> None:
    answer = raw(node, version=version)
    assert 400 == status(answer)
    assert b"no Host header" in answer


def test_two_hosts_are_refused_even_alike(node: Node) -> None:
    for other in (b"localhost", b"evil.example", b""):
        answer = raw(node, b"Host: localhost", b"hOST: " + other)
        assert 400 == status(answer)
        assert b"Host is given twice" in answer


def test_two_origins_are_refused_even_alike(node: Node) -> None:
    origin = b"Origin: http://votes.example"
    answer = raw(node, b"Host: votes.example", origin, origin)
    assert 400 == status(answer)
    assert b"Origin is given twice" in answer


def test_a_host_in_the_request_line_counts_too(node: Node) -> None:
    """RFC 9112, 3.2.2: it outranks the header. So both must be the same."""
    assert 200 == status(raw(node, b"Host: localhost:80", target=b"http://LOCALHOST:80/livez"))
    assert 400 == status(raw(node, b"Host: localhost", target=b"http://evil.example/livez"))
    assert 400 == status(raw(node, b"Host: evil.example", target=b"http://localhost/livez"))
    assert 421 == status(raw(node, b"Host: evil.example", target=b"http://evil.example/livez"))
    assert 400 == status(raw(node, target=b"http://localhost/livez"))


def test_a_refusal_says_what_to_do_and_holds_nothing_raw(node: Node) -> None:
    document = node.ask("POST", "/votes", {"option": "happy"}, {"Host": "evil.example:8001"}).json
    assert ("no", True) == (document["retry"], document["definite"])
    assert "'evil.example'" in document["detail"]
    assert "http.hosts" in document["detail"]
    assert "http.advertise" in document["detail"]
    assert 600 > len(node.ask("GET", "/livez", None, {"Host": "e" * 5_000}).json["detail"])


def test_a_refused_body_is_not_waited_for(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(b"POST /votes HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 4000000\r\n\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize(("origin", "expected"), [("http://votes.example", 200), ("http://evil.example", 403)])
def test_reads_check_the_origin_too(node: Node, origin: str, expected: int) -> None:
    for path in ("/livez", "/leader", "/"):
        assert expected == node.ask("GET", path, None, {"Origin": origin}).status


@pytest.mark.parametrize(
    ("scheme", "origin", "may"),
    [
        ("http", "http://localhost", True),
        ("http", "https://localhost", True),
        ("https", "https://localhost", True),
        ("https", "http://localhost", False),
    ],
)
def test_a_node_that_speaks_tls_takes_no_page_that_came_without(
    scheme: Literal["http", "https"], origin: str, may: bool
) -> None:
    """A Host without a port does not tell the scheme, and a page that came in clear may be anybody's."""
    origins = Origins(scheme=scheme)
    with contextlib.nullcontext() if may else pytest.raises(Forbidden):
        origins.check([(b"host", b"localhost"), (b"origin", origin.encode())])


def test_the_names_change_with_the_members() -> None:
    members: list[Any] = [MemberAddresses("n1", "http://a.example:1", "")]
    with running(members=members) as node:
        assert (200, 421) == (asked_by(node, "a.example"), asked_by(node, "b.example"))
        members[:] = [MemberAddresses("n2", "http://b.example:1", "")]
        assert 200 == asked_by(node, "b.example")
        node.call(node.api.origins.refresh)  # the server does it once a second
        assert (421, 200) == (asked_by(node, "a.example"), asked_by(node, "b.example"))


def test_the_server_looks_at_the_members_again_and_again() -> None:
    members: list[Any] = [MemberAddresses("n1", "http://a.example:1", "")]
    with running(members=members) as node:
        assert 200 == asked_by(node, "a.example")
        members.clear()
        node.call(node.server._sweep)
        assert 421 == asked_by(node, "a.example")


def test_what_is_remembered_is_bounded(node: Node) -> None:
    for number in range(3_000):
        node.call(node.api.origins.check, [(b"host", b"127.0.0.1:%d" % number)])
    assert len(node.api.origins.passed) <= 1_024
