"""One random history of a cluster in virtual time: voters, readers, an operator and faults, and then a verdict.

The same seed gives the same history, to the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.cluster.entry import CreatePoll
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.cluster import SimCluster, SimNode, virtual_time
from tests.simulation.faults import draw_fault, heal
from tests.simulation.operator_tasks import operate
from tests.simulation.poll_tasks import NAME, Recreations

OPTIONS = ["happy", "sad", "calm"]


@dataclass
class Verdict:
    seed: int
    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    snapshots: int = 0
    terms: int = 0
    messages: int = 0
    put_back: int = 0  # old copies of disks
    found_out: int = 0  # of them
    creations: int = 0  # of polls under one name
    shares: dict[int, int] = field(default_factory=dict)  # of the dedup window, and how many ids each holds
    digest: str = ""
    broken: list[str] = field(default_factory=list)


async def _voter(cluster: SimCluster, name: str, number: int, outcomes: dict[str, str], rng: random.Random) -> None:
    """Cast one vote at a node. While its outcome is unknown, cast it again at another node, under the same id, and
    perhaps in another share: nodes may differ in their files of tokens."""
    vote_id = f"v{number}"
    option = rng.choice(OPTIONS)
    shares = random.Random(f"{cluster.seed} {number}")
    for _ in range(3):
        submitter = cluster.nodes[name].submitter
        if submitter is None:
            return
        try:
            outcomes.setdefault(vote_id, "unknown")  # until we hear otherwise
            tallied = await submitter.cast([Vote(option, id=vote_id)], timeout_s=1.0, share=shares.choice((0, 0, 1, 2)))
            outcomes[vote_id] = f"counted {option}" if not tallied.rejected else "rejected"
            cluster.acknowledged = max(cluster.acknowledged, tallied.version)
            return
        except QuorateError as error:
            if error.definite and outcomes[vote_id] != "maybe":
                outcomes[vote_id] = "refused"
                return
            outcomes[vote_id] = "maybe"
            name = rng.choice(cluster.up() or [name])


async def _reader(cluster: SimCluster, name: str) -> None:
    """Check that a linearizable read, on any node, sees every vote that was acknowledged before it."""
    reads, before = cluster.nodes[name].reads, cluster.acknowledged
    with contextlib.suppress(QuorateError, TimeoutError):  # a node that is killed answers nobody
        assert reads is not None
        async with asyncio.timeout(5):
            version = (await reads.results("mood", level="linearizable", wait_s=2.0)).version
        if version < before:
            cluster.broken.append(f"{cluster.loop.time():.3f} {name} read version {version} after {before} was told")


async def run_history(
    seed: int, names: str = "abcde", *, seconds: float = 20.0, likelier: Mapping[str, float] | None = None
) -> Verdict:
    cluster = SimCluster(seed, names)
    cluster.likelier = likelier or {}
    rng = cluster.rng
    for name in cluster.names:
        await cluster.start(name)
    await cluster.until(cluster.leader, 20, "a first leader")
    first = cluster.leader()
    assert first is not None
    submitter = cluster.nodes[first].submitter
    assert submitter is not None
    await cluster.until(lambda: cluster.nodes[first].replica.state.hash_key, 10, "a formed state")  # type: ignore[union-attr]
    await submitter.create_poll(CreatePoll("mood", "", OPTIONS, "open", None, False), timeout_s=10)
    outcomes: dict[str, str] = {}
    voters: set[asyncio.Task[None]] = set()
    operator = cluster.loop.create_task(operate(cluster, seconds)) if rng.random() < 0.7 else None
    recreations = Recreations(cluster)
    deleter = cluster.loop.create_task(recreations.run(seconds)) if recreations.is_drawn else None
    cluster.network.late = rng.choice((0.0, 0.0, 0.02))
    cluster.network.repeated = rng.choice((0.0, 0.01))
    cluster.stale_settings = rng.random() < 0.5
    number = 0
    while cluster.loop.time() < seconds:
        for name in cluster.up():
            for _ in range(rng.randrange(4)):
                number += 1
                task = cluster.loop.create_task(_voter(cluster, name, number, outcomes, rng))
                voters.add(task)
                task.add_done_callback(voters.discard)
            if rng.random() < 0.3:
                voters.add(reader := cluster.loop.create_task(_reader(cluster, name)))
                reader.add_done_callback(voters.discard)
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        await draw_fault(cluster)
    await heal(cluster)
    await asyncio.wait_for(asyncio.gather(*voters), 60)
    if operator is not None:
        await asyncio.wait_for(operator, 120)
        await heal(cluster)  # again: it may have stopped nodes
    if deleter is not None:
        await asyncio.wait_for(deleter, 120)
    return await _judge(cluster, outcomes, recreations)


def _forgotten(node: SimNode) -> str | None:
    return None if node.replica is None else node.replica.status().forgotten


async def _judge(cluster: SimCluster, outcomes: dict[str, str], recreations: Recreations) -> Verdict:
    nodes = [cluster.nodes[name] for name in cluster.names]
    replicas = [node.replica for node in nodes if node.replica is not None]

    def agreed() -> bool:
        return cluster.leader() is not None and 1 == len({replica.state.version for replica in replicas})

    verdict = Verdict(cluster.seed, broken=cluster.broken, messages=cluster.network.messages)
    if not cluster.broken:
        await cluster.until(agreed, 60, "agreement after healing")
        await cluster.until(lambda: all(map(cluster.is_out, cluster.left())), 10, "all that left are told, or refused")
        await asyncio.sleep(1)
    digests = {replica.state.digest() for replica in replicas}
    if len(digests) != 1:
        verdict.broken.append("nodes differ at the end")
    verdict.broken += [f"{node.directory.identity.node_id}: {told}" for node in nodes if (told := _forgotten(node))]
    results = replicas[0].state.results("mood") or {}
    for option in OPTIONS:
        sure = sum(outcome == f"counted {option}" for outcome in outcomes.values())
        maybe = sum(outcome in ("unknown", "maybe") for outcome in outcomes.values())
        if not sure <= results.get(option, 0) <= sure + maybe:
            verdict.broken.append(f"{option}: {sure} acknowledged, {maybe} unknown, {results.get(option)} counted")
    verdict.broken += recreations.judge(replicas[0].state.results(NAME) or {})
    verdict.creations = len(recreations.creations)
    verdict.acknowledged = sum(outcome.startswith("counted") for outcome in outcomes.values())
    verdict.unknown = sum(outcome in ("unknown", "maybe") for outcome in outcomes.values())
    verdict.refused = sum(outcome == "refused" for outcome in outcomes.values())
    verdict.snapshots = sum(int(replica.status().snapshots_received) for replica in replicas)
    verdict.terms = max(replica.term for replica in replicas)
    verdict.shares = replicas[0].state.dedup().shares
    verdict.put_back, verdict.found_out = cluster.put_back, cluster.found_out
    verdict.digest = digests.pop()
    for replica in replicas:
        await replica.stop()
    return verdict


def history(
    seed: int, names: str = "abcde", *, seconds: float = 20.0, likelier: Mapping[str, float] | None = None
) -> Verdict:
    """Run one random history. Only the seed decides it, and the factors of `faults.FAULTS`."""
    with virtual_time() as runner:
        return runner.run(run_history(seed, names, seconds=seconds, likelier=likelier))
