"""What happens in one turn of the loop makes one step, and a step does nothing where there is nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from unittest import mock

from quorate.cluster.raft import messages
from quorate.cluster.raft.commit_announcer import CommitAnnouncer
from quorate.cluster.raft.ticker import Ticker
from quorate.cluster.raft.transport.flushes import Flushes
from tests.stock.one_engine import OneEngine


class CountedTicks(OneEngine):
    def ticks_of(self, step: Callable[[], object]) -> int:
        """How often a step of the engine's ran a tick."""
        with mock.patch.object(self.engine, "tick", wraps=self.engine.tick) as tick:
            step()
            self.engine.step()
        return int(tick.call_count)


def copied(term: int, index: int) -> messages.Appended:
    return messages.Appended(term, index + 1, success=True, reset=False)


def test_a_leader_ticks_when_a_majority_has_an_entry_and_not_again_for_its_other_copies() -> None:
    with CountedTicks() as a:
        term = a.leads()
        a.hears("b", copied(term, a.journal.last_index))  # the no-op of its term
        a.engine.tick()
        index = a.proposes(b"x")
        assert 0 == a.ticks_of(lambda: None), "the entry leaves without one"
        assert 0 == a.ticks_of(lambda: a.hears("b", copied(term, index))), "this disk has it not yet"
        assert 1 == a.ticks_of(a.syncs)
        assert index == a.engine.commit_index == a.engine.applied_index
        assert 0 == a.ticks_of(lambda: a.hears("c", copied(term, index)))


def test_a_follower_ticks_when_it_can_apply_or_has_another_leader() -> None:
    with CountedTicks() as a:
        a.follows(1, b"first")
        a.engine.tick()
        entry = messages.Append(1, 2, 2, 1, [(1, b"\x00second")])
        assert 1 == a.ticks_of(lambda: a.hears("b", entry)), "the first is committed"
        assert [b"first"] == a.applied
        assert 0 == a.ticks_of(a.syncs)
        assert 0 == a.ticks_of(lambda: a.hears("b", messages.Append(1, 2, 3, 1, [])))
        assert 1 == a.ticks_of(lambda: a.hears("c", messages.Append(2, 2, 3, 1, [])))


def test_what_happened_in_one_turn_makes_one_step_and_none_follows_an_end() -> None:
    async def work() -> list[str]:
        done: list[str] = []
        runs = True

        def run(action: Callable[[], None]) -> bool:
            if runs:
                action()
            return runs

        ticker = Ticker(lambda: done.append("tick"), lambda: done.append("step"), run, tick_s=3_600)
        ticker.start()
        for _ in range(3):
            ticker.soon()
        await asyncio.sleep(0)
        ticker.soon()
        runs = False
        await asyncio.sleep(0)
        ticker.stop()
        return done

    assert ["tick", "step"] == asyncio.run(work())


def test_what_a_step_sends_leaves_at_its_end_and_other_frames_at_the_end_of_the_turn() -> None:
    async def work() -> list[str]:
        flushes, done = Flushes(), list[str]()
        loop = asyncio.get_running_loop()
        flushes.add(loop, lambda: done.append("other"))
        with flushes:
            with flushes:
                flushes.add(loop, lambda: done.append("of the step"))
            done.append("end of the step")
        await asyncio.sleep(0)
        return done

    assert ["end of the step", "of the step", "other"] == asyncio.run(work())


def test_a_commit_is_told_once_if_no_entries_tell_it() -> None:
    async def work() -> int:
        told = asyncio.Queue[None]()

        def tell(announce: Callable[[], None]) -> None:
            announce()
            told.put_nowait(None)

        with OneEngine() as a:
            term = a.leads()
            announcer = CommitAnnouncer(tell)
            a.hears("b", copied(term, a.proposes(b"x")))
            a.syncs()
            a.engine.tick()
            for _ in range(3):
                announcer.note(a.engine)
            a.sent.clear()
            await asyncio.wait_for(told.get(), 10)
            announcer.note(a.engine)
            announcer.stop()
            commits = [message.commit_index for _, message in a.sent if isinstance(message, messages.Append)]
            assert [a.engine.commit_index] * 2 == commits, "one for each peer"
        return told.qsize()

    assert 0 == asyncio.run(work())
