"""Who is told to wait, and who is told that only an upgrade helps."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quorate.cluster.raft.membership.feature_level import FeatureLevel
from quorate.errors import NeedsLevel, NotReady, QuorateError


def level_of(told: dict[str, int | None], now: int = 0, cluster_id: str = "c1") -> FeatureLevel:
    current = SimpleNamespace(level=now, cluster_id=cluster_id)
    parts: Any = SimpleNamespace(told_levels=lambda: told, current=current)
    return FeatureLevel(1, "n1", cast(Any, None), parts, parts)


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ({"n2": 1, "n3": 1}, NotReady, "all do"),
        ({"n2": 0, "n3": 1}, NeedsLevel, "newer; n2 runs 0.1.0$"),
        ({"n2": 0, "n3": None}, NeedsLevel, "n2 runs 0.1.0; n3 is not connected$"),
    ],
)
def test_what_is_told_below_the_level(told: dict[str, int | None], kind: type[QuorateError], words: str) -> None:
    with pytest.raises(
        kind, match=f"^it needs all nodes to run 0.2.0 or newer; .*{words}" if kind is NotReady else words
    ):
        level_of(told).require(1, "it")


def test_a_node_that_has_not_joined_says_that_and_nothing_of_levels() -> None:
    with pytest.raises(NotReady, match=r"^this node has not joined its cluster yet"):
        level_of({}, cluster_id="").require(1, "it")


def test_nothing_is_refused_at_the_level() -> None:
    level_of({"n2": 0}, now=1).require(1, "it")


@pytest.mark.parametrize(("is_news", "lines"), [(True, ["the cluster has feature level 1 now (0.2.0)"]), (False, [])])
def test_a_level_that_this_node_knew_before_it_was_started_again_is_no_news(
    is_news: bool, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    current = SimpleNamespace(level=0)
    parts: Any = SimpleNamespace(told_levels=dict, current=current, refuse_peers=lambda refusal: None)
    level = FeatureLevel(1, "n1", cast(Any, None), parts, parts)
    current.level = 1
    level.applied(is_news=is_news)
    assert lines == [record.getMessage() for record in caplog.records]
