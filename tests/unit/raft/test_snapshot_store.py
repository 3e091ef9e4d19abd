"""Snapshots are whole or not there, whichever byte is damaged and whenever the node dies."""

from __future__ import annotations

import contextlib
import dataclasses
import random

import pytest

from quorate.cluster.raft.storage.snapshot_store import SnapshotMeta, SnapshotStore
from quorate.errors import DataError
from tests.simulation.files import PowerCut, SimFiles

IMAGE = bytes(range(256)) * 10


def disk() -> SimFiles:
    return SimFiles(random.Random(0))


def save(files: SimFiles, index: int, image: bytes = IMAGE) -> SnapshotMeta:
    return SnapshotStore(files).save(index, 3, b"c" * 16, b"members", image)


def send(meta: SnapshotMeta, target: SnapshotStore, image: bytes = IMAGE, chunk_bytes: int = 1_000) -> None:
    offset: int | None = 0
    for _ in range(20):
        if offset is None:
            return
        offset = target.receive(meta, offset, image[offset : offset + chunk_bytes])
    assert offset is None, "the transfer does not end"


def test_a_saved_snapshot_can_be_loaded() -> None:
    files = disk()
    assert SnapshotStore(files).newest() is None
    meta = save(files, 7)
    files.crash()
    snapshots = SnapshotStore(files)
    assert meta == snapshots.newest()
    assert IMAGE == snapshots.load(meta)
    assert IMAGE[100:300] == snapshots.read_chunk(meta, 100, 200)
    assert IMAGE[-5:] == snapshots.read_chunk(meta, len(IMAGE) - 5, 1_000)


@pytest.mark.parametrize("seed", range(10))
def test_an_empty_image_is_an_image(seed: int) -> None:
    files, other = (SimFiles(random.Random(seed)) for _ in range(2))
    meta = save(files, 7, b"")
    files.crash()
    assert b"" == SnapshotStore(files).load(meta)
    send(meta, SnapshotStore(other), b"")
    other.crash()
    assert meta == SnapshotStore(other).newest()


def test_the_snapshot_before_the_newest_stays_for_a_peer_that_reads_it() -> None:
    files = disk()
    metas = [save(files, index) for index in (1, 2, 3)]
    snapshots = SnapshotStore(files)
    assert metas[2] == snapshots.newest()
    assert IMAGE[:9] == snapshots.read_chunk(metas[1], 0, 9)
    with pytest.raises(FileNotFoundError):
        snapshots.read_chunk(metas[0], 0, 9)


def test_each_flipped_byte_and_each_prefix_is_refused() -> None:
    files = disk()
    meta = save(files, 7)
    (name,) = files.names()
    whole = files.read(name)
    for offset in range(len(whole)):
        for damaged in (
            whole[:offset],
            whole[:offset] + bytes([whole[offset] ^ 1 << offset % 8]) + whole[offset + 1 :],
        ):
            files.put(name, damaged)
            with pytest.raises(DataError, match="quorate members replace n2"):
                SnapshotStore(files, node_id="n2").newest()
            with pytest.raises(DataError):
                SnapshotStore(files).load(meta)


@pytest.mark.parametrize("how", ["save", "receive"])
def test_a_node_that_dies_during_a_snapshot_has_the_old_or_the_new_one(how: str) -> None:
    source = disk()
    new = save(source, 8)

    def make(files: SimFiles) -> None:
        if how == "save":
            save(files, 8)
        else:
            send(new, SnapshotStore(files))

    steps, seen = 0, set()
    while True:
        files = disk()
        old = save(files, 7)
        files.steps_left = steps
        finished = False
        with contextlib.suppress(PowerCut):
            make(files)
            finished = True
        (files.crash if steps % 2 else files.kill)()
        snapshots = SnapshotStore(files)
        found = snapshots.newest()
        assert found in (old, new)
        assert found is not None
        assert IMAGE == snapshots.load(found)
        seen.add(found.index)
        make(files)
        assert new == snapshots.newest(), "and it can be made after all"
        if finished:
            break
        steps += 1
    assert {7, 8} == seen
    assert steps > 10


def test_a_full_disk_leaves_the_old_snapshot_and_no_other_file() -> None:
    files = disk()
    old = save(files, 7)
    files.room_bytes = 2_000
    with pytest.raises(OSError, match="No space"):
        save(files, 8)
    assert [old] == [SnapshotStore(files).newest()]
    assert 1 == len(files.names())
    assert 2_000 == files.room_bytes


def test_a_transfer_goes_on_where_it_was_after_a_restart() -> None:
    source, target = disk(), disk()
    meta = save(source, 8)
    assert 1_000 == SnapshotStore(target).receive(meta, 0, IMAGE[:1_000])
    target.kill()
    snapshots = SnapshotStore(target)
    assert snapshots.newest() is None
    assert 1_000 == snapshots.receive(meta, 0, b"")
    assert 1_000 == snapshots.receive(meta, 0, IMAGE[:1_000]), "sent again: it was there"
    assert 1_000 == snapshots.receive(meta, 2_000, IMAGE[2_000:]), "one is missing between"
    assert 2_000 == snapshots.receive(meta, 1_000, IMAGE[1_000:2_000])
    assert snapshots.receive(meta, 2_000, IMAGE[2_000:]) is None
    assert meta == snapshots.newest()
    assert snapshots.receive(meta, 0, IMAGE[:1_000]) is None, "it is in place"
    assert 1 == len(target.names())


def test_a_transfer_of_the_wrong_bytes_replaces_nothing_and_begins_again() -> None:
    files = disk()
    old, new = save(files, 7), save(disk(), 8)
    snapshots = SnapshotStore(files)
    assert 2_000 == snapshots.receive(new, 0, IMAGE[:1_000] + bytes(1_000))
    assert 0 == snapshots.receive(new, 2_000, IMAGE[2_000:])
    assert old == snapshots.newest()
    send(new, snapshots)
    assert new == snapshots.newest()


def test_more_bytes_than_were_announced_are_not_taken() -> None:
    source, target = disk(), disk()
    meta = save(source, 8)
    snapshots = SnapshotStore(target)
    assert 0 == snapshots.receive(meta, 0, IMAGE + b"x")
    send(meta, snapshots)
    assert meta == snapshots.newest()


def test_the_checksum_covers_the_header() -> None:
    source, target = disk(), disk()
    forged = dataclasses.replace(save(source, 8), index=9)
    assert 0 == SnapshotStore(target).receive(forged, 0, IMAGE)
    assert SnapshotStore(target).newest() is None


def test_a_new_transfer_removes_the_pieces_of_an_older_one() -> None:
    target = disk()
    snapshots = SnapshotStore(target)
    snapshots.receive(save(disk(), 8), 0, IMAGE[:1_000])
    snapshots.receive(save(disk(), 9), 0, IMAGE[:1_000])
    assert 1 == len(target.names())
