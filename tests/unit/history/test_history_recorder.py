"""What a node records of its polls: what it saw, when it saw it, and a gap where it saw nothing."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import ChangePoll, CreatePoll
from quorate.cluster.fsm import StateMachine
from quorate.cluster.submit.submitter import Submitter
from quorate.history.history_file import NAME
from quorate.history.measuring import decode_options, measure, measure_big
from quorate.history.recorder import BREAK_S, FRESH_MS, OPTIONS_A_SECOND, OPTIONS_BETWEEN, POLLS_A_SECOND, History
from quorate.history.steps import rows_at
from quorate.turns import Turns
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import on_loop
from tests.support.waiting import until

BEGAN = 1_900_000_000 - 1_900_000_000 % 60


class Recorded:
    """A node with a history whose seconds pass when the test says so."""

    def __init__(self, folder: Path, replica: LocalReplica | None = None) -> None:
        self.folder, self.now_s, self.age = folder, float(BEGAN), 0
        self.replica = replica or LocalReplica()
        if self.replica.state.level == 0:
            self.replica.state.raise_level(entry.encode_raise(1))
        self.submitter = Submitter(self.replica)
        self.history = self.new_history()

    def new_history(self) -> History:
        return History(self.replica, self.folder, lambda: self.age, clock=lambda: self.now_s)

    async def restart(self) -> None:
        await self.history.stop()
        self.history = self.new_history()

    async def make(self, id: str, options: Sequence[str], *, write_ins: bool = False) -> None:
        poll = CreatePoll(id, "", list(options), "open", None, write_ins)
        await self.submitter.create_poll(poll, timeout_s=60)

    async def vote(self, option: str, poll: str | None = "mood", weight: int = 1) -> None:
        await self.submitter.cast([Vote(option, poll=poll, weight=weight)], timeout_s=60)

    async def delete(self, id: str) -> None:
        poll = self.replica.state.poll(id)
        assert poll is not None
        await self.submitter.set_poll_state(id, "closed", timeout_s=60)
        await self.submitter.set_poll_state(id, "archived", timeout_s=60)
        result, _ = await self.submitter.delete_poll(id, poll.creation, timeout_s=60)
        assert "removed" == result.what

    async def pass_s(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now_s += 1
            await self.history.tick()

    async def totals(self, *seconds: int, poll: str = "mood", table: Any = "seconds") -> list[int | None]:
        """At these seconds after the beginning."""
        moments = [BEGAN + second for second in seconds]
        view = self.replica.state.poll(poll)
        assert view is not None
        kept = await self.history.read((poll, view.creation), table, moments[0], moments[-1])
        return [None if row is None else row.total for row in rows_at(kept, moments)]


async def recorded(folder: Path) -> Recorded:
    made = Recorded(folder)
    await made.make("mood", ["happy", "sad"])
    return made


@on_loop
async def test_a_second_has_what_was_counted_then(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s(2)
    await node.vote("happy", weight=5)
    await node.pass_s()
    await node.vote("sad", poll=None)
    await node.pass_s(2)
    assert [None, 0, 0, 5, 6, 6] == await node.totals(0, 1, 2, 3, 4, 5)
    await node.history.stop()


@on_loop
async def test_a_poll_that_does_not_change_takes_no_room(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.vote("happy")
    await node.pass_s(30)
    kept = await node.history.read(("mood", 1), "seconds", BEGAN, BEGAN + 30)
    assert ([1], [(BEGAN + 1, BEGAN + 30)]) == ([row.total for row in kept.rows], list(kept.spans))
    await node.history.stop()


@on_loop
async def test_a_node_that_was_down_has_a_gap(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.vote("happy")
    await node.pass_s(2)
    await node.restart()
    node.now_s += 30
    await node.vote("happy")
    assert [1, None, None] == await node.totals(2, 3, 32)
    await node.pass_s()
    assert [1, 1, None, None, 2] == await node.totals(1, 2, 3, 32, 33)
    await node.history.stop()


@on_loop
async def test_a_node_that_was_paused_has_a_gap(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s()
    node.now_s += BREAK_S - 1
    await node.pass_s()
    node.now_s += BREAK_S
    await node.pass_s()
    assert [0, 0, 0, None, None, 0] == await node.totals(1, 2, 4, 5, 7, 8), "a second that was late is none"
    await node.history.stop()


@on_loop
async def test_a_node_that_does_not_know_how_old_its_state_is_has_a_gap(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s()
    node.age = FRESH_MS + 1
    await node.vote("happy")
    await node.pass_s(2)
    assert not node.history.status().recording
    node.age = FRESH_MS
    await node.pass_s()
    assert [0, None, None, 1] == await node.totals(1, 2, 3, 4)
    await node.history.stop()


@on_loop
async def test_a_snapshot_that_takes_the_place_of_the_state_begins_a_new_span(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.make("other", ["a", "b"])
    await node.vote("happy")
    await node.pass_s(2)
    other = await recorded(tmp_path / "other")
    await other.vote("happy", weight=9)
    node.replica.state = other.replica.state
    await node.pass_s()
    assert [1, 9] == await node.totals(2, 3)
    kept = await node.history.read(("other", 2), "seconds", BEGAN, BEGAN + 9)
    assert [] == list(kept.rows), "a poll that the snapshot lacks was deleted"
    await node.history.stop()


@on_loop
async def test_a_poll_that_has_the_name_of_a_deleted_one_begins_with_nothing(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.vote("happy", weight=7)
    await node.pass_s(2)
    await node.delete("mood")
    await node.make("mood", ["happy", "sad"])
    await node.pass_s()
    assert [None, None, 0] == await node.totals(1, 2, 3)
    old = await node.history.read(("mood", 1), "seconds", BEGAN, BEGAN + 9)
    assert [] == list(old.rows)
    await node.delete("mood")
    await node.pass_s()
    new = await node.history.read(("mood", 2), "seconds", BEGAN, BEGAN + 9)
    assert [] == list(new.rows)
    await node.history.stop()


@on_loop
async def test_a_poll_that_was_deleted_while_the_node_was_down_goes(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s(2)
    await node.history.stop()
    await node.delete("mood")
    node.history = node.new_history()
    await node.pass_s(2)
    assert [] == list((await node.history.read(("mood", 1), "seconds", BEGAN, BEGAN + 9)).rows)
    await node.history.stop()


@on_loop
async def test_minutes_have_what_was_counted_when_they_began(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    for minute in range(3):
        await node.vote("happy")
        await node.pass_s(60)
        assert minute + 1 == node.replica.state.results_of("mood", ["happy"])["happy"]  # type: ignore[index]
    assert [None, 1, 2, 3] == await node.totals(0, 60, 120, 180, table="minutes")
    await node.pass_s(120)
    assert [3, 3, 3] == await node.totals(180, 240, 300, table="minutes")
    await node.history.stop()


@on_loop
async def test_a_clock_that_is_set_back_begins_anew_there(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.vote("happy")
    await node.pass_s(100)
    node.now_s -= 50
    await node.vote("happy")
    await node.pass_s(2)
    assert [1, 1, 2, 2, None] == await node.totals(49, 50, 51, 52, 53)
    await node.history.stop()


@on_loop
async def test_a_clock_that_was_set_back_while_the_node_was_down_is_no_trouble_either(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s(100)
    await node.restart()
    node.now_s -= 90
    await node.vote("happy")
    await node.pass_s(2)
    assert [0, 1, 1, None, None] == await node.totals(10, 11, 12, 13, 99)
    await node.history.stop()


@on_loop
async def test_what_could_not_be_written_is_a_gap_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = await recorded(tmp_path)
    await node.pass_s(5)
    await until("the first write is over", lambda: node.history._writing is None)
    write = node.history._file.write

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(node.history._file, "write", full)
        await node.vote("happy")
        for _ in range(3):
            await node.pass_s(5)
            await until("it has failed", lambda: node.history._writing is None)
    assert 1 == caplog.text.count("disk is full")
    monkeypatch.setattr(node.history._file, "write", write)
    await node.pass_s(2)
    assert [0, None, 1] == await node.totals(5, 8, 22)
    await node.history.stop()


@on_loop
async def test_a_damaged_file_does_not_end_the_recording(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"this was a database once " * 500)
    node = await recorded(tmp_path)
    await node.pass_s(2)
    assert [0] == await node.totals(2)
    assert "" == node.history.status().problem
    await node.history.stop()
    await node.history.stop()


# ---- many polls, and many options -----------------------------------------------------------------------------------


def test_the_biggest_ten_options_are_kept() -> None:
    counts = [3, 0, 12, 5, 5, 1, 9, 2, 7, 8, 4, 6]
    row = measure(counts)
    assert (62, [(2, 12), (6, 9), (9, 8), (8, 7), (11, 6), (3, 5), (4, 5), (10, 4), (0, 3), (7, 2)]) == (
        row.total,
        decode_options(row.options),
    )
    assert [(0, 3), (1, 9)] == decode_options(measure([3, 9]).options), "all of few, in their order"


@on_loop
async def test_a_poll_of_100000_options_is_measured_in_pieces_as_others_at_once(tmp_path: Path) -> None:
    options = [f"option {i}" for i in range(100_000)]
    node = Recorded(tmp_path)
    await node.make("many", options)
    await node.make("mood", ["happy", "sad"])
    for place in range(0, 100_000, 4_999):
        await node.vote(f"option {place}", "many", weight=1 + place % 7)
    await node.pass_s()
    assert [0] == await node.totals(1), "small ones do not wait for it"
    span = node.history._span
    assert span is not None
    await until("the big poll was measured", lambda: "many" in span.last)
    state = node.replica.state
    results = state.results("many")
    columns = state.columns("many")
    assert results is not None
    assert columns is not None
    assert measure(results.values()) == await measure_big(columns, Turns().rest)
    assert [sum(results.values())] == await node.totals(1, poll="many")
    await node.history.stop()


@on_loop
async def test_of_10000_polls_some_are_looked_at_in_a_second_and_all_after_a_while(tmp_path: Path) -> None:
    node = Recorded(tmp_path)
    polls, shared = 10_000, ["yes", "no"]
    await asyncio.gather(*(node.make(f"p{number}", shared) for number in range(polls)))
    for second in range(1, polls // POLLS_A_SECOND + 1):
        await node.pass_s()
        assert second * POLLS_A_SECOND == len(node.history._span.last)  # type: ignore[union-attr]
    await node.vote("yes", poll=None)
    await node.pass_s()
    assert POLLS_A_SECOND == rows_with(node, 1)
    await node.pass_s(polls // POLLS_A_SECOND)
    assert polls == rows_with(node, 1)
    await node.history.stop()


def rows_with(node: Recorded, total: int) -> int:
    span = node.history._span
    assert span is not None
    return sum(row.measured.total == total for row in span.last.values())


@on_loop
async def test_options_of_many_polls_are_looked_at_in_their_turn(tmp_path: Path) -> None:
    node = Recorded(tmp_path)
    options = [f"o{number}" for number in range(900)]
    polls = 2 * OPTIONS_A_SECOND // 900
    for number in range(polls):
        await node.make(f"p{number}", options)
    await node.pass_s()
    assert 20 <= len(node.history._span.last) <= 23  # type: ignore[union-attr]
    await node.pass_s(3)
    assert polls == len(node.history._span.last)  # type: ignore[union-attr]
    await node.history.stop()


@on_loop
async def test_of_many_options_that_changed_some_are_looked_up_in_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes for 20,000 options a second had the loop stand still for 8 ms each second."""
    node, turns, looked_up = Recorded(tmp_path), [0], Counter[int]()
    await node.make("mood", ["yes", "no"])
    await node.pass_s()
    polls_with = type(node.replica.state).polls_with

    def noted(state: StateMachine, option: str) -> Iterable[str]:
        looked_up[turns[0]] += 1
        return polls_with(state, option)

    def turn() -> None:
        turns[0] += 1
        asyncio.get_running_loop().call_soon(turn)

    monkeypatch.setattr(type(node.replica.state), "polls_with", noted)
    node.history._options.update({"yes"}, map(str, range(OPTIONS_A_SECOND // 2)))
    turn()
    await node.pass_s()
    assert OPTIONS_A_SECOND // 2 + 1 == looked_up.total()
    assert max(looked_up.values()) <= OPTIONS_BETWEEN
    await node.history.stop()


@on_loop
async def test_options_that_are_added_have_the_places_that_follow(tmp_path: Path) -> None:
    node = await recorded(tmp_path)
    await node.pass_s()
    await node.submitter.change_poll(ChangePoll("mood", None, ["so so"], False, None), timeout_s=60)
    await node.vote("so so", weight=3)
    await node.pass_s()
    kept = await node.history.read(("mood", 1), "seconds", BEGAN, BEGAN + 2)
    assert [[(0, 0), (1, 0)], [(0, 0), (1, 0), (2, 3)]] == [decode_options(row.options) for row in kept.rows]
    await node.history.stop()
