"""The one way to the leader: votes, reads and administration meet the same leaders, and are told the same truth."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quorate.cluster import admin as admin_module
from quorate.cluster.admin import Admin
from quorate.cluster.entry import CreatePoll
from quorate.cluster.raft.members import Member, Members
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.read import reads as reads_module
from quorate.cluster.read.reads import Reads
from quorate.cluster.submit.leader_call import LeaderCall
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import Invalid, NoLeader, NotReady, OutcomeUnknown, Overloaded, QuorateError
from quorate.vote import Vote
from tests.support.local_replica import LocalReplica
from tests.support.on_loop import in_virtual_time

WAIT_S = 0.3

Answer = Callable[[str, bytes], Awaitable[bytes]]


class MembersReplica(LocalReplica):
    """A local replica whose members can be changed, as far as `Admin` uses that."""

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id)
        self.settings = SimpleNamespace(peers={})
        self.listed = Members(tuple(Member(f"n{i}", f"h:{i}", "a", voter=True) for i in (1, 2, 3)))

    def members(self) -> list[Member]:
        return list(self.listed.members)

    async def change_members(self, change: Callable[[Members], Members]) -> Members:
        self.listed = change(self.listed)
        return self.listed


@dataclass
class Cluster:
    """n1 leads, n2 is asked, n3 leads next."""

    first: MembersReplica
    asked: MembersReplica
    next: MembersReplica
    kinds: dict[str, Callable[[], Awaitable[Any]]]

    def answer(self, node: MembersReplica, with_: Callable[[Answer], Answer]) -> None:
        """Have `node` answer calls of every kind with what `with_` makes of its real handler."""
        for kind, handler in node.handlers.items():
            node.handlers[kind] = with_(handler)


async def three_nodes() -> Cluster:
    nodes = [MembersReplica(id) for id in ("n1", "n2", "n3")]
    first, asked, following = nodes
    poll = CreatePoll("mood", "", ["happy", "sad"], "open", None, False)
    made: dict[str, tuple[Submitter, Reads, Admin]] = {}
    for node in nodes:
        made[node.node_id] = Submitter(node), Reads(node), Admin(cast(RaftReplica, node))
        node.peers = {peer.node_id: peer for peer in nodes if peer is not node}
    for node in (first, following):
        await made[node.node_id][0].create_poll(poll, timeout_s=5)
    asked.state = first.state
    asked.lead("n1")
    submitter, reads, admin = made["n2"]
    return Cluster(
        first,
        asked,
        following,
        {
            "votes": lambda: submitter.cast([Vote("happy", id="x")], timeout_s=WAIT_S),
            "reads": lambda: reads.results("mood", level="linearizable", wait_s=WAIT_S),
            "administration": lambda: admin.change("add", "n9", "h:9"),
        },
    )


def refusing(error: QuorateError, times: float = 1) -> Callable[[Answer], Answer]:
    left = times

    def wrap(handler: Answer) -> Answer:
        async def answer(peer: str, request: bytes) -> bytes:
            nonlocal left
            left -= 1
            if left >= 0:
                raise error
            return await handler(peer, request)

        return answer

    return wrap


def silent(handler: Answer) -> Answer:
    async def answer(peer: str, request: bytes) -> bytes:
        await asyncio.sleep(60)
        return b""

    return answer


def later(cluster: Cluster, leader: str) -> None:
    asyncio.get_running_loop().call_later(WAIT_S / 3, cluster.asked.lead, leader)


def it_is_known(cluster: Cluster) -> None:
    pass


def it_is_the_asked_node(cluster: Cluster) -> None:
    cluster.asked.lead("n2")


def nobody_leads(cluster: Cluster) -> None:
    cluster.asked.lead(None)


def it_is_elected_soon(cluster: Cluster) -> None:
    cluster.asked.lead(None)
    later(cluster, "n3")


def the_asked_node_is_elected_soon(cluster: Cluster) -> None:
    cluster.asked.lead(None)
    later(cluster, "n2")


def it_is_replaced(cluster: Cluster) -> None:
    cluster.answer(cluster.first, refusing(NoLeader("n1 does not lead now"), float("inf")))
    later(cluster, "n3")


def it_does_not_know_yet_that_it_leads(cluster: Cluster) -> None:
    cluster.first.lead(None)
    asyncio.get_running_loop().call_later(WAIT_S / 3, cluster.first.lead, "n1")


def it_is_not_connected(cluster: Cluster) -> None:
    del cluster.asked.peers["n1"]
    later(cluster, "n3")


def it_stops(cluster: Cluster) -> None:
    cluster.answer(cluster.first, refusing(NotReady("this node is stopping")))


def it_never_leads(cluster: Cluster) -> None:
    cluster.first.lead("n3")


def it_has_too_much(cluster: Cluster) -> None:
    cluster.answer(cluster.first, refusing(Overloaded("too many calls wait on this node")))


def it_refuses_for_good(cluster: Cluster) -> None:
    cluster.answer(cluster.first, refusing(Invalid("it makes no sense")))


def its_connection_breaks(cluster: Cluster) -> None:
    cluster.answer(cluster.first, refusing(OutcomeUnknown("the connection broke")))


def it_is_silent(cluster: Cluster) -> None:
    cluster.answer(cluster.first, silent)


def garbled(handler: Answer) -> Answer:
    async def answer(peer: str, request: bytes) -> bytes:
        await handler(peer, request)
        return b"\x81\xa3new\x01"

    return answer


def its_answer_cannot_be_read(cluster: Cluster) -> None:
    """It is of another version."""
    cluster.answer(cluster.first, garbled)


def its_answer_is_nested_without_end(cluster: Cluster) -> None:
    """It lies. Fields that this version does not know are passed over, however deep they are."""

    def nested(handler: Answer) -> Answer:
        async def answer(peer: str, request: bytes) -> bytes:
            sound = await handler(peer, request)
            return bytes((sound[0] + 1,)) + sound[1:] + b"\x91" * 20_000  # an array of one more

        return answer

    cluster.answer(cluster.first, nested)


ANSWERED = "answered"
SURELY_NOT = "surely not"  # which error it is depends on where the deadline finds the request: on a busy machine it may
# find it with the leader, which has not refused it yet, and then it is unknown
Expected = str | type[QuorateError]

# What happens to the leader; then what votes, reads and administration are told.
ROWS: list[tuple[Callable[[Cluster], None], Expected, Expected, Expected]] = [
    (it_is_known, ANSWERED, ANSWERED, ANSWERED),
    (it_is_the_asked_node, ANSWERED, ANSWERED, ANSWERED),
    (nobody_leads, NoLeader, NoLeader, NoLeader),
    (it_is_elected_soon, ANSWERED, ANSWERED, ANSWERED),
    (the_asked_node_is_elected_soon, ANSWERED, ANSWERED, ANSWERED),
    (it_is_replaced, ANSWERED, ANSWERED, ANSWERED),
    (it_does_not_know_yet_that_it_leads, ANSWERED, ANSWERED, ANSWERED),
    (it_is_not_connected, ANSWERED, ANSWERED, ANSWERED),
    (it_stops, ANSWERED, ANSWERED, ANSWERED),
    (it_never_leads, SURELY_NOT, NoLeader, NoLeader),
    (it_has_too_much, Overloaded, Overloaded, Overloaded),
    (it_refuses_for_good, Invalid, Invalid, Invalid),
    (its_connection_breaks, OutcomeUnknown, ANSWERED, OutcomeUnknown),
    (it_is_silent, OutcomeUnknown, NoLeader, OutcomeUnknown),
    (its_answer_cannot_be_read, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (its_answer_is_nested_without_end, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
]
KINDS = ("votes", "reads", "administration")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].__name__)
@in_virtual_time
async def test_the_leader_meets(
    row: tuple[Callable[[Cluster], None], Expected, Expected, Expected], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_module, "LEADER_S", WAIT_S)
    monkeypatch.setattr(admin_module, "REPLACED_S", WAIT_S)
    monkeypatch.setattr(reads_module, "ANSWER_S", 0.05)
    happens, expected = row[0], row[1 + KINDS.index(kind)]
    cluster = await three_nodes()
    happens(cluster)
    started_s = asyncio.get_running_loop().time()
    told: object = (await asyncio.gather(cluster.kinds[kind](), return_exceptions=True))[0]
    if isinstance(told, QuorateError):
        assert expected in (type(told), SURELY_NOT)
        assert told.definite == (expected is not OutcomeUnknown) or expected == SURELY_NOT
    else:
        assert (ANSWERED, False) == (expected, isinstance(told, BaseException)), told
    assert asyncio.get_running_loop().time() - started_s < WAIT_S + 0.5


@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_a_node_that_does_not_lead_refuses_what_is_forwarded_to_it(kind: str) -> None:
    cluster = await three_nodes()
    cluster.next.lead("n1")
    asked: list[str] = []

    async def note(peer: str, request: bytes) -> bytes:
        asked.append(peer)
        return b""

    for other in ("section", "read", "members", "transfer"):
        cluster.first.handlers[other] = note
    wire = {"votes": "section", "reads": "read", "administration": "members"}[kind]
    with pytest.raises(NoLeader, match="n3 does not lead now"):
        await cluster.next.handlers[wire]("n2", b"")
    assert [] == asked, "one hop is enough"


@in_virtual_time
async def test_leadership_that_is_handed_over_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "HANDED_OVER_S", WAIT_S)
    cluster = await three_nodes()
    admin = Admin(cast(RaftReplica, cluster.asked))
    later(cluster, "n3")
    assert "n3" == await admin.transfer()
    with pytest.raises(OutcomeUnknown, match="n3 still leads"):
        await admin.transfer()


@pytest.mark.parametrize("id", ["", "n 9", "n9\n", "-n9", "n/9", "nö", "n" * 65])
@in_virtual_time
async def test_a_member_that_no_node_can_be_is_not_added(id: str) -> None:
    """No node may have such a `node.id`, so it would wait for ever."""
    cluster = await three_nodes()
    with pytest.raises(Invalid, match="no name of a node"):
        await Admin(cast(RaftReplica, cluster.asked)).change("add", id, "h:9")
    assert 3 == len(cluster.first.members())


async def unused(peer: str, request: bytes) -> bytes:
    return b""


@in_virtual_time
async def test_places_of_a_replaced_leader_come_free_and_its_answers_are_taken() -> None:
    cluster = await three_nodes()
    calls = LeaderCall(cluster.asked, "mail", unused, no_leader="none")
    release = asyncio.Event()

    async def slow(peer: str, request: bytes) -> bytes:
        await release.wait()
        return request + b" taken"

    cluster.first.handlers["mail"] = slow
    answers: list[bytes] = []
    attempt = calls.start("n1", b"letter", lambda done: answers.append(done.result()))
    await asyncio.sleep(0)
    calls.abandon_others("n1")
    assert 1 == calls.places_taken
    calls.abandon_others("n3")
    assert 0 == calls.places_taken
    release.set()
    await attempt
    await asyncio.sleep(0)
    assert [b"letter taken"] == answers


@pytest.mark.parametrize("replaced", [False, True])
@in_virtual_time
async def test_an_attempt_nobody_waits_for_ends_unless_it_holds_a_place(replaced: bool) -> None:
    """So a leader that is silent but not replaced is sent no more than there are places."""
    cluster = await three_nodes()
    calls = LeaderCall(cluster.asked, "mail", unused, no_leader="none")
    cluster.first.handlers["mail"] = silent(unused)
    attempt = calls.start("n1", b"letter", lambda done: None)
    await asyncio.sleep(0)
    calls.abandon_others("n3" if replaced else "n1")
    calls.give_up(attempt)
    await asyncio.sleep(0.01)
    assert replaced == attempt.cancelled()
    attempt.cancel()


@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_where_no_leader_can_be_expected_everybody_is_refused_before_the_deadline(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minority says "surely not" as soon as it knows. While an election may succeed, it waits."""
    monkeypatch.setattr(admin_module, "LEADER_S", 60.0)
    monkeypatch.setattr(sys.modules[__name__], "WAIT_S", 60.0)
    cluster = await three_nodes()
    cluster.asked.lead(None)
    told = asyncio.ensure_future(cluster.kinds[kind]())
    await asyncio.sleep(0.2)
    assert not told.done()
    cluster.asked.expects_leader = False
    async with asyncio.timeout(5):
        with pytest.raises(NoLeader):
            await told


@in_virtual_time
async def test_a_leader_that_falls_silent_while_it_hands_over_is_not_waited_for() -> None:
    """The replica ends the call when another node leads. Who leads is known then, and that was the question."""
    cluster = await three_nodes()
    cluster.answer(cluster.first, refusing(OutcomeUnknown("n1 did not answer, and n3 leads now")))
    admin = Admin(cast(RaftReplica, cluster.asked))
    later(cluster, "n3")
    assert "n3" == await admin.transfer()
