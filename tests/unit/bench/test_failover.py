"""The votes by which `bench.failover` sees that there is a leader again."""

from __future__ import annotations

import asyncio

import pytest

from bench import failover
from tests.support.http_node import MOOD, running
from tests.support.scripted_node import ScriptedNode, problem


def test_a_node_accepts_them() -> None:
    with running() as node:
        assert 201 == node.ask("POST", "/polls", MOOD).status
        asyncio.run(failover.first_accepted_s([node.port]))
        assert node.tally()["happy"] >= 1


def test_what_was_answered_instead_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that refuses votes for another reason is no node without a leader."""
    monkeypatch.setattr(failover, "GIVE_UP_S", 0.3)
    node = ScriptedNode([problem("misdirected", 421)])
    try:
        port = int(node.url.rpartition(":")[2])
        with pytest.raises(RuntimeError, match=r"no vote was accepted within 0.3 s; answers: .*421"):
            asyncio.run(failover.first_accepted_s([port]))
    finally:
        node.stop()
