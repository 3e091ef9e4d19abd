"""Links that are cut while their ends are well, for simulations: rings, bridges, and voters behind them.

A link that is cut here stays open and carries nothing, in either direction: neither messages nor calls.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from quorate.vote import Vote
from tests.stock.our_net import POLL, OurNet

ELECTION_S = 0.4


@contextmanager
def net_of(names: str, seed: int = 1) -> Iterator[OurNet]:
    with OurNet(seed, election_s=ELECTION_S) as net:
        net.start_all(names)
        assert net.until(lambda: all(replica.state.level >= 1 for replica in net.replicas.values()))
        yield net


def cut(net: OurNet, pairs: Iterable[tuple[str, str]]) -> None:
    """Only these pairs of nodes do not reach each other."""
    net.wire.loss = {way: 1.0 for a, b in pairs for way in ((a, b), (b, a))}


def bridge(net: OurNet) -> tuple[str, str, str]:
    """Cut one follower from the leader: the leader, the node between them, and the follower."""
    leader = net.elect()
    between, follower = net.others(leader)
    cut(net, [(leader, follower)])
    return leader, between, follower


def relayed(net: OurNet) -> tuple[str, str, str]:
    """Cut one follower from the leader: the leader, the node over which it is reached now, and the follower."""
    leader = net.elect()
    follower = net.others(leader)[-1]
    cut(net, [(leader, follower)])
    assert reached_over(net, follower, net.others(leader, follower))
    via = net.replicas[follower].leader_via
    assert via is not None
    return leader, via, follower


def ring(net: OurNet) -> tuple[str, list[str], list[str]]:
    """Each node reaches two others: the leader, its neighbours, and those that do not reach it."""
    leader = net.elect()
    order = [leader, *net.others(leader)]
    joined = {frozenset(pair) for pair in zip(order, order[1:] + order[:1], strict=True)}
    cut(net, [pair for pair in itertools.combinations(order, 2) if frozenset(pair) not in joined])
    return leader, [order[1], order[-1]], order[2:-1]


def cast(net: OurNet, name: str, tag: str, timeout_s: float = 3.0) -> Any:
    """What a voter is told: the tally, or the error."""

    async def told() -> Any:
        vote = Vote(tag, id=tag, poll=POLL)
        return (await asyncio.gather(net.submitters[name].cast([vote], timeout_s=timeout_s), return_exceptions=True))[0]

    return net.wait_for(told())


def reached_over(net: OurNet, name: str, via: Iterable[str]) -> bool:
    return net.until(lambda: net.replicas[name].leader_via in set(via), limit_s=5)
