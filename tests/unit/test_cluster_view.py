"""GET /nodes, while a member answers to the probes what it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quorate.cluster.raft.members import Member
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.status import RaftStatus
from quorate.cluster_view import ClusterView
from quorate.config import load

GOOD = b'{"role":"follower","term":3,"version":4,"log_index":5,"lag":0,"later":[]}'
BAD = {
    "nothing": b"",
    "a list": b"[]",
    "another role": GOOD.replace(b"follower", b"f" * 100),
    "a number too big": GOOD.replace(b"4", b"1" + b"0" * 30),
    "deep": b'{"x":' + b"[" * 20_000,
    "no text": b'{"role":"\xff"}',
}


def nodes(answer: bytes) -> Mapping[str, Any]:
    """What n1 shows of n2, which answers so."""

    async def call(peer: str, kind: str, body: bytes) -> bytes:
        return answer

    replica = SimpleNamespace(
        node_id="n1",
        state=SimpleNamespace(version=7),
        serve=lambda kind, handler: None,
        call=call,
        http_addresses=dict,
        members=lambda: [Member(id, f"{id}:1", "a", voter=True) for id in ("n1", "n2")],
        status=lambda: RaftStatus(role="leader", feature_levels={"n1": 1, "n2": 1}),
    )
    view = ClusterView(load(env={}, flags={"node.id": "n1"}).config, cast(RaftReplica, replica))
    shown: Sequence[Mapping[str, Any]] = asyncio.run(view.nodes())
    assert ["n1", "n2"] == [each["id"] for each in shown]
    return shown[1]


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_a_member_whose_answer_makes_no_sense_is_not_reachable_and_the_others_are_shown(answer: bytes) -> None:
    assert not nodes(answer)["reachable"]


def test_what_a_member_answers_of_itself_changes_nothing_else() -> None:
    shown = nodes(GOOD[:-1] + b',"id":"n9","http":"http://elsewhere","raft":"elsewhere:1","reachable":false}')
    assert {"id": "n2", "raft": "n2:1", "reachable": True, "version": 4}.items() <= shown.items()
    assert "elsewhere" not in str(shown)
