"""The file of what is remembered of peers: the newest sound content, and never less than what was synced last."""

from __future__ import annotations

import random

import pytest

from quorate.cluster.raft.storage.memory_file import NAME, SLOT_BYTES, MemoryFile
from tests.simulation.files import SimFiles


def test_a_new_file_is_empty() -> None:
    assert b"" == MemoryFile(SimFiles(random.Random(1))).read()


def test_a_killed_process_loses_nothing() -> None:
    files = SimFiles(random.Random(1))
    file = MemoryFile(files)
    for number in range(7):
        file.write(b"%d" % number, durable=number == 3)
        files.kill()
        assert b"%d" % number == MemoryFile(files).read()


@pytest.mark.parametrize("seed", range(200))
def test_a_loss_of_power_leaves_what_was_synced_or_something_later(seed: int) -> None:
    rng = random.Random(seed)
    files = SimFiles(rng)
    file, written, synced = MemoryFile(files), 0, 0
    for number in range(1, rng.randrange(2, 20)):
        durable, end = rng.random() < 0.3, rng.random()
        file.write(b"%d " % number * rng.randrange(1, 900), durable=durable)
        written, synced = number, number if durable else synced
        if end < 0.6:
            (files.crash if end < 0.3 else files.kill)()
            file = MemoryFile(files)
            found = int((file.read() or b"0").split()[0])
            assert found >= (synced if end < 0.3 else written)
            written = synced = found


def test_what_does_not_fit_leaves_the_older_content() -> None:
    file = MemoryFile(SimFiles(random.Random(1)))
    file.write(b"x", durable=True)
    file.write(bytes(SLOT_BYTES), durable=True)
    assert b"x" == file.read()


def test_garbage_is_nothing() -> None:
    files = SimFiles(random.Random(1))
    files.put(NAME, random.Random(2).randbytes(3 * SLOT_BYTES))
    assert b"" == MemoryFile(files).read()
