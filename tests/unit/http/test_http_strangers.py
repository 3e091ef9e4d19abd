"""What a caller without a token is shown, and what the log says of an operator's acts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import Conflict
from quorate.security.roles import RouteRole
from tests.support.http_node import Node, running
from tests.support.tokens import access_by, bearer, write_tokens

SECRET = "/srv/quorate"
RAFT = "127.0.0.1:9001"  # of the one member of `running`
STATUS = {
    "node": "n1",
    "version": 7,
    "listening": {"http": ["10.0.0.1:8001"]},
    "raft": {"role": "leader", "cluster_id": "c1", "members": {"n1": "voter"}, "forgotten": f"see {SECRET}"},
    "state": {"cluster_id": "c1", "polls": 3, "dedup": {"held": 1}},
    "sinks": {"sqlite": {"caught_up": True, "last_error": f"cannot open {SECRET}", "deviations": {"polls": ["mood"]}}},
    "config": {"node": {"data": SECRET}, "http": {"threads": 8}},
}


class Shown:
    async def show(self) -> Mapping[str, Any]:
        path = {"name": "sqlite.path", "scope": "alike", "value": SECRET, "nodes": {"n1": SECRET}, "differ": []}
        settings = [path, {"name": "votes.dedup_window", "value": 7, "nodes": {"n1": 7}}]
        return {"settings": settings, "untold": {"n2": f"no answer of {SECRET}"}}

    async def set(self, name: str, value: Any) -> Mapping[str, Any]:
        return {"name": name, "value": value, "version": 17}


class Acting:
    """What operators may ask. A change of n9 is refused."""

    async def members(self) -> Sequence[Mapping[str, Any]]:
        return [{"id": "n1", "voter": True, "raft": RAFT}]

    async def change(self, action: str, id: str, raft: str | None, incarnation: str | None = None) -> Sequence[Any]:
        if id == "n9":
            raise Conflict("no")
        return []

    async def transfer(self) -> str:
        return "n2"


async def adopt(name: str | None) -> Mapping[str, Any]:
    return {"documents": 0}


def serving(path: Path, anonymous: RouteRole, *, hot: bool = True) -> Any:
    write_tokens(path, {"reader": "read", "bound": "read", "boss": "operate"}, {"bound": ["mood"]})
    return running(
        hot=hot,
        access=partial(access_by, path, anonymous),
        status=lambda: STATUS,
        settings=Shown(),
        operator=Acting(),
        adopt_sink=adopt,
    )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with serving(tmp_path / "tokens.toml", "operate") as node:
        yield node


def test_the_status_of_a_caller_with_a_token_is_whole(node: Node) -> None:
    caller = {"token": "reader", "role": "read", "share": 0, "protected_ids": 1_000_000}
    assert STATUS | {"caller": caller} == node.ask("GET", "/status", None, bearer("reader")).json


def test_without_a_token_it_shows_no_paths_and_no_ids(node: Node) -> None:
    answer = node.ask("GET", "/status")
    expected = {
        "node": "n1",
        "version": 7,
        "listening": {"http": ["***"]},
        "raft": {"role": "leader", "members": {"n1": "***"}, "forgotten": "***"},
        "state": {"polls": 3, "dedup": {"held": 1}},
        "sinks": {"sqlite": {"caught_up": True, "last_error": "***", "deviations": {"polls": ["***"]}}},
    }
    assert expected == answer.json


def test_a_token_for_some_polls_learns_of_no_others_but_knows_the_cluster(node: Node) -> None:
    status = node.ask("GET", "/status", None, bearer("bound")).json
    assert "c1" == node.call(lambda: node.replica.state.cluster_id) == status["state"]["cluster_id"]
    assert ["***"] == status["sinks"]["sqlite"]["deviations"]["polls"]


def test_without_tokens_on_loopback_nothing_is_hidden() -> None:
    with running(status=lambda: STATUS) as node:
        assert STATUS == node.ask("GET", "/status").json


def test_settings_without_a_token_show_numbers_alone(node: Node) -> None:
    hidden, shown = node.ask("GET", "/settings"), node.ask("GET", "/settings", None, bearer("boss"))
    assert (False, True) == (SECRET.encode() in hidden.body, SECRET.encode() in shown.body)
    assert [7, {"n1": 7}] == [hidden.json["settings"][1][name] for name in ("value", "nodes")]


@pytest.mark.parametrize("path", ["/members", "/nodes", "/leader"])
def test_where_nodes_meet_is_not_told_to_strangers(node: Node, path: str) -> None:
    """As in /status. Where they serve HTTP is told: pages and clients go there."""
    for headers in ({}, bearer("bound")):
        stranger = node.ask("GET", path, None, headers)
        assert (200, False) == (stranger.status, RAFT.encode() in stranger.body)
        assert b'"n1"' in stranger.body
    assert RAFT.encode() in node.ask("GET", path, None, bearer("reader")).body


def test_readyz_tells_strangers_which_check_fails_and_no_more(node: Node) -> None:
    stranger = node.ask("GET", "/readyz?verbose&sync").body
    assert b"[+] leader n1\n[+] sink GET /status with a token says more\n" == stranger
    assert b"last flush" in node.ask("GET", "/readyz?verbose&sync", None, bearer("reader")).body


ACTS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/members", {"action": "remove", "id": "n3"}, 200, "remove the member 'n3': done"),
    ("POST", "/members", {"action": "add", "id": "n3", "raft": "h:1"}, 200, "add the member 'n3' at 'h:1': done"),
    ("POST", "/members", {"action": "remove", "id": "n9"}, 409, "remove the member 'n9': conflict"),
    ("POST", "/members", {"action": "remove", "id": "n\u202e9"}, 200, "remove the member 'n\\u202e9': done"),
    ("POST", "/leader/transfer", None, 200, "hand leadership over: done"),
    ("POST", "/sink/adopt?sink=mongo", None, 200, "take over the sink 'mongo': done"),
    ("POST", "/sink/adopt", None, 200, "take over all sinks: done"),
    ("PUT", "/settings/votes.dedup_window", {"value": 9}, 200, "set 'votes.dedup_window' to '9': done"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), ACTS)
def test_an_act_is_one_line_with_who_what_from_where_and_the_version(
    node: Node, caplog: pytest.LogCaptureFixture, method: str, path: str, body: Any, status: int, words: str
) -> None:
    caplog.set_level(logging.INFO, "quorate")
    assert status == node.ask(method, path, body, bearer("boss")).status
    lines = [record.getMessage() for record in caplog.records if "asked to" in record.getMessage()]
    assert [f"boss from 127.0.0.1 asked to {words}, version {node.replica.state.version}"] == lines


def test_an_act_without_a_token_says_so(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "quorate")
    node.ask("POST", "/leader/transfer")
    assert ["a caller without a token from 127.0.0.1"] == [
        record.getMessage().partition(" asked")[0] for record in caplog.records if "asked to" in record.getMessage()
    ]
