"""Where a backup is read from and written to: a file, the output, or a store that speaks S3's protocol.

`endpoint` is the URL of that store; "" for AWS.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from quorate.backup.envelope import BackupCheck, CheckedBackup
    from quorate.backup.s3_store import S3Store
    from quorate.client.downloads import OpenedAnswer
    from quorate.cluster.fsm import StateMachine

S3 = "s3://"
Step = Callable[[str], None]  # is told what begins
Moved = Callable[[int], None]  # is told how many bytes of that are done
Save = Callable[["OpenedAnswer", Step, Moved], "CheckedBackup"]


def is_in_s3(file: str) -> bool:
    return file.startswith(S3)


def read_backup_at(file: str, endpoint: str) -> tuple[CheckedBackup, StateMachine]:
    from quorate.backup.reading import read_backup, read_opened

    if not is_in_s3(file):
        return read_backup(Path(file))
    store, name = _store_and_name(file, endpoint)
    with tempfile.TemporaryFile() as opened:
        store.fetch(name, opened)
        opened.seek(0)
        return read_opened(opened, file)


def saver(file: str, endpoint: str, *, force: bool) -> Save:
    """What writes a backup there, whole or not at all. Raises `QuorateError` if it can be seen that it may not."""
    if file == "-":
        return lambda answer, step, moved: _copy(answer, _write_output, step, moved)
    if is_in_s3(file):
        return _into_s3(file, force, endpoint)
    return _into_file(Path(file), force)


def _into_file(file: Path, force: bool) -> Save:
    from quorate.backup.saving import check_name, new_file

    check_name(file, force=force)

    def save(answer: OpenedAnswer, step: Step, moved: Moved) -> CheckedBackup:
        with new_file(file, force=force) as opened:
            return _copy(answer, opened.write, step, moved)

    return save


def _into_s3(file: str, force: bool, endpoint: str) -> Save:
    from quorate.errors import Conflict

    store, name = _store_and_name(file, endpoint)
    if not force and store.has(name):
        raise Conflict(f"{file} exists already; give another name, or --force to put the new backup in its place")

    def save(answer: OpenedAnswer, step: Step, moved: Moved) -> CheckedBackup:
        check = _check_of(answer)
        checked: list[CheckedBackup] = []

        def whole() -> Iterator[bytes]:
            yield from _pieces(answer, check, step, moved)
            checked.append(check.finish())  # raises if it is not whole: then nothing is sent
            step(f"sending it to {file}")

        store.put(name, whole(), replace=force, sent=moved)
        return checked[0]

    return save


def _store_and_name(file: str, endpoint: str) -> tuple[S3Store, str]:
    from quorate.adapters import make_s3_store

    place, _, name = file.rpartition("/")
    if not name or not place.removeprefix("s3:").strip("/"):
        raise click.UsageError(f"No backup is named by {file}: give s3://BUCKET/NAME.")
    return make_s3_store(place, endpoint, tempfile.gettempdir()), name


def _copy(answer: OpenedAnswer, write: Callable[[bytes], object], step: Step, moved: Moved) -> CheckedBackup:
    check = _check_of(answer)
    for piece in _pieces(answer, check, step, moved):
        write(piece)
    return check.finish()


def _check_of(answer: OpenedAnswer) -> BackupCheck:
    from quorate.backup.envelope import BackupCheck

    return BackupCheck(f"what {answer.node} sent")


def _pieces(answer: OpenedAnswer, check: BackupCheck, step: Step, moved: Moved) -> Iterator[bytes]:
    step(f"reading it from {answer.node}")
    for piece in answer.pieces():
        check.add(piece)
        moved(check.size)
        yield piece


def _write_output(piece: bytes) -> None:
    from quorate.errors import BackupUnusable

    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise BackupUnusable(f"the output took only a part of the backup: {error.strerror or error}") from None
