"""The bytes of a backup: what is whole is read, and everything else is refused in words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate.backup.envelope import BackupCheck, CheckedBackup, pieces_of
from quorate.backup.reading import read_backup, read_opened
from quorate.backup.taking import head_of
from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.errors import BackupUnusable, DataError


def a_state() -> StateMachine:
    machine = StateMachine()
    form = entry.FormCluster("c1", b"k" * 16, 1_000)
    machine.apply(entry.encode_entry(1, [entry.encode_batch([form])]))
    return machine


@pytest.fixture
def whole() -> bytes:
    image = a_state().freeze()
    return b"".join(pieces_of(head_of(image, "n1"), image.chunks()))


def checked(data: bytes, piece: int = 7) -> CheckedBackup:
    check = BackupCheck("x.backup")
    for at in range(0, len(data), piece):
        check.add(data[at : at + piece])
    return check.finish()


@pytest.mark.parametrize("piece", [1, 7, 72, 100_000])
def test_a_whole_backup_is_read_in_pieces_of_any_size(whole: bytes, piece: int) -> None:
    found = checked(whole, piece)
    assert ("c1", 1, "n1", len(whole)) == (found.head.cluster_id, found.head.version, found.head.node, found.size)
    assert a_state().digest() == found.digest


def test_a_file_is_read_back_into_the_very_state(whole: bytes, tmp_path: Path) -> None:
    (file := tmp_path / "x.backup").write_bytes(whole)
    found, state = read_backup(file)
    assert a_state().digest() == state.digest() == found.digest


def test_it_is_refused_however_much_of_its_end_is_missing(whole: bytes) -> None:
    for size in range(1, len(whole)):
        with pytest.raises(DataError, match=f"ends after {size:,} bytes"):
            checked(whole[:size])


def test_it_is_refused_whichever_byte_was_changed(whole: bytes) -> None:
    for at in range(len(whole)):
        with pytest.raises(DataError):
            checked(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n and more", "is no backup of Quorate"),
        (b"q", "is no backup of Quorate"),
        (b"\xf5Quorsn\n" + bytes(100), "is no backup of Quorate"),
        (b"\xf5Quorbk\n" + b"\xff" * 100, "its head makes no sense"),
        (b"\xf5Quorbk\n" + b"\x02\0\0\0{}" + bytes(100), "its head cannot be read"),
        (b"\xf5Quorbk\n" + b"\x0c\0\0\0" + b'{"format":9}' + bytes(100), "has format 9"),
    ],
)
def test_what_is_no_backup_is_told_apart(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        checked(data)


def test_a_backup_without_a_state_is_refused_also_if_its_checksum_is_right() -> None:
    with pytest.raises(BackupUnusable, match="before the end of the backup"):
        checked(b"".join(pieces_of(head_of(a_state().freeze(), "n1"), [])))


@pytest.mark.parametrize("field", [{"version": 7}, {"cluster_id": "c2"}])
def test_a_head_that_tells_of_another_state_is_refused(field: dict[str, Any]) -> None:
    image = a_state().freeze()
    head = msgspec.structs.replace(head_of(image, "n1"), **field)
    with pytest.raises(BackupUnusable, match="its head tells of another state"):
        read_opened(io.BytesIO(b"".join(pieces_of(head, image.chunks()))), "x")


def test_what_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="cannot be read: Is a directory"):
        read_backup(tmp_path)


def test_something_behind_its_end_is_refused(whole: bytes) -> None:
    with pytest.raises(DataError):
        checked(whole + b"\n")


def test_a_file_is_never_held_as_a_whole(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(-1 if size is None else size)
            return super().read(size)

    monkeypatch.setattr("quorate.backup.reading.READ_BYTES", 64)
    _, state = read_opened(Watched(whole), "x")
    assert a_state().digest() == state.digest()
    assert 0 <= min(asked) <= max(asked) < len(whole)


def test_an_altered_image_is_refused_also_if_the_checksum_of_the_file_is_right(whole: bytes, tmp_path: Path) -> None:
    image = bytearray(a_state().freeze().encode())
    for at in range(0, len(image), max(1, len(image) // 200)):
        altered = bytes(image[:at]) + bytes([image[at] ^ 1]) + bytes(image[at + 1 :])
        (file := tmp_path / "x").write_bytes(b"".join(pieces_of(head_of(a_state().freeze(), "n1"), [altered])))
        with pytest.raises(BackupUnusable, match="cannot be used"):
            read_backup(file)
