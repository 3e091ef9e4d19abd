"""Pairs about snapshots, and the log behind them: what the stock library does with them, and ours."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pysyncobj.config import SERIALIZER_STATE

from quorate.errors import DataError
from tests.stock.net import Net
from tests.stock.our_net import OurNet
from tests.stock.stock_net import StockNet, private

SMALL: dict[str, Any] = {"snapshot_bytes": 2_000, "keep_bytes": 300}  # snapshots often, and little log behind them


def fail(error: BaseException) -> None:
    raise AssertionError("the journal says that the disk failed") from error


# ---- syncs ----------------------------------------------------------------------------------------------------------


# ---- snapshots, and the log behind them -----------------------------------------------------------------------------


def test_dump_bitflip_stock(tmp_path: Path) -> None:
    """gzip's checksum stands at the end of the file, and is never read."""
    pad = random.Random(1).randbytes(200_000)
    with StockNet(3, folder=tmp_path, logCompactionMinEntries=20) as net:
        net.start_all("a")
        net.elect()
        net.nodes["a"].pad = pad
        net.propose_all("a", "x", 60, each_s=0.06)
        net.run(1)
        net.crash("a")
        dump = tmp_path / "a.dump"
        good, rng, verdicts = dump.read_bytes(), random.Random(5), Counter[str]()
        for _ in range(30):
            damaged = bytearray(good)
            damaged[rng.randrange(20, len(damaged) - 8)] ^= 1 << rng.randrange(8)
            dump.write_bytes(damaged)
            net.start("a")
            net.run(2)
            verdicts["loaded" if net.nodes["a"].pad not in (pad, b"") else "else"] += 1
            net.crash("a")
        assert verdicts["loaded"] > 5, "as other data"


def compacted(net: Net, names: str = "abc") -> str:
    """A hundred entries, most of them only in snapshots; the leader."""
    net.start_all(names)
    leader = net.elect()
    net.propose_all(leader, "x", 100, each_s=0.05)
    net.run(2)
    return leader


def test_dump_bitflip_ours() -> None:
    with OurNet(3, **SMALL) as net:
        compacted(net, "a")
        net.stop("a")
        files = net.directories["a"].files
        name = max(name for name in files.names() if name.endswith(".snap"))
        rng = random.Random(5)
        for _ in range(60):
            net.directories["a"].files = files.copy()
            net.directories["a"].files.flip(name, rng.randrange(files.size(name)), 1 << rng.randrange(8))
            with pytest.raises(DataError, match=name):
                net.start("a")


def test_bad_dump_start_stock(tmp_path: Path) -> None:
    """A dump that cannot be read is a line in the log; the node goes on without it."""
    with StockNet(3, folder=tmp_path, logCompactionMinEntries=20) as net:
        leader = compacted(net)
        damaged = net.others(leader)[0]
        net.crash(damaged)
        os.truncate(tmp_path / f"{damaged}.dump", (tmp_path / f"{damaged}.dump").stat().st_size // 2)
        net.start(damaged)
        net.run(30)
        assert [] == net.tags(damaged)
        assert net.nodes[damaged].raftCommitIndex > 90
        net.hand_over(leader, damaged)
        net.run(5)
        assert damaged == net.leader(), "it even leads"
        net.propose(damaged, "y")
        net.run(10)
        assert None is net.outcomes.get("y"), "and answers nothing"


def test_bad_dump_start_ours() -> None:
    with OurNet(3, **SMALL) as net:
        leader = compacted(net)
        damaged = net.others(leader)[0]
        net.crash(damaged)
        files = net.directories[damaged].files
        name = max(name for name in files.names() if name.endswith(".snap"))
        files.put(name, files.read(name)[: files.size(name) // 2])
        with pytest.raises(DataError, match=f"{damaged} cannot start.*{name}.*quorate members replace {damaged}"):
            net.start(damaged)


def restarted(net: Net) -> dict[str, list[str]]:
    compacted(net)
    before = net.tags("a")
    assert 100 == len(before)
    for name in "abc":
        net.crash(name)
    for name in "abc":
        net.start(name)
    net.elect()
    net.run(20)
    return {name: net.tags(name) for name in "abc"}


def test_journal_without_dump_stock(tmp_path: Path) -> None:
    """A journal without a dump file is a configuration it takes, and compacts."""
    with StockNet(3, folder=tmp_path, dump=False, logCompactionMinEntries=20) as net:
        assert {"a": [], "b": [], "c": []} == restarted(net)


def test_journal_without_dump_ours() -> None:
    with OurNet(3, segment_bytes=2_000, **SMALL) as net:
        assert {100} == {len(tags) for tags in restarted(net).values()}
        net.crash("a")
        files = net.directories["a"].files
        for name in [name for name in files.names() if name.endswith(".snap")]:
            files.put(name, None)
        with pytest.raises(DataError, match="there is no snapshot"):
            net.start("a")


def test_dump_newer_than_journal_stock(tmp_path: Path) -> None:
    """A node is killed while its child process writes a dump. The child goes on: the journal does not fit the dump."""
    writing: dict[str, Any] = {"serializeChecker": lambda: SERIALIZER_STATE.SERIALIZING}  # a child that is not done yet
    with StockNet(1, folder=tmp_path, logCompactionMinEntries=10**6, **writing) as net:
        net.start_all("a")
        net.elect()
        net.propose_all("a", "x", 20)
        net.run(1)
        serializer = private(net.nodes["a"], "serializer")
        serializer._Serializer__serializeChecker = None
        net.nodes["a"].forceLogCompaction()
        net.tick("a")
        serializer._Serializer__serializeChecker = writing["serializeChecker"]
        tags = net.propose_all("a", "y", 50)
        net.run(1)
        assert (tmp_path / "a.dump").exists()
        assert 50 == net.told("success", tags)
        net.crash("a")
        net.start("a")
        net.elect()
        assert 0 == len(set(tags) & set(net.tags("a")))


def test_dump_newer_than_journal_ours() -> None:
    """The node is killed at each step of writing a snapshot and of shortening the log after it."""
    for steps in range(25):
        with OurNet(1, **SMALL) as net:
            net.start_all("a")
            disk = net.disks["a"]["quorate-snapshots"]
            disk.hold()
            tags = net.propose_all("a", "x", 60)
            net.run(1)
            assert 1 == len(disk)
            tags += net.propose_all("a", "y", 50)
            net.run(1)
            assert 110 == net.told("success", tags)
            disk.die(steps)
            net.crash("a")
            net.start("a")
            net.elect()
            assert tags == net.tags("a"), f"killed {steps} steps into it"


def test_attributes_pickled_stock(tmp_path: Path) -> None:
    """Whatever attribute a user sets is state. One that cannot be pickled ends every tick, or each dump in silence."""
    with StockNet(1, logCompactionMinEntries=50) as net:
        net.start_all("a")
        net.elect()
        net.nodes["a"].lock = threading.Lock()
        net.propose_all("a", "x", 100)
        net.run(3)
        assert len(net.errors) > 30, "in memory: each tick raises"
    with StockNet(1, folder=tmp_path, logCompactionMinEntries=50) as net:
        net.start_all("a")
        net.elect()
        net.nodes["a"].lock = threading.Lock()
        tries = 0
        serializer = private(net.nodes["a"], "serializer")
        serialize = serializer.serialize

        def counted(*arguments: Any) -> None:
            nonlocal tries
            tries += 1
            serialize(*arguments)

        serializer.serialize = counted
        net.propose_all("a", "x", 100)
        net.run(3)
        assert tries > 20, "with a file: each tick tries again, a fork each if it forks"
        assert len(private(net.nodes["a"], "raftLog")) > 100, "and the log is never compacted"
        assert [] == net.errors


def test_attributes_pickled_ours() -> None:
    with OurNet(1, **SMALL) as net:
        net.start_all("a")
        net.replicas["a"].lock = threading.Lock()  # type: ignore[attr-defined]  # that is the point
        net.propose_all("a", "x", 100)
        net.run(3)
        assert net.replicas["a"].status().snapshot_index > 0
        assert len(net.journal("a")) < 60
        assert {} == net.halted
