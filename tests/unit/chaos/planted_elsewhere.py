"""Violations of the close of polls, of nodes, sinks and sessions."""

from __future__ import annotations

import random

import msgspec

from quorate.chaos.history import Cast, Header, NodeDigest, NodeLook, OpenSession, PollChange, Record, SinkLook
from tests.unit.chaos.planting import SURE, Planted, add, alone, counted, of, ok, one, pair, plant, version

# ---- polls ----------------------------------------------------------------------------------------------------------


@plant("a vote counts after the close", change=3, named=1, lost=0, late=0)
def _(records: list[Record], rng: random.Random) -> Planted:
    changes = of(records, PollChange, lambda c: c.version and not c.creates)
    refused = [
        each
        for each in of(
            records,
            Cast,
            lambda c: c.rejected == [(0, "closed")] and c.version and c.votes[0].poll and len(c.votes) == 1,
        )
        if alone(records, each) and all(version(each) != version(change) for change in changes) and each.version
    ]
    late = one(rng, refused)
    late.applied, late.rejected = 1, []
    add(records, late.votes[0].poll, late.votes[0].option, 1, version(late))
    return Planted(["closing"], [late])


@plant("a vote is refused as closed before the close", change=1, named=1, lost=0, late=0)
def _(records: list[Record], rng: random.Random) -> Planted:
    changes = {version(each) for each in of(records, PollChange, lambda c: c.version)}
    early = one(rng, [each for each in counted(records) if alone(records, each) and version(each) not in changes])
    early.applied, early.rejected = 0, [(0, "closed")]
    add(records, early.votes[0].poll, early.votes[0].option, -1, version(early))
    return Planted(["closing"], [early])


def _refused(records: list[Record], rng: random.Random, reason: str) -> Planted:
    changes = {version(each) for each in of(records, PollChange, lambda c: c.version)}
    cast = one(rng, [each for each in counted(records) if alone(records, each) and version(each) not in changes])
    cast.applied, cast.rejected = 0, [(0, reason)]
    add(records, cast.votes[0].poll, cast.votes[0].option, -1, version(cast))
    return Planted(["closing"], [cast])


@plant("a vote for a poll that is there is refused as for none", change=0, named=1, lost=0, late=0)
def _(records: list[Record], rng: random.Random) -> Planted:
    return _refused(records, rng, "unknown_poll")


@plant("a vote for an option that is there is refused as for none", change=0, named=1, lost=0, late=0)
def _(records: list[Record], rng: random.Random) -> Planted:
    return _refused(records, rng, "unknown_option")


@plant("a closed poll is open again by itself", change=0)
def _(records: list[Record], rng: random.Random) -> Planted:
    read = one(rng, ok(records))
    read.state = "closed"
    return Planted(["closing", "agreement"], [read])


# ---- nodes and sinks ------------------------------------------------------------------------------------------------


@plant("a digest differs", digest=2)
def _(records: list[Record], rng: random.Random) -> Planted:
    digest = one(rng, of(records, NodeDigest))
    digest.digest = "another"
    return Planted(["agreement"], [digest])


@plant("a chain differs", digest=2)
def _(records: list[Record], rng: random.Random) -> Planted:
    digest = one(rng, of(records, NodeDigest))
    digest.chain = "another"
    return Planted(["agreement"], [digest])


@plant("a fence falls", look=5)
def _(records: list[Record], rng: random.Random) -> Planted:
    before, after = pair(
        rng, of(records, SinkLook), lambda a, b: a.poll == b.poll and a.until < b.at and a.fence < b.fence
    )
    later = of(records, SinkLook, lambda s: s.poll == before.poll and s.at > after.at)
    after.fence = f"{1:010d}.{0:016d}.{after.version:020d}"
    return Planted(["sinks"], [after, *later])


@plant("a sink's total is off by one", look=5, lost=0, late=0, **SURE)
def _(records: list[Record], rng: random.Random) -> Planted:
    look = one(rng, of(records, SinkLook))
    look.results["a"] += rng.choice([-1, 1]) if look.results["a"] else 1
    return Planted(["sinks", "agreement"], [look])


@plant("a sink goes back to older totals under its fence", look=8)
def _(records: list[Record], rng: random.Random) -> Planted:
    before, after = pair(
        rng, of(records, SinkLook), lambda a, b: a.poll == b.poll and a.until < b.at and a.version < b.version
    )
    again = SinkLook(after.until + 0.001, "mongo", after.poll, after.fence, before.version, dict(before.results))
    again.until = again.at + 0.001
    records.insert(-1, again)
    return Planted(["sinks"], [again, after])


@plant("the dedup table holds too many ids", digest=2)
def _(records: list[Record], rng: random.Random) -> Planted:
    look = one(rng, of(records, NodeLook))
    look.dedup_ids = 2 * of(records, Header)[0].dedup_window + 1
    return Planted(["memory"], [look])


# ---- sessions -------------------------------------------------------------------------------------------------------


def _batches(records: list[Record]) -> list[Cast]:
    return of(records, Cast, lambda c: c.way == "session" and c.applied)


def _before(a: Cast, b: OpenSession) -> bool:
    return a.ended is not None and a.ended < b.begun


@plant("a sequence of a session is skipped", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    skipped, after = pair(rng, _batches(records), lambda a, b: b.sequence == a.sequence + 1)
    for each in of(records, Cast, lambda c: c.way == "session" and c.sequence == skipped.sequence):
        each.outcome, each.applied, each.duplicates, each.version = "fail", 0, 0, None
    return Planted(["sessions"], [after])


@plant("a session counts out of order", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    first, second = pair(rng, _batches(records), lambda a, b: b.sequence == a.sequence + 1)
    first.version, second.version = second.version, first.version
    return Planted(["sessions"], [first, second])


@plant("a sequence of a session counts twice", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    first, second = pair(rng, _batches(records), lambda a, b: b.sequence == a.sequence + 1)
    second.sequence = first.sequence
    return Planted(["sessions", "resends"], [first, second])


@plant("an old epoch is accepted", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    opening, cast = one(
        rng,
        [
            (opening, cast)
            for opening in of(records, OpenSession, lambda o: o.outcome == "ok" and o.epoch > 1)
            for cast in _batches(records)
            if opening.ended is not None and opening.ended < cast.begun
        ],
    )
    cast.epoch = opening.epoch - 1
    return Planted(["sessions"], [cast])


@plant("an opening forgets what the session counted", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    openings = of(records, OpenSession, lambda o: o.outcome == "ok" and o.sequence > 0)
    some = [(o, b) for o in openings for b in _batches(records) if b.sequence == o.sequence and _before(b, o)]
    opening, _ = one(rng, some)
    opening.sequence -= 1
    return Planted(["sessions"], [opening])


@plant("an opening tells of a batch that was never sent", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    opening = of(records, OpenSession, lambda o: o.outcome == "ok" and o.epoch > 1)
    last = one(rng, opening)
    last.sequence += 50
    return Planted(["sessions"], [last])


def _opened_again(records: list[Record], rng: random.Random) -> tuple[OpenSession, OpenSession]:
    """Two openings, one after the other: the second one is put in, and nothing counts under it."""
    before = one(rng, of(records, OpenSession, lambda o: o.outcome == "ok" and o.sequence > 0))
    assert before.ended is not None
    again = msgspec.structs.replace(before, begun=before.ended + 1e-6, ended=before.ended + 2e-6)
    records.insert(records.index(before) + 1, again)
    return before, again


@plant("an epoch is given twice", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    return Planted(["sessions"], _opened_again(records, rng))


@plant("a later opening has a lower epoch", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    before, again = _opened_again(records, rng)
    before.epoch, again.epoch = 2_000, 1_999
    return Planted(["sessions"], [before, again])


@plant("a session forgets at an opening what it told at the one before", sessions=12)
def _(records: list[Record], rng: random.Random) -> Planted:
    before, again = _opened_again(records, rng)
    before.epoch, again.epoch = 1_999, 2_000
    again.sequence -= 1
    return Planted(["sessions"], [before, again])
