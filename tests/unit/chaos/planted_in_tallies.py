"""Violations in what is read, and in what requests are told."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from quorate.chaos.history import Cast, Record
from tests.unit.chaos.planting import (
    SURE,
    TALLIES,
    NotHere,
    Planted,
    add,
    alone,
    counted,
    hgetall,
    of,
    ok,
    one,
    pair,
    plant,
    show,
    told_to_redis,
    version,
)
from tests.unit.chaos.random_run import WEIGHTS

# ---- votes and reads ------------------------------------------------------------------------------------------------


@plant("an acknowledged id is lost", **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    lost = one(rng, counted(records))
    vote = lost.votes[0]
    return Planted(TALLIES, [lost, *add(records, vote.poll, vote.option, -1, version(lost))])


@plant("an acknowledged id is lost for a while only", lost=0, late=0, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    lost = one(rng, counted(records))
    vote = lost.votes[0]
    return Planted(TALLIES, add(records, vote.poll, vote.option, -1, version(lost), version(lost) + 15))


@plant("an id is counted twice", **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    twice = one(rng, counted(records))
    vote = twice.votes[0]
    return Planted(TALLIES, add(records, vote.poll, vote.option, 1, version(twice)))


@plant("a vote without an answer is counted twice", lost=0.3, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    settled = one(rng, of(records, Cast, lambda c: c.settles and c.duplicates == 1 and c.votes[0].poll))
    vote = settled.votes[0]
    return Planted(TALLIES, add(records, vote.poll, vote.option, 1, version(settled)))


@plant("a vote that was called a duplicate was never counted", lost=0.3, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    settled = one(rng, of(records, Cast, lambda c: c.settles and c.duplicates == 1 and c.votes[0].poll))
    vote = settled.votes[0]
    return Planted(TALLIES, [settled, *add(records, vote.poll, vote.option, -1, 0)])


@plant("a vote that a Redis client was told is counted is lost", redis=1, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    lost = one(rng, told_to_redis(records))
    vote = lost.votes[0]
    return Planted(TALLIES, [lost, *add(records, vote.poll, vote.option, -1, version(lost))])


@plant("a Redis client's vote counts at each try", redis=1, lost=0.3, resend=8, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    told = of(records, Cast, lambda c: c.counted == 1 and len(c.votes) == 1 and c.votes[0].poll)
    _, again = pair(rng, told, lambda a, b: a.request == b.request and version(a) < version(b))
    vote = again.votes[0]
    return Planted(TALLIES, add(records, vote.poll, vote.option, 1, version(again)))


@plant(
    "a vote counts that a Redis client was told is refused",
    redis=1,
    change=3,
    resend=0,
    lost=0,
    late=0,
    named=1,
    plain=0,
)
def _(records: list[Record], rng: random.Random) -> Planted:
    refused = one(rng, of(records, Cast, lambda c: c.rejected and c.door == "resp" and len(c.votes) == 1))
    vote = refused.votes[0]
    after = one(rng, ok(records, poll=vote.poll, level="linearizable"))
    return Planted(TALLIES, add(records, vote.poll, vote.option, 1, version(after)))


@plant("what a Redis client reads misses an acknowledged vote", bare=0.5, lost=0, late=0, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, [each for each in hgetall(records, "linearizable") if each.results["a"] > 5])
    read.results["a"] -= 5
    read.total -= 5
    return Planted(["reads"], [read])


@plant("what a Redis client reads is from the future", bare=0.5, lost=0, late=0, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, hgetall(records, "weak"))
    read.results["a"] += 60
    read.total += 60
    return Planted(["reads"], [read])


@plant("two reads are swapped")
def _(records: list[Record], rng: random.Random) -> Planted:
    a, b = pair(rng, ok(records), lambda a, b: a.poll == b.poll and a.total != b.total)
    a.results, b.results, a.total, b.total = b.results, a.results, b.total, a.total
    return Planted(TALLIES, [a, b])


@plant("a linearizable read is stale")
def _(records: list[Record], rng: random.Random) -> Planted:
    old, new = pair(
        rng,
        ok(records),
        lambda a, b: (
            b.level == "linearizable" and a.poll == b.poll and (a.ended or 0) < b.begun and version(a) < version(b)
        ),
    )
    told = max(version(each) for each in ok(records) if (each.ended or 0) < new.begun)
    if version(old) >= told:
        raise NotHere
    show(new, old)
    return Planted(["real_time"], [new])


def _future(records: list[Record], rng: random.Random, level: str) -> Planted:
    early, late = pair(
        rng, ok(records), lambda a, b: a.level == level and a.poll == b.poll and a.ended and a.ended + 5 < b.begun
    )
    show(early, late)
    return Planted(["real_time"], [early])


@plant("a read of level none is from the future")
def _(records: list[Record], rng: random.Random) -> Planted:
    return _future(records, rng, "none")


@plant("a read of level weak is from the future")
def _(records: list[Record], rng: random.Random) -> Planted:
    return _future(records, rng, "weak")


@plant("a read shows a vote before it was sent", lost=0, late=0, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    vote = one(rng, counted(records)).votes[0]
    read = one(rng, ok(records, poll=vote.poll))
    read.results[vote.option] += WEIGHTS[vote.option]
    read.total += WEIGHTS[vote.option]
    return Planted(TALLIES, [read])


@plant("a total does not fit the weight")
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, ok(records))
    read.results["b"] += 1
    read.total += 1
    return Planted(TALLIES, [read])


@plant("the total is not the sum")
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, ok(records))
    read.total += 1
    return Planted(["reads"], [read])


@plant("an option comes from nowhere")
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, ok(records))
    read.results["c"] = 0
    return Planted(["counted_once"], [read])


@plant("an option is missing")
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, [each for each in ok(records) if each.results["b"]])
    read.total -= read.results.pop("b")
    return Planted(TALLIES, [read])


@plant("two nodes show different results at one version", read=20)
def _(records: list[Record], rng: random.Random) -> Planted:
    a, b = pair(rng, ok(records), lambda a, b: a.poll == b.poll and a.version == b.version)
    a.results["a"] += 1
    a.total += 1
    return Planted(["agreement", "reads"], [a, b])


@plant("a version goes back in real time")
def _(records: list[Record], rng: random.Random) -> Planted:
    casts = of(records, Cast, lambda c: c.version and (c.applied or c.duplicates))
    before, after = pair(rng, casts, lambda a, b: (a.ended or 1e9) < b.begun)
    after.version = version(before) - rng.randint(0, 1)
    return Planted(["real_time"], [after])


@plant("min_version does not hold")
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, ok(records))
    read.min_version = version(read) + 1
    return Planted(["real_time"], [read])


# ---- requests that are sent again -----------------------------------------------------------------------------------


def _duplicates(records: list[Record], way: str) -> Iterator[tuple[Cast, Cast]]:
    for first in of(records, Cast, lambda c: c.applied and c.way == way and c.applied == len(c.votes)):
        for again in of(records, Cast, lambda c: c.duplicates == len(c.votes)):
            if again.request != first.request:
                continue
            yield first, again


def _applied_again(records: list[Record], rng: random.Random, way: str) -> Planted:
    first, again = one(rng, list(_duplicates(records, way)))
    again.applied, again.duplicates = again.duplicates, 0
    for vote in again.votes:
        if vote.poll is not None:
            add(records, vote.poll, vote.option, 1, version(again))
    return Planted(["resends"], [first, again])


@plant("an id is applied again", resend=10)
def _(records: list[Record], rng: random.Random) -> Planted:
    return _applied_again(records, rng, "ids")


@plant("a key is applied again", keyed=8, resend=10)
def _(records: list[Record], rng: random.Random) -> Planted:
    return _applied_again(records, rng, "key")


@plant("a part of a request is applied again", several=10, resend=10)
def _(records: list[Record], rng: random.Random) -> Planted:
    pairs = [(first, again) for first, again in _duplicates(records, "ids") if len(again.votes) > 1]
    first, again = one(rng, pairs)
    again.applied, again.duplicates = 1, again.duplicates - 1
    return Planted(["resends"], [first, again])


@plant("a new id is called a duplicate")
def _(records: list[Record], rng: random.Random) -> Planted:
    single = one(rng, [each for each in counted(records) if alone(records, each)])
    single.applied, single.duplicates = 0, 1
    return Planted(["counted_once"], [single])


@plant("an id is called a conflict")
def _(records: list[Record], rng: random.Random) -> Planted:
    cast = one(rng, counted(records))
    cast.applied, cast.rejected = 0, [(0, "conflict")]
    return Planted(["counted_once"], [cast])


@plant("an answer leaves votes out")
def _(records: list[Record], rng: random.Random) -> Planted:
    cast = one(rng, of(records, Cast, lambda c: c.applied == len(c.votes)))
    cast.applied -= 1
    return Planted(["counted_once"], [cast])


@plant("a vote of a queue is lost")
def _(records: list[Record], rng: random.Random) -> Planted:
    """A queue was finished with it. Then it is sent to a node, where it counts for the first time."""
    told = one(rng, [each for each in counted(records) if is_first(records, each)])
    published = msgspec.structs.replace(told, door="nsq", outcome="unknown", applied=0, version=None, served_by=None)
    published.begun, published.ended = told.begun - 2e-6, told.begun - 1e-6
    records.insert(records.index(told), published)
    told.follows_queue = True
    return Planted(["counted_once"], [told])


def is_first(records: list[Record], cast: Cast) -> bool:
    """Of the attempts at this request."""
    return cast.begun == min(each.begun for each in of(records, Cast, lambda c: c.request == cast.request))


# ---- ids ------------------------------------------------------------------------------------------------------------


@plant("an id counts in two requests", **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    first, second = pair(
        rng, counted(records), lambda a, b: (a.ended or 0) < b.begun and a.votes[0].id and b.votes[0].id
    )
    if not (alone(records, first) and alone(records, second)):
        raise NotHere
    second.votes = [msgspec.structs.replace(second.votes[0], id=first.votes[0].id)]
    return Planted(["counted_once"], [first, second])


@plant("two votes of one request have one id, and both count", several=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    cast = one(rng, of(records, Cast, lambda c: c.applied == len(c.votes) > 1 and c.votes[0].id and c.way == "ids"))
    if not alone(records, cast):
        raise NotHere
    cast.votes = [msgspec.structs.replace(vote, id="same") for vote in cast.votes]
    return Planted(["counted_once"], [cast])


@plant("an acknowledged id whose answer names no version is lost", **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    lost = one(rng, [cast for cast in counted(records) if alone(records, cast)])
    vote, at = lost.votes[0], version(lost)
    lost.version = None
    return Planted(TALLIES, [lost, *add(records, vote.poll, vote.option, -1, at)])


@plant("a vote is refused as too old, as only a batch of a session can be", **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    cast = one(rng, [each for each in counted(records) if alone(records, each)])
    cast.applied, cast.rejected = 0, [(0, "expired_id")]
    add(records, cast.votes[0].poll, cast.votes[0].option, -1, version(cast))
    return Planted(["resends"], [cast])
