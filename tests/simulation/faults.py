"""The faults of a random history, by name. How likely each is stands in `fault_shares.py`.

Each is given the random numbers of its own step.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Iterable

from quorate import crash_points
from tests.simulation import deaths
from tests.simulation.cluster import SimCluster

Pair = tuple[str, str]


Act = Callable[[SimCluster, random.Random], Awaitable[None]]


def _two(cluster: SimCluster, rng: random.Random) -> Pair:
    one, other = rng.sample(cluster.names, 2)
    return one, other


# ---- links ----------------------------------------------------------------------------------------------------------


async def _partition(cluster: SimCluster, rng: random.Random) -> None:
    side = set(rng.sample(cluster.names, rng.randint(1, len(cluster.names) // 2)))
    _cut(cluster, rng, [(a, b) for a in side for b in cluster.names if b not in side], silent=0.0)


async def _some_links(cluster: SimCluster, rng: random.Random) -> None:
    share = rng.choice((0.15, 0.3, 0.5))
    _cut(cluster, rng, [pair for pair in itertools.combinations(cluster.names, 2) if rng.random() < share])


async def _ring(cluster: SimCluster, rng: random.Random) -> None:
    """Each node reaches two neighbours only."""
    names = rng.sample(cluster.names, len(cluster.names))
    joined = {frozenset(pair) for pair in itertools.pairwise([*names, names[0]])}
    _cut(cluster, rng, [pair for pair in itertools.combinations(names, 2) if frozenset(pair) not in joined])


async def _bridge(cluster: SimCluster, rng: random.Random) -> None:
    """Two groups that only one node reaches both of."""
    _, *others = rng.sample(cluster.names, len(cluster.names))
    half = len(others) // 2
    _cut(cluster, rng, itertools.product(others[:half], others[half:]))


async def _one_way(cluster: SimCluster, rng: random.Random) -> None:
    """What one node says, or what it is told, is lost, as far as some or all others are concerned."""
    node, *others = rng.sample(cluster.names, len(cluster.names))
    says = rng.random() < 0.5
    for other in others[: rng.randint(1, len(others))]:
        cluster.network.loss[(node, other) if says else (other, node)] = 1.0


def _cut(cluster: SimCluster, rng: random.Random, pairs: Iterable[Pair], *, silent: float = 0.5) -> None:
    """Cut these links and mend all others. The share `silent` stays open and carries nothing; the rest breaks."""
    network = cluster.network
    network.cut, network.loss = set(), {}
    for a, b in pairs:
        if silent and rng.random() < silent:
            network.loss[a, b] = network.loss[b, a] = 1.0
        else:
            network.cut.add(frozenset((a, b)))
    network.settle()


async def _mend_links(cluster: SimCluster, rng: random.Random) -> None:
    _cut(cluster, rng, [])


async def _flap(cluster: SimCluster, rng: random.Random) -> None:
    cluster.network.flap(*_two(cluster, rng))


async def _lose_messages(cluster: SimCluster, rng: random.Random) -> None:
    cluster.network.loss[_two(cluster, rng)] = rng.choice((0.1, 0.5, 1.0))


# ---- nodes ----------------------------------------------------------------------------------------------------------


async def _crash(cluster: SimCluster, rng: random.Random) -> None:
    cluster.crash(rng.choice(cluster.names), power=rng.random() < 0.7)


async def _crash_all(cluster: SimCluster, rng: random.Random) -> None:
    for each in cluster.up():
        cluster.crash(each)


async def _start(cluster: SimCluster, rng: random.Random) -> None:
    for down in [each for each in cluster.names if cluster.nodes[each].replica is None]:
        await cluster.start(down)


async def _hand_over(cluster: SimCluster, rng: random.Random) -> None:
    leader = cluster.leader()
    replica = None if leader is None else cluster.nodes[leader].replica
    if replica is not None:
        cluster.loop.create_task(replica.transfer_leadership())


# ---- disks and clocks -----------------------------------------------------------------------------------------------


async def _copy_disk(cluster: SimCluster, rng: random.Random) -> None:
    """Copy a disk as it is now. The operator may put the copy back later."""
    name = rng.choice(cluster.names)
    cluster.copies[name] = cluster.nodes[name].directory.copy()


async def _wrong_clock(cluster: SimCluster, rng: random.Random) -> None:
    """A node starts again with another wall clock, or its clock jumps. It is the same node throughout a history.

    Peers believe what a silent node told last of its clock. So a clock that is right again may still count as wrong.
    """
    name = next(iter(cluster.clock_ahead_s), rng.choice(cluster.names))
    if rng.random() < 0.7:
        cluster.crash(name, power=False)
    cluster.clock_ahead_s = {name: rng.choice((0.0, 3600.0, -3600.0, rng.uniform(-100, 100)))}


async def _harm_disk(cluster: SimCluster, rng: random.Random) -> None:
    """Make a disk full, or let it hang or be slow for a while."""
    if not (up := cluster.up()):
        return
    node = cluster.nodes[rng.choice(up)]
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


async def heal(cluster: SimCluster) -> None:
    """Mend everything, and start what is down."""
    crash_points.disarm()
    cluster.sink.mend()
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


async def _die_at_a_point(cluster: SimCluster, rng: random.Random) -> None:
    deaths.arm(rng, cluster.die_at)


async def _harm_sink(cluster: SimCluster, rng: random.Random) -> None:
    """The sink is down, or slow, for a while."""
    sink, how = cluster.sink, rng.random()
    if how < 0.5:
        sink.is_down = True
    else:
        sink.slow_s = rng.choice((0.2, 1.0))
    cluster.loop.call_later(rng.uniform(0.1, 3), sink.mend)


FAULTS: dict[str, Act] = {
    "partition": _partition,
    "links": _some_links,
    "ring": _ring,
    "bridge": _bridge,
    "one-way": _one_way,
    "mend": _mend_links,
    "flap": _flap,
    "loss": _lose_messages,
    "crash": _crash,
    "crash-all": _crash_all,
    "start": _start,
    "hand-over": _hand_over,
    "disk": _harm_disk,
    "copy": _copy_disk,
    "clock": _wrong_clock,
    "crash-point": _die_at_a_point,
    "sink": _harm_sink,
}
