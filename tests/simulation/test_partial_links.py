"""Links that are cut while their ends are well: rings and bridges. A node that does not hear the leader serves.

A link that is cut here stays open and carries nothing, in either direction: neither messages nor calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import pytest

from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.read.reads import Reads
from quorate.errors import NoLeader, OutcomeUnknown, QuorateError
from quorate.vote import Vote
from tests.simulation.cut_links import ELECTION_S, bridge, cast, cut, net_of, reached_over, relayed, ring
from tests.stock.our_net import POLL, OurNet

KINDS_OF_RELAYING = ("who-leads", "relay")


def calls_of(net: OurNet, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Every call between nodes from now on: from, to, kind."""
    seen: list[tuple[str, str, str]] = []
    for name, replica in net.replicas.items():
        call = replica.transport.call

        async def noted(peer: str, kind: str, body: bytes, *, name: str = name, call: Any = call, **more: Any) -> bytes:
            seen.append((name, peer, kind))
            answer: bytes = await call(peer, kind, body, **more)
            return answer

        monkeypatch.setattr(replica.transport, "call", noted)
    return seen


# ---- it serves ------------------------------------------------------------------------------------------------------


def test_a_node_behind_a_bridge_counts_votes_and_the_leader_stays() -> None:
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        term = net.term(leader)
        assert reached_over(net, follower, [between])
        for i in range(20):
            assert 1 == cast(net, follower, f"x{i}").applied
        net.run(10 * ELECTION_S)
        assert (leader, term) == (net.leader(), net.term(leader)), "it disturbs nobody"
        assert (leader, between) == (net.replicas[follower].leader, net.replicas[follower].leader_via)
        assert net.replicas[follower].status().leader_via == between
        assert net.replicas[follower].state.version < net.replicas[leader].state.version
        cut(net, [])
        assert net.until(lambda: net.replicas[follower].leader_via is None, limit_s=5)
        assert net.until(lambda: 1 == len({r.state.version for r in net.replicas.values()}), limit_s=10)
        assert sorted(f"x{i}" for i in range(20)) == sorted(net.tags(follower))


def test_all_nodes_of_a_ring_count_votes() -> None:
    with net_of("abcde") as net:
        leader, neighbours, far = ring(net)
        term = net.term(leader)
        for name in far:
            assert reached_over(net, name, neighbours)
        for name in net.names:
            assert 1 == cast(net, name, f"at {name}").applied
        net.run(10 * ELECTION_S)
        assert (leader, term) == (net.leader(), net.term(leader))
        assert [None] * 3 == [net.replicas[name].leader_via for name in (leader, *neighbours)]


def test_relayed_reads_bring_what_the_leader_has() -> None:
    """The log of the asked node gets nothing new: its own state is behind."""
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        reads = {name: Reads(net.replicas[name]) for name in net.names}
        assert reached_over(net, follower, [between])
        assert 1 == cast(net, leader, "new").applied

        async def read(level: Any) -> tuple[Mapping[str, int], int]:
            results = await reads[follower].results(POLL, level=level)
            listed = await reads[follower].polls(level=level)
            assert results.version == listed.version
            return results.results, results.version

        for level in ("weak", "linearizable"):
            shown, version = net.wait_for(read(level))
            assert 1 == shown["new"]
            assert net.replicas[leader].state.version == version > net.replicas[follower].state.version


def test_an_operator_is_heard_on_a_node_that_does_not_hear_the_leader() -> None:
    """The way of member changes and of handing over is that of votes (`LeaderCall`): one call over the relay. It counts
    as the call of the peer that passed it on."""
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        heard: list[tuple[str, bytes]] = []

        async def handler(peer: str, body: bytes) -> bytes:
            heard.append((peer, body))
            return b"done"

        net.replicas[leader].serve("members", handler)
        assert reached_over(net, follower, [between])
        assert b"done" == net.wait_for(net.replicas[follower].call_leader(leader, "members", b"add"))
        assert [(between, b"add")] == heard


def test_a_node_that_is_started_while_it_is_cut_off_serves() -> None:
    """Its disk has what it needs: the votes' key and the feature level, up to what it knew to be committed."""
    with net_of("abc") as net:
        _, between, follower = bridge(net)
        net.crash(follower, power=False)
        net.start(follower)
        assert reached_over(net, follower, [between])
        assert 1 == cast(net, follower, "x").applied


# ---- belief ---------------------------------------------------------------------------------------------------------


def test_belief_in_a_leader_that_was_told_ends_with_its_silence() -> None:
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        assert reached_over(net, follower, [between])
        net.crash(leader)
        cut(net, [(leader, follower)])
        assert net.until(lambda: net.replicas[follower].leader not in (leader,), limit_s=3 * ELECTION_S)
        assert net.until(lambda: net.leader() is not None)
        assert 1 == cast(net, follower, "to the next").applied


def test_in_an_ordinary_election_nobody_asks_who_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    with net_of("abc") as net:
        old = net.elect()
        seen = calls_of(net, monkeypatch)
        net.crash(old)
        assert net.until(lambda: net.leader() is not None)
        assert [] == [call for call in seen if call[2] in KINDS_OF_RELAYING]


def test_a_cluster_with_a_node_of_0_1_0_neither_asks_nor_relays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not understand. The node refuses, as it did in 0.1.0."""
    with OurNet(1, election_s=ELECTION_S) as net:
        net.levels["c"] = 0
        net.start_all("abc")
        _, _, follower = bridge(net)
        seen = calls_of(net, monkeypatch)
        net.run(4 * ELECTION_S)
        assert None is net.replicas[follower].leader
        assert isinstance(cast(net, follower, "x", timeout_s=2.0), NoLeader)
        assert [] == [call for call in seen if call[2] in KINDS_OF_RELAYING]


# ---- what is told ---------------------------------------------------------------------------------------------------


def stop_answers_of_the_leader(net: OurNet, leader: str, between: str) -> list[bytes]:
    """The leader gets what is relayed to it, and answers nothing. What it got."""
    got: list[bytes] = []
    end: Any = net.replicas[leader].transport
    relay = end.handlers["relay"]

    async def silent(peer: str, body: bytes) -> bytes:
        got.append(body)
        await relay(peer, body)
        await asyncio.sleep(60)
        return b""

    end.handlers["relay"] = silent
    return got


def test_a_vote_is_unknown_if_the_relay_dies_after_passing_it_on_and_counts_once() -> None:
    with net_of("abcde") as net:
        leader, via, follower = relayed(net)
        got = stop_answers_of_the_leader(net, leader, via)

        async def vote() -> Any:
            asked = asyncio.ensure_future(net.submitters[follower].cast([Vote("x", id="x", poll=POLL)], timeout_s=30))
            while not got:
                await asyncio.sleep(0.01)
            return asked

        asked = net.wait_for(vote())
        net.crash(via)

        async def told() -> Any:
            return (await asyncio.gather(asked, return_exceptions=True))[0]

        assert isinstance(net.wait_for(told()), OutcomeUnknown)
        net.start(via)
        cut(net, [])
        net.run(2)
        again = cast(net, follower, "x")
        assert (0, 1) == (again.applied, again.duplicates)
        assert ["x"] == net.tags(leader)


def test_a_vote_on_a_relay_that_falls_silent_is_unknown_as_soon_as_another_way_is_known() -> None:
    with net_of("abcde") as net:
        leader, via, follower = relayed(net)
        cut(net, [(leader, follower), (via, follower)])
        began_s = net.now_s
        told = cast(net, follower, "x", timeout_s=60.0)
        assert isinstance(told, OutcomeUnknown), told
        assert "is reached another way now" in told.detail
        assert net.now_s - began_s < 4 * ELECTION_S
        assert 1 == cast(net, follower, "x").applied


def test_a_relay_says_surely_not_for_what_it_did_not_pass_on() -> None:
    """Then the request is tried again, with the leader that there is."""
    with net_of("abc") as net:
        _, between, follower = bridge(net)
        assert reached_over(net, follower, [between])
        way = net.running(follower).ways._told.way
        assert way is not None
        late = way._replace(term=way.term + 1)
        for wrong in (late, way._replace(leader="z")):
            with pytest.raises(NoLeader, match="does not hear"):
                net.wait_for(net.running(follower).ways._relay.call(wrong, "section", b"", 1.0))


def test_a_leader_that_was_elected_again_takes_nothing_that_was_sent_to_it_before() -> None:
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        assert reached_over(net, follower, [between])
        way = net.running(follower).ways._told.way
        assert way is not None
        kept: list[Callable[[], Awaitable[bytes]]] = []
        end: Any = net.replicas[leader].transport
        relay = end.handlers["relay"]

        async def late(peer: str, body: bytes) -> bytes:
            kept.append(lambda: relay(peer, body))
            raise OutcomeUnknown("the network has it")

        end.handlers["relay"] = late
        assert isinstance(cast(net, follower, "x", timeout_s=2.0), OutcomeUnknown)
        end.handlers["relay"] = relay
        cut(net, [])
        net.run(1)
        hand_over_and_back(net, leader)
        with pytest.raises(NoLeader, match=f"{leader} does not lead term {way.term} now"):
            net.wait_for(_awaited(kept[0]()))
        assert [] == net.tags(leader)


async def _awaited(what: Awaitable[bytes]) -> bytes:
    return await what


def hand_over_and_back(net: OurNet, leader: str) -> None:
    term = net.term(leader)
    for to in (net.others(leader)[0], leader):
        net.hand_over(net.elect(), to)
        assert net.until(partial(lambda to: net.replicas[to].is_leader, to), limit_s=10)
    assert net.term(leader) >= term + 2


def test_a_call_never_goes_round() -> None:
    """Two nodes that each believe the other knows the leader do not send a call back and forth."""
    with net_of("abc") as net:
        leader, between, follower = bridge(net)
        assert reached_over(net, follower, [between])
        replica: RaftReplica = net.replicas[follower]
        assert None is net.running(follower).ways._hears(), "it was only told"

        async def asked() -> QuorateError:
            way = net.running(follower).ways._told.way
            assert way is not None
            try:
                await net.running(between).ways._relay.call(way._replace(via=follower), "section", b"", 1.0)
            except QuorateError as error:
                return error
            raise AssertionError("it took it")

        assert isinstance(net.wait_for(asked()), NoLeader)
        assert replica.leader == leader
