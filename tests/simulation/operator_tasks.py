"""An operator who adds, removes, replaces and moves members meanwhile, and who puts old copies of disks back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from quorate.errors import QuorateError
from tests.simulation.cluster import SimCluster
from tests.simulation.faults import heal
from tests.simulation.schedule import Schedule

OLD_S = 3.0  # by then all nodes have told each other of a disk what it had


Act = Callable[[SimCluster, random.Random], Awaitable[bool]]


async def operate(cluster: SimCluster, schedule: Schedule) -> None:
    """Make the changes of the schedule, one after another, and wait until each is done."""
    for step in schedule.steps:
        if step.is_operation:
            await asyncio.sleep(max(0.1, step.at_s - cluster.loop.time()))
            if await ACTS[step.what](cluster, schedule.random(step.number)):
                cluster.saw(step.what)
                await _settled(cluster)


async def _add(cluster: SimCluster, rng: random.Random) -> bool:
    name = next((name for name in "pqrstuvwxyz" if name not in cluster.nodes), None)
    if name is None or len(cluster.names) >= 7:
        return False
    cluster.names.append(name)
    cluster.wipe(name)
    await cluster.start(name)
    await _change(cluster, name, present=True)
    return True


async def _add_and_regret(cluster: SimCluster, rng: random.Random) -> bool:
    if not await _add(cluster, rng):
        return False
    await asyncio.sleep(rng.uniform(0, 0.5))  # it may be in the midst of catching up
    await _remove_member(cluster, cluster.names[-1])
    return True


async def _remove(cluster: SimCluster, rng: random.Random) -> bool:
    if len(cluster.names) > 3:
        await _remove_member(cluster, rng.choice(cluster.names))
        return True
    return False


async def _replace(cluster: SimCluster, rng: random.Random) -> bool:
    if not all(cluster.nodes[each].replica for each in cluster.names):
        return False
    name = rng.choice(cluster.names)
    cluster.wipe(name)
    await cluster.start(name)
    await _change(cluster, name, present=False)
    await _change(cluster, name, present=True)
    return True


async def _move_one(cluster: SimCluster, rng: random.Random) -> bool:
    await _move(cluster, [rng.choice(cluster.names)], power=rng.random() < 0.5)
    return True


async def _move_all(cluster: SimCluster, rng: random.Random) -> bool:
    if not cluster.stale_settings:
        await _move(cluster, cluster.names, power=rng.random() < 0.5)
    return not cluster.stale_settings


async def _put_back(cluster: SimCluster, rng: random.Random) -> bool:
    """Put an old copy of a disk back. If the node finds out that it is old, replace the member.

    Meanwhile no other fault begins, and all others are up and connected; or all but one, where five are members. With
    more failures at once than a minority, nobody may be there who knows better. Sometimes the leader dies as soon as
    the node has met it, and those that are left do not have what the node forgot.
    """
    if not (copied := sorted(cluster.copies.keys() & set(cluster.names))):
        return False
    name = rng.choice(copied)
    copy = cluster.copies.pop(name)
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
    return True


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


async def _remove_member(cluster: SimCluster, name: str) -> None:
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


ACTS: dict[str, Act] = {
    "add": _add,
    "add and regret": _add_and_regret,
    "remove": _remove,
    "replace": _replace,
    "old disk": _put_back,
    "move": _move_one,
    "move all": _move_all,
}
