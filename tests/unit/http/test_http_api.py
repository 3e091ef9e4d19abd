"""The routes that are not hot: polls, producers, health, who is there, metrics, the page and the API's description."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.cluster.entry import CreatePoll
from quorate.cluster.state import sessions
from quorate.http import routes
from quorate.http.flask_app import create_app
from quorate.http.handlers import page
from quorate.vote import YEAR_9999_MS
from tests.support.http_node import MOOD, Node, running


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        yield node


# ---- polls ----------------------------------------------------------------------------------------------------------


def test_a_poll_is_created_once(node: Node) -> None:
    poll = {"id": "tea", "options": ["tea", "coffee"]}
    created, same = node.ask("POST", "/polls", poll), node.ask("POST", "/polls", poll)
    other = node.ask("POST", "/polls", {**poll, "options": ["tea", "water"]})
    assert (201, 200, 409) == (created.status, same.status, other.status)
    assert ("/polls/tea", "conflict") == (created.headers["location"], other.json["type"])
    assert ("tea", "open", ["tea", "coffee"]) == (created.json["title"], created.json["state"], created.json["options"])
    assert str(created.json["version"]) == created.headers["x-quorate-version"]


def test_the_same_poll_again_tells_the_state_it_is_in_now(node: Node) -> None:
    poll = {"id": "again", "options": ["a", "b"]}
    node.ask("POST", "/polls", poll)
    node.ask("POST", "/polls/again/state", {"state": "closed"})
    assert "closed" == node.ask("POST", "/polls", poll).json["state"]


def test_a_poll_is_shown_as_it_was_defined(node: Node) -> None:
    poll = {
        "id": "café/no".replace("/", " "),
        "title": "Où?",
        "options": ["node.js", "$cash", "😀"],
        "state": "draft",
        "closes_at": "2099-01-31T12:00:00+01:00",
        "write_ins": True,
    }
    created = node.ask("POST", "/polls", poll)
    shown = node.ask("GET", created.headers["location"]).json
    assert {**poll, "closes_at": "2099-01-31T11:00:00.000Z"} == {name: shown[name] for name in poll}
    assert [shown["id"]] == [poll["id"] for poll in node.ask("GET", "/polls?state=draft").json["polls"]]


def test_a_poll_that_closes_after_the_last_year_is_shown_as_closing_then(node: Node) -> None:
    """A log of before they were refused may have one."""
    poll = CreatePoll("far", "", ["a", "b"], "open", YEAR_9999_MS + 43_200_000, False)
    node.run(node.api.submitter.create_poll(poll, timeout_s=1))
    assert "9999-12-31T23:59:59.000Z" == node.ask("GET", "/polls/far").json["closes_at"]
    assert "far" in [poll["id"] for poll in node.ask("GET", "/polls").json["polls"]]


BAD_POLLS: list[tuple[str, Any, int, str]] = [
    ("no option", {"id": "x", "options": []}, 400, "at least 2"),
    ("one option", {"id": "x", "options": ["a"]}, 400, "at least 2"),
    ("100,001 options", {"id": "x", "options": [str(i) for i in range(100_001)]}, 413, "100,001 options"),
    ("4 MiB of text and more", {"id": "x", "options": [f"{i:0250d}" for i in range(17_000)]}, 413, "bytes of text"),
    ("an option twice", {"id": "x", "options": ["a", "b", "a"]}, 400, "option 'a' stands there twice"),
    ("an option twice once normalised", {"id": "x", "options": ["caf\u00e9", "cafe\u0301"]}, 400, "twice"),
    ("an empty option", {"id": "x", "options": ["a", ""]}, 400, "option 1 is empty"),
    ("an option of 10 kB", {"id": "x", "options": ["a", "b" * 10_000]}, 413, "option 1 has 10000 bytes"),
    ("an option with NUL", {"id": "x", "options": ["a", "b\x00"]}, 400, "control character"),
    ("options of a wrong type", {"id": "x", "options": "ab"}, 400, "array"),
    ("an option of a wrong type", {"id": "x", "options": ["a", 7]}, 400, "str"),
    ("no id", {"options": ["a", "b"]}, 400, "missing required field `id`"),
    ("an empty id", {"id": "", "options": ["a", "b"]}, 400, "id is empty"),
    ("a long id", {"id": "x" * 129, "options": ["a", "b"]}, 413, "129 bytes"),
    ("a slash in the id", {"id": "a/b", "options": ["a", "b"]}, 400, "slash"),
    ("an id that is an address", {"id": "..", "options": ["a", "b"]}, 400, "dot"),
    ("a long title", {"id": "x", "title": "x" * 1_025, "options": ["a", "b"]}, 413, "1025 bytes"),
    ("an unknown state", {"id": "x", "options": ["a", "b"], "state": "ajar"}, 400, "ajar"),
    ("born archived", {"id": "x", "options": ["a", "b"], "state": "archived"}, 400, "archived"),
    ("a time without offset", {"id": "x", "options": ["a", "b"], "closes_at": "2099-01-01T00:00:00"}, 400, "offset"),
    ("no time at all", {"id": "x", "options": ["a", "b"], "closes_at": "tomorrow"}, 400, "closes_at"),
    ("a time too late", {"id": "x", "options": ["a", "b"], "closes_at": "9999-12-31T23:59:59-12:00"}, 400, "9999"),
    ("a time that has passed", {"id": "x", "options": ["a", "b"], "closes_at": "2001-01-01T00:00:00Z"}, 400, "passed"),
    ("an unknown field", {"id": "x", "options": ["a", "b"], "titel": "x"}, 400, "titel"),
    ("a list", [MOOD], 400, "array"),
    ("malformed", b"{", 400, "truncated"),
    ("not UTF-8", b'{"id":"\xff","options":["a","b"]}', 400, "utf-8"),
    ("nested too deeply", b'{"id":"x","options":' + b"[" * 1_000_000, 400, "array"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "words"), [pytest.param(*case, id=id) for id, *case in BAD_POLLS])
def test_a_bad_poll_is_refused_in_words(node: Node, body: Any, status: int, words: str) -> None:
    answer = node.ask("POST", "/polls", body)
    assert status == answer.status
    assert words in answer.json["detail"]
    assert 404 == node.ask("GET", "/polls/x").status


def test_a_poll_goes_through_its_states(node: Node) -> None:
    node.ask("POST", "/polls", {"id": "states", "options": ["a", "b"], "state": "draft"})
    for before, state in (("draft", "open"), ("open", "closed"), ("closed", "open"), ("open", "closed")):
        answer = node.ask("POST", "/polls/states/state", {"state": state})
        assert (200, before, state) == (answer.status, answer.json["before"], answer.json["state"])
    assert 200 == node.ask("POST", "/polls/states/state", {"state": "archived"}).status


def test_a_wrong_transition_names_both_states_and_what_is_allowed(node: Node) -> None:
    answer = node.ask("POST", "/polls/mood/state", {"state": "draft"})
    assert (409, "bad-transition") == (answer.status, answer.json["type"])
    assert ("open", "draft", ["closed"]) == (answer.json["state"], answer.json["wanted"], answer.json["allowed"])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/polls/none/state", {"state": "closed"}, 404),
        ("/polls/mood/state", {"state": "ajar"}, 400),
        ("/polls/mood/state", {}, 400),
        ("/polls/mood/state", b"closed", 400),
    ],
)
def test_a_bad_request_for_a_state_is_refused(node: Node, path: str, body: Any, status: int) -> None:
    assert status == node.ask("POST", path, body).status


@pytest.mark.parametrize(
    "path", ["/polls?state=ajar", "/polls?stat=open", "/polls?level=strong", "/polls/mood?lvl=none"]
)
def test_a_bad_question_about_polls_is_refused(node: Node, path: str) -> None:
    assert 400 == node.ask("GET", path).status


# ---- producers ------------------------------------------------------------------------------------------------------


def test_a_producer_session_counts_each_batch_once_and_an_old_epoch_no_more(node: Node) -> None:
    session = node.ask("POST", "/producers", {"producer": "feeder;1"}).json
    assert ("feeder;1", 1, 0) == (session["producer"], session["epoch"], session["sequence"])
    batch = [{"option": "sad"}] * 3
    before = node.tally()["sad"]
    for _ in range(2):
        assert 200 == node.ask("POST", "/votes", batch, {"X-Quorate-Producer": "feeder;1;epoch=1;sequence=1"}).status
    assert 3 == node.tally()["sad"] - before
    assert 2 == node.ask("POST", "/producers", {"producer": "feeder;1"}).json["epoch"]
    answer = node.ask("POST", "/votes", batch, {"X-Quorate-Producer": "feeder;1;epoch=1;sequence=2"})
    assert 400 <= answer.status < 500
    assert 3 == node.tally()["sad"] - before


@pytest.mark.parametrize(
    "body", [b"", b"{}", {"producer": ""}, {"producer": 7}, {"producer": "a\nb"}, b'{"producer":"\xff"}']
)
def test_a_bad_producer_is_refused(node: Node, body: Any) -> None:
    assert 400 == node.ask("POST", "/producers", body).status


# ---- health and who is there ----------------------------------------------------------------------------------------


def test_readiness_is_one_line_a_check(node: Node) -> None:
    assert b"[+] leader n1\n" == node.ask("GET", "/readyz").body
    assert (
        b"[+] leader n1: term 1\n[+] sink sqlite: last flush 1 s ago\n" == node.ask("GET", "/readyz?verbose&sync").body
    )


@pytest.mark.parametrize(
    ("failing", "plain", "sync"), [({}, 200, 200), ({"leader": False}, 503, 503), ({"sink": False}, 200, 503)]
)
def test_readiness_is_what_its_checks_say(
    node: Node, monkeypatch: pytest.MonkeyPatch, failing: dict[str, bool], plain: int, sync: int
) -> None:
    for name, well in failing.items():
        monkeypatch.setitem(node.checks, name, well)
    assert (plain, sync) == (node.ask("GET", "/readyz").status, node.ask("GET", "/readyz?sync").status)
    assert (b"[-]" in node.ask("GET", "/readyz?sync").body) == (sync == 503)


def test_the_leader_is_named_with_its_addresses(node: Node) -> None:
    answer = node.ask("GET", "/leader")
    expected = {"id": "n1", "http": "http://127.0.0.1:8001", "raft": "127.0.0.1:9001", "term": 1}
    assert (200, expected) == (answer.status, answer.json)


def test_without_a_leader_nobody_is_named(node: Node) -> None:
    node.call(node.replica.lead, None)
    try:
        answer = node.ask("GET", "/leader")
    finally:
        node.call(node.replica.lead, "n1")
    assert (503, "no-leader", "") == (answer.status, answer.json["type"], answer.headers["x-quorate-leader"])


def test_nodes_status_and_version_are_what_the_node_says(node: Node) -> None:
    nodes = node.ask("GET", "/nodes").json
    assert (["n1"], "n1", 1) == ([member["id"] for member in nodes["nodes"]], nodes["leader"], nodes["term"])
    assert 7 == node.ask("GET", "/status").json["dedup"]["held"]
    assert "0.1.0" == node.ask("GET", "/version").json["version"]


def samples_of(node: Node) -> dict[tuple[str, ...], float]:
    """(name, labels) -> value."""
    answer = node.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_metrics_are_prometheus_text_and_the_same_as_json(node: Node) -> None:
    before = samples_of(node)
    for option in ("happy", "happy", "sad"):
        node.vote(option=option, id="metrics")
    samples = samples_of(node)
    for outcome in ("applied", "duplicate", "conflict"):
        sample = ("quorate_votes_total", outcome)
        assert 1 == samples[sample] - before.get(sample, 0)
    assert (7, 1) == (samples[("quorate_dedup_held",)], samples[("quorate_raft_term",)])
    assert samples[("quorate_http_seconds_count", "/votes")] == sum(
        value for key, value in samples.items() if key[:2] == ("quorate_http_requests_total", "/votes")
    )
    as_json = node.ask("GET", "/metrics?format=json").json
    assert 7 == as_json["quorate_dedup_held"]["samples"][0]["value"]
    assert 400 == node.ask("GET", "/metrics?format=xml").status


def test_made_up_addresses_are_counted_under_one_name(node: Node) -> None:
    for i in range(20):
        node.ask("GET", f"/made-up-{i}")
        node.ask("GET", f"/polls/made-up-{i}")
    assert len(node.api.counts.latencies) < 20


def test_one_producer_too_many_is_told_that_trying_again_will_not_help(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PRODUCERS_MAX", 0)
    answer = node.ask("POST", "/producers", {"producer": "one-too-many"})
    assert (413, "no", True) == (answer.status, answer.json["retry"], answer.json["definite"])
    assert "forgets none" in answer.json["detail"]


def test_the_status_is_signed_with_the_version_it_was_taken_at() -> None:
    taken: list[int] = []
    started: list[Node] = []

    def take() -> Mapping[str, Any]:
        state = started[0].replica.state
        taken.append(state.version)
        asyncio.get_running_loop().call_soon(state.apply, b"")  # before the thread goes on
        return {}

    with running(status=take) as node:
        started.append(node)
        assert node.ask("GET", "/status").headers["x-quorate-version"] == str(*taken)


# ---- operating ------------------------------------------------------------------------------------------------------


class Admin:
    """An operator that writes down what it was asked to do."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, str | None]] = []

    def members(self) -> list[dict[str, str]]:
        asyncio.get_running_loop()  # raises on every other thread
        return [{"id": "n1"}]

    async def change(self, action: str, id: str, raft: str | None) -> list[dict[str, str]]:
        self.changes.append((action, id, raft))
        return [{"id": "n1"}, {"id": id}]

    async def transfer(self) -> str:
        return "n2"


@pytest.fixture
def operator() -> Admin:
    return Admin()


@pytest.fixture
def administered(operator: Admin) -> Iterator[Node]:
    with running(operator=operator) as node:
        yield node


def test_an_operator_sees_and_changes_members(administered: Node, operator: Admin) -> None:
    node = administered
    assert ["n1"] == [member["id"] for member in node.ask("GET", "/members").json["members"]]
    answer = node.ask("POST", "/members", {"action": "add", "id": "n4", "raft": "10.0.0.4:9001"})
    assert ["n1", "n4"] == [member["id"] for member in answer.json["members"]]
    assert [("add", "n4", "10.0.0.4:9001")] == operator.changes
    assert "n2" == node.ask("POST", "/leader/transfer").json["leader"]


@pytest.mark.parametrize("body", [b"", {"action": "drop", "id": "n4"}, {"action": "add"}, b'{"action":"\xff"}'])
def test_a_bad_change_of_members_is_refused(administered: Node, operator: Admin, body: Any) -> None:
    assert 400 == administered.ask("POST", "/members", body).status
    assert [] == operator.changes


@pytest.mark.parametrize("path", ["/members", "/leader/transfer", "/polls", "/producers", "/polls/mood/state"])
def test_a_page_of_another_site_changes_nothing(administered: Node, operator: Admin, path: str) -> None:
    answer = administered.ask("POST", path, {"action": "add", "id": "n4"}, {"Origin": "https://example.org"})
    assert (403, "forbidden") == (answer.status, answer.json["type"])
    assert [] == operator.changes


def test_the_sink_is_taken_over_where_there_is_one(node: Node) -> None:
    assert 503 == node.ask("POST", "/sink/adopt").status

    async def adopt() -> dict[str, int]:
        return {"documents": 2, "generation": 3}

    with running(adopt_sink=adopt) as other:
        assert {"documents": 2, "generation": 3} == other.ask("POST", "/sink/adopt").json


def test_a_node_without_an_operator_says_so(node: Node) -> None:
    assert 503 == node.ask("GET", "/members").status


# ---- the page and the description -----------------------------------------------------------------------------------


def test_every_route_is_described_and_every_description_is_a_route(node: Node) -> None:
    app = create_app(node.api, routes.ROUTES)
    ruled = {
        (re.sub(r"<(?:[a-z]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = node.ask("GET", "/openapi.json").json
    assert ruled == {(path, method) for path, methods in described["paths"].items() for method in methods}


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
    [("GET", "/votes", "OPTIONS, POST"), ("DELETE", "/polls/mood", "GET, HEAD, OPTIONS"), ("POST", "/livez", None)],
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
            sock.sendall(f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
            assert b"HTTP/1.1 400 " == sock.recv(65_536)[:13]
