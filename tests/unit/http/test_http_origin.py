"""The page behind a proxy that asks in its own name, as nginx's default `proxy_pass` does."""

from __future__ import annotations

import contextlib
import http.server
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.http.api import MemberAddresses
from tests.support.http_handler import serving
from tests.support.http_node import MOOD, Node, running


@pytest.fixture(params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    hosts = frozenset({"votes.example", "other.example:8443", "[2001:db8::1]", "tls.example:443"})
    members = [
        MemberAddresses("n1", "http://127.0.0.1:8001", ""),
        MemberAddresses("n2", "http://10.0.0.2:8001", ""),
        MemberAddresses("n3", "https://third.example", ""),
    ]
    with running(hot=request.param, hosts=hosts, members=members) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@contextlib.contextmanager
def proxy_before(node: Node) -> Iterator[int]:
    """A proxy that passes POST on with the node's own address as Host; its port."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = node.ask("POST", self.path, body, {"Origin": self.headers["Origin"]})
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with serving(Proxy) as port:
        yield port


def vote_through(port: int, origin: str) -> tuple[int, Any]:
    """What a page of this origin is answered when it votes."""
    body = json.dumps({"option": "happy"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/votes", body, {"Origin": origin})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://votes.example", 200),
        ("http://votes.example:8080", 200),
        ("https://VOTES.example", 200),
        ("https://other.example:8443", 200),
        ("http://[2001:db8::1]:8080", 200),
        ("https://tls.example", 200),
        ("http://127.0.0.1:8001", 200),
        ("http://localhost:8001", 200),
        ("http://[::1]:8001", 200),
        ("http://10.0.0.2:8001", 200),
        ("https://third.example", 200),
        ("https://third.example:443", 200),
        ("http://third.example", 403),
        ("http://tls.example", 403),
        ("http://127.0.0.1:3000", 403),
        ("http://localhost:3000", 403),
        ("http://localhost", 403),
        ("http://10.0.0.2", 403),
        ("http://10.0.0.3:8001", 403),
        ("http://192.0.2.1", 403),
        ("chrome-extension://votes.example", 403),
        ("file://", 403),
        ("votes.example", 403),
        ("https://votes.example/", 403),
        ("https://votes.example https://evil.example", 403),
        ("https://other.example", 403),
        ("https://other.example:844", 403),
        ("https://evil.example", 403),
        ("https://votes.example.evil.example", 403),
        ("https://evil-votes.example", 403),
        ("https://votes.example:80:80", 403),
        ("https://votes.example@evil.example", 403),
        ("null", 403),
        ("https://", 403),
    ],
)
def test_only_pages_of_the_named_hosts_may_vote_through_a_proxy(node: Node, origin: str, status: int) -> None:
    with proxy_before(node) as port:
        assert status == vote_through(port, origin)[0]
    assert (1 if status == 200 else 0) == node.tally()["happy"]


def test_a_refusal_says_what_the_proxy_or_the_node_must_be_told(node: Node) -> None:
    with proxy_before(node) as port:
        _, document = vote_through(port, "https://new.example")
    assert f"127.0.0.1:{node.port}" in document["detail"]
    assert "proxy_set_header Host $http_host" in document["detail"]
    assert "'new.example' to http.hosts" in document["detail"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("navigate", "object"), ("no-cors", "empty")],
)
def test_what_a_page_of_another_site_takes_in_is_refused(node: Node, site: str, mode: str, dest: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    for path in ("/polls/mood", "/polls/nope", "/livez", "/events", "/metrics", "/openapi.json", "/nothing"):
        answer = node.ask("GET", path, headers=headers)
        assert (403, True) == (answer.status, "of another site" in answer.json["detail"])
    assert 0 == len(node.api.events)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # a link
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # typed by the reader
        # Between the pages of two nodes: Origin decides.
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "http://10.0.0.2:8001"},
        {},
    ],
)
def test_links_to_a_node_and_its_own_pages_are_answered(node: Node, headers: dict[str, str]) -> None:
    for path in ("/", "/polls/mood/results"):
        assert 200 == node.ask("GET", path, headers=headers).status
