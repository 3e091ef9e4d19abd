"""Who may use which route. The check comes before either door and before a body is read, so both answer alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.doors.access import Access
from quorate.http import routes
from quorate.http.flask_app import create_app
from quorate.http.routing import PLACEHOLDER, Route
from quorate.security.roles import RANKS, ROLES, RouteRole
from tests.support.http_node import MOOD, Answer, Node, answer_of, running
from tests.support.tokens import access_by, bearer, write_tokens

ROUTES = [pytest.param(route, id=route.endpoint) for route in routes.ROUTES]


@pytest.fixture(scope="module", params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    path = write_tokens(tmp_path_factory.mktemp("auth") / "tokens.toml")
    with running(hot=request.param, access=partial(access_by, path)) as node:
        assert 201 == node.ask("POST", "/polls", MOOD, bearer("manage")).status
        yield node


def asked(node: Node, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
    """As `Node.ask`, but a stream is not read: it would not end."""
    connection = node.connect()
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        if response.getheader("Content-Type") == "text/event-stream":
            return Answer(response.status, {}, b"")
        return answer_of(response)
    finally:
        connection.close()


def path_of(route: Route) -> str:
    return PLACEHOLDER.sub("mood", route.pattern)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("role", ["public", *ROLES])
def test_a_role_may_what_the_table_says(node: Node, route: Route, role: RouteRole) -> None:
    """With a body that makes no sense, so that nothing is done where it is allowed."""
    answer = asked(node, route.method, path_of(route), bearer(role) if role != "public" else {}, b"[")
    if RANKS[role] >= RANKS[route.role]:
        assert answer.status not in (401, 403)
    else:
        assert (401 if role == "public" else 403) == answer.status


REFUSED: list[tuple[dict[str, str], int, str, str | None]] = [
    ({}, 401, "Authorization: Bearer TOKEN", 'Bearer realm="quorate"'),
    (bearer("nobody"), 401, "not known here", 'Bearer realm="quorate", error="invalid_token"'),
    ({"Authorization": "Basic dTpw"}, 401, "not of the form", 'Bearer realm="quorate", error="invalid_token"'),
    (bearer("read"), 403, "the token read has the role read, and this needs vote", None),
]


@pytest.mark.parametrize(("headers", "status", "words", "challenge"), REFUSED)
def test_a_refusal_says_what_is_needed(
    node: Node, headers: dict[str, str], status: int, words: str, challenge: str | None
) -> None:
    before = node.tally()
    answer = node.ask("POST", "/votes", {"option": "happy"}, headers)
    assert (status, challenge) == (answer.status, answer.headers.get("www-authenticate"))
    assert words in answer.json["detail"]
    assert ("no", True, "vote") == (answer.json["retry"], answer.json["definite"], answer.json["needed"])
    assert before == node.tally()


def test_a_vote_with_a_token_counts(node: Node) -> None:
    for spelt in ("Bearer vote", "bearer  vote", "BEARER manage"):
        assert 200 == node.ask("POST", "/votes", {"option": "happy"}, {"Authorization": spelt}).status


def test_two_tokens_are_refused(node: Node) -> None:
    with node.dial() as sock:
        one = b"Authorization: Bearer operate\r\n"
        sock.sendall(b"GET /leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + one + one + b"\r\n")
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"given twice" in answer


def test_a_refused_body_is_not_waited_for(node: Node) -> None:
    with node.dial() as sock:
        sock.sendall(b"POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_what_is_nowhere_is_told_to_everybody(node: Node) -> None:
    assert 404 == node.ask("GET", "/nowhere").status


@pytest.mark.parametrize("spelt", ["/votes/", "//votes", "/%76otes"])
def test_no_spelling_of_a_path_goes_around_it(node: Node, spelt: str) -> None:
    assert node.ask("POST", spelt, {"option": "happy"}).status in (401, 404)


def test_a_method_that_is_not_there_needs_a_token_too(node: Node) -> None:
    assert (401, 405) == (node.ask("PUT", "/votes").status, node.ask("PUT", "/votes", None, bearer("vote")).status)


def test_flask_without_its_door_lets_nobody_in(node: Node) -> None:
    client = create_app(node.api, routes.ROUTES).test_client()
    assert (401, 401) == (client.get("/leader").status_code, client.post("/votes", json={}).status_code)


@pytest.mark.parametrize("hot", [True, False])
def test_what_needs_no_token_is_done_with_an_unknown_one(tmp_path: Path, hot: bool) -> None:
    path = write_tokens(tmp_path / "tokens.toml")
    with running(hot=hot, access=partial(access_by, path, "read")) as node:
        assert 200 == node.ask("GET", "/leader", None, bearer("nobody")).status
        assert 401 == node.ask("POST", "/votes", {"option": "happy"}, bearer("nobody")).status


def test_without_tokens_everything_is_allowed_and_a_token_is_passed_over() -> None:
    with running() as node:
        assert 201 == node.ask("POST", "/polls", MOOD, bearer("of another program")).status


@pytest.mark.parametrize(
    ("told", "address"), [("::ffff:10.0.0.1", "10.0.0.1"), ("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::1")]
)
def test_an_address_is_told_as_people_write_it(tmp_path: Path, told: str, address: str) -> None:
    by_token = access_by(write_tokens(tmp_path / "tokens.toml")).admit("read", told, b"Bearer read")
    assert (address, "read", address) == (by_token.address, by_token.name, Access().admit("read", told, None).address)
