"""`quorate restore`: what it says and asks before it does anything, and what it takes over."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec
import pytest
from click.testing import CliRunner

from quorate.backup.envelope import pieces_of
from quorate.backup.taking import head_of
from quorate.cli import main
from quorate.cli.restore import restore
from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft.storage.directory import LOCK_NAME, RESTORING_NAME, DataDirectory
from quorate.config import to_toml
from quorate.sinks.sink import Fence, PollDocument
from quorate.sinks.sqlite import SqliteSink


def write_backup(file: Path, level: int = 0) -> Path:
    state = StateMachine()
    form = entry.FormCluster("old", b"k" * 16, 1_000)
    state.apply(entry.encode_entry(1, [entry.encode_batch([form])]))
    image = state.freeze()
    object.__setattr__(image, "head", msgspec.structs.replace(image.head, level=level))
    file.write_bytes(b"".join(pieces_of(head_of(image, "n1"), image.chunks())))
    return file


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "quorate.toml"
    values = {
        "node.id": "n1",
        "node.data": str(tmp_path / "data"),
        "flush.sinks": ["sqlite"],
        "sqlite.path": str(tmp_path / "ballots.db"),
    }
    file.write_text(to_toml(values))
    return file


def test_it_says_what_it_brings_back_and_asks(settings: Path, tmp_path: Path) -> None:
    file = write_backup(tmp_path / "x.backup")
    asked = CliRunner().invoke(restore, [str(file), "--config", str(settings)], input="n\n")
    assert 1 == asked.exit_code
    assert "of cluster old, taken by n1" in asked.output
    assert "as a new cluster? [y/N]" in asked.output
    assert not (tmp_path / "data").exists()


def test_it_tells_scripts_and_takes_the_sinks_over(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = SqliteSink(tmp_path / "ballots.db")
    document = PollDocument("mood", "Mood", ["happy"], {"happy": 1}, "open", 1, 1)
    sink.write([document], Fence(1, 1, 1), "old", timeout_s=60)
    file = write_backup(tmp_path / "x.backup")
    assert 0 == main(["restore", str(file), "--config", str(settings), "--yes", "--adopt", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ("old", 1, {"sqlite": 1}, 2) == (
        told["restored_from"],
        told["version"],
        told["adopted"],
        told["generation"],
    )
    assert sink.newest_foreign_fence(told["cluster_id"], timeout_s=60) is None
    sink.close()


def test_a_backup_of_a_newer_program_is_refused_and_nothing_is_made(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_backup(tmp_path / "x.backup", level=entry.FEATURE_LEVEL + 1)
    assert 1 == main(["restore", str(file), "--config", str(settings), "--yes"])
    assert f"feature level {entry.FEATURE_LEVEL + 1}" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["s3://votes", "s3://votes/", "s3://"])
def test_a_bucket_is_no_backup(settings: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["restore", place, "--config", str(settings), "--yes"])
    assert "give s3://BUCKET/NAME" in capsys.readouterr().err


def used(folder: Path) -> str:
    DataDirectory.open(folder, node_id="n9").close()
    return "is in use by node n9 already"


def held(folder: Path) -> str:
    folder.mkdir()
    lock = (folder / LOCK_NAME).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    LOCKS.append(lock)
    return "is in use by another process"


def of_some_node(folder: Path) -> str:
    folder.mkdir()
    (folder / "log-0001.seg").touch()
    return "which is some node's"


def no_folder(folder: Path) -> str:
    folder.touch()
    return "cannot be used as a data directory"


LOCKS: list[IO[str]] = []


@pytest.mark.parametrize("make", [used, held, of_some_node, no_folder])
def test_a_folder_that_is_not_empty_is_refused_before_anything_is_asked_or_read(
    settings: Path, tmp_path: Path, make: Callable[[Path], str]
) -> None:
    said = make(tmp_path / "data")
    file = write_backup(tmp_path / "x.backup")
    before = sorted(path.name for path in (tmp_path / "data").glob("*"))
    asked = CliRunner().invoke(restore, [str(file), "--config", str(settings)], input="y\n")
    assert "y/N" not in asked.output
    assert said in str(asked.exception)
    assert before == sorted(path.name for path in (tmp_path / "data").glob("*"))
    for lock in LOCKS:
        lock.close()


def test_what_an_interrupted_restore_left_is_no_hindrance(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / RESTORING_NAME).touch()
    (tmp_path / "data" / "log-0001.seg").touch()
    file = write_backup(tmp_path / "x.backup")
    asked = CliRunner().invoke(restore, [str(file), "--config", str(settings)], input="n\n")
    assert "as a new cluster? [y/N]" in asked.output
    assert (tmp_path / "data" / "log-0001.seg").exists(), "nothing is removed before the answer"
