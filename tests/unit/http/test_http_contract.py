"""The hot routes answer the same through all doors: small votes in the protocol, on the loop by ASGI, and by Flask.

Each case is sent to three nodes that differ in nothing but the door, in the same order, so even versions must agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from quorate.http import routes
from quorate.http.handlers.health import LIVEZ, livez
from quorate.http.routing import Route, Router
from tests.support.http_node import MOOD, Answer, Node, running

MANY = json.dumps([{"option": "happy", "id": f"m{i}"} for i in range(3_000)]).encode()  # over 64 KiB: read on a thread
NDJSON = {"Content_Type": "application/x-ndjson"}
BATCH_2 = {"X_Quorate_Producer": "p;epoch=1;sequence=2"}


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Node, ...]]:
    hosts = frozenset({"n1.test"})
    with (
        running(hosts=hosts) as small,
        running(small=False, hosts=hosts) as on_loop,
        running(hot=False, hosts=hosts) as by_flask,
    ):
        for node in (small, on_loop, by_flask):
            node.ask("POST", "/polls", MOOD)
            node.ask("POST", "/polls", {**MOOD, "id": "over", "options": ["late", "later"]})
            node.ask("POST", "/polls/over/state", {"state": "closed"})
            node.ask("POST", "/polls", {"id": "café 50%", "options": ["yes", "no"]})
            node.ask("POST", "/producers", {"producer": "p"})
        yield small, on_loop, by_flask


def every(doors: tuple[Node, ...], method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """The answer of all doors, which must be the same."""
    named = {"Host": "n1.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answers = []
    for node in doors:
        answer = node.ask(method, path, body, named)
        kept = {name: value for name, value in answer.headers.items() if name != "date"}
        answers.append(Answer(answer.status, kept, answer.body))
    assert answers[0] == answers[1] == answers[2]
    return answers[0]


READ_VOTES: list[tuple[Any, dict[str, str], tuple[int, int, list[tuple[int, str]]]]] = [
    ({"option": "happy", "id": "a"}, {}, (1, 0, [])),
    ({"option": "happy", "id": "a"}, {}, (0, 1, [])),
    ({"option": "happy"}, {}, (1, 0, [])),
    ({"option": "happy", "poll": "mood", "weight": 3}, {}, (1, 0, [])),
    ({"option": "happy"}, {"Idempotency_Key": "k"}, (1, 0, [])),
    ({"option": "happy", "id": "k"}, {"Idempotency_Key": "k"}, (0, 1, [])),
    ([{"option": "happy", "id": "b"}, {"option": "sad", "id": "c"}], {}, (2, 0, [])),
    ([{"option": "happy", "id": "b"}, {"option": "sad", "id": "d"}], {}, (1, 1, [])),
    ({"option": "sad", "id": "a", "first_only": True}, {}, (0, 1, [])),
    ({"option": "sad", "first_only": True}, {"Idempotency_Key": "a"}, (0, 1, [])),
    (b'{"option":"happy","id":"l1"}\n{"option":"sad","id":"l2"}\n', NDJSON, (2, 0, [])),
    (b'{"option":"sad","id":"l1","first_only":true}\n{"option":"sad","id":"a"}', NDJSON, (0, 1, [(1, "conflict")])),
    (MANY, {}, (3_000, 0, [])),
    (MANY, {}, (0, 3_000, [])),
    (
        [{"option": "none"}, {"option": "happy", "weight": 0}, {"option": "happy", "id": "e"}, {"option": "late"}],
        {},
        (1, 0, [(0, "unknown_option"), (1, "invalid"), (3, "closed")]),
    ),
    ([{"weight": 1}], {}, (0, 0, [(0, "invalid")])),
    ([{"option": "happy"}] * 3, {"Idempotency_Key": "whole"}, (3, 0, [])),
    ([{"option": "happy"}] * 3, {"Idempotency_Key": "whole"}, (0, 3, [])),
    ([{"option": "sad"}] * 2, {"X_Quorate_Producer": "p;epoch=1;sequence=1"}, (2, 0, [])),
    ([{"option": "sad"}] * 2, {"X_Quorate_Producer": "p; epoch=1; sequence=1"}, (0, 2, [])),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "expected"), READ_VOTES)
def test_votes_that_are_read_are_answered_alike(
    doors: tuple[Node, ...], body: Any, headers: dict[str, str], expected: tuple[int, int, list[tuple[int, str]]]
) -> None:
    answer = every(doors, "POST", "/votes", body, **headers)
    tallied = answer.json
    rejected = [(rejection["index"], rejection["reason"]) for rejection in tallied["rejected"]]
    assert 200 == answer.status
    assert expected == (tallied["applied"], tallied["duplicates"], rejected)
    assert "application/json" == answer.headers["content-type"]
    assert ("n1", "n1") == (answer.headers["x-quorate-node"], answer.headers["x-quorate-leader"])
    assert str(tallied["version"]) == answer.headers["x-quorate-version"]


WRONG_VOTES: list[tuple[str, Any, dict[str, str], int, str]] = [
    ("malformed JSON", b'{"option":', {}, 400, "invalid"),
    ("no JSON at all", b"option=happy", {}, 400, "invalid"),
    ("nothing", b"", {}, 400, "invalid"),
    ("no vote in the list", b"[]", {}, 400, "invalid"),
    ("not UTF-8", b'{"option":"\xff"}', {}, 400, "invalid"),
    ("NUL as it is", b'{"option":"a\x00"}', {}, 400, "invalid"),
    ("NUL escaped", b'{"option":"a\\u0000"}', {}, 400, "invalid"),
    ("option of a wrong type", {"option": 7}, {}, 400, "invalid"),
    ("no option", {"id": "x"}, {}, 400, "invalid"),
    ("unknown field", {"option": "happy", "wait": 1}, {}, 400, "invalid"),
    ("weight 0", {"option": "happy", "weight": 0}, {}, 400, "invalid"),
    ("weight negative", {"option": "happy", "weight": -1}, {}, 400, "invalid"),
    ("weight 2^63", {"option": "happy", "weight": 2**63}, {}, 400, "invalid"),
    ("weight 1.5", {"option": "happy", "weight": 1.5}, {}, 400, "invalid"),
    ("weight text", {"option": "happy", "weight": "1"}, {}, 400, "invalid"),
    ("weight true", {"option": "happy", "weight": True}, {}, 400, "invalid"),
    ("option of 10 kB", {"option": "x" * 10_000}, {}, 413, "too-large"),
    ("id of 129 bytes", {"option": "happy", "id": "x" * 129}, {}, 413, "too-large"),
    ("10,001 votes", [{"option": "happy"}] * 10_001, {}, 413, "too-large"),
    ("body of 5 MB", b"x" * 5_000_000, {}, 413, "too-large"),
    ("unknown option", {"option": "none"}, {}, 404, "unknown-option"),
    ("option unknown in its poll", {"option": "late", "poll": "mood"}, {}, 404, "unknown-option"),
    ("unknown poll", {"option": "happy", "poll": "none"}, {}, 404, "unknown-poll"),
    ("closed poll", {"option": "late", "poll": "over"}, {}, 410, "closed"),
    ("closed poll's option", {"option": "late"}, {}, 410, "closed"),
    ("same id, another choice", {"option": "sad", "id": "a"}, {}, 409, "conflict"),
    ("key that is another's id", {"option": "sad"}, {"Idempotency_Key": "a"}, 409, "conflict"),
    ("id and another key", {"option": "happy", "id": "a"}, {"Idempotency_Key": "b"}, 400, "invalid"),
    ("empty key", {"option": "happy"}, {"Idempotency_Key": ""}, 400, "invalid"),
    ("long key", {"option": "happy"}, {"Idempotency_Key": "k" * 129}, 413, "too-large"),
    ("first_only under a key", [{"option": "sad", "first_only": True}], {"Idempotency_Key": "f"}, 400, "invalid"),
    ("ids under a key", [{"option": "happy", "id": "x"}], {"Idempotency_Key": "ids"}, 400, "invalid"),
    ("unreadable vote under a key", [{"option": "happy"}, {}], {"Idempotency_Key": "bad"}, 400, "rejected"),
    ("unknown under a key", [{"option": "none"}, {"option": "sad"}], {"Idempotency_Key": "bad"}, 400, "rejected"),
    ("key used for another body", [{"option": "sad"}], {"Idempotency_Key": "whole"}, 409, "conflict"),
    ("malformed session", [{"option": "sad"}], {"X_Quorate_Producer": "p;sequence=2"}, 400, "invalid"),
    ("session and key", [{"option": "sad"}], {**BATCH_2, "Idempotency_Key": "k"}, 400, "invalid"),
    ("ids in a session", [{"option": "sad", "id": "x"}], BATCH_2, 400, "invalid"),
    ("gap in a session", [{"option": "sad"}], {"X_Quorate_Producer": "p;epoch=1;sequence=9"}, 400, "invalid"),
    ("other content type", b"<vote/>", {"Content_Type": "text/xml"}, 415, "unsupported-media-type"),
    ("a page of another site", {"option": "happy"}, {"Origin": "https://example.org"}, 403, "forbidden"),
    ("a page of no site", {"option": "happy"}, {"Origin": "null"}, 403, "forbidden"),
    ("malformed line", b'{"option":"happy"}\n{"opt', NDJSON, 400, "invalid"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"), [pytest.param(*case, id=id) for id, *case in WRONG_VOTES]
)
def test_votes_that_are_wrong_are_refused_alike_and_change_nothing(
    doors: tuple[Node, ...], body: Any, headers: dict[str, str], status: int, kind: str
) -> None:
    before = [(node.tally(), node.tally("over")) for node in doors]
    answer = every(doors, "POST", "/votes", body, **headers)
    assert (status, kind) == (answer.status, answer.json["type"])
    assert status == answer.json["status"]
    assert "application/problem+json" == answer.headers["content-type"]
    assert answer.json["definite"]
    assert ("n1", "n1") == (answer.headers["x-quorate-node"], answer.headers["x-quorate-leader"])
    assert before == [(node.tally(), node.tally("over")) for node in doors]


def test_a_page_of_this_node_may_vote(doors: tuple[Node, ...]) -> None:
    for node in doors:
        origin = {"Origin": f"http://127.0.0.1:{node.port}"}
        assert 200 == node.ask("POST", "/votes", {"option": "happy", "id": "page"}, origin).status


READS = [
    ("/polls/mood/results", 200),
    ("/polls/mood/results/", 200),
    ("/polls/mood/results?level=none", 200),
    ("/polls/mood/results?level=linearizable&min_version=1&wait=500ms", 200),
    ("/polls/caf%C3%A9%2050%25/results", 200),
    ("/polls/none/results", 404),
    ("/polls/%00/results", 404),
    ("/polls/%ff/results", 404),
    ("/polls//results", 404),
    ("/polls/mood/results?min_version=999999&wait=10ms", 503),
    ("/polls/mood/results?level=strong", 400),
    ("/polls/mood/results?lvl=none", 400),
    ("/polls/mood/results?level=none&level=weak", 400),
    ("/polls/mood/results?wait=forever", 400),
    ("/polls/mood/results?wait=1h", 400),
    ("/polls/mood/results?wait=31s", 400),
    ("/polls/mood/results?min_version=-1", 400),
    ("/polls/mood/results?min_version=1.5", 400),
    ("/polls/mood/results?level=%ff", 400),
    ("/livez", 200),
    ("/readyz", 200),
    ("/readyz?verbose&sync", 200),
    ("/readyz?vebose", 400),
    ("/events?poll=none", 404),
    ("/events?pol=mood", 400),
    ("/events/?poll=none", 404),
    ("//events?poll=none", 404),
    ("/events//?poll=mood", 404),
    ("/events?" + "&".join(f"poll={i}" for i in range(101)), 400),
]


@pytest.mark.parametrize(("path", "status"), READS)
def test_reads_are_answered_alike(doors: tuple[Node, ...], path: str, status: int) -> None:
    answer = every(doors, "GET", path)
    assert status == answer.status
    if status >= 400:
        assert "application/problem+json" == answer.headers["content-type"]


@pytest.mark.parametrize("path", ["/polls/mood/results", "/votes", "/livez", "/events", "/none"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW"])
def test_other_methods_are_answered_alike(doors: tuple[Node, ...], method: str, path: str) -> None:
    every(doors, method, path)


def test_results_say_what_they_are(doors: tuple[Node, ...]) -> None:
    answer = every(doors, "GET", "/polls/over/results")
    version = answer.json["version"]
    expected = {"id": "over", "state": "closed", "results": {"late": 0, "later": 0}, "total": 0}
    assert {**expected, "version": version, "level": "weak", "age_ms": 0} == answer.json
    assert str(version) == answer.headers["x-quorate-version"]


@pytest.mark.parametrize("headers", [{}, {"Last-Event-ID": "1"}])
def test_streams_begin_alike(doors: tuple[Node, ...], headers: dict[str, str]) -> None:
    begun = []
    for node in doors:
        connection = node.connect()
        connection.request("GET", "/events?poll=mood", headers=headers)
        response = connection.getresponse()
        kept = {name.lower(): value for name, value in response.getheaders() if name != "date"}
        begun.append((response.status, kept, [response.readline() for _ in range(6)]))
        connection.close()
    assert begun[0] == begun[1]
    status, kept, lines = begun[0]
    assert (200, "text/event-stream", "no-store") == (status, kept["content-type"], kept["cache-control"])
    assert [b"retry: 1000\n", b"\n", b"id: %s\n" % kept["x-quorate-version"].encode(), b"event: results\n"] == lines[:4]
    assert b"data: " == lines[4][:6]
    assert b"\n" == lines[5]


def test_an_unreadable_last_event_id_is_refused_alike(doors: tuple[Node, ...]) -> None:
    assert 400 == every(doors, "GET", "/events?poll=mood", Last_Event_ID="new").status


def hot_routes_without_cases(router: Router) -> list[str]:
    """The hot routes that lack a case above that succeeds. Streams have their own test."""
    asked = [("POST", "/votes") for _ in READ_VOTES]
    asked += [("GET", path.partition("?")[0]) for path, status in READS if status == 200]
    asked += [("GET", "/events")]  # test_streams_begin_alike
    covered = {match.route for method, path in asked if (match := router.find(method, path)) is not None}
    return [route.path for route in routes.ROUTES if route.hot and route not in covered]


def test_every_hot_route_has_cases(doors: tuple[Node, ...]) -> None:
    assert [] == hot_routes_without_cases(doors[0].server._app._router)


def test_a_hot_route_without_a_case_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Route("GET", "/added", livez, LIVEZ, "read", hot=True)
    monkeypatch.setattr(routes, "ROUTES", (*routes.ROUTES, added))
    with running() as node:
        assert ["/added"] == hot_routes_without_cases(node.server._app._router)
