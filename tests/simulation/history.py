"""One random history of a cluster in virtual time: voters, readers, an operator and faults, and then a verdict.

The same seed gives the same history, to the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from dataclasses import dataclass, field

from quorate.cluster.entry import CreatePoll
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.cluster import SimCluster, SimNode, virtual_time

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
    digest: str = ""
    broken: list[str] = field(default_factory=list)


async def _voter(cluster: SimCluster, name: str, number: int, outcomes: dict[str, str], rng: random.Random) -> None:
    """Cast one vote at a node. While its outcome is unknown, cast it again at another node, under the same id."""
    vote_id = f"v{number}"
    option = rng.choice(OPTIONS)
    for _ in range(3):
        submitter = cluster.nodes[name].submitter
        if submitter is None:
            return
        try:
            outcomes.setdefault(vote_id, "unknown")  # until we hear otherwise
            tallied = await submitter.cast([Vote(option, id=vote_id)], timeout_s=1.0)
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


async def run_history(seed: int, names: str = "abcde", *, seconds: float = 20.0) -> Verdict:
    cluster = SimCluster(seed, names)
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
    operator = cluster.loop.create_task(_operator(cluster, seconds)) if rng.random() < 0.7 else None
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
        await _fault(cluster)
    await _heal(cluster)
    await asyncio.wait_for(asyncio.gather(*voters), 60)
    if operator is not None:
        await asyncio.wait_for(operator, 120)
        await _heal(cluster)  # again: it may have stopped nodes
    return await _judge(cluster, outcomes)


async def _operator(cluster: SimCluster, seconds: float) -> None:
    """Add, remove and replace members meanwhile, and wait until each change is done."""
    rng = random.Random(f"operator {cluster.seed}")
    spare = iter("fgh")
    while cluster.loop.time() < seconds:
        await asyncio.sleep(rng.uniform(1, 5))
        what = rng.choice(("add", "add and regret", "remove", "replace", "move", "move all"))
        if what.startswith("add") and len(cluster.names) < 7:
            name = next(spare, None)
            if name is None:
                continue
            cluster.names.append(name)
            cluster.wipe(name)
            await cluster.start(name)
            await _change(cluster, name, present=True)
            if what == "add and regret":  # it may be in the midst of catching up
                await asyncio.sleep(rng.uniform(0, 0.5))
                await _remove(cluster, name)
        elif what == "remove" and len(cluster.names) > 3:
            await _remove(cluster, rng.choice(cluster.names))
        elif what == "replace" and all(cluster.nodes[each].replica for each in cluster.names):
            name = rng.choice(cluster.names)
            cluster.wipe(name)
            await cluster.start(name)
            await _change(cluster, name, present=False)
            await _change(cluster, name, present=True)
        elif what == "move":
            await _move(cluster, [rng.choice(cluster.names)], power=rng.random() < 0.5)
        elif what == "move all" and not cluster.stale_settings:
            await _move(cluster, cluster.names, power=rng.random() < 0.5)
        else:
            continue
        await _settled(cluster)


async def _move(cluster: SimCluster, names: list[str], *, power: bool) -> None:
    """Stop nodes and start them at other addresses. With stale settings only the log, and they, tell their peers."""
    for name in names:
        cluster.crash(name, power=power)
        cluster.move(name)
    for name in names:
        await cluster.start(name)


async def _remove(cluster: SimCluster, name: str) -> None:
    cluster.leaving.add(name)
    await _change(cluster, name, present=False)
    cluster.names.remove(name)  # its process runs on, until it hears of it


async def _change(cluster: SimCluster, name: str, *, present: bool) -> None:
    """Ask the leader until the membership is as wanted. A leader that is to be removed hands over first."""
    while True:
        await asyncio.sleep(0.1)
        leader = cluster.leader()
        replica = None if leader is None else cluster.nodes[leader].replica
        if replica is None:
            continue
        known = {member.id: member for member in replica.members()}
        if (name in known) == present and (not present or known[name].incarnation in ("", _incarnation(cluster, name))):
            return
        with contextlib.suppress(QuorateError):
            if leader == name:
                await replica.transfer_leadership()
            else:
                await replica.change_members(
                    (lambda members: members.adding(name, cluster.addresses[name]))
                    if present
                    else lambda members: members.removing(name)
                )


def _incarnation(cluster: SimCluster, name: str) -> str:
    return cluster.nodes[name].directory.identity.incarnation


async def _settled(cluster: SimCluster) -> None:
    """Wait until every member is a voter: the next change must not find a majority of learners. And until the log has
    their addresses."""
    while True:
        await asyncio.sleep(0.1)
        leader = cluster.leader()
        replica = None if leader is None else cluster.nodes[leader].replica
        voters = {} if replica is None else {m.id: m.raft for m in replica.members() if m.voter}
        if voters == {name: cluster.addresses[name] for name in cluster.names}:
            return


async def _fault(cluster: SimCluster) -> None:
    rng, network = cluster.rng, cluster.network
    what, name = rng.random(), rng.choice(cluster.names)
    other = rng.choice([peer for peer in cluster.names if peer != name])
    if what < 0.03:
        side = set(rng.sample(cluster.names, rng.randint(1, len(cluster.names) // 2)))
        network.cut = {frozenset((a, b)) for a in side for b in cluster.names if b not in side}
        network.settle()
    elif what < 0.06:
        _cut_some_links(cluster)
    elif what < 0.12:
        network.cut, network.loss = set(), {}
        network.settle()
    elif what < 0.17:
        network.flap(name, other)
    elif what < 0.20:
        cluster.crash(name, power=rng.random() < 0.7)
    elif what < 0.21 and rng.random() < 0.3:
        for each in cluster.up():
            cluster.crash(each)
    elif what < 0.24:
        network.loss[name, other] = rng.choice((0.1, 0.5, 1.0))
    elif what < 0.26 and (leader := cluster.leader()) is not None:
        replica = cluster.nodes[leader].replica
        assert replica is not None
        cluster.loop.create_task(replica.transfer_leadership())
    elif what < 0.28 and (up := cluster.up()):
        _harm_disk(cluster, rng.choice(up))
    elif what > 0.93:
        for down in [each for each in cluster.names if cluster.nodes[each].replica is None]:
            await cluster.start(down)


def _cut_some_links(cluster: SimCluster) -> None:
    """Cut links between nodes that are well: rings, bridges. Some break, others stay open and carry nothing."""
    rng, network, share = cluster.rng, cluster.network, cluster.rng.choice((0.15, 0.3, 0.5))
    network.cut, network.loss = set(), {}
    for a, b in itertools.combinations(cluster.names, 2):
        if rng.random() < share:
            if rng.random() < 0.5:
                network.cut.add(frozenset((a, b)))
            else:
                network.loss[a, b] = network.loss[b, a] = 1.0
    network.settle()


def _harm_disk(cluster: SimCluster, name: str) -> None:
    """Make a disk full, or let it hang or be slow for a while."""
    rng, node = cluster.rng, cluster.nodes[name]
    how = rng.random()
    if how < 0.3:
        node.directory.files.room_bytes = rng.randrange(20_000)
    elif how < 0.6:
        for disk in node.disks:
            disk.hold()
            cluster.loop.call_later(rng.uniform(0.1, 4), disk.release)
    else:
        for disk in node.disks:
            disk.sync_s = rng.choice((None, (0.02, 0.1), (0.1, 0.3)))


async def _heal(cluster: SimCluster) -> None:
    network = cluster.network
    for node in cluster.nodes.values():
        node.directory.files.room_bytes = None
        for disk in node.disks:
            disk.sync_s = None
            disk.release()
    network.cut, network.loss, network.late, network.repeated = set(), {}, 0.0, 0.0
    network.settle()
    for name in [*cluster.names, *cluster.left()]:
        if cluster.nodes[name].replica is None:
            await cluster.start(name)


def _forgotten(node: SimNode) -> str | None:
    return None if node.replica is None else node.replica.status().forgotten


async def _judge(cluster: SimCluster, outcomes: dict[str, str]) -> Verdict:
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
    verdict.acknowledged = sum(outcome.startswith("counted") for outcome in outcomes.values())
    verdict.unknown = sum(outcome in ("unknown", "maybe") for outcome in outcomes.values())
    verdict.refused = sum(outcome == "refused" for outcome in outcomes.values())
    verdict.snapshots = sum(int(replica.status().snapshots_received) for replica in replicas)
    verdict.terms = max(replica.term for replica in replicas)
    verdict.digest = digests.pop()
    for replica in replicas:
        await replica.stop()
    return verdict


def history(seed: int, names: str = "abcde", *, seconds: float = 20.0) -> Verdict:
    """Run one random history. Only the seed decides it."""
    with virtual_time() as runner:
        return runner.run(run_history(seed, names, seconds=seconds))
