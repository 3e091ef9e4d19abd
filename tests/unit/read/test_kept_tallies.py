"""Tallies are made and encoded once a change, and no reader is given an older one."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from quorate.cluster import entry
from quorate.cluster.entry import ChangePoll, CreatePoll, DeletePoll, SetPollState, State
from quorate.cluster.read import chunks, kept_tallies
from quorate.cluster.read.reads import Reads
from quorate.cluster.read.shared_results import AS_JSON, ResultsForm, ResultsPart, SharedResults
from quorate.cluster.submit.choices import count_choices
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import QuorateError
from quorate.turns import Turns
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time

POLLS = ("few", "others", "big")
STEPS = 300


def counted_form(written: list[Sequence[str]], between: bytes = b" ") -> ResultsForm:
    """Notes of which options rows are written."""

    def rows(names: Sequence[str], votes: Sequence[int]) -> bytes:
        written.append(names)
        return " ".join(f"{name}={count}" for name, count in zip(names, votes, strict=True)).encode()

    return ResultsForm(lambda count: b"%d: " % count, rows, between)


def in_parts(*parts: str) -> SharedResults:
    """Of options of one letter, without votes."""
    return SharedResults([ResultsPart([*names], [0] * len(names)) for names in parts])


async def node() -> tuple[LocalReplica, Reads, Submitter]:
    """It leads itself. Two polls have the option "shared"."""
    replica = LocalReplica("n1")
    submitter = Submitter(replica)
    for poll, options in {
        "few": ["a", "shared"],
        "others": ["b", "shared"],
        "big": [f"o{n}" for n in range(9)],
    }.items():
        await submitter.create_poll(CreatePoll(poll, "", options, "open", None, False), timeout_s=60)
    return replica, Reads(replica), submitter


def counted(replica: LocalReplica, monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """What it is called with."""
    calls, real = [], getattr(type(replica.state), name)

    def called(self: Any, *given: Any) -> Any:
        calls.append(given[0])
        return real(self, *given)

    monkeypatch.setattr(type(replica.state), name, called)
    return calls


@in_virtual_time
async def test_readers_of_one_version_share_a_tally(monkeypatch: pytest.MonkeyPatch) -> None:
    replica, reads, submitter = await node()
    made = counted(replica, monkeypatch, "results")
    first, second = [await reads.results("few") for _ in range(2)]
    assert first.results is second.results
    await submitter.cast([Vote("b")], timeout_s=60)  # of another poll
    third = await reads.results("few")
    assert ["few"] == made
    assert (third.results, second.version + 1) == (first.results, third.version)
    await submitter.cast([Vote("shared")], timeout_s=60)
    assert {"a": 0, "shared": 1} == (await reads.results("few")).results
    assert ["few", "few"] == made


@in_virtual_time
async def test_a_big_tally_is_shared_too_and_not_if_votes_came_while_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    replica, reads, submitter = await node()
    made = counted(replica, monkeypatch, "columns")
    first = asyncio.ensure_future(reads.results("big"))
    while not made:
        await asyncio.sleep(0)
    await submitter.cast([Vote("o8")], timeout_s=60)
    assert 0 == (await first).total
    second, third = [await reads.results("big") for _ in range(2)]
    assert (1, 2) == (second.total, len(made))
    assert second.results is third.results


@in_virtual_time
async def test_some_options_are_read_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    replica, reads, submitter = await node()
    await submitter.cast([Vote("o7"), Vote("o7")], timeout_s=60)
    made = counted(replica, monkeypatch, "results") + counted(replica, monkeypatch, "columns")
    some = counted(replica, monkeypatch, "results_of")
    assert [2, None, 0] == await reads.votes_of("big", ["o7", "nothing", "o1"])
    assert ([], ["big"]) == (made, some)


@pytest.mark.parametrize("parts", [("ab",), ("a", "b")])
@in_virtual_time
async def test_each_form_is_made_once_for_all_who_ask(parts: Sequence[str]) -> None:
    written = list[Sequence[str]]()
    shared, turns, form = in_parts(*parts), Turns(), counted_form(written)
    forms = [*await asyncio.gather(*(shared.form(form, turns) for _ in range(3))), await shared.form(form, turns)]
    assert [b"2: a=0 b=0"] * 4 == forms
    assert [*map(list, parts)] == written
    assert 1 == len({id(form) for form in forms})
    assert b"3: a=0 b=0" == await shared.form(form._replace(head=lambda count: b"3: "), turns)
    assert len(parts) == len(written), "forms of the same rows share them"


@in_virtual_time
async def test_one_reader_that_leaves_leaves_the_form_to_the_others() -> None:
    shared, turns, form = in_parts(*"abc"), Turns(), counted_form([])

    one, other = [asyncio.ensure_future(shared.form(form, turns)) for _ in range(2)]
    await asyncio.sleep(0)
    one.cancel()
    assert b"3: a=0 b=0 c=0" == await other


@in_virtual_time
async def test_forms_of_many_options_take_turns_with_all_big_work() -> None:
    """Two hundred thousand lines of one took the loop a second without a rest, in which no vote was quick."""
    written = list[Sequence[str]]()
    shared, turns, form = in_parts(*"abc"), Turns(), counted_form(written)

    async with turns:
        made = asyncio.ensure_future(shared.form(form, turns))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not made.done()
    while len(written) < 2:
        before = len(written)
        await asyncio.sleep(0)
        assert len(written) <= before + 1
    assert b"3: a=0 b=0 c=0" == await made


@in_virtual_time
async def test_what_has_not_changed_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100,000 options one had changed, and 3 MB were made anew, which took the loop 80 ms."""
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 2)
    written = list[Sequence[str]]()
    replica, reads, submitter = await node()
    form, options = counted_form(written), [f"o{n}" for n in range(9)]

    async def shown() -> bytes:
        return await SharedResults.of((await reads.results("big")).results).form(form, Turns())

    def expected(**votes: int) -> bytes:
        return b"9: " + " ".join(f"{option}={votes.get(option, 0)}" for option in options).encode()

    assert expected() == await shown()
    assert [["o0", "o1"], ["o2", "o3"], ["o4", "o5"], ["o6", "o7"], ["o8"]] == written
    written.clear()
    await submitter.cast([Vote("o7")], timeout_s=5)
    assert (expected(o7=1), [["o6", "o7"]]) == (await shown(), written)
    await submitter.cast([Vote("o1")], timeout_s=5)
    copied = counted(replica, monkeypatch, "columns")
    reading = asyncio.ensure_future(shown())
    while not copied:
        await asyncio.sleep(0)
    await submitter.cast([Vote("o0", poll="big")], timeout_s=5)
    assert expected(o7=1, o1=1) == await reading
    written.clear()
    await submitter.cast([Vote("o8")], timeout_s=5)
    assert expected(o0=1, o1=1, o7=1, o8=1) == await shown()
    assert [["o0", "o1"], ["o8"]] == written, "also where votes came while the one before was made"


@in_virtual_time
async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    _, reads, _ = await node()
    for most, left in ((2, ["others", "big"]), (1, ["big"]), (0, [])):
        monkeypatch.setattr(kept_tallies, "POLLS_MAX", most)
        for poll in POLLS:
            await reads.results(poll)
        assert left == list(reads._kept._kept)
    monkeypatch.setattr(kept_tallies, "POLLS_MAX", 9)
    monkeypatch.setattr(kept_tallies, "OPTIONS_MAX", 4)
    for poll in POLLS:
        await reads.results(poll)
    assert ["big"] == list(reads._kept._kept), "one may be kept however big it is"


@pytest.mark.parametrize("told_of_the_next", [False, True])
@in_virtual_time
async def test_a_state_that_changed_without_a_word_is_read_anew(told_of_the_next: bool) -> None:
    replica, reads, submitter = await node()
    assert 0 == (await reads.results("few")).total
    choices, sums = await count_choices([Vote("a")])
    vote = entry.encode_batch([entry.CastVotes(choices, plain=[(i, n) for i, (_, n) in enumerate(sums)])])
    replica.state.apply(entry.encode_entry(0, [vote]))
    if told_of_the_next:
        await submitter.cast([Vote("b")], timeout_s=60)
    assert 1 == (await reads.results("few")).total


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_a_read_shows_what_the_state_has(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens between two reads: votes that name a poll and that name none, new options, states, deletions."""
    print(f"seed {seed}")
    monkeypatch.setattr(chunks, "OPTIONS_A_CHUNK", 4)
    chance = random.Random(seed)
    replica, reads, submitter = await node()
    replica.state.raise_level(entry.encode_raise(1))

    def step(poll: str) -> Coroutine[Any, Any, Any]:
        options = list(replica.state.results(poll) or ["a"])
        kind = chance.randrange(20)
        if kind < 14:
            return submitter.cast([Vote(chance.choice(options), poll=chance.choice([poll, None]))], timeout_s=60)
        if kind < 18:
            state: State = chance.choice(["open", "open", "closed", "archived"])
            return submitter.command(SetPollState(poll, state), timeout_s=60)
        if kind == 18:
            return submitter.command(ChangePoll(poll, None, [f"new {len(options)}"], False, None), timeout_s=60)
        if replica.state.poll(poll) is None:
            return submitter.create_poll(CreatePoll(poll, "", ["a", "shared"], "open", None, False), timeout_s=60)
        return submitter.command(DeletePoll(poll, None), timeout_s=60)

    for _ in range(STEPS):
        with contextlib.suppress(QuorateError):
            await step(chance.choice(POLLS))
        for poll in POLLS:
            state = replica.state
            if state.poll(poll) is not None and chance.random() < 0.5:
                shown = await reads.results(poll)
                assert state.results(poll) == shown.results
                assert (state.version, sum(shown.results.values())) == (shown.version, shown.total)
                told = msgspec.json.decode(await SharedResults.of(shown.results).form(AS_JSON, Turns()))
                assert list((state.results(poll) or {}).items()) == list(told.items())
