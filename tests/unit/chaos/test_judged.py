"""What clients of a chaos run take an answer for. What the interface does not name is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.chaos.workload.exchange import NodeAnswer
from quorate.chaos.workload.judged import Judged, of_change, of_read, of_redis_votes, of_votes
from quorate.chaos.workload.redis_replies import ReplyError


def answer(status: int, told: Any) -> NodeAnswer:
    return NodeAnswer(status, json.dumps(told).encode(), "n1", 7)


COUNTED = {"applied": 1, "duplicates": 0, "rejected": [], "version": 7}


@pytest.mark.parametrize(
    ("status", "told", "judged"),
    [
        (200, COUNTED, Judged("ok", applied=1)),
        (200, {**COUNTED, "applied": 0, "duplicates": 1}, Judged("ok", duplicates=1)),
        (
            200,
            {**COUNTED, "rejected": [{"index": 1, "id": "x", "reason": "closed", "detail": ""}]},
            Judged("ok", applied=1, rejected=[(1, "closed")]),
        ),
        (410, {"type": "closed", "reason": "closed"}, Judged("ok", "closed", rejected=[(0, "closed"), (1, "closed")])),
        (
            400,
            {"type": "rejected", "rejected": [{"index": 1, "reason": "closed"}]},
            Judged("ok", "rejected", rejected=[(1, "closed")]),
        ),
        (503, {"type": "no-leader", "definite": True}, Judged("fail", "no-leader")),
        (429, {"type": "overloaded", "definite": True}, Judged("fail", "overloaded")),
        (504, {"type": "outcome-unknown", "definite": False}, Judged("unknown", "outcome-unknown")),
        (503, {"type": "halted", "definite": False}, Judged("unknown", "halted")),
        (503, {"type": "no-leader", "definite": False}, Judged("unknown", "no-leader")),
        (500, {"type": "internal", "definite": True}, Judged("unknown", "internal")),
        (200, [], Judged("unknown", "unreadable")),
        (502, "by a proxy", Judged("unknown", 'status 502: "by a proxy"')),
    ],
)
def test_votes(status: int, told: Any, judged: Judged) -> None:
    assert judged == of_votes(answer(status, told), 2)


DOWN, CLOSED = ReplyError("CLUSTERDOWN no leader"), ReplyError("CLOSED it takes no votes now")
MOVED = ReplyError("MOVED 42 127.0.0.1:7001")


@pytest.mark.parametrize(
    ("replies", "judged"),
    [
        (["17-0"], Judged("ok", counted=1, version=17)),
        (["17-0", "17-1"], Judged("ok", counted=2, version=17)),
        (["17-0", "18-0"], Judged("ok", counted=2)),  # each is counted, at versions of their own
        ([CLOSED], Judged("ok", "CLOSED", rejected=[(0, "closed")])),
        (["17-0", CLOSED], Judged("ok", "CLOSED", rejected=[(1, "closed")], counted=1)),
        (["OK", "QUEUED", ["17-0"]], Judged("ok", counted=1, version=17)),
        (
            ["OK", "QUEUED", "QUEUED", [CLOSED, "17-1"]],
            Judged("ok", "CLOSED", rejected=[(0, "closed")], counted=1, version=17),
        ),
        (["OK", "QUEUED", [DOWN]], Judged("fail", "CLUSTERDOWN")),
        (["OK", ReplyError("ERR no"), ReplyError("EXECABORT")], Judged("fail", "EXECABORT")),
        ([DOWN], Judged("fail", "CLUSTERDOWN")),
        ([DOWN, DOWN], Judged("fail", "CLUSTERDOWN")),
        ([MOVED], Judged("fail", "MOVED", moved_to="127.0.0.1:7001")),
        (["17-0", DOWN], Judged("unknown", "CLUSTERDOWN")),
        ([CLOSED, DOWN], Judged("unknown", "CLOSED, CLUSTERDOWN")),
        ([ReplyError("NEVER heard of")], Judged("unknown", "NEVER")),
        (["OK"], Judged("unknown", "replies ['OK']")),
        ([None], Judged("unknown", "replies [None]")),
        ([7], Judged("unknown", "replies [7]")),
    ],
)
def test_votes_of_redis_clients(replies: list[Any], judged: Judged) -> None:
    assert judged == of_redis_votes(replies)


@pytest.mark.parametrize(
    ("status", "told", "outcome"),
    [
        (201, {"id": "mood"}, "ok"),
        (200, {"id": "mood"}, "ok"),
        (409, {"type": "bad-transition"}, "fail"),
        (503, {"type": "no-leader", "definite": True}, "fail"),
        (504, {"type": "outcome-unknown", "definite": False}, "unknown"),
    ],
)
def test_changes(status: int, told: Any, outcome: str) -> None:
    assert outcome == of_change(answer(status, told)).outcome


def test_a_read_without_a_good_answer_had_no_effect() -> None:
    assert "ok" == of_read(answer(200, {"version": 7})).outcome
    assert Judged("fail", "outcome-unknown") == of_read(answer(504, {"type": "outcome-unknown"}))
