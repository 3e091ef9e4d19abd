"""The data in the folder of a node that is down, without settings and log lines: emptied, copied, and put back."""

from __future__ import annotations

import shutil
from pathlib import Path

KEPT = ("quorate.toml", "node.log")  # what is no part of the data


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name not in KEPT:
            path.unlink()


def copy(folder: Path, to: Path) -> None:
    to.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.name not in KEPT:
            shutil.copy2(path, to)


def put_back(copied: Path, folder: Path) -> None:
    empty(folder)
    for path in copied.iterdir():
        shutil.copy2(path, folder)
