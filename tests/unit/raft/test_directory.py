"""The data directory: for one process, one node and one cluster. Any other is refused and told what to do."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from quorate.cluster.raft.storage.directory import IDENTITY_NAME, DataDirectory
from quorate.errors import DataError


def test_a_new_directory_is_private_and_remembers_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a" / "n1"
    directory = DataDirectory.open(path, node_id="n1")
    made = directory.identity
    assert 0o700 == stat.S_IMODE(path.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}
    assert ("n1", None, None) == (made.node_id, made.cluster_id, made.members)
    directory.save_identity(cluster_id="c1", members={"n1": made.incarnation, "n2": "f00d"})
    directory.close()
    directory.close()
    again = DataDirectory.open(path, node_id="n1", create=False)
    assert (made.incarnation, "c1") == (again.identity.incarnation, again.identity.cluster_id)
    assert {"n1": made.incarnation, "n2": "f00d"} == again.identity.members
    again.close()


def test_each_directory_made_is_another_incarnation(tmp_path: Path) -> None:
    found = set()
    for name in ("a", "b", "c"):
        directory = DataDirectory.open(tmp_path / name, node_id="n1")
        found.add(directory.identity.incarnation)
        directory.close()
    assert 3 == len(found)


def test_a_second_process_is_told_who_is_there(tmp_path: Path) -> None:
    code = (
        "import sys; from quorate.cluster.raft.storage.directory import DataDirectory\n"
        "held = DataDirectory.open(sys.argv[1], node_id='n1'); print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(DataError, match=f"in use by process {process.pid}"):
        DataDirectory.open(tmp_path, node_id="n1")
    process.kill()
    process.communicate(timeout=10)
    DataDirectory.open(tmp_path, node_id="n1").close()


def test_a_refused_directory_is_not_held(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path, node_id="n1").close()
    with pytest.raises(DataError):
        DataDirectory.open(tmp_path, node_id="n2")
    DataDirectory.open(tmp_path, node_id="n1").close()


def test_a_cluster_of_another_name_is_refused_in_words(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path, node_id="n1", cluster_name="here").close()
    with pytest.raises(DataError, match=r"is of a cluster named here, and node\.cluster is there"):
        DataDirectory.open(tmp_path, node_id="n1", cluster_name="there")
    DataDirectory.open(tmp_path, node_id="n1", cluster_name="here").close()


def test_the_wrong_node_or_directory_is_refused_in_words(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path, node_id="n1").close()
    with pytest.raises(DataError, match="belongs to node n1, not to n2"):
        DataDirectory.open(tmp_path, node_id="n2")
    with pytest.raises(DataError, match="cannot be used as a data directory: No such file"):
        DataDirectory.open(tmp_path / "none", node_id="n1", create=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no node has ever used it"):
        DataDirectory.open(tmp_path / "empty", node_id="n1", create=False)
    with pytest.raises(DataError, match="cannot be used as a data directory"):
        DataDirectory.open(tmp_path / IDENTITY_NAME, node_id="n1")


def test_a_log_without_an_identity_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "log-00000000000000000001.seg").write_bytes(b"")
    with pytest.raises(DataError, match="nobody knows whose it is"):
        DataDirectory.open(tmp_path, node_id="n1")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path, node_id="n1").close()
    body = b'{"format":2,"node":{"id":"n1"}}'
    (tmp_path / IDENTITY_NAME).write_bytes(b'{"crc32":%d,"identity":%s}' % (zlib.crc32(body), body))
    with pytest.raises(DataError, match="format 2"):
        DataDirectory.open(tmp_path, node_id="n1")


def test_each_flipped_byte_of_the_identity_is_refused_or_harmless(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, node_id="n1")
    directory.save_identity(cluster_id="c1", members={"n1": directory.identity.incarnation})
    made = directory.identity
    directory.close()
    path = tmp_path / IDENTITY_NAME
    whole = path.read_bytes()
    for offset in range(len(whole)):
        for mask in (1 << offset % 8, 0x20, 0xFF):
            path.write_bytes(whole[:offset] + bytes([whole[offset] ^ mask]) + whole[offset + 1 :])
            try:
                directory = DataDirectory.open(tmp_path, node_id="n1")
            except DataError:
                continue
            assert made == directory.identity, f"byte {offset}"
            directory.close()


def test_a_kill_while_the_identity_is_saved_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path, node_id="n1")
    (tmp_path / "identity.tmp").write_bytes(b"half of another, and a long one" * 100)
    directory.save_identity(cluster_id="c1", members=None)
    directory.close()
    assert [IDENTITY_NAME, "lock"] == sorted(os.listdir(tmp_path))
    again = DataDirectory.open(tmp_path, node_id="n1")
    assert "c1" == again.identity.cluster_id
    again.close()
