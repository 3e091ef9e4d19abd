"""Runs a command in this process and keeps what it printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.cli import main


class Told:
    """The output of a command, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        capsys.readouterr()
        self.code = main(arguments)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Capture = pytest.CaptureFixture[str]
