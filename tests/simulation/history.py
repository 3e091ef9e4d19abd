"""One random history of a cluster in virtual time: voters, readers, an operator and faults, and then a verdict.

The same schedule gives the same history, to the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping

from quorate.cluster.entry import CreatePoll
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.breaking import break_things
from tests.simulation.cluster import SimCluster, SimNode, virtual_time
from tests.simulation.deaths import as_client_of
from tests.simulation.faults import heal
from tests.simulation.operator_tasks import operate
from tests.simulation.poll_tasks import NAME, Recreations
from tests.simulation.schedule import Schedule, drawn
from tests.simulation.verdicts import SimVerdict
from tests.simulation.whole.history import play_whole

OPTIONS = ["happy", "sad", "calm"]


class _Voters:
    """Cast votes at all nodes, and read, at random moments."""

    def __init__(self, cluster: SimCluster, schedule: Schedule) -> None:
        self._cluster, self._schedule = cluster, schedule
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self.outcomes: dict[str, str] = {}

    async def run(self, until_s: float) -> None:
        cluster, turn = self._cluster, 0
        while cluster.loop.time() < until_s:
            turn += 1
            rng = self._schedule.random(f"voters {turn}")
            for name in cluster.up():
                for _ in range(rng.randrange(4)):
                    self._number += 1
                    self._begin(self._vote(name, self._number))
                if rng.random() < 0.3:
                    self._begin(self._read(name))
            await asyncio.sleep(rng.uniform(0.02, 0.2))

    async def end(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self._tasks), 60)

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        self._tasks.add(task := self._cluster.loop.create_task(what))
        task.add_done_callback(self._tasks.discard)

    async def _vote(self, name: str, number: int) -> None:
        """Cast one vote at a node. While its outcome is unknown, cast it again at another node, under the same id, and
        perhaps in another share: nodes may differ in their files of tokens."""
        cluster, outcomes, vote_id = self._cluster, self.outcomes, f"v{number}"
        rng = self._schedule.random(f"vote {number}")
        option, term = rng.choice(OPTIONS), 0
        for _ in range(3):
            submitter = cluster.nodes[name].submitter
            if submitter is None:
                return
            again = outcomes.get(vote_id) == "maybe"
            term = term if again else cluster.term()
            outcomes.setdefault(vote_id, "unknown")  # until we hear otherwise
            cluster.in_flight[name] += 1
            try:
                with as_client_of(name):
                    tallied = await submitter.cast(
                        [Vote(option, id=vote_id)], timeout_s=1.0, share=rng.choice((0, 0, 1, 2))
                    )
            except QuorateError as error:
                if error.definite and not again:
                    outcomes[vote_id] = "refused"
                    return
                outcomes[vote_id] = "maybe"
                cluster.saw("outcome unknown")
                name = rng.choice(cluster.up() or [name])
                continue
            finally:
                cluster.in_flight[name] -= 1
            outcomes[vote_id] = f"counted {option}" if not tallied.rejected else "rejected"
            cluster.acknowledged = max(cluster.acknowledged, tallied.version)
            if again:
                cluster.saw(
                    "unknown outcome that had counted" if tallied.duplicates else "unknown outcome that had not"
                )
                cluster.saw("unknown outcome settled by a later leader", cluster.term() > term)
            return

    async def _read(self, name: str) -> None:
        """Check that a linearizable read, on any node, sees every vote that was acknowledged before it."""
        cluster = self._cluster
        reads, before = cluster.nodes[name].reads, cluster.acknowledged
        try:
            assert reads is not None
            with as_client_of(name):
                async with asyncio.timeout(5):
                    version = (await reads.results("mood", level="linearizable", wait_s=2.0)).version
        except (QuorateError, TimeoutError):  # a node that is killed answers nobody
            return
        cluster.saw("linearizable read")
        cluster.saw("linearizable read on a follower", cluster.leader() != name)
        if version < before:
            cluster.broken.append(f"{cluster.loop.time():.3f} {name} read version {version} after {before} was told")


async def run_history(schedule: Schedule) -> SimVerdict:
    cluster = SimCluster(schedule.seed, schedule.names, network=schedule.network)
    for name in cluster.names:
        await cluster.start(name)
    await _create_poll(cluster)
    voters = _Voters(cluster, schedule)
    recreations = Recreations(cluster)
    operator = cluster.loop.create_task(operate(cluster, schedule))
    deleter = cluster.loop.create_task(recreations.run(schedule.seconds)) if schedule.polls else None
    faults = cluster.loop.create_task(break_things(cluster, schedule))
    cluster.network.late, cluster.network.repeated = schedule.late, schedule.repeated
    cluster.stale_settings = schedule.stale_settings
    await voters.run(schedule.seconds)
    await faults
    await heal(cluster)
    await voters.end()
    await asyncio.wait_for(operator, 120)
    await heal(cluster)  # again: the operator may have stopped nodes
    if deleter is not None:
        await asyncio.wait_for(deleter, 120)
    return await _judge(cluster, voters.outcomes, recreations)


async def _create_poll(cluster: SimCluster) -> None:
    await cluster.until(cluster.leader, 20, "a first leader")
    first = cluster.leader()
    assert first is not None
    submitter = cluster.nodes[first].submitter
    assert submitter is not None
    await cluster.until(lambda: cluster.nodes[first].replica.state.hash_key, 10, "a formed state")  # type: ignore[union-attr]
    with as_client_of(first):
        await submitter.create_poll(CreatePoll("mood", "", OPTIONS, "open", None, False), timeout_s=10)


def _forgotten(node: SimNode) -> str | None:
    return None if node.replica is None else node.replica.status().forgotten


async def _judge(cluster: SimCluster, outcomes: dict[str, str], recreations: Recreations) -> SimVerdict:
    nodes = [cluster.nodes[name] for name in cluster.names]
    replicas = [node.replica for node in nodes if node.replica is not None]

    def agreed() -> bool:
        return cluster.leader() is not None and 1 == len({replica.state.version for replica in replicas})

    verdict = SimVerdict(cluster.seed, broken=cluster.broken, messages=cluster.network.messages)
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
    verdict.snapshots = cluster.seen["snapshot installed"]
    verdict.terms = max(replica.term for replica in replicas)
    verdict.seen = cluster.seen
    cluster.saw("election", verdict.terms)
    cluster.saw("old disk found out", cluster.found_out)
    cluster.saw("poll created anew", max(0, verdict.creations - 1))
    verdict.shares = replicas[0].state.dedup().shares
    verdict.put_back, verdict.found_out = cluster.put_back, cluster.found_out
    verdict.digest = digests.pop()
    for replica in replicas:
        await replica.stop()
    return verdict


def play(schedule: Schedule) -> SimVerdict:
    """Run the history of a schedule, and nothing else decides it. A history that does not come to its end is broken."""
    try:
        if schedule.whole:
            return play_whole(schedule)
        with virtual_time() as runner:
            return runner.run(run_history(schedule))
    except Exception as error:
        return SimVerdict(schedule.seed, broken=[repr(error)])


def history(
    seed: int,
    names: str | None = None,
    *,
    seconds: float | None = None,
    likelier: Mapping[str, float] | None = None,
    whole: bool | None = None,
) -> SimVerdict:
    """Run the random history of a seed. See `schedule.drawn`."""
    return play(drawn(seed, names, seconds=seconds, likelier=likelier, whole=whole))
