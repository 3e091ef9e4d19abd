"""Faults in the order in which one bug shows, where chance would take too many histories to find it.

Each is played on `OurNet`: real replicas in virtual time. What differs between two seeds is the order of messages, who
leads, and how much is proposed. At the end everything is mended, and all nodes must have the same votes: each that was
acknowledged once, and none that was refused.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

from quorate.cluster.raft import messages
from quorate.errors import NoLeader, QuorateError
from tests.mutants.scenarios import Scenario
from tests.simulation.test_leaving import change
from tests.stock.net import DROP
from tests.stock.our_net import OurNet

AGREE_S = 30.0


def _end(net: OurNet) -> list[str]:
    """Mend all, and say what is broken."""
    net.listen(None)
    net.heal()
    for name in net.names:
        if name not in net.replicas:
            net.start(name)

    def agreed() -> bool:
        return net.leader() is not None and len({replica.state.version for replica in net.replicas.values()}) == 1

    broken = [] if net.until(agreed, limit_s=AGREE_S) else ["the nodes never agree again"]
    net.run(0.5)
    broken += [f"{name} halted: {error}" for name, error in net.halted.items()]
    broken += [told for replica in net.replicas.values() if (told := replica.status().forgotten)]
    if len({replica.state.digest() for replica in net.replicas.values()}) != 1:
        broken.append("the nodes differ at the end")
    for name in net.names:
        tags = net.tags(name)
        for tag, outcome in net.outcomes.items():
            if tags.count(tag) not in {"success": (1,), "no": (0,)}.get(outcome, (0, 1)):
                broken.append(f"{tag} was told {outcome}, and {name} counted it {tags.count(tag)} times")
    return broken


Drama = Callable[[OurNet, random.Random], list[str] | None]  # what is broken already


def _play(names: str, drama: Drama, **settings: Any) -> Scenario:
    def play(seed: int) -> list[str]:
        with OurNet(seed, **settings) as net:
            net.start_all(names)
            broken = drama(net, random.Random(seed)) or []
            return broken + _end(net)

    return play


def _other_tail(net: OurNet, rng: random.Random) -> None:
    """A leader that is cut off has entries of its own where the next leader commits others."""
    old = net.elect()
    net.partition([old], net.others(old))
    net.propose_all(old, "lost", rng.randint(5, 20))
    net.propose_all(net.elect(net.others(old)), "kept", rng.randint(5, 20))
    net.run(1.0)


def _passed_by_a_snapshot(net: OurNet, rng: random.Random) -> None:
    """The same, and the other leader's log begins after what the first one lacks: it sends a snapshot."""
    old = net.elect()
    net.partition([old], net.others(old))
    net.propose_all(old, "lost", 250)
    new = net.elect(net.others(old))
    net.propose_all(new, "kept", rng.randint(100, 200), each_s=0.02)
    assert net.until(lambda: net.journal(new).first_index > net.journal(old).first_index + 20)


def _counted_in_a_snapshot(net: OurNet, rng: random.Random) -> None:
    """A leader hears nothing of what became of its entries: they are counted, and it gets them in a snapshot."""
    old = net.elect()
    net.wire.loss = {(name, old): 1.0 for name in net.others(old)}
    net.propose_all(old, "kept", rng.randint(3, 10))
    net.run(0.1)
    net.partition([old], net.others(old))
    net.wire.loss = {}
    new = net.elect(net.others(old))
    net.propose_all(new, "more", rng.randint(100, 200), each_s=0.02)
    assert net.until(lambda: net.journal(new).first_index > net.journal(old).last_index)


def _big_entries_before_the_other_tail(net: OurNet, rng: random.Random) -> None:
    """A leader does not hear that its big entries have arrived. Then it is cut off, and goes on alone. So the next
    leader sends it what both have in several messages, before the place where the two logs differ."""
    old = net.elect()
    net.wire.loss = {(name, old): 1.0 for name in net.others(old)}
    net.propose_all(old, "big", 3, pad_bytes=700_000)
    net.run(0.1)
    net.partition([old], net.others(old))
    net.propose_all(old, "lost", rng.randint(5, 20))
    net.wire.loss = {}
    new = net.elect(net.others(old))
    net.propose_all(new, "kept", 25)
    net.run(1.0)


def _alone_with_a_learner(net: OurNet, rng: random.Random) -> None:
    """The leader is cut off from all but a learner, which is slow: it stays a learner."""
    net.names.append("d")
    net.start("d")
    leader = net.elect("abc")
    net.engine(leader).caught_up = lambda peer: False  # type: ignore[method-assign]
    change(net, lambda members: members.adding("d", "d:1"))
    net.propose_all(leader, "before", rng.randint(1, 10))
    net.run(0.5)
    net.partition([leader, "d"], net.others(leader, "d"))
    net.propose_all(leader, "alone", rng.randint(1, 10))
    net.elect(net.others(leader, "d"))


def _commits_by_an_older_term(net: OurNet, rng: random.Random) -> None:
    """Figure 8 of the Raft paper: an entry of an earlier term reaches a majority, and is overwritten all the same."""
    first = net.elect()
    net.listen(lambda source, target, message: DROP if net.kind(message) == "append" else None)
    net.propose_all(first, "old", 1, pad_bytes=1_200_000)
    net.run(0.1)
    net.crash(first, power=False)
    last = net.elect(net.others(first))  # its log ends in a later term now, and no other node has that entry
    net.run(rng.random())
    net.crash(last, power=False)
    net.listen(lambda source, target, message: DROP if _has_small_entries(message) else None)
    net.start(first)
    net.elect([first])
    net.run(0.5)
    net.crash(first, power=False)
    net.listen(None)
    net.start(last)
    net.run(2.0)


def _has_small_entries(message: object) -> bool:
    return isinstance(message, messages.Append) and any(len(command) < 1_000_000 for _, command in message.entries)


def _votes_from_an_empty_disk(net: OurNet, rng: random.Random) -> None:
    """Two of three nodes count. One of them dies, and the other one's disk is emptied: the third knows nothing."""
    leader = net.elect()
    witness, third = rng.sample(net.others(leader), 2)
    net.partition([leader, witness], [third])
    net.propose_all(leader, "kept", rng.randint(1, 10))
    net.run(1.0)
    net.crash(leader, power=False)
    net.crash(witness)
    net.wipe(witness)
    net.partition()
    net.start(witness)
    net.run(5.0)
    if net.leader() is not None:
        net.propose_all(net.elect(), "after", 3)
    net.start(leader)
    net.run(3.0)
    with contextlib.suppress(QuorateError):  # where something is broken
        change(net, lambda members: members.removing(witness))
        change(net, lambda members: members.adding(witness, f"{witness}:1"))


def _a_ballot_that_comes_twice(net: OurNet, rng: random.Random) -> None:
    """Two groups of voters reach each other for pre-ballots only. Ballots of the smaller one come twice."""
    dead = net.elect()
    few = sorted(rng.sample(net.others(dead), 2))
    many = net.others(*few)
    net.crash(dead, power=False)
    net.partition(*([name] for name in net.names))
    net.start(dead)
    net.run(1.0)

    def hook(source: str, target: str, message: object) -> float | str | None:
        if isinstance(message, messages.Ballot) and not message.pre and source in few:
            net.loop.call_later(0.01, net.replicas[target].received, source, message)
        if (source in few) != (target in few):
            is_asking = isinstance(message, messages.RequestBallot | messages.Ballot) and message.pre
            return None if is_asking else DROP
        return None

    net.listen(hook)
    net.partition()
    net.run(3.0)
    for group, what in ((few, "few"), (many, "many")):
        if (leader := net.leader(group)) is not None:
            net.propose_all(leader, what, 3)
    net.run(1.0)


def _read_of_a_new_leader(net: OurNet, rng: random.Random) -> list[str]:
    """A leader dies before it has told what is committed. Its successor is asked before its own first entry is."""
    old = net.elect()
    net.listen(lambda source, target, message: DROP if net.kind(message) == "heartbeat" else None)
    tags = net.propose_all(old, "kept", rng.randint(3, 10))
    net.until(lambda: net.told("success") == len(tags), limit_s=0.2)
    net.crash(old, power=False)
    net.listen(None)
    for disk in [disk for name in net.others(old) for disk in net.disks[name].values()]:
        disk.sync_s = (0.05, 0.1)
    told = {tag for tag in tags if net.outcomes.get(tag) == "success"}
    assert net.until(lambda: net.leader(net.others(old)) is not None)
    new = net.leader(net.others(old))
    assert new is not None
    while not _confirms(net, new):
        net.run(0.005)
    missing = told - set(net.tags(new))
    return [f"a read at {new} lacked {len(missing)} that had been told"] if missing else []


def _confirms(net: OurNet, name: str) -> bool:
    try:
        net.wait_for(net.replicas[name].barrier())
    except NoLeader:
        return False
    return True


NEW_LEADER = _play("abc", _read_of_a_new_leader)
OTHER_TAIL = _play("abc", _other_tail)
PASSED_BY_A_SNAPSHOT = _play("abc", _passed_by_a_snapshot, snapshot_bytes=8_000, keep_bytes=500)
IN_A_SNAPSHOT = _play("abc", _counted_in_a_snapshot, snapshot_bytes=8_000, keep_bytes=500)
BIG_ENTRIES = _play("abc", _big_entries_before_the_other_tail)
LEARNER = _play("abc", _alone_with_a_learner)
FIGURE_8 = _play("abc", _commits_by_an_older_term)
EMPTY_DISK = _play("abc", _votes_from_an_empty_disk)
BALLOT_TWICE = _play("abcde", _a_ballot_that_comes_twice)
