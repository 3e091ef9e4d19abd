"""A backup is put into a folder whole or not at all, wherever it stops; and only into one that no node has used."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft import members
from quorate.cluster.raft.membership.bootstrap import is_founder
from quorate.cluster.raft.restoring import Restored, restore
from quorate.cluster.raft.storage.directory import IDENTITY_NAME, RESTORING_NAME, DataDirectory
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.storage.snapshot_store import SnapshotStore
from quorate.cluster.raft.unsafe_recovery import InlineWriter
from quorate.errors import DataError

CHANGES = ("write", "sync", "truncate", "replace", "remove")


class Died(BaseException):
    """The process dies here."""


def a_state() -> StateMachine:
    machine = StateMachine()
    form = entry.FormCluster("old", b"k" * 16, 1_000)
    machine.apply(entry.encode_entry(1, [entry.encode_batch([form])]))
    for number in range(3):
        machine.apply(entry.encode_entry(number, []))
    return machine


def restored(path: Path) -> Restored:
    return restore(path, "n1", "127.0.0.1:9001", a_state(), cluster_name="main")


def opened(path: Path) -> tuple[DataDirectory, StateMachine, Journal, set[str]]:
    """What a node would start with."""
    directory = DataDirectory.open(path, node_id="n1", cluster_name="main")
    snapshots = SnapshotStore(directory.files)
    meta = snapshots.newest()
    assert meta is not None
    state = StateMachine.restore(snapshots.load(meta))
    journal = Journal.open(
        directory.files, InlineWriter(), snapshot=meta, on_failure=lambda error: None, may_create=False
    )
    voters = members.decode(meta.members).voters()
    journal.close()
    directory.close()
    return directory, state, journal, voters


def test_the_node_founds_a_cluster_with_the_state_and_a_new_id(tmp_path: Path) -> None:
    done = restored(tmp_path / "n1")
    directory, state, journal, voters = opened(tmp_path / "n1")
    assert ("old", 4, 2) == (done.before, done.version, done.generation)
    assert is_founder(directory.identity)
    assert done.cluster_id == directory.identity.cluster_id == state.cluster_id != "old"
    assert ({"n1"}, 4, 1) == (voters, journal.last_index, journal.getCurrentTerm())
    state.cluster_id, state.generation = "old", 1
    assert a_state().digest() == state.digest()
    assert RESTORING_NAME not in os.listdir(tmp_path / "n1")


def test_two_restores_of_one_backup_are_two_clusters(tmp_path: Path) -> None:
    assert restored(tmp_path / "a").cluster_id != restored(tmp_path / "b").cluster_id


def test_a_folder_that_a_node_has_used_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    restored(tmp_path / "n1")
    DataDirectory.open(tmp_path / "n2", node_id="n2").close()
    (tmp_path / "n3").mkdir()
    (tmp_path / "n3" / "log-00000001.seg").write_bytes(b"?")
    for name in ("n1", "n2", "n3"):
        before = {file.name: file.read_bytes() for file in (tmp_path / name).iterdir() if file.name != "lock"}
        with pytest.raises(DataError, match=r"in use by node|is some node's"):
            restored(tmp_path / name)
        after = {file.name: file.read_bytes() for file in (tmp_path / name).iterdir() if file.name != "lock"}
        assert before == after


def test_what_is_of_no_node_may_stand_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "quorate.toml").write_text("")
    restored(tmp_path)
    assert {"n1"} == opened(tmp_path)[3]
    assert (tmp_path / "quorate.toml").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, node_id="n1")
    with pytest.raises(DataError, match="is in use by process"):
        restored(tmp_path)
    directory.close()


@pytest.mark.parametrize("error", [Died(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))], ids=["dies", "full"])
def test_a_restore_that_stops_anywhere_makes_no_node_or_a_whole_one(
    tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = 0
    for at in range(100):
        path = tmp_path / f"{at}"
        if isinstance(interrupted(path, at, error, monkeypatch), Restored):
            break
        stopped += 1
        if IDENTITY_NAME not in os.listdir(path):
            if RESTORING_NAME in os.listdir(path):
                with pytest.raises(DataError, match="run quorate restore again"):
                    DataDirectory.open(path, node_id="n1", cluster_name="main")
            restored(path)
        assert {"n1"} == opened(path)[3]
    assert stopped > 5
    assert {"n1"} == opened(path)[3]


def interrupted(path: Path, at: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Restored | BaseException:
    """Restore, and let the `at`-th change of a file fail."""
    left = at

    def counting(name: str) -> Any:
        real = getattr(OsFiles, name)

        def change(files: OsFiles, *arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise error
            return real(files, *arguments, **named)

        return change

    with monkeypatch.context() as patch:
        for name in CHANGES:
            patch.setattr(OsFiles, name, counting(name))
        try:
            return restored(path)
        except (Died, DataError) as stopped:
            return stopped
