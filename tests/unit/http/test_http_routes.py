"""The table of routes: everything that reads it knows a route that is added to it, and both doors match paths alike."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator

import pytest

from quorate.doors.event_stream import Stream
from quorate.http import openapi, routes
from quorate.http.api import Api
from quorate.http.flask_app import create_app
from quorate.http.flask_loader import load_flask
from quorate.http.operation import Operation
from quorate.http.reply import Reply, text
from quorate.http.request import Request
from quorate.http.routing import InTurn, Match, Route, Router
from quorate.http.url_map import UrlMap
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import wait_for

Find = Callable[[str, str], Match]


async def tell(api: Api, request: Request) -> Reply:
    return text("told\n")


async def tell_name(api: Api, request: Request, name: str) -> Reply:
    return text(f"told {name}\n")


HOT = Route("GET", "/told", tell, Operation("Told on the loop"), "read", hot=True)
HOT_WITH_NAME = Route("GET", "/told/{name:path}/loud", tell_name, Operation("Told with a name"), "read", hot=True)
ON_A_THREAD = Route("POST", "/told/{name}", tell_name, Operation("Told by Flask"), "manage")
ADDED = (HOT, HOT_WITH_NAME, ON_A_THREAD)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ROUTES", (*routes.ROUTES, *ADDED))


@pytest.fixture
def node(added: None) -> Iterator[Node]:
    with running() as node:
        yield node


@pytest.fixture
def flask_node(added: None) -> Iterator[Node]:
    with running(hot=False) as node:
        yield node


@pytest.fixture(scope="module")
def url_map() -> Iterator[UrlMap]:
    with running() as node:
        yield load_flask(node.api, routes.ROUTES).url_map


@pytest.fixture(scope="module")
def router(url_map: UrlMap) -> Find:
    """As the loop's door finds a route: quickly if it can, otherwise by Flask's URL map."""
    quick = Router(routes.ROUTES)
    return lambda method, path: quick.find(method, path) or url_map.find(method, path)


def test_an_added_route_is_answered_by_both_doors(node: Node, flask_node: Node) -> None:
    for each in (node, flask_node):
        answers = [each.ask("GET", "/told"), each.ask("GET", "/told/a/b/loud"), each.ask("POST", "/told/c")]
        assert [b"told\n", b"told a/b\n", b"told c\n"] == [answer.body for answer in answers]


def test_the_loop_answers_an_added_hot_route_and_flask_the_others(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    by_flask = node.server._app._by_flask

    async def note(*given: typing.Any) -> int:
        asked.append(given[1]["path"])
        return await by_flask(*given)

    monkeypatch.setattr(node.server._app, "_by_flask", note)
    for method, path in (("GET", "/told"), ("GET", "//told/"), ("GET", "/told/a/loud"), ("POST", "/told/c")):
        assert 200 == node.ask(method, path).status
    assert ["/told/c"] == asked


def test_an_added_route_is_a_rule_of_flask(node: Node) -> None:
    rules = {rule.rule for rule in create_app(node.api, routes.ROUTES).url_map.iter_rules()}
    assert {"/told", "/told/<path:name>/loud", "/told/<string:name>"} <= rules


def test_an_added_route_is_described(node: Node) -> None:
    paths = node.ask("GET", "/openapi.json").json["paths"]
    assert "Told on the loop" == paths["/told"]["get"]["summary"]
    assert "Told with a name" == paths["/told/{name}/loud"]["get"]["summary"]
    assert "Told by Flask" == paths["/told/{name}"]["post"]["summary"]


def test_what_an_audit_answers_is_described() -> None:
    described = openapi.document(routes.ROUTES)
    answer = described["paths"]["/audit"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"$ref": "#/components/schemas/AuditedPage"} == answer
    assert {"poll", "kind", "words"} <= set(described["components"]["schemas"]["Difference"]["required"])


def test_an_added_route_is_counted_by_its_path(node: Node) -> None:
    node.ask("GET", "/told")
    node.ask("GET", "/told/x/loud")
    node.ask("POST", "/told/x")
    node.ask("GET", "/told/x")  # not a method of this path
    counted = {("/told", 200), ("/told/{name}/loud", 200), ("/told/{name}", 200), ("/told/{name}", 405)}
    wait_for("all are counted", lambda: counted <= node.api.counts.requests.keys())


@pytest.mark.parametrize("route", [route for route in routes.ROUTES if route.hot], ids=lambda route: route.endpoint)
def test_a_hot_route_leaves_nothing_to_a_thread(route: Route) -> None:
    assert typing.get_type_hints(route.handler)["return"] in (Reply, Stream, Reply | InTurn)


def test_each_route_stands_in_the_table_once() -> None:
    endpoints = [route.endpoint for route in routes.ROUTES]
    assert len(set(endpoints)) == len(endpoints)


def test_only_get_may_be_used_by_those_who_only_read() -> None:
    changing = {route.role for route in routes.ROUTES if route.method != "GET"}
    assert {"vote", "manage", "operate"} == changing
    reading = {route.path: route.role for route in routes.ROUTES if route.method == "GET"}
    assert "operate" == reading.pop("/producers")  # their names are their tokens' own
    assert "operate" == reading.pop("/log")  # it has the options of all votes, and when they came
    assert "operate" == reading.pop("/backup")  # it has everything, and the key of the ids
    assert {"public", "read"} == set(reading.values())


PATHS = [
    *(route.path for route in routes.ROUTES),
    *("/votes/", "//votes", "/VOTES", "/polls/mood", "/polls/mood/results", "/polls/a/b/results", "/polls//x/results"),
    *("/polls//results", "/polls///results", "/polls/results", "/polls/results/results", "/polls/mood/results/"),
    *("//polls/mood/results", "/polls/a\nb/results", "/events/", "///events", "/events//", "/livez/", "//livez", "/x"),
    *("", "/", "//", "*", "/polls/", "/polls/ /results", "/polls/é/results", "/static/a/b", "/leader/x"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT"])
def test_the_quick_way_finds_what_the_url_map_finds(url_map: UrlMap, method: str, path: str) -> None:
    assert Router(routes.ROUTES).find(method, path) in (None, url_map.find(method, path))


@pytest.mark.parametrize(
    ("method", "path", "name", "hot"),
    [
        ("POST", "/votes", "/votes", True),
        ("GET", "/votes", "/votes", False),
        ("GET", "/polls/a/b/results", "/polls/{id}/results", True),
        ("HEAD", "/polls/mood/results", "/polls/{id}/results", False),
        ("POST", "/polls/mood/state", "/polls/{id}/state", False),
        ("GET", "//events/", "/events", True),
        ("GET", "/static/page.css", "/static/{file}", False),
        ("GET", "/none/at/all", "other", False),
    ],
)
def test_what_a_request_is_counted_as_and_who_answers_it(
    router: Find, method: str, path: str, name: str, hot: bool
) -> None:
    match = router(method, path)
    assert (name, hot) == (match.name, match.hot)


def test_a_poll_whose_id_begins_with_a_slash_has_results(router: Find) -> None:
    assert ("/x",) == router("GET", "/polls//x/results").arguments
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        assert "no such poll" == node.ask("GET", "/polls//x/results").json["title"].lower()
