"""A follower that lies: what the leader takes from a forwarded section, and what operators' commands do instead."""

from __future__ import annotations

import asyncio
from typing import get_args

import msgspec
import pytest

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command
from quorate.cluster.submit import sections
from quorate.cluster.submit.batch_queue import FORWARDED_MAX
from quorate.cluster.submit.open_batches import BATCH_BYTES
from quorate.cluster.submit.vote_columns import VOTE_BYTES
from quorate.errors import Invalid, NotReady, Overloaded
from quorate.vote import OPTIONS_PER_POLL_MAX, VOTES_PER_REQUEST_MAX, Vote
from tests.support.on_loop import in_virtual_time
from tests.support.waiting import until
from tests.unit.submit.one_poll import pair

HAPPY = Choice("happy", None, 1, entry.fingerprint_of("happy", None, 1))
WRONG: dict[str, Command | bytes] = {
    "carried results": entry.CreatePoll("p", "", ["a"], "open", None, False, [2**63 - 2]),
    "carried zeros": entry.CreatePoll("p", "", ["a"], "open", None, False, [0]),
    "an import": entry.CreatePoll("p", "", ["a"], "open", None, False, [], imported=True),
    "more votes than a request has": entry.CastVotes([HAPPY], plain=[(0, 2**40)]),
    "many such sums": entry.CastVotes([HAPPY], plain=[(0, sections.VOTES_MAX)] * 2),
    "less than no vote": entry.CastVotes([HAPPY], plain=[(0, -5)]),
    "such a request": entry.CastOnce(b"k" * 8, 1, [HAPPY], [(0, 2**50)]),
    "such a session": entry.CastSession("s", 1, 1, 1, [HAPPY], [(0, 2**50)]),
    "a new cluster": entry.FormCluster("c2", b"k" * 16, 10),
    "an end of tombstones": entry.ForgetTombstones([("p", 1)]),
    "a command that nobody knows": b"\x92\x7f\x01",
    "no command": b"\xc1",
}
RIGHT: list[Command] = [
    entry.CastVotes([HAPPY], b"i" * 8, b"\0" * 4, [(0, 10_000)]),
    entry.CastVotes([HAPPY]),
    entry.CastOnce(b"k" * 8, 1, [HAPPY], [(0, 10_000)]),
    entry.CastSession("s", 1, 1, 1, [HAPPY], [(0, 3)]),
    entry.OpenProducer("s"),
    entry.CreatePoll("p", "", ["a"], "open", 7, True),
    entry.SetPollState("p", "closed"),
    entry.ChangePoll("p", None, ["b"], True, None),
    entry.DeletePoll("p", 1),
    entry.Seen(1),
    entry.ForgetProducer("s", None),
    entry.RenewProducer("s"),
    entry.InShare(3),
]
OPERATORS: list[Command] = [entry.SetDedupWindow(5), entry.RaiseGeneration("x")]


def section(*commands: Command | bytes) -> bytes:
    return entry.encode_batch([msgspec.Raw(each) if isinstance(each, bytes) else each for each in commands])


@pytest.mark.parametrize("command", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("level", [0, 1])
def test_what_no_follower_may_forward_is_refused(command: Command | bytes, level: int) -> None:
    with pytest.raises(Invalid):
        sections.check(section(RIGHT[0], command), level)


MANY = sections.ITEMS_MAX
LONG: dict[str, bytes] = {
    "sums in many commands": section(*[entry.CastVotes([HAPPY], plain=[(0, sections.VOTES_MAX)])] * 2),
    "very many commands": b"\xdd" + (2_000_000).to_bytes(4, "big") + entry.encode_command(entry.Seen(1)) * 2_000_000,
    "many commands": section(*[entry.Seen(1)] * (MANY + 1)),
    "many choices": section(entry.CastVotes([HAPPY] * (MANY + 1))),
    "many choices in two": section(*[entry.CastOnce(b"k" * 8, 1, [HAPPY] * (MANY // 2), [])] * 2),
    "many ids": section(entry.CastVotes([HAPPY], bytes(8 * MANY + 8), bytes(4 * MANY + 4))),
    "many sums": section(entry.CastSession("s", 1, 1, 1, [HAPPY], [(0, 1)] * MANY)),
    "many options": section(
        *[entry.CreatePoll(f"p{number}", "", ["a"] * 100_000, "open", None, False) for number in range(4)]
    ),
    "many options added": section(entry.ChangePoll("p", None, ["b"] * (sections.OPTIONS_MAX + 1), False, None)),
}


@pytest.mark.parametrize("lie", LONG.values(), ids=LONG.keys())
def test_more_than_a_batch_ever_holds_is_refused_before_it_costs_anything(lie: bytes) -> None:
    """All nodes would apply it at once, for seconds, in which nobody leads."""
    with pytest.raises(Invalid):
        sections.check(lie, 1)


def test_the_longest_batches_that_nodes_make_are_taken() -> None:
    most = BATCH_BYTES // VOTE_BYTES
    each_its_own = [Choice(f"{number}", "p", 1, number) for number in range(most)]
    sections.check(section(entry.Seen(1), entry.CastVotes(each_its_own, bytes(8 * most), bytes(4 * most))), 1)
    sections.check(section(entry.CastOnce(b"k" * 8, 1, [HAPPY] * VOTES_PER_REQUEST_MAX, [(0, 1)] * 10_000)), 1)
    options = [f"{number}" for number in range(OPTIONS_PER_POLL_MAX)]
    sections.check(section(*[entry.CreatePoll("p", "", options, "open", None, False)] * 2), 1)


def test_what_followers_forward_is_taken() -> None:
    for level in (0, 1):
        sections.check(section(*RIGHT), level)
        sections.check(section(), level)


def test_every_command_was_thought_of() -> None:
    thought_of = {type(command) for command in [*RIGHT, *OPERATORS, *WRONG.values()]}
    assert set(get_args(entry.Command)) <= thought_of


@pytest.mark.parametrize("command", OPERATORS)
def test_what_operators_ask_comes_in_sections_only_from_nodes_of_0_1_0(command: Command) -> None:
    sections.check(section(command), 0)
    with pytest.raises(NotReady):
        sections.check(section(command), 1)


@pytest.mark.parametrize("level", [0, 1])
@in_virtual_time
async def test_an_operators_command_is_done_by_the_leader_whichever_node_is_asked(level: int) -> None:
    leader, follower, submitter = await pair()
    for replica in (leader, follower):
        replica.state.level = level
    result, version = await submitter.command(entry.SetDedupWindow(500_000), timeout_s=30)
    assert (entry.Done(500_000), leader.state.version) == (result, version)
    submitter.stop()


@in_virtual_time
async def test_a_section_that_is_refused_takes_no_other_one_with_it(caplog: pytest.LogCaptureFixture) -> None:
    leader, _, submitter = await pair()
    lie = section(entry.CreatePoll("p", "", ["a"], "open", None, False, [2**63 - 2]))
    for _ in range(3):
        with pytest.raises(Invalid, match="only the leader imports polls"):
            await leader.handlers["section"]("n2", lie)
    assert 1 == (await submitter.cast([Vote("happy")], timeout_s=30)).applied
    assert leader.state.poll("p") is None
    assert 1 == caplog.text.count("a batch that n2 forwarded was refused")
    submitter.stop()


@in_virtual_time
async def test_a_follower_that_forwards_without_end_leaves_room_for_the_others() -> None:
    leader, _, submitter = await pair()
    leader.held = []
    some = section(entry.CastVotes([HAPPY], plain=[(0, 1)]))
    waiting = [asyncio.ensure_future(leader.handlers["section"]("n2", some)) for _ in range(FORWARDED_MAX + 5)]
    await until("the rest is refused", lambda: sum(each.done() for each in waiting) == 5)
    assert {Overloaded} == {type(each.exception()) for each in waiting if each.done()}
    other = asyncio.ensure_future(leader.handlers["section"]("n3", some))
    for _ in range(50):
        held, leader.held = leader.held, []
        for data, answer in held:
            leader.commit(data, answer)
        await asyncio.sleep(0.01)
    assert other.done()
    assert other.exception() is None
    assert FORWARDED_MAX == sum(each.exception() is None for each in waiting)
    leader.held = None
    await leader.handlers["section"]("n2", some)
    submitter.stop()
