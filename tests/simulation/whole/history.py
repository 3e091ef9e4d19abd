"""One history of whole nodes: the clients of `quorate chaos` in virtual time, and its checkers as the judge."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from quorate.chaos.history import FORMAT, End, Header, HistoryFile
from quorate.chaos.verdict import judge
from quorate.chaos.workload.closed_loops import batch, closing, keyed, single
from quorate.chaos.workload.exchange import AskedNode
from quorate.chaos.workload.node_looks import KnownState
from quorate.chaos.workload.settling import Settling
from quorate.chaos.workload.sink_looks import SqliteRows
from quorate.chaos.workload.workload import LoadShape, Workload
from tests.simulation.breaking import break_things
from tests.simulation.cluster import EPOCH_S, virtual_time
from tests.simulation.faults import heal
from tests.simulation.schedule import Schedule
from tests.simulation.situations import IN_HISTORY
from tests.simulation.verdicts import SimVerdict
from tests.simulation.whole.nodes import WholeCluster, virtual_clocks

SHAPE = LoadShape(
    [("single", single), ("batch", batch), ("keyed", keyed), ("closing", closing)],
    pause_s=0.15,
    read_pause_s=0.1,
    session_pause_s=0.15,
)
SETTLE_S = 60.0
WINDOW = 10_000


def play_whole(schedule: Schedule) -> SimVerdict:
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="quorate-sim-", dir=memory if memory.is_dir() else None))
    try:
        with virtual_time() as runner:
            verdict = runner.run(_run(schedule, folder))
        found = judge(folder / "history.ndjson", scratch=folder)
        verdict.broken += [f"{each.property}: {each.words}" for each in found.violations]
        verdict.broken += [f"not shown: {reason}" for reason in found.reasons if not found.violations]
        verdict.seen.update({f"{IN_HISTORY}{name}": once.times for name, once in found.reached.items()})
        verdict.checked = {f"{name}: {what}": n for name, counts in found.checked.items() for what, n in counts.items()}
        return verdict
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(schedule: Schedule, folder: Path) -> SimVerdict:
    cluster = WholeCluster(schedule.seed, schedule.names, folder, network=schedule.network)
    with virtual_clocks(cluster):
        for name in cluster.names:
            await cluster.start(name)
        await cluster.until(cluster.leader, 20, "a first leader")
        file = HistoryFile(folder / "history.ndjson")
        try:
            workload = await _ask_and_break(cluster, schedule, file)
            await _wait_for_sink(cluster)
            cluster.broken += cluster.broker.judge(_counted(cluster))
        finally:
            file.close()
        verdict = SimVerdict(schedule.seed, broken=cluster.broken, seen=cluster.seen)
        verdict.messages = cluster.network.messages
        verdict.acknowledged = workload.recorder.counts.acknowledged
        verdict.unknown = workload.recorder.counts.unknown
        verdict.terms = cluster.term()
        verdict.snapshots = cluster.seen["snapshot installed"]
        cluster.saw("election", verdict.terms)
        for name in cluster.up():
            cluster.crash(name)
        await asyncio.sleep(0.1)  # the threads of the flush end
        return verdict


async def _ask_and_break(cluster: WholeCluster, schedule: Schedule, file: HistoryFile) -> Workload:
    nodes = [AskedNode(name, "sim", 1) for name in cluster.names]
    file.write(
        Header(FORMAT, "simulation", schedule.seed, int(EPOCH_S * 1000), dict.fromkeys(cluster.names, ""), WINDOW)
    )
    workload = Workload(
        nodes,
        file,
        prefix="s",
        seed=schedule.seed,
        window=WINDOW,
        known=lambda name: KnownState(is_down=cluster.nodes[name].replica is None),
        noticed=lambda now, before: None,
        changed=lambda change: None,
        sinks=[SqliteRows(cluster.sink_path)],
        shape=SHAPE,
    )
    workload._loop.close()  # its clients run on the loop of the simulation
    await workload._start()
    cluster.network.late, cluster.network.repeated = schedule.late, schedule.repeated
    queue = cluster.loop.create_task(cluster.broker.run(schedule.seconds))
    await asyncio.gather(break_things(cluster, schedule), asyncio.sleep(schedule.seconds))
    await heal(cluster)
    await workload._stop()
    await asyncio.wait_for(queue, SETTLE_S)
    words = await Settling(workload.scene, workload._sessions, workload._sinks, workload._chance("settle")).run(
        SETTLE_S
    )
    recorder = workload.recorder
    recorder.write_open()
    if workload.failure is not None:
        words = f"{words}; a client failed: {workload.failure!r}"
    file.write(End(recorder.now(), recorder.operations, settled=not words, words=words))
    return workload


def _counted(cluster: WholeCluster) -> dict[str, dict[str, int]]:
    leader = cluster.leader()
    replica = None if leader is None else cluster.nodes[leader].replica
    assert replica is not None
    return {poll.id: dict(replica.state.results(poll.id) or {}) for poll in replica.state.polls()}


async def _wait_for_sink(cluster: WholeCluster) -> None:
    for _ in range(60):
        if not (behind := _behind(cluster)):
            return
        await asyncio.sleep(0.5)
    cluster.broken.append(f"in the end the sink has not what is counted: {behind}")


def _behind(cluster: WholeCluster) -> list[str]:
    """The polls whose document is not what the leader counts."""
    leader = cluster.leader()
    if leader is None or leader not in cluster.parts:
        return ["no leader"]
    replica, sink = cluster.nodes[leader].replica, cluster.parts[leader].flusher._own_sink
    assert replica is not None
    stored = sink.read(timeout_s=1)
    return [
        poll.id
        for poll in replica.state.polls()
        if poll.id not in stored or dict(stored[poll.id].results) != dict(replica.state.results(poll.id) or {})
    ]
