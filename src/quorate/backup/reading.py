"""Reads a backup from a file, and says whether a state can be made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quorate.backup.envelope import BackupCheck, CheckedBackup
from quorate.cluster.fsm import StateMachine
from quorate.errors import DataError

READ_BYTES = 1024 * 1024
TAIL_BYTES = 40  # behind the image


def read_backup(path: Path) -> tuple[CheckedBackup, StateMachine]:
    """What is in the file, and the state that it holds. Raises `DataError` in words if the file is anything else."""
    check, content = BackupCheck(str(path)), bytearray()
    try:
        with path.open("rb") as file:
            for piece in _pieces(file):
                check.add(piece)
                content += piece
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    checked = check.finish()
    try:
        state = StateMachine.restore(bytes(memoryview(content)[check.image_at : -TAIL_BYTES]))
    except DataError as error:
        raise DataError(f"{path} cannot be used: {error.detail}") from None
    if (state.version, state.cluster_id) != (checked.head.version, checked.head.cluster_id):
        raise DataError(f"{path} cannot be used: its head tells of another state than the one in it")
    return checked, state


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(READ_BYTES):
        yield piece
