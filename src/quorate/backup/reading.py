"""Reads a backup from a file, and says whether a state can be made of it.

The file is never held in memory as a whole: it is read twice, once for its checksum and once for the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quorate.backup.envelope import BackupCheck, CheckedBackup
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state.image import decode_from
from quorate.errors import BackupUnusable, DataError

READ_BYTES = 1024 * 1024
TAIL_BYTES = 40  # behind the image


def read_backup(path: Path) -> tuple[CheckedBackup, StateMachine]:
    """What is in the file, and the state that it holds. Raises `BackupUnusable` if the file is anything else."""
    try:
        with path.open("rb") as file:
            return read_opened(file, str(path))
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror or error}") from None


def read_opened(file: IO[bytes], name: str) -> tuple[CheckedBackup, StateMachine]:
    """The same of a file that is open and can be read twice. `name` says for people which one it is."""
    check = BackupCheck(name)
    for piece in _pieces(file):
        check.add(piece)
    checked = check.finish()
    file.seek(check.image_at)
    try:
        state = StateMachine.of(decode_from(file, checked.size - check.image_at - TAIL_BYTES))
    except DataError as error:
        raise BackupUnusable(f"{name} cannot be used: {error.detail}") from None
    if (state.version, state.cluster_id) != (checked.head.version, checked.head.cluster_id):
        raise BackupUnusable(f"{name} cannot be used: its head tells of another state than the one in it")
    return checked, state


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(READ_BYTES):
        yield piece
