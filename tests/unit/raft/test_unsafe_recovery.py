"""The unsafe recovery, interrupted by a crash or a full disk at any step: it can be done again.

Until then the node never leads alone under the id of the old cluster, to which the other nodes may still belong.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.raft import members
from quorate.cluster.raft.engine.replication import MEMBERS, REGULAR
from quorate.cluster.raft.membership import removal
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.storage.files import OsFiles
from quorate.cluster.raft.storage.journal import Journal
from quorate.cluster.raft.unsafe_recovery import InlineWriter, Recovery, recover
from quorate.errors import DataError

OLD = "0" * 16
CHANGES = ("write", "sync", "truncate", "replace", "remove")


class Gone(BaseException):
    """The process dies here."""


def opened(directory: DataDirectory) -> Journal:
    def failed(error: BaseException) -> None:
        raise error

    return Journal.open(directory.files, InlineWriter(), snapshot=None, on_failure=failed)


@pytest.fixture
def survivor(tmp_path: Path) -> Path:
    path = tmp_path / "survivor"
    directory = DataDirectory.open(path, node_id="n1")
    mine = directory.identity.incarnation
    founders = {"n1": mine, "n2": "i2", "n3": "i3"}
    directory.save_identity(cluster_id=OLD, members=founders)
    journal = opened(directory)
    journal.setCurrentTerm(3, "n1")
    journal.add(MEMBERS + members.encode(members.founding({node: node for node in founders}, founders)), 2, 3)
    journal.add(REGULAR + b"counted", 3, 3)
    journal.flush()
    journal.close()
    directory.close()
    return path


def found(path: Path) -> tuple[str | None, set[str], list[bytes]]:
    """The cluster's id, its voters and the commands that the node would start with."""
    directory = DataDirectory.open(path, node_id="n1", create=False)
    journal = opened(directory)
    entries = [command for command, _, _ in journal[1:]]
    voters = [members.decode(each[1:]).voters() for each in entries if each[:1] == MEMBERS]
    journal.close()
    cluster_id = directory.identity.cluster_id
    directory.close()
    return cluster_id, voters[-1], [each for each in entries if each[:1] == REGULAR]


def interrupted(path: Path, at: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Recovery | BaseException:
    """Recover, and let the `at`-th change of a file fail."""
    left = at

    def counting(name: str) -> Any:
        real = getattr(OsFiles, name)

        def change(files: OsFiles, *arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0 and (isinstance(error, Gone) or left == -1):
                raise error
            return real(files, *arguments, **named)

        return change

    with monkeypatch.context() as patch:
        for name in CHANGES:
            patch.setattr(OsFiles, name, counting(name))
        try:
            return recover(path, "n1", "n1")
        except (Gone, DataError) as stopped:
            return stopped


@pytest.mark.parametrize("error", [Gone(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))], ids=["dies", "full"])
def test_recovery_that_stops_anywhere_can_be_done_again(
    survivor: Path, tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for at in range(100):
        path = tmp_path / f"{at}"
        shutil.copytree(survivor, path)
        ends.append(interrupted(path, at, error, monkeypatch))
        cluster_id, voters, _ = found(path)
        assert voters == {"n1", "n2", "n3"} or cluster_id != OLD, f"it leads alone as the old cluster: {at}"
        done = recover(path, "n1", "n1")
        cluster_id, voters, entries = found(path)
        assert (done.cluster_id, {"n1"}) == (cluster_id, voters)
        assert REGULAR + b"counted" == entries[0]
        if isinstance(ends[-1], Recovery) and at > 0 and isinstance(error, Gone):
            break
        if isinstance(error, OSError) and at > 3 and all(isinstance(end, Recovery) for end in ends[-3:]):
            break
    assert sum(not isinstance(end, Recovery) for end in ends) > 5
    assert isinstance(ends[-1], Recovery)


def test_two_recoveries_of_one_disk_are_two_clusters(survivor: Path, tmp_path: Path) -> None:
    """A copy of the data folder that is recovered a second time goes on with a history of its own."""
    copy = tmp_path / "copy"
    shutil.copytree(survivor, copy)
    ids = {recover(path, "n1", "127.0.0.1:9001").cluster_id for path in (survivor, copy)}
    assert 2 == len(ids)
    assert OLD not in ids


def test_the_disk_of_a_removed_node_is_refused_by_its_log(survivor: Path) -> None:
    """What the cluster counted after the removal is not on it."""
    directory = DataDirectory.open(survivor, node_id="n1")
    journal = opened(directory)
    [founded] = [members.decode(command[1:]) for command, _, _ in journal[1:] if command[:1] == MEMBERS]
    journal.add(MEMBERS + members.encode(founded.removing("n1")), 4, 3)
    journal.flush()
    journal.setRaftCommitIndex(4)
    journal.close()
    directory.close()
    before = found(survivor)
    with pytest.raises(DataError, match="n1 was removed from the cluster while the others went on"):
        recover(survivor, "n1", "n1")
    assert before == found(survivor)


def test_a_removal_that_is_not_surely_committed_does_not_hinder(survivor: Path) -> None:
    """The others may have died before any of them had confirmed it."""
    directory = DataDirectory.open(survivor, node_id="n1")
    journal = opened(directory)
    [founded] = [members.decode(command[1:]) for command, _, _ in journal[1:] if command[:1] == MEMBERS]
    journal.add(MEMBERS + members.encode(founded.removing("n1")), 4, 3)
    journal.flush()
    journal.setRaftCommitIndex(3)
    journal.close()
    directory.close()
    assert OLD == recover(survivor, "n1", "n1").before


def test_the_disk_of_a_node_that_was_told_its_removal_is_refused(survivor: Path) -> None:
    """The leader need not have sent it the entry that removed it."""
    directory = DataDirectory.open(survivor, node_id="n1")
    removal.note(directory, "this node was removed from the cluster (says n2)")
    directory.close()
    before = found(survivor)
    with pytest.raises(DataError, match="n1 was removed from the cluster while the others went on"):
        recover(survivor, "n1", "n1")
    assert before == found(survivor)
