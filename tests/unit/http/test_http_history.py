"""GET /polls/ID/history: what this node recorded, in steps, and in words what it cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from quorate.cluster import entry
from quorate.history.recorder import History
from quorate.http.handlers.history import OPTIONS_SHOWN_MAX, STEPS_MAX, STEPS_WANTED, read_window
from tests.support.http_node import Node, running
from tests.support.local_replica import LocalReplica
from tests.support.tokens import access_by, bearer, write_tokens

BEGAN = 1_900_000_000 - 1_900_000_000 % 3_600


class Recording:
    """A node whose seconds pass when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.now_s = float(BEGAN)
        self._folder = folder

    def make(self, replica: LocalReplica) -> History:
        replica.state.raise_level(entry.encode_raise(1))
        return History(replica, self._folder, lambda: 0, clock=lambda: self.now_s)

    def pass_s(self, node: Node, seconds: int = 1) -> None:
        assert node.api.history is not None
        for _ in range(seconds):
            self.now_s += 1
            node.run(node.api.history.tick())


@pytest.fixture
def clock(tmp_path: Path) -> Recording:
    return Recording(tmp_path)


@pytest.fixture
def node(clock: Recording) -> Iterator[Node]:
    with running(history=clock.make) as node:
        assert 201 == node.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield node
        assert node.api.history is not None
        node.run(node.api.history.stop())


def asked(node: Node, query: str = "", poll: str = "mood") -> Any:
    answer = node.ask("GET", f"/polls/{quote(poll)}/history{query}")
    assert 200 == answer.status, answer.json
    return answer.json


def test_a_step_has_what_was_counted_or_nothing(node: Node, clock: Recording) -> None:
    clock.pass_s(node, 2)
    node.vote(option="sad", poll="mood", weight=3)
    clock.pass_s(node)
    clock.now_s += 10  # a pause
    clock.pass_s(node)
    told = asked(node, "?from=16s&step=1s")
    nothing = [None] * 3
    assert [*nothing, 0, 0, 3, *[None] * 10, 3] == told["totals"]
    expected = {"sad": [*nothing, 0, 0, 3, *[None] * 10, 3], "happy": [*nothing, 0, 0, 0, *[None] * 10, 0]}
    assert expected == told["options"]
    assert [(3, 14)] == [
        tuple(datetime.fromisoformat(gap[end]).timestamp() - BEGAN for end in ("from", "to")) for gap in told["gaps"]
    ]
    assert ["sad", "happy"] == list(told["options"]), "the biggest first"
    assert ("mood", 1, "n1", 1) == (told["id"], told["creation"], told["node"], told["step_s"])
    assert [BEGAN - 2, BEGAN + 14, BEGAN + 14, BEGAN + 1] == [
        datetime.fromisoformat(told[name]).timestamp() for name in ("from", "to", "now", "kept_from")
    ]


def test_a_week_is_told_in_minutes(node: Node, clock: Recording) -> None:
    for _ in range(3):
        node.vote(option="happy", poll="mood")
        clock.pass_s(node, 60)
    told = asked(node, "?from=2h&step=1m")
    assert [1, 2, 3] == told["totals"][-3:]
    assert {None} == set(told["totals"][:-3])
    week = asked(node, "?from=7d")
    assert 1_800 == week["step_s"]
    assert 7 * 48 <= len(week["totals"]) <= STEPS_WANTED + 1


def test_before_anything_is_recorded_all_is_a_gap(node: Node) -> None:
    told = asked(node)
    assert ({None}, {}, None, 10) == (set(told["totals"]), told["options"], told["kept_from"], told["step_s"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?step=0", "a second or more"),
        ("?step=fast", "give a time such as"),
        ("?from=yesterday", "how long ago"),
        ("?from=2030-05-01T12:00:00", "how long ago"),
        ("?from=2999-05-01T12:00:00Z", "still to come"),
        ("?from=1h&step=1s", "3,601 steps"),
        ("?from=7d&step=1m", "10,081 steps"),
        ("?from=9999999d", "steps"),
        ("?from=2h&step=90s", "only minutes are kept"),
        ("?to=now", "no query parameter"),
        ("?from=1h&from=2h", "once"),
    ],
)
def test_what_cannot_be_asked_is_said_in_words(query: str, words: str, node: Node) -> None:
    answer = node.ask("GET", f"/polls/mood/history{query}")
    assert (400, True) == (answer.status, words in answer.json["detail"]), answer.json


@pytest.mark.parametrize(
    ("begin", "step", "expected"),
    [
        ("1h", "", (BEGAN - 3_600, 10, 361, "seconds")),
        ("15m", "", (BEGAN - 900, 5, 181, "seconds")),
        ("61m", "", (BEGAN - 3_660, 60, 62, "seconds")),
        ("3h", "", (BEGAN - 10_800, 60, 181, "minutes")),
        ("2000", "1s", None),
        ("1999", "1s", (BEGAN - 1_999, 1, STEPS_MAX, "seconds")),
        ("1970-01-01T00:00:00Z", "7d", (0, 604_800, 3_142, "minutes")),
        ("0", "", (BEGAN, 1, 1, "seconds")),
        ("7s", "5s", (BEGAN - 7, 5, 2, "seconds")),
        ("10007s", "5m", (BEGAN - 10_200, 300, 35, "minutes")),
    ],
)
def test_windows(begin: str, step: str, expected: tuple[int, int, int, str] | None) -> None:
    if expected is None or expected[2] > STEPS_MAX:
        with pytest.raises(Exception, match="steps"):
            read_window(begin, step, BEGAN)
        return
    window = read_window(begin, step, BEGAN)
    assert expected == (window.begin, window.step_s, len(window.moments), window.table)


def test_who_has_no_such_poll_says_so(node: Node, clock: Recording) -> None:
    answer = node.ask("GET", "/polls/mod/history")
    assert (404, True) == (answer.status, "mood" in answer.json["detail"])
    clock.pass_s(node)
    for state in ("closed", "archived"):
        node.ask("POST", "/polls/mood/state", {"state": state})
    assert 200 == node.ask("DELETE", "/polls/mood").status
    assert 410 == node.ask("GET", "/polls/mood/history").status
    assert 201 == node.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
    assert {None} == set(asked(node)["totals"])


def test_a_node_that_may_not_know_all_polls_does_not_say_that_there_is_none(clock: Recording) -> None:
    with running(history=clock.make, form=False) as node:
        node.call(node.replica.lead, None)
        answer = node.ask("GET", "/polls/mood/history")
        assert (503, "not-ready") == (answer.status, answer.json["type"])
        assert node.api.history is not None
        node.run(node.api.history.stop())


def test_a_token_that_is_bound_to_polls_sees_the_history_of_these_alone(clock: Recording, tmp_path: Path) -> None:
    roles = {"boss": "operate", "reader": "read", "other": "read"}
    path = write_tokens(tmp_path / "tokens.toml", roles, {"reader": ["mood"], "other": ["other"]})
    with running(history=clock.make, access=partial(access_by, path)) as node:
        node.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}, bearer("boss"))
        codes = [
            node.ask("GET", "/polls/mood/history", None, bearer(who)).status for who in ("reader", "other", "nobody")
        ]
        assert ([200, 403, 401], 401) == (codes, node.ask("GET", "/polls/mood/history").status)
        assert node.api.history is not None
        node.run(node.api.history.stop())


def test_a_node_that_records_nothing_knows_nothing() -> None:
    with running() as node:
        node.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]})
        told = asked(node)
        assert ({None}, [], None) == (set(told["totals"]), told["gaps"], told["kept_from"])


def test_an_answer_has_a_bounded_number_of_options(clock: Recording) -> None:
    """Each second ten others lead. Without a bound, 2,000 steps would be 20,000 options of 2,000 values each."""
    options = [f"option {place}" for place in range(OPTIONS_SHOWN_MAX + 50)]
    with running(history=clock.make) as node:
        node.ask("POST", "/polls", {"id": "race", "options": options})
        for second in range(len(options) // 10):
            for option in options[10 * second : 10 * second + 10]:
                node.vote(option=option, poll="race", weight=1 + second)
            clock.pass_s(node)
        told = asked(node, "?from=20s&step=1s", "race")["options"]
        assert options[-1:-11:-1] == sorted(list(told)[:10], reverse=True)
        assert set(options[50:]) == set(told), "those that had the most votes at any time"
        assert node.api.history is not None
        node.run(node.api.history.stop())
