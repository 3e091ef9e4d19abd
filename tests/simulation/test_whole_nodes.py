"""Histories of whole nodes, under the clients and the checkers of `quorate chaos`. Many run in `test_histories.py`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from quorate.cluster.state.dedup import Dedup
from quorate.sinks.sink import PollDocument
from quorate.sinks.sqlite import SqliteSink
from tests.simulation.cluster import virtual_time
from tests.simulation.deaths import NodeDied
from tests.simulation.history import history, play
from tests.simulation.schedule import drawn, parse
from tests.simulation.whole.baton import Baton


def test_the_same_seed_gives_the_same_history_of_whole_nodes() -> None:
    verdict = history(7, whole=True)
    assert [] == verdict.broken
    assert verdict == history(7, whole=True)
    for what in ("reads: linearizable", "sessions: batches", "sinks: looks", "agreement: digests compared"):
        assert verdict.checked[what], what


def test_its_text_says_that_it_is_of_whole_nodes() -> None:
    schedule = drawn(7, whole=True)
    assert parse(schedule.text()).whole


def test_ids_that_count_again_break_a_history() -> None:
    with patch.object(Dedup, "_decide", lambda self, id, pick, fingerprint, decide: decide(pick)):
        broken = play(drawn(7, whole=True)).broken
    assert any(line.startswith(("counted_once", "resends")) for line in broken), broken


def test_a_sink_that_shows_one_vote_too_many_breaks_a_history() -> None:
    write = SqliteSink.write

    def one_more(self: SqliteSink, documents: Sequence[PollDocument], *given: Any, **named: Any) -> Any:
        return write(self, [_with_one_more(each) for each in documents], *given, **named)

    with patch.object(SqliteSink, "write", one_more):
        broken = play(drawn(7, whole=True, seconds=4)).broken
    assert any(line.startswith("sinks") for line in broken), broken


def _with_one_more(document: PollDocument) -> PollDocument:
    first = next(iter(document.results))
    return replace(document, results={**document.results, first: document.results[first] + 1})


# ---- the baton ------------------------------------------------------------------------------------------------------


def test_a_thread_and_the_loop_take_turns() -> None:
    said = []

    async def run() -> int:
        baton = Baton()

        async def answer(value: int) -> int:
            await asyncio.sleep(1)
            said.append(f"loop {value}")
            return value + 1

        def work() -> int:
            said.append("thread")
            value = baton.wait(answer(1))
            said.append(f"thread {value}")
            return baton.wait(answer(value))

        return await baton.run(work)

    with virtual_time() as runner:
        assert 3 == runner.run(run())
    assert ["thread", "loop 1", "thread 2", "loop 2"] == said


def test_what_the_loop_raises_is_raised_on_the_thread() -> None:
    async def run() -> str:
        baton = Baton()

        async def fail() -> None:
            raise KeyError("no")

        def work() -> str:
            with pytest.raises(KeyError):
                baton.wait(fail())
            return "well"

        return await baton.run(work)

    with virtual_time() as runner:
        assert "well" == runner.run(run())


def test_the_thread_of_a_dead_node_ends_where_it_waits() -> None:
    ended: list[BaseException] = []

    async def run() -> None:
        baton = Baton()

        def work() -> None:
            try:
                baton.pause(10)
            except BaseException as error:
                ended.append(error)
                raise

        task = asyncio.ensure_future(baton.run(work))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    before = set(threading.enumerate())  # those of other tests may end meanwhile
    with virtual_time() as runner:
        runner.run(run())
    assert [NodeDied] == [type(error) for error in ended]
    assert set() == set(threading.enumerate()) - before
