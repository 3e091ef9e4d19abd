"""What a token may do within a route: the polls that it is bound to, weights, and producers of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.entry import encode_raise
from quorate.cluster.fsm import StateMachine
from quorate.doors.access import Access
from quorate.http.small_votes import SMALL_BYTES
from quorate.security.token_file import TokenFile
from tests.support.http_node import MOOD, Node, running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for

ROLES = {"ann": "vote", "bob": "vote", "carl": "manage", "eve": "manage", "reader": "read", "boss": "operate"}
POLLS = {"ann": ["mood", "later"], "eve": ["mood", "later"], "reader": ["mood"]}
OTHER = {"id": "other", "title": "Other", "options": ["happy", "other"], "state": "open"}


@pytest.fixture(params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    path = write_tokens(tmp_path / "tokens.toml", ROLES, POLLS)
    with running(hot=request.param, access=partial(access_by, path)) as node:
        for poll in (MOOD, OTHER):
            assert 201 == node.ask("POST", "/polls", poll, bearer("carl")).status
        yield node


def status(node: Node, who: str, method: str, path: str, body: Any = None, **headers: str) -> int:
    return node.ask(method, path, body, {**bearer(who), **{k.replace("_", "-"): v for k, v in headers.items()}}).status


@pytest.mark.parametrize(
    ("who", "votes", "expected"),
    [
        ("ann", {"option": "happy", "poll": "mood"}, 200),
        ("ann", {"option": "happy"}, 403),
        ("ann", {"option": "happy", "poll": "other"}, 403),
        ("ann", [{"option": "happy", "poll": "mood"}, {"option": "happy", "poll": "nowhere"}], 403),
        ("ann", {"option": "happy", "poll": "mood", "weight": 2}, 403),
        ("bob", {"option": "happy"}, 200),
        ("bob", {"option": "happy", "weight": 2}, 403),
        ("bob", [{"option": "happy"}, {"option": "happy", "weight": 2}], 403),
        ("carl", {"option": "happy", "weight": 2}, 200),
        ("eve", {"option": "happy", "poll": "mood", "weight": 2}, 200),
        ("eve", {"option": "happy", "weight": 2}, 403),
    ],
)
def test_votes_are_within_the_bounds_of_the_token(node: Node, who: str, votes: Any, expected: int) -> None:
    before = node.tally(), node.tally("other")
    assert expected == status(node, who, "POST", "/votes", votes)
    assert (expected == 403) == (before == (node.tally(), node.tally("other")))


def test_a_refusal_names_the_vote_by_its_place_in_the_request(node: Node) -> None:
    votes = [{"weight": 0}, {"option": "happy", "poll": "mood"}, {"option": "happy", "poll": "other"}]
    refused = node.ask("POST", "/votes", votes, bearer("ann")).json
    assert (2, True) == (refused["index"], refused["definite"])


@pytest.mark.parametrize("keyed", [{"Idempotency_Key": "k"}, {"X_Quorate_Producer": "p;epoch=1;sequence=1"}])
def test_no_way_of_voting_goes_around_the_bounds(node: Node, keyed: dict[str, str]) -> None:
    assert 200 == status(node, "ann", "POST", "/producers", {"producer": "p"})
    assert 403 == status(node, "ann", "POST", "/votes", [{"option": "happy"}], **keyed)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/polls/{}", None),
        ("GET", "/polls/{}/results", None),
        ("PATCH", "/polls/{}", {"title": "New"}),
        ("POST", "/polls/{}/state", {"state": "closed"}),
        ("DELETE", "/polls/{}", None),
    ],
)
def test_a_bound_token_is_for_its_polls_alone(node: Node, method: str, path: str, body: Any) -> None:
    assert 403 != status(node, "eve", method, path.format("mood"), body)
    # whether or not there is such a poll
    assert [403, 403] == [status(node, "eve", method, path.format(poll), body) for poll in ("other", "nowhere")]


def test_a_bound_token_makes_no_other_poll(node: Node) -> None:
    assert [403, 403] == [status(node, "eve", "POST", "/polls", {**MOOD, "id": id}) for id in ("other", "new")]
    assert 201 == status(node, "eve", "POST", "/polls", {**MOOD, "id": "later"})


def test_listings_show_the_polls_of_the_token(node: Node) -> None:
    def listed(query: str, who: str) -> list[str]:
        return [poll["id"] for poll in node.ask("GET", f"/polls{query}", None, bearer(who)).json["polls"]]

    assert (["mood"], ["mood", "other"]) == (listed("", "reader"), listed("", "carl"))
    assert ["mood"] == listed("?limit=5&state=open", "reader")
    answers = [node.ask("GET", f"/polls?limit=1&cursor=1.{id}", None, bearer("reader")) for id in ("other", "nowhere")]
    assert [400, 400] == [answer.status for answer in answers]


def test_a_bound_token_lists_no_more_than_its_part_of_all_options(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.doors.bounds.LISTED_MAX", 5)
    node.replica.state.raise_level(encode_raise(1))
    later = {"id": "later", "options": [f"{number}" for number in range(4)], "state": "draft"}
    answer = node.ask("POST", "/polls", later, bearer("eve"))
    assert (413, True) == (answer.status, "the polls of the token eve would list over 5" in answer.json["detail"])
    assert 201 == status(node, "eve", "POST", "/polls", {**later, "options": ["1", "2", "3"]})
    assert 200 == status(node, "eve", "POST", "/polls", {**later, "options": ["1", "2", "3"]}), "it is there"
    assert 413 == status(node, "eve", "PATCH", "/polls/later", {"add_options": ["4"]})
    assert 200 == status(node, "eve", "PATCH", "/polls/later", {"add_options": ["3"], "title": "Later"})
    assert 200 == status(node, "carl", "PATCH", "/polls/later", {"add_options": ["4"]})


def test_a_bound_token_is_told_no_names_of_other_polls(node: Node) -> None:
    with_name = node.ask("POST", "/votes", {"option": "happy", "poll": "later"}, bearer("ann"))
    assert (404, False) == (with_name.status, "other" in with_name.json["detail"])
    assert "other" not in node.ask("GET", "/polls/later", None, bearer("ann")).json["detail"]


def events(node: Node, who: str, query: str = "") -> tuple[int, str]:
    """The status of a stream, and what it begins with."""
    connection = node.connect()
    try:
        connection.request("GET", f"/events{query}", headers=bearer(who))
        answer = connection.getresponse()
        if answer.status != 200:
            return answer.status, ""
        text = b""
        while b'"mood"' not in text:
            text += answer.readline()
        return 200, text.decode()
    finally:
        connection.close()


def test_events_are_of_the_polls_of_the_token(node: Node) -> None:
    status_, text = events(node, "reader")
    assert (200, False) == (status_, '"other"' in text)
    assert [403, 403] == [events(node, "reader", query)[0] for query in ("?poll=other", "?poll=mood&poll=other")]


def test_a_poll_that_is_made_later_comes_to_the_stream_of_its_token(node: Node) -> None:
    connection = node.connect()
    try:
        connection.request("GET", "/events", headers=bearer("ann"))
        answer = connection.getresponse()
        assert 201 == status(node, "carl", "POST", "/polls", {**MOOD, "id": "later"})
        while b'"later"' not in answer.readline():
            pass
    finally:
        connection.close()


# ---- producers ----------------------------------------------------------------------------------------------------


def test_a_producer_belongs_to_the_token_that_opened_it(node: Node) -> None:
    opened = [node.ask("POST", "/producers", {"producer": "p"}, bearer(who)).json for who in ("bob", "carl", "bob")]
    assert [("p", 1, "bob"), ("p", 1, "carl"), ("p", 2, "bob")] == [
        (session["producer"], session["epoch"], session["owner"]) for session in opened
    ]
    vote, before = [{"option": "happy"}], node.tally()["happy"]
    assert 200 == status(node, "carl", "POST", "/votes", vote, X_Quorate_Producer="p;epoch=1;sequence=1")
    assert 200 == status(node, "bob", "POST", "/votes", vote, X_Quorate_Producer="p;epoch=2;sequence=1")
    assert 400 == status(node, "boss", "POST", "/votes", vote, X_Quorate_Producer="p;epoch=2;sequence=1")
    assert before + 2 == node.tally()["happy"]


def test_no_name_reaches_the_producer_of_another_token(node: Node) -> None:
    status(node, "bob", "POST", "/producers", {"producer": "p"})
    assert 1 == node.ask("POST", "/producers", {"producer": "bob/p"}, bearer("carl")).json["epoch"]


def test_a_name_that_is_too_long_with_its_owner_is_refused(node: Node) -> None:
    assert 200 == status(node, "bob", "POST", "/producers", {"producer": "p" * 124})
    assert 413 == status(node, "bob", "POST", "/producers", {"producer": "p" * 125})


def test_the_answer_to_an_opening_has_the_version_at_which_it_was_opened(node: Node) -> None:
    """It had that of the asked node, which may lie below on a follower, and lies above when more was applied since."""
    before, node.replica.held = node.replica.state.version, []
    with ThreadPoolExecutor() as threads:
        opening = threads.submit(node.ask, "POST", "/producers", {"producer": "p"}, bearer("bob"))
        wait_for("it is proposed", lambda: len(node.replica.held or ()) == 1)
        vote = threads.submit(node.ask, "POST", "/votes", {"option": "happy"}, bearer("bob"))
        wait_for("a vote is proposed, too", lambda: len(node.replica.held or ()) == 2)
        node.call(node.replica.commit_held)
        versions = [int(each.result().headers["x-quorate-version"]) for each in (opening, vote)]
    assert [before + 1, before + 2] == versions


def test_one_token_takes_no_more_than_its_part_of_all_producers(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.doors.bounds.OWNED_MAX", 2)
    opened = [node.ask("POST", "/producers", {"producer": name}, bearer("bob")) for name in ("p", "q", "r", "p")]
    assert [200, 200, 413, 200] == [answer.status for answer in opened]
    assert "the token bob has 2 producers already" in opened[2].json["detail"]
    assert [200] * 3 == [status(node, "boss", "POST", "/producers", {"producer": name}) for name in "pqr"]
    assert 200 == status(node, "carl", "POST", "/producers", {"producer": "p"})
    node.replica.state.raise_level(encode_raise(1))
    assert 200 == status(node, "boss", "DELETE", "/producers/bob/q")
    assert 200 == status(node, "bob", "POST", "/producers", {"producer": "r"})
    assert (2, 3, 1) == tuple(map(node.replica.state.producers.owned_by, ("bob", "boss", "carl")))
    assert 2 == StateMachine.restore(node.call(node.replica.state.freeze).encode()).producers.owned_by("bob")


@pytest.mark.parametrize(
    ("anonymous", "producer", "expected"),
    [("vote", "p", 401), ("manage", "p", 200), ("manage", "ann/p", 401), ("operate", "ann/p", 200)],
)
def test_without_a_token_a_producer_belongs_to_nobody(
    tmp_path: Path, anonymous: Any, producer: str, expected: int
) -> None:
    path = write_tokens(tmp_path / "tokens.toml", ROLES)
    with running(access=partial(access_by, path, anonymous)) as node:
        answer = node.ask("POST", "/producers", {"producer": producer})
        assert (expected, False) == (answer.status, "owner" in answer.json)


# ---- tokens that are revoked --------------------------------------------------------------------------------------


class Revocable:
    """The access of a node whose file is taken when a test says so."""

    def __init__(self, path: Path) -> None:
        self.path = write_tokens(path, ROLES, POLLS)
        self.file: TokenFile | None = None

    def access(self) -> Access:
        self.file = TokenFile(self.path)
        return Access(self.file, "public")

    def revoke(self, node: Node, name: str) -> None:
        assert self.file is not None
        left = {other: role for other, role in ROLES.items() if other != name}
        found = write_tokens(self.path, left, POLLS).read_bytes()
        for _ in range(2):
            node.call(self.file.take, found)


@pytest.fixture(params=[True, False], ids=["loop", "Flask"])
def revocable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Node, Revocable]]:
    tokens = Revocable(tmp_path / "tokens.toml")
    with running(hot=request.param, access=tokens.access) as node:
        assert tokens.file is not None
        tokens.file.on_change(lambda: node.api.end_revoked())
        assert 201 == node.ask("POST", "/polls", MOOD, bearer("carl")).status
        yield node, tokens


def test_the_streams_of_a_revoked_token_end_and_no_others(revocable: tuple[Node, Revocable]) -> None:
    node, tokens = revocable
    connections = {who: node.connect() for who in ("reader", "carl")}
    try:
        answers = {}
        for who, connection in connections.items():
            connection.request("GET", "/events", headers=bearer(who))
            answers[who] = connection.getresponse()
        wait_for("both streams are open", lambda: len(node.api.events) == 2)
        tokens.revoke(node, "reader")
        answers["reader"].read()  # ends
        assert 401 == status(node, "reader", "GET", "/leader")
        assert 1 == len(node.api.events)
    finally:
        for connection in connections.values():
            connection.close()


@pytest.mark.parametrize("size", [0, SMALL_BYTES + 1], ids=["small", "not small"])
def test_a_vote_whose_body_comes_after_its_token_was_revoked_is_not_counted(
    revocable: tuple[Node, Revocable], size: int
) -> None:
    node, tokens = revocable
    body, before = b'{"option":"happy"}'.ljust(size), node.tally()
    with node.dial() as sock:
        head = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bob\r\nContent-Length: %d\r\n\r\n"
        sock.sendall(head % len(body) + body[:5])
        wait_for(
            "its body is waited for",
            lambda: node.call(
                lambda: node.server._app._bodies._held == 5 or any(each._small for each in node.server._open())
            ),
        )
        tokens.revoke(node, "bob")
        sock.sendall(body[5:])
        assert sock.recv(65_536).startswith(b"HTTP/1.1 401 ")
    assert before == node.tally()


def test_a_client_that_reads_nothing_is_cut_off_with_its_token(tmp_path: Path) -> None:
    tokens = Revocable(tmp_path / "tokens.toml")
    with running(access=tokens.access) as node:
        assert tokens.file is not None
        tokens.file.on_change(lambda: node.api.end_revoked())
        node.hold_little_in_sockets()
        long = {**MOOD, "options": [f"{number:06}" * 42 for number in range(16_000)]}
        assert 201 == node.ask("POST", "/polls", long, bearer("carl")).status
        with node.dial() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer carl\r\n\r\n")
            wait_for("the answer waits for its client", lambda: node.call(waits_for_its_client, node))
            tokens.revoke(node, "carl")
            wait_for("the connection is gone", lambda: not node.call(waits_for_its_client, node))
        assert 0 == len(node.api.events)


def waits_for_its_client(node: Node) -> bool:
    return any(connection.flow.write_paused for connection in node.server._open())


@pytest.mark.parametrize("path", ["/polls/mood/results?min_version=99&wait=20s", "/digest?version=99&wait=20s"])
def test_a_read_that_waits_ends_with_its_token(revocable: tuple[Node, Revocable], path: str) -> None:
    node, tokens = revocable
    waiting = {who: node.connect() for who in ("reader", "carl")}
    try:
        for who, connection in waiting.items():
            connection.request("GET", path, headers=bearer(who))
        places = node.api.places
        wait_for("both wait", lambda: places.waits._taken + places.digests._taken == 2)
        tokens.revoke(node, "reader")
        assert 401 == waiting["reader"].getresponse().status
        assert 1 == places.waits._taken + places.digests._taken
        tokens.revoke(node, "carl")
        assert 401 == waiting["carl"].getresponse().status
    finally:
        for connection in waiting.values():
            connection.close()
