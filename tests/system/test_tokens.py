"""Tokens on real nodes: who may do what at any node, a file that changes under them, and what the log says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from quorate.processes.node import NodeProcess
from tests.support.cluster import Cluster
from tests.support.tokens import ONE_OF_EACH, write_tokens

POLL = {"id": "mood", "title": "How are you?", "options": ["happy", "sad"], "state": "open"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("auth") / "tokens.toml")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Cluster]:
    settings = {"auth.file": str(tokens), "auth.anonymous": []}
    with Cluster(tmp_path_factory.mktemp("cluster"), 2, settings, token="operate") as cluster:
        assert 201 == status(cluster.nodes[0], "manage", "POST", "/polls", POLL)
        yield cluster


@pytest.fixture(autouse=True)
def whole_file(cluster: Cluster, tokens: Path) -> Iterator[None]:
    yield
    write_tokens(tokens)
    cluster.wait_for("the tokens are whole again", lambda: all(auth(node)["tokens"] == 4 for node in cluster.nodes))


def status(node: NodeProcess, token: str | None, method: str, path: str, body: Any = None) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)) as connection:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body and json.dumps(body).encode(), headers)
        return connection.getresponse().status


def auth(node: NodeProcess) -> Any:
    found = node.get("/status")
    return found["auth"] if found else {"tokens": 0}


def test_every_node_asks_for_the_role_of_the_route(cluster: Cluster) -> None:
    vote = {"option": "happy"}
    for node in cluster.nodes:
        assert [401, 403, 200] == [status(node, token, "POST", "/votes", vote) for token in (None, "read", "vote")]
        assert [401, 403] == [status(node, token, "POST", "/leader/transfer") for token in (None, "manage")]
        assert 200 == status(node, None, "GET", "/livez") == status(node, None, "GET", "/readyz")


def test_what_a_revoked_token_follows_ends(cluster: Cluster, tokens: Path) -> None:
    node = cluster.nodes[0]
    with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)) as connection:
        connection.request("GET", "/events", headers={"Authorization": "Bearer read"})
        stream = connection.getresponse()
        assert 200 == stream.status
        write_tokens(tokens, {name: role for name, role in ONE_OF_EACH.items() if name != "read"})
        stream.read()  # to its end
    cluster.wait_for(
        "no node knows it", lambda: all(status(each, "read", "GET", "/leader") == 401 for each in cluster.nodes)
    )


def test_a_bad_file_takes_no_token_away_and_alarms(cluster: Cluster, tokens: Path) -> None:
    node = cluster.nodes[0]
    tokens.write_text("[[token")
    cluster.wait_for("the alarm", lambda: not auth(node)["file_good"])
    assert 200 == status(node, "read", "GET", "/leader")
    ready, body, _ = node.ask("GET", "/readyz")
    assert (200, True) == (ready, b"tokens ALARM" in body)
    assert b"quorate_auth_file_good 0.0" in node.ask("GET", "/metrics")[1]
    assert "is not TOML" in node.log.read_text()


def test_an_act_of_an_operator_is_a_line_of_the_log(cluster: Cluster) -> None:
    leader = cluster.leader()
    assert 200 == status(leader, "operate", "POST", "/leader/transfer")
    lines = [line for line in leader.log.read_text().splitlines() if "asked to" in line]
    assert "operate from 127.0.0.1 asked to hand leadership over: done, version " in lines[-1]
