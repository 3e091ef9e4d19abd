"""How nice a process is to others. Linux groups processes by their session first, so the session needs it too."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def set_nice(nice: int, pid: int | None = None) -> None:
    """Of this process, or of another one. Below 0 only root may."""
    os.setpriority(os.PRIO_PROCESS, pid or 0, nice)
    with suppress(OSError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(nice))
