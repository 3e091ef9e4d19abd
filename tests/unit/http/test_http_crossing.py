"""A page of one node reads what another one answers (CORS): it may be no other page, and it needs a token as before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from quorate.doors.access import Access
from quorate.http.api import MemberAddresses
from tests.support.http_node import MOOD, Node, running

OTHER = "http://10.0.0.2:8001"
SENT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
ALLOWED = "access-control-allow-origin"


@pytest.fixture(params=[True, False], ids=["loop", "Flask"], scope="module")
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    members = [
        MemberAddresses("n1", "http://127.0.0.1:8001", ""),
        MemberAddresses("n2", OTHER, ""),
        MemberAddresses("n3", "https://third.example", ""),
        MemberAddresses("n4", "http://[2001:db8::1]:8001", ""),
        MemberAddresses("n5", "", ""),
    ]
    with running(hot=request.param, members=members) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nodes", 200),
        ("GET", "/polls/mood", 200),
        ("GET", "/polls/mood/results", 200),
        ("GET", "/polls/nope", 404),
        ("GET", "/readyz", 200),
        ("GET", "/none", 404),
        ("POST", "/votes", 400),
        ("PUT", "/nodes", 405),
    ],
)
def test_a_page_of_another_member_may_read_every_answer(node: Node, method: str, path: str, status: int) -> None:
    answer = node.ask(method, path, headers={"Origin": OTHER})
    assert (status, OTHER, "Origin") == (answer.status, answer.headers[ALLOWED], answer.headers["vary"])
    assert "X-Quorate-Node" in answer.headers["access-control-expose-headers"]


def test_it_may_follow_events() -> None:
    with running(members=[MemberAddresses("n2", OTHER, "")]) as node, contextlib.closing(node.dial()) as sock:
        sock.sendall(f"GET /events HTTP/1.1\r\nHost: localhost:{node.port}\r\nOrigin: {OTHER}\r\n\r\n".encode())
        assert f"{ALLOWED}: {OTHER}".encode() in sock.recv(65_536)


@pytest.mark.parametrize("path", ["/votes", "/polls/mood", "/polls/mood/results", "/nodes", "/events", "/none"])
def test_a_browser_that_asks_first_is_told_what_may_be_sent(node: Node, path: str) -> None:
    answer = node.ask("OPTIONS", path, headers={"Origin": OTHER, **SENT})
    assert (200, OTHER, b"") == (answer.status, answer.headers[ALLOWED], answer.body)
    assert {"Authorization", "Content-Type", "Last-Event-ID"} <= set(
        answer.headers["access-control-allow-headers"].split(", ")
    )
    assert "PATCH" in answer.headers["access-control-allow-methods"]


def test_it_asks_first_without_a_token_and_needs_one_then() -> None:
    members = [MemberAddresses("n2", OTHER, "")]
    with running(access=lambda: Access(anonymous="public"), members=members) as closed:
        assert 200 == closed.ask("OPTIONS", "/votes", headers={"Origin": OTHER, **SENT}).status
        answer = closed.ask("POST", "/votes", {"option": "happy"}, {"Origin": OTHER})
        assert (401, OTHER) == (answer.status, answer.headers[ALLOWED])


@pytest.mark.parametrize("origin", ["http://evil.example", "http://10.0.0.2:8002", "https://10.0.0.2", "null"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_no_other_page_may_read_or_is_let_ask(node: Node, origin: str, method: str) -> None:
    answer = node.ask(method, "/votes", headers={"Origin": origin, **SENT})
    assert 403 == answer.status
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_has_no_page_or_its_own_is_answered_as_before(node: Node) -> None:
    for headers in ({}, {"Origin": f"http://127.0.0.1:{node.port}"}):
        answer = node.ask("POST", "/votes", {"option": "happy"}, headers)
        assert 200 == answer.status
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_only_the_frame_may_ask_the_members_and_only_the_page_may_hold_it(node: Node) -> None:
    policy = node.ask("GET", "/static/others.html").headers["content-security-policy"].split("; ")
    assert "connect-src http://127.0.0.1:8001 http://10.0.0.2:8001 https://third.example:443" == policy[-1]
    assert {"default-src 'none'", "frame-ancestors 'self'"} < set(policy)
    for path in ("/", "/static/page.js"):
        policy = node.ask("GET", path).headers["content-security-policy"].split("; ")
        assert {"default-src 'self'", "frame-ancestors 'none'"} < set(policy)
        assert not [part for part in policy if part.startswith("connect-src")]
