"""The highest version of the cluster's state that a client was told. Its reads are never from before that."""

from __future__ import annotations

import threading


class KnownVersion:
    """Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0

    @property
    def version(self) -> int:
        return self._version

    def note(self, version: int) -> None:
        with self._lock:
            self._version = max(self._version, version)

    def or_given(self, min_version: int | None) -> int:
        return self._version if min_version is None else min_version
