"""`quorate audit` where nobody leads: what it still compares, and how it ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.http_handler import serving
from tests.support.scripted_node import nowhere
from tests.unit.cli.told import Capture, Told

LOG_END = 12
NO_LEADER = {"type": "/problems/no-leader", "title": "T", "status": 503, "detail": "no leader is known"}


def leaderless(id: str, states: Mapping[str, tuple[int, str]], urls: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    """A node that knows no leader. `states`: the version and the digest of each node."""
    version, digest = states[id]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if path == "/leader":
                self.say(503, NO_LEADER)
            elif path == "/nodes":
                self.say(200, {"nodes": [row(each) for each in sorted([*states, "n9"])], "leader": None})
            elif path == "/digest" and "index" in query:
                self.say(200, {"node": id, "log": {"index": int(query["index"][0]), "term": 1, "chain": "same"}})
            else:
                log = {"index": LOG_END, "term": 1, "chain": "same"}
                self.say(200, {"node": id, "version": version, "digest": digest, "chain": "c", "log": log})

        def say(self, status: int, answer: Any) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    def row(each: str) -> dict[str, Any]:
        if each not in states:
            return {"id": each, "http": nowhere(), "reachable": False}
        return {"id": each, "http": urls[each], "reachable": True, "version": states[each][0], "log_index": LOG_END}

    return Handler


@contextlib.contextmanager
def running(states: Mapping[str, tuple[int, str]]) -> Iterator[Sequence[str]]:
    urls: dict[str, str] = {}
    with contextlib.ExitStack() as nodes:
        for id in states:
            urls[id] = f"http://127.0.0.1:{nodes.enter_context(serving(leaderless(id, states, urls)))}"
        yield list(urls.values())


def audit(capsys: Capture, urls: Sequence[str], *arguments: str) -> Told:
    nodes = [word for url in urls for word in ("--node", url)]
    return Told(capsys, "audit", "--leader-timeout", "0.3", *nodes, *arguments)


def test_without_a_leader_nodes_at_one_version_are_compared(capsys: Capture) -> None:
    with running({"n1": (9, "d"), "n2": (9, "d"), "n3": (8, "e")}) as urls:
        told = audit(capsys, urls)
    assert 5 == told.code, told.err
    assert f"n1, n2: the same state at version 9, and one log up to entry {LOG_END}" in told.out
    assert "node n3 could not be compared: it is at version 8, and no other node that answers is" in told.out
    assert "node n9 could not be compared: it does not answer the other nodes" in told.out
    assert "the sinks could not be compared: the leader compares them, and none was known within 0.3 s" in told.out
    assert "quorate status" in told.out.splitlines()[-1]


def test_without_a_leader_a_state_that_differs_is_told(capsys: Capture) -> None:
    with running({"n1": (9, "d"), "n2": (9, "d"), "n3": (9, "altered")}) as urls:
        told = audit(capsys, urls, "--json")
    assert (1, "differ") == (told.code, told.json["verdict"])
    assert ["n3"] == [node["id"] for node in told.json["nodes"] if node["differs"]]


def test_a_leader_is_waited_for_as_long_as_is_said(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def leader(client: Any) -> Any:
        waits.append(client.timeout_s)
        raise AssertionError("enough seen")

    monkeypatch.setattr("quorate.client.http.JsonClient.leader", leader)
    Told(capsys, "audit", "--node", nowhere())
    Told(capsys, "audit", "--node", nowhere(), "--leader-timeout", "7")
    Told(capsys, "audit", "--node", nowhere(), "--leader-timeout", "7", "--timeout", "2")
    assert [5.0, 7.0, 2.0] == waits


def test_where_no_node_is_reached_the_code_is_3(capsys: Capture) -> None:
    told = Told(capsys, "audit", "--node", nowhere())
    assert 3 == told.code
    assert "cannot be reached" in told.err
