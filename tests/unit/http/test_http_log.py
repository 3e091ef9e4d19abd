"""GET /log: the entries of a node's log, in bounded pages, for operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import http_node
from tests.support.http_node import MOOD, Node
from tests.support.tokens import access_by, bearer, write_tokens


def pages(node: Node, **parameters: int) -> list[dict[str, Any]]:
    """All pages from the given entry on."""
    found = []
    while True:
        asked = "&".join(f"{name}={value}" for name, value in parameters.items())
        answer = node.ask("GET", f"/log?{asked}")
        assert 200 == answer.status, answer.body
        found.append(answer.json)
        if answer.json["next"] is None:
            return found
        parameters["from"] = answer.json["next"]


def test_the_log_is_read_in_pages() -> None:
    with http_node.running() as node:
        node.ask("POST", "/polls", MOOD)
        for number in range(5):
            assert 200 == node.vote(option="happy", id=f"v{number}").status
        told = pages(node, limit=2)
        assert [2, 2, 2] == [len(page["entries"]) for page in told]
        assert {("n1", 2, 7)} == {(page["node"], page["first"], page["last"]) for page in told}
        entries = [entry for page in told for entry in page["entries"]]
        assert [2, 3, 4, 5, 6, 7] == [entry["index"] for entry in entries]
        assert "CreatePoll" == entries[0]["batches"][0][0]["command"]
        [[vote]] = entries[1]["batches"]
        assert {"option": "happy", "poll": None, "weight": 1, "votes": 1} == vote["choices"][0]
        assert b"v0" not in node.ask("GET", "/log").body, "ids are hashes in the log"
        chain = node.ask("GET", "/digest?index=7").json["log"]["chain"]
        assert chain == entries[-1]["chain"]
        assert [entries[-1]] == pages(node, **{"from": 7})[0]["entries"]
        assert [] == pages(node, **{"from": 8})[0]["entries"], "there is none yet"


@pytest.mark.parametrize(
    ("query", "status"),
    [("from=0", 400), ("from=1", 410), ("from=x", 400), ("limit=0", 400), ("limit=1001", 400), ("to=3", 400)],
)
def test_what_cannot_be_read_is_refused(query: str, status: int) -> None:
    with http_node.running() as node:
        assert status == node.ask("GET", f"/log?{query}").status


def test_it_is_for_operators(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.toml")
    with http_node.running(access=lambda: access_by(tokens)) as node:
        told = [node.ask("GET", "/log", headers=bearer(role)).status for role in ("read", "manage", "operate")]
        assert ([403, 403, 200], 401) == (told, node.ask("GET", "/log").status)
