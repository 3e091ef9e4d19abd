"""An operator who adds, removes, replaces and moves members meanwhile, and who puts old copies of disks back."""

from __future__ import annotations

import asyncio
import contextlib
import random

from quorate.errors import QuorateError
from tests.simulation.cluster import SimCluster
from tests.simulation.faults import heal

OLD_S = 3.0  # by then all nodes have told each other of a disk what it had


async def operate(cluster: SimCluster, seconds: float) -> None:
    """Make changes, one after another, and wait until each is done."""
    rng = random.Random(f"operator {cluster.seed}")
    spare = iter("fgh")
    while cluster.loop.time() < seconds:
        await asyncio.sleep(rng.uniform(1, 5))
        what = rng.choice(("add", "add and regret", "remove", "replace", "old disk", "old disk", "move", "move all"))
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
        elif what == "old disk" and cluster.copies:
            await _put_back(cluster, rng)
        elif what == "move":
            await _move(cluster, [rng.choice(cluster.names)], power=rng.random() < 0.5)
        elif what == "move all" and not cluster.stale_settings:
            await _move(cluster, cluster.names, power=rng.random() < 0.5)
        else:
            continue
        await _settled(cluster)


async def _put_back(cluster: SimCluster, rng: random.Random) -> None:
    """Put an old copy of a disk back. If the node finds out that it is old, replace the member.

    Meanwhile no other fault begins, and all others are up and connected; or all but one, where five are members. With
    more failures at once than a minority, nobody may be there who knows better. Sometimes the leader dies as soon as
    the node has met it, and those that are left do not have what the node forgot.
    """
    name = rng.choice(sorted(cluster.copies))
    copy = cluster.copies.pop(name)
    if name not in cluster.names:
        return
    cluster.calm = True
    try:
        await heal(cluster)
        await _settled(cluster)
        known_before = cluster.status(name).commit_index
        leader = await _let_others_lag(cluster, name) if rng.random() < 0.4 else None
        await asyncio.sleep(OLD_S)
        away = None
        if leader is None and len(cluster.names) >= 5 and rng.random() < 0.5:
            away = rng.choice([each for each in cluster.names if each != name])
            cluster.crash(away)
        else:
            known_before = cluster.status(name).commit_index
        cluster.crash(name, power=rng.random() < 0.5)
        cluster.nodes[name].directory = copy
        await cluster.start(name)
        is_old = cluster.status(name).last_index < known_before
        await asyncio.sleep(0.01 if leader else rng.choice((0.1, 1.0)))  # the peers are met at once
        found_out = bool(cluster.status(name).forgotten)
        if is_old and not found_out:
            cluster.broken.append(f"{cluster.loop.time():.3f} {name} did not find out that its disk is old")
        if leader is not None:
            cluster.crash(leader)
            cluster.network.cut = set()
            cluster.network.settle()
            await asyncio.sleep(3)
        await heal(cluster)
    finally:
        cluster.calm = False
    cluster.put_back += 1
    if found_out:
        cluster.found_out += 1
        await _change(cluster, name, present=False)
        await _change(cluster, name, present=True)


async def _let_others_lag(cluster: SimCluster, name: str) -> str | None:
    """Cut the leader off from as many as it can commit without: but not from this node. Returns the leader."""
    leader = cluster.leader()
    if leader is None or leader == name:
        return None
    others = [each for each in cluster.names if each not in (leader, name)]
    lagging = others[: (len(cluster.names) - 1) // 2]
    cluster.network.cut = {frozenset((leader, each)) for each in lagging}
    cluster.network.settle()
    return leader


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
