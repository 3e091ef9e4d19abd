"""What clients of a chaos run take an answer for. What the interface does not name is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.chaos.workload.exchange import NodeAnswer
from quorate.chaos.workload.judged import Judged, of_change, of_read, of_votes


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
