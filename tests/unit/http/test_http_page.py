"""The page, the description of the API, and the answers to what no route answers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from quorate.http import routes
from quorate.http.flask_app import create_app
from quorate.http.handlers import page
from tests.support.http_node import MOOD, Node, running


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def test_every_route_is_described_and_every_description_is_a_route(node: Node) -> None:
    app = create_app(node.api, routes.ROUTES)
    ruled = {
        (re.sub(r"<(?:[a-z]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = node.ask("GET", "/openapi.json").json
    assert ruled == {(path, method) for path, methods in described["paths"].items() for method in methods}


def test_the_description_says_which_role_each_route_needs(node: Node) -> None:
    document = node.ask("GET", "/openapi.json").json
    assert "bearer" == document["components"]["securitySchemes"]["token"]["scheme"]
    for route in routes.ROUTES:
        told = document["paths"][route.path][route.method.lower()].get("security", [{}])
        assert ([{}] if route.role == "public" else [{}, {"token": [route.role]}]) == told


def test_the_description_refers_only_to_what_it_has(node: Node) -> None:
    answer = node.ask("GET", "/openapi.json")
    named = set(re.findall(r'"#/components/schemas/(\w+)"', answer.body.decode()))
    assert {"Vote", "Tallied", "Results", "Problem"} <= named
    assert named <= set(answer.json["components"]["schemas"])


def test_the_page_needs_only_this_node(node: Node) -> None:
    html = node.ask("GET", "/")
    assert "text/html; charset=utf-8" == html.headers["content-type"]
    assert html.headers["content-security-policy"].startswith("default-src 'self'")
    assert "n1" == html.headers["x-quorate-node"]
    for file in sorted(page.STATIC.iterdir()):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), f"{file.name} names another place"
        assert 200 == node.ask("GET", f"/static/{file.name}").status
    used = re.findall(r'"/static/([^"]+)"', html.body.decode())
    assert set(used) <= {file.name for file in page.STATIC.iterdir()}


@pytest.mark.parametrize(
    "path", ["/static/none.js", "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"]
)
def test_nothing_but_the_pages_files_is_given_out(node: Node, path: str) -> None:
    answer = node.ask("GET", path)
    assert (404, "not-found") == (answer.status, answer.json["type"])


@pytest.mark.parametrize("path", ["/none", "/votes/1", "/polls/mood/none", "/VOTES", "/%2e%2e/etc"])
def test_unknown_routes_are_problem_documents(node: Node, path: str) -> None:
    answer = node.ask("GET", path)
    assert (404, "application/problem+json") == (answer.status, answer.headers["content-type"])


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/votes", "OPTIONS, POST"),
        ("PUT", "/polls/mood", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("POST", "/livez", None),
    ],
)
def test_unknown_methods_say_which_are_allowed(node: Node, method: str, path: str, allow: str | None) -> None:
    answer = node.ask(method, path)
    assert (405, "method-not-allowed") == (answer.status, answer.json["type"])
    assert allow in (None, answer.headers["allow"])


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/votes", "/polls", "/none", "/static/page.css", "/polls/mood/results"])
def test_every_reply_says_who_served_it_and_who_leads(node: Node, method: str, path: str) -> None:
    headers = node.ask(method, path).headers
    assert ("n1", "n1") == (headers["x-quorate-node"], headers["x-quorate-leader"])


@pytest.mark.parametrize("query", ["level=\xff", "\x80"])
def test_a_query_that_is_not_ascii_is_refused(node: Node, query: str) -> None:
    for path in ("/polls", "/polls/mood/results"):
        with contextlib.closing(node.dial()) as sock:
            sock.sendall(
                f"GET {path}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
            )
            assert b"HTTP/1.1 400 " == sock.recv(65_536)[:13]
