"""The faults of a random history: a table of what may happen at each step, and how likely it is.

The shares are those of `python -m tests.simulation`; `NAME=FACTOR` there makes one likelier, for example `bridge=10`.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from tests.simulation.cluster import SimCluster

Pair = tuple[str, str]


class Fault(NamedTuple):
    name: str
    share: float  # of the steps
    act: Callable[[SimCluster], Awaitable[None]]


async def draw_fault(cluster: SimCluster) -> None:
    """Perhaps let something happen. Nothing while the operator has asked for calm."""
    what = cluster.rng.random()
    for fault in [] if cluster.calm else FAULTS:
        share = fault.share * cluster.likelier.get(fault.name, 1.0)
        if what < share:
            await fault.act(cluster)
            return
        what -= share


def _two(cluster: SimCluster) -> Pair:
    one, other = cluster.rng.sample(cluster.names, 2)
    return one, other


# ---- links ----------------------------------------------------------------------------------------------------------


async def _partition(cluster: SimCluster) -> None:
    side = set(cluster.rng.sample(cluster.names, cluster.rng.randint(1, len(cluster.names) // 2)))
    _cut(cluster, [(a, b) for a in side for b in cluster.names if b not in side], silent=0.0)


async def _some_links(cluster: SimCluster) -> None:
    share = cluster.rng.choice((0.15, 0.3, 0.5))
    _cut(cluster, [pair for pair in itertools.combinations(cluster.names, 2) if cluster.rng.random() < share])


async def _ring(cluster: SimCluster) -> None:
    """Each node reaches two neighbours only."""
    names = cluster.rng.sample(cluster.names, len(cluster.names))
    joined = {frozenset(pair) for pair in itertools.pairwise([*names, names[0]])}
    _cut(cluster, [pair for pair in itertools.combinations(names, 2) if frozenset(pair) not in joined])


async def _bridge(cluster: SimCluster) -> None:
    """Two groups that only one node reaches both of."""
    _, *others = cluster.rng.sample(cluster.names, len(cluster.names))
    half = len(others) // 2
    _cut(cluster, itertools.product(others[:half], others[half:]))


async def _one_way(cluster: SimCluster) -> None:
    """What one node says, or what it is told, is lost, as far as some or all others are concerned."""
    rng = cluster.rng
    node, *others = rng.sample(cluster.names, len(cluster.names))
    says = rng.random() < 0.5
    for other in others[: rng.randint(1, len(others))]:
        cluster.network.loss[(node, other) if says else (other, node)] = 1.0


def _cut(cluster: SimCluster, pairs: Iterable[Pair], *, silent: float = 0.5) -> None:
    """Cut these links and mend all others. The share `silent` stays open and carries nothing; the rest breaks."""
    network = cluster.network
    network.cut, network.loss = set(), {}
    for a, b in pairs:
        if silent and cluster.rng.random() < silent:
            network.loss[a, b] = network.loss[b, a] = 1.0
        else:
            network.cut.add(frozenset((a, b)))
    network.settle()


async def _mend_links(cluster: SimCluster) -> None:
    _cut(cluster, [])


async def _flap(cluster: SimCluster) -> None:
    cluster.network.flap(*_two(cluster))


async def _lose_messages(cluster: SimCluster) -> None:
    cluster.network.loss[_two(cluster)] = cluster.rng.choice((0.1, 0.5, 1.0))


# ---- nodes ----------------------------------------------------------------------------------------------------------


async def _crash(cluster: SimCluster) -> None:
    cluster.crash(cluster.rng.choice(cluster.names), power=cluster.rng.random() < 0.7)


async def _crash_all(cluster: SimCluster) -> None:
    for each in cluster.up():
        cluster.crash(each)


async def _start(cluster: SimCluster) -> None:
    for down in [each for each in cluster.names if cluster.nodes[each].replica is None]:
        await cluster.start(down)


async def _hand_over(cluster: SimCluster) -> None:
    leader = cluster.leader()
    replica = None if leader is None else cluster.nodes[leader].replica
    if replica is not None:
        cluster.loop.create_task(replica.transfer_leadership())


# ---- disks and clocks -----------------------------------------------------------------------------------------------


async def _copy_disk(cluster: SimCluster) -> None:
    """Copy a disk as it is now. The operator may put the copy back later."""
    name = cluster.rng.choice(cluster.names)
    cluster.copies[name] = cluster.nodes[name].directory.copy()


async def _wrong_clock(cluster: SimCluster) -> None:
    """A node starts again with another wall clock, or its clock jumps. It is the same node throughout a history.

    Peers believe what a silent node told last of its clock. So a clock that is right again may still count as wrong.
    """
    rng = cluster.rng
    name = next(iter(cluster.clock_ahead_s), rng.choice(cluster.names))
    if rng.random() < 0.7:
        cluster.crash(name, power=False)
    cluster.clock_ahead_s = {name: rng.choice((0.0, 3600.0, -3600.0, rng.uniform(-100, 100)))}


async def _harm_disk(cluster: SimCluster) -> None:
    """Make a disk full, or let it hang or be slow for a while."""
    rng = cluster.rng
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


FAULTS = (
    Fault("partition", 0.03, _partition),
    Fault("links", 0.01, _some_links),
    Fault("ring", 0.01, _ring),
    Fault("bridge", 0.01, _bridge),
    Fault("one-way", 0.01, _one_way),
    Fault("mend", 0.06, _mend_links),
    Fault("flap", 0.05, _flap),
    Fault("loss", 0.03, _lose_messages),
    Fault("crash", 0.03, _crash),
    Fault("crash-all", 0.003, _crash_all),
    Fault("start", 0.07, _start),
    Fault("hand-over", 0.02, _hand_over),
    Fault("disk", 0.02, _harm_disk),
    Fault("copy", 0.05, _copy_disk),
    Fault("clock", 0.01, _wrong_clock),
)
