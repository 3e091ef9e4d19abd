"""A node that led, and whose last proposals stay open: it does not hear the next leader, but reaches it by a peer."""

from __future__ import annotations

import asyncio

import pytest

from quorate.cluster.submit.submitter import Submitter
from quorate.errors import OutcomeUnknown
from quorate.vote import Tallied, Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time
from tests.unit.submit.one_poll import mood, one_after_another

LONG_S = 30.0  # no test waits so long


async def deposed(via: str | None) -> tuple[LocalReplica, LocalReplica, Submitter, list[asyncio.Task[Tallied]]]:
    """A leader n1 whose proposals take all places. Then n2 leads, and n1 hears it (`via` is None) or not.

    Returns both, the submitter of n1, and the votes that it has proposed.
    """
    first, submitter = await mood()
    second = LocalReplica("n2")
    relay = LocalReplica("n3")
    second.state = first.state
    Submitter(second)
    relay.peers = {"n2": second}
    first.peers = {"n2": second, "n3": relay}
    first.held = []
    stuck = await one_after_another(submitter, ["s0", "s1"], timeout_s=LONG_S)
    assert 2 == len(first.held)
    first.leader_via = via
    first.lead("n2", cut_off=True)
    return first, second, submitter, stuck


@in_virtual_time
@pytest.mark.parametrize("via", [None, "n3"])
async def test_open_proposals_of_a_former_leader_hold_no_place(via: str | None) -> None:
    _, second, submitter, stuck = await deposed(via)
    assert 1 == (await submitter.cast([Vote("sad", id="new")], timeout_s=5)).applied
    assert {"happy": 0, "sad": 1} == second.state.results("mood")
    for vote in stuck:
        vote.cancel()


@in_virtual_time
async def test_what_a_former_leader_cannot_learn_is_told_as_unknown_at_once() -> None:
    """It gets no entries of the next leader, so the truth comes with the end of the cut and not before."""
    _, _, _, stuck = await deposed("n3")
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*stuck, return_exceptions=True)
    assert [OutcomeUnknown] * 2 == [type(answer) for answer in answers]


@in_virtual_time
async def test_what_a_former_leader_is_about_to_learn_waits_for_the_truth() -> None:
    """It hears the next leader, whose entries tell what became of its own."""
    first, _, _, stuck = await deposed(None)
    await asyncio.sleep(0.3)  # longer than a sweep of the queue
    assert not any(vote.done() for vote in stuck)
    assert first.held is not None
    for data, answer in first.held:
        first.commit(data, answer)
    assert [1, 1] == [(await vote).applied for vote in stuck]


@in_virtual_time
async def test_a_node_that_leads_again_has_all_its_places() -> None:
    first, _, submitter, stuck = await deposed("n3")
    first.held, first.leader_via = None, None
    first.lead("n1", cut_off=True)
    assert 1 == (await submitter.cast([Vote("sad", id="new")], timeout_s=5)).applied
    for vote in stuck:
        vote.cancel()
