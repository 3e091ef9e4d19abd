"""GET and PUT /log-level."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.http_node import Node, running


@pytest.fixture
def node() -> Iterator[Node]:
    before = logging.getLogger().level
    with running() as node:
        yield node
    logging.getLogger().setLevel(before)


def test_it_is_changed_and_shown(node: Node) -> None:
    for level in ("debug", "warning"):
        changed = node.ask("PUT", "/log-level", {"level": level})
        assert (200, {"node": "n1", "level": level}) == (changed.status, changed.json)
        assert level == node.ask("GET", "/log-level").json["level"]


@pytest.mark.parametrize("body", [b"", b'"debug"', b"{}", b'{"level":"loud"}', b'{"level":"debug","for":5}', b"[" * 9])
def test_what_is_no_level_changes_nothing(node: Node, body: bytes) -> None:
    node.ask("PUT", "/log-level", {"level": "warning"})
    answer = node.ask("PUT", "/log-level", body)
    assert (400, "invalid") == (answer.status, answer.json["type"])
    assert '{"level": "debug"}' in answer.json["detail"]
    assert "warning" == node.ask("GET", "/log-level").json["level"]


def test_a_page_of_another_site_changes_nothing(node: Node) -> None:
    assert 403 == node.ask("PUT", "/log-level", {"level": "debug"}, {"Origin": "https://example.org"}).status
