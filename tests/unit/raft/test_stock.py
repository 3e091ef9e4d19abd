"""A node starts only with the PySyncObj that our overrides were written for."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from quorate.cluster.raft.engine import elections, engine, stock
from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.engine.stock import SyncObj

OURS = [cls for cls in Engine.__mro__ if cls.__module__.startswith("quorate.")]


def test_the_known_version_passes() -> None:
    stock.check()


def test_another_version_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "VERSION", "0.3.18")
    with pytest.raises(
        ImportError, match=r"written for pysyncobj 0\.3\.17 .* 0\.3\.18 is installed.*docs/design/raft\.md"
    ):
        stock.check()


@pytest.mark.parametrize("name", stock.SOURCES_KNOWN)
def test_a_changed_method_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stock.SOURCES_KNOWN, name, "0" * 16)
    with pytest.raises(ImportError, match=rf"its SyncObj\.{name} is not the one released as 0\.3\.17"):
        stock.check()


def test_a_method_patched_by_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def patched(self: object, time_to_wait: float = 0.0) -> None:
        """It is not the method that was released."""

    monkeypatch.setattr(SyncObj, "doTick", patched)
    with pytest.raises(ImportError, match=r"SyncObj\.doTick"):
        stock.check()


def test_a_replica_cannot_be_made_on_another_version() -> None:
    program = (
        "import pysyncobj.version; pysyncobj.version.VERSION = '9.9.9'\n"
        "from quorate.cluster.raft.engine.engine import Engine\n"
        "from tests.unit.raft.small_logs import Disk\n"
        "from quorate.cluster.raft.engine.elections import ElectionTiming\n"
        "import random\n"
        "timing = ElectionTiming(1.0)\n"
        "Engine('a', ['a'], journal=Disk().open(), owner=None, timing=timing, rng=random.Random())\n"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=root)
    assert 1 == ran.returncode
    assert "9.9.9 is installed. Install pysyncobj==0.3.17" in ran.stderr


def test_every_method_that_is_replaced_has_a_known_hash() -> None:
    replaced = {
        name
        for cls in OURS
        for name, value in vars(cls).items()
        if isinstance(value, FunctionType) and hasattr(SyncObj, name) and not hasattr(object, name)
    }
    assert {"_SyncObj__applyLogEntries", "_checkCommandsToApply"} < replaced, "the test sees what it should"
    assert set() == replaced - set(stock.SOURCES_KNOWN)


def test_every_private_method_that_is_called_has_a_known_hash() -> None:
    sources = inspect.getsource(elections) + inspect.getsource(engine)
    called = set(re.findall(r"\b(_SyncObj__\w+)\(", sources))
    methods = {name for name in called if isinstance(getattr(SyncObj, name, None), FunctionType)}
    assert "_SyncObj__setCurrentTerm" in methods, "the test sees what it should"
    assert set() == methods - set(stock.SOURCES_KNOWN)


def test_nodes_have_the_same_order_in_every_process() -> None:
    program = (
        "from quorate.cluster.raft.engine.stock import raft_nodes\n"
        "print([str(node) for node in raft_nodes({'b', 'p'})])"  # in a small set, the two have the same place
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in map(str, range(8))
    }
    assert 1 == len(orders)
