"""A file that has its name only when it is whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.backup import saving
from quorate.backup.envelope import MAGIC
from quorate.errors import Conflict, DataError


def test_it_is_there_when_it_is_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new"
    with saving.new_file(file, force=False) as opened:
        opened.write(b"whole")
        assert not file.exists()
    assert (b"whole", 0o600) == (file.read_bytes(), file.stat().st_mode & 0o777)
    assert ["new"] == os.listdir(tmp_path)


@pytest.mark.parametrize("force", [False, True])
def test_an_old_file_stays_whole_when_it_fails(tmp_path: Path, force: bool) -> None:
    (file := tmp_path / "old").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), saving.new_file(file, force=force) as opened:
        opened.write(b"a part of the n" * (1 // 0 or 1))
    assert (b"old", ["old"]) == (file.read_bytes(), os.listdir(tmp_path))


def test_a_file_that_came_meanwhile_is_not_replaced_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x"
    with pytest.raises(Conflict, match="--force"), saving.new_file(file, force=False):
        file.write_bytes(b"other")
    assert (b"other", ["x"]) == (file.read_bytes(), os.listdir(tmp_path))
    with saving.new_file(file, force=True) as opened:
        opened.write(b"new")
    assert b"new" == file.read_bytes()

    def no_links(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(Conflict), saving.new_file(file, force=False):
        pass
    with saving.new_file(tmp_path / "y", force=False) as opened:
        opened.write(b"y")
    assert b"y" == (tmp_path / "y").read_bytes()


def test_a_disk_that_refuses_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"), saving.new_file(tmp_path / "no" / "x", force=False):
        pass


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    before = (tmp_path / "x").lstat()
    with pytest.raises(Conflict, match="never takes the place"), saving.new_file(tmp_path / "x", force=True) as opened:
        opened.write(b"new")
    assert (before.st_ino, ["x"]) == ((tmp_path / "x").lstat().st_ino, os.listdir(tmp_path))


def test_what_killed_backups_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (left := tmp_path / ".old.backup.0123abcd.part").write_bytes(MAGIC + b"a part")
    others = {".a.0123abcd.part": b"no backup", "b.0123abcd.part": MAGIC, ".c.part": MAGIC, "d": MAGIC}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    with saving.new_file(tmp_path / "now", force=False) as opened:
        opened.write(MAGIC)
        opened.flush()
        assert [left] == saving.remove_leftovers(tmp_path)
    assert {*others, "now"} == set(os.listdir(tmp_path))
    assert [] == saving.remove_leftovers(tmp_path / "no such folder")


def test_a_part_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    (part := tmp_path / ".x.0123abcd.part").write_bytes(MAGIC)
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [] == saving.remove_leftovers(tmp_path)
    assert [part] == saving.remove_leftovers(tmp_path)
