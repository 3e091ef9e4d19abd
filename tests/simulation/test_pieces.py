"""Requests with very many votes go into the log piece by piece, while nodes, links and disks break.

A request may be decided in part when its leader dies, and its client is told that it is not known. Here each client
sends the same request again, at any node, until it is answered. Then each of its votes has counted once.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from quorate.cluster.entry import CreatePoll
from quorate.cluster.submit import batch, submitter
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.breaking import break_things
from tests.simulation.cluster import SimCluster, virtual_time
from tests.simulation.faults import heal
from tests.simulation.schedule import drawn
from tests.simulation.test_early_answers import up

SECONDS = 8.0
OPTIONS = ["happy", "sad"]
VOTES = 60  # of a request
SMALLER = {
    (submitter, "VERY_MANY"): 20,
    (submitter, "BULK_BYTES"): 100,
    (submitter, "LIGHT_VOTES"): 5,
    (batch, "VOTES_A_PIECE"): 5,
}


@dataclass
class Seen:
    counted: int = 0  # the weights of all votes whose requests were answered: all, in the end
    requests: int = 0  # with many votes
    in_part: int = 0  # attempts that ended when some pieces were decided
    broken: list[str] = field(default_factory=list)


async def until_counted(cluster: SimCluster, seen: Seen, votes: list[Vote], rng: random.Random) -> None:
    while True:
        node = cluster.nodes[rng.choice(cluster.up() or cluster.names)].submitter
        try:
            if node is not None:
                tallied = await node.cast(votes, timeout_s=0.5)
                break
        except QuorateError as error:
            if "votes were decided" in error.detail:
                seen.in_part += 1
                if error.definite:
                    seen.broken.append(f"surely not, of what was decided in part: {error.detail}")
        await asyncio.sleep(rng.uniform(0.0, 0.1))
    if len(votes) != tallied.applied + tallied.duplicates:
        seen.broken.append(f"{len(votes)} votes have {tallied}")
    seen.counted += sum({vote.id: vote.weight for vote in votes}.values())
    seen.requests += len(votes) > 1


def votes_of(client: int, count: int, rng: random.Random) -> list[Vote]:
    votes = [Vote(OPTIONS[n % 2], f"{client} {n}", "mood", weight=rng.randint(1, 1_000)) for n in range(count)]
    return votes + rng.choices(votes, k=count // 10)  # some stand in the request twice


async def scenario(seed: int) -> tuple[SimCluster, Seen]:
    cluster, seen, rng = SimCluster(seed, "abc"), Seen(), random.Random(f"pieces {seed}")
    for name in cluster.names:
        await cluster.start(name)
    first = cluster.nodes["a"].submitter
    assert first is not None
    await first.create_poll(CreatePoll("mood", "", OPTIONS, "open", None, False), timeout_s=10)
    schedule = drawn(seed, "abc", seconds=SECONDS, likelier={"crash-point": 0.0})
    faults = asyncio.ensure_future(break_things(cluster, schedule))
    tasks = set()
    for client in range(1_000_000):
        if cluster.loop.time() >= SECONDS:
            break
        votes = votes_of(client, VOTES if client % 2 == 0 else 1, rng)
        tasks.add(asyncio.ensure_future(until_counted(cluster, seen, votes, rng)))
        await asyncio.sleep(rng.uniform(0.0, 0.05))
    await faults
    await heal(cluster)
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    await cluster.until(lambda: len({r.state.version for r in up(cluster)}) == 1, 60, "agreement")
    total = sum(up(cluster)[0].state.results("mood").values())
    if total != seen.counted:
        seen.broken.append(f"the votes of all requests are {seen.counted}, and {total} were counted")
    return cluster, seen


@pytest.mark.parametrize("seed", range(4))
def test_each_vote_of_a_request_in_pieces_counts_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for (module, name), value in SMALLER.items():
        monkeypatch.setattr(module, name, value)
    with virtual_time() as runner:
        cluster, seen = runner.run(scenario(seed))
    assert [] == cluster.broken + seen.broken, f"seed {seed}"
    assert 0 < seen.in_part, f"seed {seed}"
    assert 100 < seen.requests, f"seed {seed}"
