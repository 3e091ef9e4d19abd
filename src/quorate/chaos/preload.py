"""libfaketime, where it is installed and does no harm: loaded into each node, it moves the clock of the whole process.

Without it the clock is moved where a node asks by its seam. What is loaded is tried before the run, since not every
version of it gets on with Python (`victim/clock_check.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from quorate.chaos.clock_file import FILE

PLACES = ("lib/*-linux-*/faketime", "lib64/faketime", "lib/faketime", "local/lib/faketime")  # below /usr
LIBRARY = "libfaketimeMT.so.1"
CHECK = (sys.executable, "-P", "-m", "quorate.chaos.victim.clock_check")
CHECKED_S = 30.0
# The monotonic clock and the times of files are left alone, and the file is read at each look. By its "fix" for waits
# on the monotonic clock it asks again and again instead of waiting, and a node gets ten times slower.
HOW = {
    "DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    "FAKETIME_NO_CACHE": "1",
    "NO_FAKE_STAT": "1",
}


@dataclass(frozen=True, slots=True)
class Preload:
    library: Path

    def environment(self, file: Path) -> dict[str, str]:
        """What a process needs so that this file says how far its clock is ahead."""
        others = os.environ.get("LD_PRELOAD", "")
        return {**HOW, "LD_PRELOAD": f"{self.library} {others}".strip(), FILE: str(file)}


def found_library(root: Path = Path("/usr")) -> Path | None:
    return next((path for place in PLACES for path in sorted(root.glob(f"{place}/{LIBRARY}"))), None)


def working_preload(library: Path | None) -> tuple[Preload | None, str]:
    """None, and why not, if there is none or it does harm."""
    if library is None:
        return None, "there is no libfaketime"
    preload = Preload(library)
    with tempfile.TemporaryDirectory(prefix="quorate-clock-") as folder:
        environment = os.environ | preload.environment(Path(folder) / "clock")
        before_s = time.monotonic()
        try:
            done = subprocess.run(CHECK, env=environment, capture_output=True, text=True, timeout=CHECKED_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"{library} hangs: {error}"
    if done.returncode != 0:
        return None, f"{library} does harm: {(done.stderr.strip().splitlines() or ['it ended'])[-1]}"
    if not before_s <= float(done.stdout) <= time.monotonic():
        return None, f"{library} does harm: it moves the monotonic clock"
    return preload, ""
