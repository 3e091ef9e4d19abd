"""Polls of several sinks, imported at the same moment: each id is counted once, whatever commits and when."""

from __future__ import annotations

import asyncio

import pytest

from quorate import crash_points
from quorate.cluster import entry
from quorate.cluster.entry import DeletePoll, SetPollState
from quorate.cluster.flush.imports import Import, Imports
from quorate.cluster.loop_bridge import Deposed
from quorate.sinks.importable import ManualPoll
from tests.support.local_replica import LocalReplica
from tests.unit.flush.commands import apply, poll


def tea(yes: int, no: int = 0) -> ManualPoll:
    return ManualPoll("tea", "Tea?", ["yes", "no"], {"yes": yes, "no": no})


def sure() -> None:
    """The leadership lasts."""


def ended() -> None:
    raise Deposed


@pytest.mark.parametrize(
    ("other", "outcome"),
    [(tea(5), Import.KNOWN), (tea(9), Import.ELSEWHERE), (tea(0, 5), Import.ELSEWHERE)],
)
def test_of_two_imports_at_the_same_moment_the_first_wins(other: ManualPoll, outcome: Import) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        imports = Imports(replica, ["a", "b"])
        both = await asyncio.gather(imports.take_in("a", [tea(5)], sure), imports.take_in("b", [other], sure))
        assert [[Import.CREATED], [outcome]] == [[each.outcome for each in found] for found in both]
        assert {"yes": 5, "no": 0} == replica.state.results("tea")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sinks", "sink", "outcome", "results"),
    [
        (["a", "b"], "a", Import.CHANGED, {"yes": 7, "no": 0}),
        (["a", "b"], "b", Import.ELSEWHERE, {"yes": 5, "no": 0}),
    ],
)
def test_only_the_origin_moves_the_initial_results(
    sinks: list[str], sink: str, outcome: Import, results: dict[str, int]
) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        imports = Imports(replica, sinks)
        await imports.take_in("a", [tea(5)], sure)
        assert [outcome] == [each.outcome for each in await imports.take_in(sink, [tea(7)], sure)]
        assert results == replica.state.results("tea")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sinks", "outcome"), [(["a"], Import.CHANGED), (["a", "b"], Import.UNCERTAIN)], ids=["one sink", "two sinks"]
)
def test_an_import_of_an_earlier_leader_is_moved_only_if_one_sink_imports(sinks: list[str], outcome: Import) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[5, 0], imported=True))
        assert [outcome] == [each.outcome for each in await Imports(replica, sinks).take_in("a", [tea(7)], sure)]

    asyncio.run(scenario())


def test_where_deleted_polls_came_from_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cluster.flush.imports.POLLS_MAX", 2)

    async def scenario() -> None:
        replica = LocalReplica()
        replica.state.raise_level(entry.encode_raise(1))
        imports = Imports(replica, ["a", "b"])
        for place in range(8):
            found = ManualPoll(f"p{place}", "Tea?", ["yes", "no"], {"yes": 5, "no": 0})
            await imports.take_in("a", [found], sure)
            if place < 7:
                gone = SetPollState(found.id, "closed"), SetPollState(found.id, "archived"), DeletePoll(found.id, None)
                await apply(replica, *gone)
        assert len(imports._origins) <= 2
        assert [Import.ELSEWHERE] == [
            each.outcome
            for each in await imports.take_in("b", [ManualPoll("p7", "Tea?", ["yes", "no"], {"yes": 9, "no": 0})], sure)
        ]

    asyncio.run(scenario())


def test_where_a_deleted_poll_came_from_says_nothing_of_a_new_poll_of_its_name() -> None:
    """Another leader imported the new one, perhaps from the other sink."""

    async def scenario() -> None:
        replica = LocalReplica()
        replica.state.raise_level(entry.encode_raise(1))
        imports = Imports(replica, ["a", "b"])
        await imports.take_in("a", [tea(5)], sure)
        await apply(replica, SetPollState("tea", "closed"), SetPollState("tea", "archived"), DeletePoll("tea", None))
        stone = replica.state.tombstone("tea")
        assert stone is not None
        replica.state._tally.tombstones.forget(stone)
        await apply(replica, poll("tea", ["yes", "no"], initial_results=[1, 0], imported=True))
        assert [Import.UNCERTAIN] == [each.outcome for each in await imports.take_in("a", [tea(7)], sure)]
        assert {"yes": 1, "no": 0} == replica.state.results("tea")

    asyncio.run(scenario())


def test_a_proposal_that_nobody_waits_for_any_more_still_goes_before_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        replica.held = []
        imports = Imports(replica, ["a", "b"])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await imports.take_in("a", [tea(5)], sure)
        second = asyncio.create_task(imports.take_in("b", [tea(9)], sure))
        await asyncio.sleep(0.05)
        assert 1 == len(replica.held), "the second is not proposed before the first is known"
        (held,), replica.held = replica.held, None
        replica.commit(*held)
        assert [Import.ELSEWHERE] == [each.outcome for each in await second]
        assert {"yes": 5, "no": 0} == replica.state.results("tea")

    asyncio.run(scenario())
    assert [] == caplog.messages


def test_a_leadership_that_ended_proposes_nothing() -> None:
    async def scenario() -> None:
        replica = LocalReplica()
        imports = Imports(replica, ["a"])
        with pytest.raises(Deposed):
            await imports.take_in("a", [tea(5)], ended)
        assert [] == replica.proposed
        assert [Import.CREATED] == [each.outcome for each in await imports.take_in("a", [tea(5)], sure)]

    asyncio.run(scenario())


def test_a_leader_that_dies_before_it_has_noted_an_import_doubles_nothing() -> None:
    """The crash point `import-before-note`: the polls are in the log, and the next leader reads the sink again."""

    class Died(Exception):
        pass

    def die() -> None:
        raise Died

    async def scenario() -> None:
        replica = LocalReplica()
        crash_points.arm("import-before-note", 1, die)
        with pytest.raises(Died):
            await Imports(replica, ["a", "b"]).take_in("a", [tea(5)], sure)
        crash_points.disarm()
        found = await Imports(replica, ["a", "b"]).take_in("a", [tea(5)], sure)
        assert [Import.KNOWN] == [each.outcome for each in found]
        assert {"yes": 5, "no": 0} == replica.state.results("tea")

    asyncio.run(scenario())
