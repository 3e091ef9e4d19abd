"""`quorate backup`: a file that is there only when it is whole, or the output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quorate.backup.reading import read_backup
from quorate.cli import main
from quorate.cli.node_options import UNREACHED_S
from quorate.client.asking import RetryTimes
from quorate.errors import Invalid
from tests.support.http_node import Node


def test_it_writes_a_whole_backup_and_says_what_is_in_it(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node.vote(option="happy", id="u1")
    file = tmp_path / "x.backup"
    assert 0 == main(["backup", str(file)])
    said = capsys.readouterr().out
    assert "of cluster c1, taken by n1" in said
    assert "1 poll with 2 options and 1 vote" in said
    checked, state = read_backup(file)
    assert node.call(node.replica.state.digest) == state.digest() == checked.digest
    assert 0 == main(["backup", "--check", "--json", str(file)])
    told = json.loads(capsys.readouterr().out)
    assert (checked.digest, 3, str(file)) == (told["digest"], told["version"], told["file"])


def test_a_file_that_exists_is_kept_unless_forced(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "x.backup").write_bytes(b"old")
    assert 1 == main(["backup", str(file)])
    assert "exists already" in capsys.readouterr().err
    assert b"old" == file.read_bytes()
    assert 0 == main(["backup", "--force", str(file)])
    assert 2 == read_backup(file)[0].head.version


def test_what_cannot_be_made_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUORATE_NODES", "http://127.0.0.1:1")
    (file := tmp_path / "x.backup").write_bytes(b"old")
    assert 3 == main(["backup", "--force", "--timeout", "0.2", str(file)])
    assert (b"old", [file]) == (file.read_bytes(), list(tmp_path.iterdir()))


def test_a_folder_that_is_not_there_is_told_before_a_node_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUORATE_NODES", "http://127.0.0.1:1")
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        assert 1 == main(["backup", str(tmp_path / folder / "x.backup")])
        assert f"{tmp_path / folder} is no folder" in capsys.readouterr().err


def test_where_no_node_is_reached_it_gives_up_as_soon_as_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RetryTimes] = []

    def ask(_: Any, __: Any, times: RetryTimes, ___: Any) -> None:
        given.append(times)
        raise Invalid("seen enough")

    monkeypatch.setattr("quorate.client.downloads.Asking", ask)
    main(["backup", str(tmp_path / "x"), "--timeout", "60"])
    main(["backup", str(tmp_path / "x"), "--timeout", "0.5"])
    assert [RetryTimes(60, UNREACHED_S), RetryTimes(0.5, 0.5)] == given


def test_a_damaged_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "x.backup").touch()
    assert 1 == main(["backup", "--check", str(file)])
    assert "is empty" in capsys.readouterr().err
    assert 1 == main(["backup", "--check", str(tmp_path / "none")])
    assert "No such file" in capsys.readouterr().err


def test_the_output_takes_it_and_a_reader_that_leaves_is_a_failure(node: Node, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "quorate", "backup", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    (file := tmp_path / "x.backup").write_bytes(done.stdout)
    assert 2 == read_backup(file)[0].head.version
    assert b"version 2" in done.stderr
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.close()
        assert left.stderr is not None
        assert b"only a part of the backup" in left.stderr.read()
        assert 1 == left.wait(30)
