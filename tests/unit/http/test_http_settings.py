"""GET /settings and PUT /settings/NAME: what reaches the cluster's settings, and what is refused before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from quorate.errors import TooSoon
from tests.support.http_node import Node, running


class Noted:
    """Settings that only note what is set."""

    def __init__(self) -> None:
        self.set_to: list[tuple[str, Any]] = []

    async def show(self) -> Mapping[str, Any]:
        return {"settings": [{"name": "votes.dedup_window", "value": 7}], "untold": {}}

    async def set(self, name: str, value: Any) -> Mapping[str, Any]:
        if value == 13:
            raise TooSoon("try again 7 accepted ids later")
        self.set_to.append((name, value))
        return {"name": name, "value": value, "version": 17}


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def node(noted: Noted) -> Iterator[Node]:
    with running(settings=noted) as node:
        yield node


def test_they_are_shown(node: Node) -> None:
    answer = node.ask("GET", "/settings")
    assert (200, [7]) == (answer.status, [each["value"] for each in answer.json["settings"]])


def test_one_is_set(node: Node, noted: Noted) -> None:
    answer = node.ask("PUT", "/settings/votes.dedup_window", {"value": 500})
    assert (200, "17") == (answer.status, answer.headers["x-quorate-version"])
    assert {"name": "votes.dedup_window", "value": 500, "version": 17} == answer.json
    assert [("votes.dedup_window", 500)] == noted.set_to


DEEP = b'{"value":' + b"[" * 500 + b"]" * 500 + b"}"  # JSON's reader takes it; to put it into words needs more depth


@pytest.mark.parametrize("body", [b"", b"500", b"{}", b'{"size":5}', b'{"value":', b"[5]", b'{"value":\xff}', DEEP])
def test_a_body_that_sets_nothing_is_refused(node: Node, noted: Noted, body: bytes) -> None:
    answer = node.ask("PUT", "/settings/votes.dedup_window", body)
    assert (400, "invalid", []) == (answer.status, answer.json["type"], noted.set_to)
    assert '{"value": 2000000}' in answer.json["detail"]


def test_a_refusal_of_the_cluster_is_told(node: Node) -> None:
    answer = node.ask("PUT", "/settings/votes.dedup_window", {"value": 13})
    assert (409, "too-soon", True) == (answer.status, answer.json["type"], answer.json["definite"])


def test_a_page_of_another_site_sets_nothing(node: Node, noted: Noted) -> None:
    origin = {"Origin": "https://example.org"}
    assert 403 == node.ask("PUT", "/settings/votes.dedup_window", {"value": 5}, origin).status
    assert [] == noted.set_to
