"""What `--mixed-with` takes for another program."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from quorate import __version__
from quorate.chaos.other_program import other_program
from quorate.errors import Invalid


def test_it_is_told_by_its_interpreter() -> None:
    found = other_program(Path(sys.executable))
    assert f"Quorate {__version__} on Python {platform.python_version()}" == found.words


def test_what_cannot_be_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no Python that can be started"):
        other_program(tmp_path / "python")


def test_a_python_without_quorate_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(Invalid, match="has no Quorate that quorate chaos can start as a node: ModuleNotFoundError"):
        other_program(bare)
