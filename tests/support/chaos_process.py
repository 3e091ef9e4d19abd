"""`quorate chaos` as a process, and the history that it writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from quorate.chaos.history import Record, read_history
from quorate.processes.process import Process


class ChaosProcess(Process):
    def __init__(self, folder: Path, *flags: str) -> None:
        self.history = folder / "history.ndjson"
        command = [sys.executable, "-P", "-m", "quorate", "chaos", "--history", str(self.history), *flags]
        super().__init__("chaos", command, folder / "chaos.txt", {"TMPDIR": str(folder)})

    def records(self) -> list[Record]:
        return list(read_history(self.history))

    def told(self) -> dict[str, Any]:
        """The JSON of the output, in which what the terminal shows stands as well."""
        lines = self.output().splitlines()
        found: dict[str, Any] = json.loads(next(line for line in lines if line.startswith("{")))
        return found
