"""A further thread of a network, for what goes on beside the reading: new options, gaps.

What only a person can mend ends the network: the companion keeps the error and calls `failed`, which wakes the thread
that reads; that one calls `check`, and so raises it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from quorate.ingest.social.network import StreamStopped

JOIN_S = 1.0  # it waits at the inlet, which wakes it at a stop


class Companion:
    def __init__(self, name: str, work: Callable[[], None], failed: Callable[[], None]) -> None:
        self._work, self._failed = work, failed
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            self._work()
        except StreamStopped:
            pass
        except Exception as error:
            self._error = error
            self._failed()
