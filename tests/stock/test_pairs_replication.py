"""Replication: failures of stock PySyncObj that ours does not have. One script a pair, run on both.

`test_NAME_stock` shows the failure on the library as it is installed, `test_NAME_ours` its absence in our replica.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from quorate.cluster.raft.engine import replication
from tests.stock.net import DROP, Net
from tests.stock.our_net import OurNet
from tests.stock.stock_net import StockNet

PATIENT: dict[str, Any] = {"raftMinTimeout": 1.0, "raftMaxTimeout": 2.5, "connectionTimeout": 4.0}


# ---- matching entries are never cut ---------------------------------------------------------------------------------


def late_heartbeat(net: Net) -> tuple[int, int, int]:
    """A heartbeat comes late, and the leader dies. The follower's last index before and after; how many were lost."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.propose_all(leader, "base", 3)
    net.run(1)
    kept: list[Any] = []

    def hook(source: str, target: str, message: Any) -> None:
        if (source, target) == (leader, follower) and net.kind(message) == "heartbeat":
            kept.append(message)

    net.listen(hook)
    net.run(0.5)
    net.listen(None)
    net.partition([third], [leader, follower])
    tags = net.propose_all(leader, "more", 20)
    net.run(1)
    assert 20 == net.told("success", tags)
    before = net.last_index(follower)
    net.crash(leader)
    net.deliver(leader, follower, kept[-1])
    after = net.last_index(follower)
    net.heal()
    net.elect([follower, third])
    net.run(3)
    return before, after, 20 - len(set(tags) & set(net.tags(third)))


def test_truncate_matching_stock() -> None:
    with StockNet(1) as net:
        before, after, lost = late_heartbeat(net)
        assert after == before - 20, "all behind the heartbeat's place is deleted, though it is equal"
        assert 20 == lost


def test_truncate_matching_ours() -> None:
    with OurNet(1) as net:
        before, after, lost = late_heartbeat(net)
        assert after == before
        assert 0 == lost


def lost_in_resend(net: Net, after_s: float) -> int:
    """A slow link breaks once; the leader dies a moment after the last acknowledgement. How many of those are gone."""
    net.start_all("abc")
    leader = net.elect()
    follower, third = net.others(leader)
    net.partition([third], [leader, follower])
    tags = net.propose_all(leader, "x", 60)
    net.run(0.2)
    net.flap(leader, follower)
    assert net.until(lambda: net.told("success", tags) == 60)
    net.run(after_s)
    net.crash(leader)
    net.heal()
    net.elect([follower, third])
    net.run(3)
    return 60 - len(set(tags) & set(net.tags(third)))


MOMENTS_S = [number * 0.01 for number in range(16)]


def test_truncate_resend_stock() -> None:
    slow: dict[str, Any] = {"delay_s": (0.14, 0.15), "message_s": 0.01, "appendEntriesBatchSizeBytes": 1024}
    lost = []
    for after_s in MOMENTS_S:
        with StockNet(3, **slow, **PATIENT) as net:
            lost.append(lost_in_resend(net, after_s))
    assert any(lost), "the first batch of each resend deletes what the rest had brought"


def test_truncate_resend_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "APPEND_BYTES", 1024)
    for after_s in MOMENTS_S:
        with OurNet(3, election_s=1.0, delay_s=(0.14, 0.15), message_s=0.01) as net:
            assert 0 == lost_in_resend(net, after_s), after_s


# ---- a node that comes back catches up ------------------------------------------------------------------------------


def catch_up_s(net: Net, tail: int, pad_bytes: int = 0, *, limit_s: float = 60.0) -> float | None:
    """A node comes back with so many entries of its own and finds a leader that was elected after them."""
    net.start_all("abc")
    old = net.elect()
    rest = net.others(old)
    net.partition([old], rest)
    net.propose_all(old, "lost", tail)
    new = net.elect(rest)
    net.propose_all(new, "kept", 200 if pad_bytes else tail + 5, pad_bytes=pad_bytes)
    net.run(2)
    net.hand_over(new, net.others(old, new)[0])
    net.run(3)
    newest = net.leader(rest)
    assert newest is not None
    assert newest != new
    net.heal()
    began_s = net.now_s
    caught = net.until(lambda: net.tags(old) == net.tags(newest), limit_s=limit_s)
    return net.now_s - began_s if caught else None


def test_slow_rollback_stock() -> None:
    took = []
    for tail in (50, 200):
        with StockNet(1, logCompactionMinEntries=100_000) as net:
            took.append(catch_up_s(net, tail) or 999.0)
    assert took[0] > 3, "one entry back a round"
    assert took[1] > 10
    assert took[1] > 3 * took[0]


def test_slow_rollback_ours() -> None:
    for tail in (50, 200):
        with OurNet(1) as net:
            took_s = catch_up_s(net, tail)
            assert took_s is not None
            assert took_s < 0.5, "back to what is committed, in one step"


def answered_without(net: Net) -> int:
    """With one node down and one that may have caught up: how many of three proposals are answered in 25 s."""
    net.crash(next(name for name in sorted(net.up()) if not net.leads(name) and len(net.tags(name)) >= 200))
    leader = net.leader()
    assert leader is not None
    tags = net.propose_all(leader, "now", 3)
    net.run(25)
    return net.told("success", tags)


def test_backoff_livelock_stock() -> None:
    with StockNet(1) as net:
        assert catch_up_s(net, 5, pad_bytes=10) is not None, "what fits one message arrives"
    with StockNet(1) as net:
        assert catch_up_s(net, 5, pad_bytes=1000, limit_s=120) is None, "the refusal of a second batch undoes the step"
        assert 0 == answered_without(net)


def test_backoff_livelock_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "APPEND_BYTES", 65536)
    with OurNet(1) as net:
        took_s = catch_up_s(net, 5, pad_bytes=1000)
        assert took_s is not None
        assert took_s < 1
        assert 3 == answered_without(net)


# ---- what counts as a copy ------------------------------------------------------------------------------------------


def stale_ack(net: Net) -> tuple[str | None, int]:
    """Answers to a node's first leadership come in its next one. What a proposal is told; how many copies it has."""
    net.start_all("abcde")
    leader = net.elect()
    first, *rest = net.others(leader)
    net.partition([leader, first], rest)
    late: list[Any] = []

    def keep(source: str, target: str, message: Any) -> str | None:
        if (source, target) == (first, leader) and net.kind(message) == "appended":
            late.append(message)
            return DROP
        return None

    net.listen(keep)
    net.propose_all(leader, "first", 6)
    net.run(1)
    net.listen(None)
    net.elect(rest)
    net.heal()
    net.run(8)
    net.listen(lambda source, target, message: DROP if first in (source, target) else None)
    now = net.leader()
    assert now is not None
    net.hand_over(now, leader)
    assert net.until(lambda: net.leader() == leader, limit_s=20)
    net.run(1)
    follower = rest[0]
    net.listen(lambda source, target, message: DROP if {source, target} != {leader, follower} else None)
    base = net.last_index(leader)
    net.propose(leader, "second")
    net.run(0.3)
    assert net.outcomes.get("second") is None
    assert late, "nothing was late"
    for message in late:
        net.deliver(first, leader, message)
    net.run(0.3)
    return net.outcomes.get("second"), sum(net.last_index(name) > base for name in net.up())


def test_stale_ack_stock() -> None:
    with StockNet(2) as net:
        assert ("success", 2) == stale_ack(net), "an answer does not say in which term it was given"


def test_stale_ack_ours() -> None:
    with OurNet(2) as net:
        assert (None, 2) == stale_ack(net)


# ---- sizes ----------------------------------------------------------------------------------------------------------

BIG_BYTES = [1_000, 100_000, 1_000_000]


def test_big_entry_stock() -> None:
    errors = []
    for size in BIG_BYTES:
        with StockNet(1) as net:
            net.start_all("abc")
            net.propose(net.elect(), "big", random.Random(1).randbytes(size))
            net.run(20)
            errors.append(len(net.errors))
    assert 0 == errors[0]
    assert errors[2] > 0, "pieces of an entry over 64 KiB are taken for the last one, and cannot be read"


@pytest.mark.parametrize("size", [*BIG_BYTES, 8 * 1024 * 1024])
def test_big_entry_ours(size: int) -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.propose(leader, "big", random.Random(1).randbytes(size))
        net.propose(leader, "behind it")
        assert net.until(lambda: all(net.tags(name) == ["big", "behind it"] for name in "abc"), limit_s=2)
        assert {} == net.halted
