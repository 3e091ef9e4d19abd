"""Requests with very many votes, while options come and nodes, links and disks break.

A vote may be refused without the log (`cluster/submit/early_answers.py`). Here it is shown that nobody can tell: an
option whose coming was acknowledged is never unknown to a vote that was sent afterwards, at whatever node; a vote that
was acknowledged is a duplicate ever after; and what was refused is not counted.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from quorate.cluster.entry import ChangePoll, CreatePoll
from quorate.cluster.submit.early_answers import MANY
from quorate.errors import QuorateError
from quorate.vote import Vote
from tests.simulation.breaking import break_things
from tests.simulation.cluster import SimCluster, virtual_time
from tests.simulation.faults import heal
from tests.simulation.schedule import drawn

SECONDS = 8.0
COMING = 30  # options that come one after the other
NEVER = 1_000  # others that never do


def name_of(number: int) -> str:
    return f"option {number}"


@dataclass
class Seen:
    """What clients know."""

    begun_s: dict[str, float] = field(default_factory=dict)  # when an option was asked for first
    there_s: dict[str, float] = field(default_factory=dict)  # when it was acknowledged
    counted: dict[str, str] = field(default_factory=dict)  # id -> option, of votes that were acknowledged
    maybe: Counter[str] = field(default_factory=Counter)  # votes with unknown outcomes, by option
    early: int = 0  # votes that were refused, in requests of which the log had one vote
    broken: list[str] = field(default_factory=list)


async def add_options(cluster: SimCluster, seen: Seen, rng: random.Random) -> None:
    for number in range(COMING):
        option = name_of(number)
        seen.begun_s[option] = cluster.loop.time()
        while option not in seen.there_s and cluster.loop.time() < SECONDS:
            submitter = cluster.nodes[rng.choice(cluster.up() or cluster.names)].submitter
            if submitter is not None:
                try:
                    await submitter.change_poll(ChangePoll("mood", None, [option], False, None), timeout_s=0.5)
                    seen.there_s[option] = cluster.loop.time()
                except QuorateError:
                    pass
            await asyncio.sleep(rng.uniform(0.0, 0.1))


def votes_of(client: int, seen: Seen, rng: random.Random) -> list[Vote]:
    """Some for options that came lately or come now, some that were counted before, and very many for nothing."""
    newest = [name_of(max(0, len(seen.there_s) + step)) for step in range(-3, 2)]
    votes = [Vote(option, f"{client} {option}", "mood") for option in newest]
    again = rng.sample(sorted(seen.counted), min(3, len(seen.counted)))
    votes += [Vote(seen.counted[id], id, "mood") for id in again]
    votes += [Vote(name_of(NEVER + number), None, "mood") for number in range(rng.choice([MANY, 3 * MANY]))]
    rng.shuffle(votes)
    return votes


async def cast_many(cluster: SimCluster, name: str, client: int, seen: Seen, rng: random.Random) -> None:
    submitter = cluster.nodes[name].submitter
    if submitter is None:
        return
    sent_s, before = cluster.loop.time(), dict(seen.counted)
    votes = votes_of(client, seen, rng)
    try:
        tallied = await submitter.cast(votes, timeout_s=1.0)
    except QuorateError as error:
        if not error.definite:
            seen.maybe.update(vote.option for vote in votes if vote.id is not None)
        return
    reasons = {rejection.index: rejection.reason for rejection in tallied.rejected}
    if len(votes) != tallied.applied + tallied.duplicates + len(reasons):
        seen.broken.append(f"{len(votes)} votes have {tallied}")
    for place, vote in enumerate(votes):
        reason, told_s = reasons.get(place), cluster.loop.time()
        if reason not in (None, "unknown_option"):
            seen.broken.append(f"{vote} is {reason}")
        if reason is not None and seen.there_s.get(vote.option, told_s) < sent_s:
            seen.broken.append(f"{vote} is {reason} at {name}, sent at {sent_s:.3f}; it was there before")
        if reason is None and seen.begun_s.get(vote.option, told_s + 1) > told_s:
            seen.broken.append(f"{vote} counted, and its option had not come")
        if reason is not None and vote.id in before:
            seen.broken.append(f"{vote} was counted, and is {reason} now")
        if reason is None and vote.id is not None:
            seen.counted[vote.id] = vote.option
    seen.early += len(reasons)


async def scenario(seed: int) -> tuple[SimCluster, Seen]:
    cluster, seen, rng = SimCluster(seed, "abc"), Seen(), random.Random(f"many votes {seed}")
    for name in cluster.names:
        await cluster.start(name)
    replicas = [cluster.nodes[name].replica for name in cluster.names]
    await cluster.until(lambda: all(r is not None and r.state.level for r in replicas), 20, "the level")
    first = cluster.nodes["a"].submitter
    assert first is not None
    await first.create_poll(CreatePoll("mood", "", ["happy", "sad"], "open", None, False), timeout_s=10)
    schedule = drawn(seed, "abc", seconds=SECONDS, likelier={"crash-point": 0.0})
    faults = asyncio.ensure_future(break_things(cluster, schedule))
    tasks = {asyncio.ensure_future(add_options(cluster, seen, rng))}
    client = 0
    while cluster.loop.time() < SECONDS:
        for name in cluster.up():
            client += 1
            tasks.add(asyncio.ensure_future(cast_many(cluster, name, client, seen, rng)))
        await asyncio.sleep(rng.uniform(0.02, 0.2))
    await faults
    await heal(cluster)
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    await cluster.until(lambda: len({r.state.version for r in up(cluster)}) == 1, 60, "agreement")
    judge(cluster, seen)
    return cluster, seen


def up(cluster: SimCluster) -> list:  # type: ignore[type-arg]
    return [node.replica for node in cluster.nodes.values() if node.replica is not None]


def judge(cluster: SimCluster, seen: Seen) -> None:
    results = up(cluster)[0].state.results("mood")
    sure = Counter(seen.counted.values())
    seen.broken += [
        f"{option}: {sure[option]} acknowledged, {seen.maybe[option]} unknown, {count} counted"
        for option, count in results.items()
        if not sure[option] <= count <= sure[option] + seen.maybe[option]
    ]


@pytest.mark.parametrize("seed", range(12))
def test_nobody_can_tell_which_votes_were_refused_without_the_log(seed: int) -> None:
    with virtual_time() as runner:
        cluster, seen = runner.run(scenario(seed))
    assert [] == cluster.broken + seen.broken, f"seed {seed}"
    assert 1_000 < seen.early, f"seed {seed}"
    assert 20 < len(seen.counted), f"seed {seed}"
