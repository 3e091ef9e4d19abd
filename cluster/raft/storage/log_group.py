"""A group of records on its way to the disk: the log and the hint, written by the disk thread or by the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from quorate.cluster.raft.storage.files import Files, OsFiles
from quorate.cluster.raft.storage.ring import KernelOperation, RingWrite
from quorate.cluster.raft.storage.segments import HINT_NAME
from quorate.crash_points import crash_point


@dataclass(frozen=True, slots=True)
class LogGroup:
    """To be called on the disk thread. `obsolete` are log files that it replaces."""

    files: Files
    name: str
    offset: int
    data: bytes
    hint: bytes
    obsolete: Sequence[str]

    def __call__(self) -> None:
        crash_point("segment-before-write" if self.offset == 0 else "journal-before-write")
        self.files.write(self.name, self.offset, self.data, durable=True)
        crash_point("journal-after-write")
        self.files.write(HINT_NAME, 0, self.hint)  # not synced: it is for killed processes only
        for old in self.obsolete:
            crash_point("log-replaced-before-remove")
            self.files.remove(old)

    def kernel_writes(self) -> Sequence[RingWrite] | None:
        """What the kernel has to write, in this order. None: there is more to do, or these are no files of the system's
        alone, as those whose disk a test lets hang."""
        if self.obsolete or not isinstance(self.files, OsFiles):
            return None
        log, hint = self.files.descriptor(self.name), self.files.descriptor(HINT_NAME)
        if log is None or hint is None:
            return None
        crash_point("journal-before-write")
        return RingWrite(log, self.offset, self.data, durable=True), RingWrite(hint, 0, self.hint, durable=False)


@dataclass(frozen=True, slots=True)
class TimedGroup(KernelOperation):
    """A group that is only written while the log is well. How long that took is told to `took`."""

    group: LogGroup
    unless_failed: Callable[[Callable[[], None]], None]
    took: Callable[[float], None]

    def __call__(self) -> None:
        self.unless_failed(self._write)

    def _write(self) -> None:
        began_s = perf_counter()
        self.group()
        self.took(perf_counter() - began_s)

    def kernel_writes(self) -> Sequence[RingWrite] | None:
        return self.group.kernel_writes()

    def written(self, took_s: float) -> None:
        crash_point("journal-after-write")
        self.took(took_s)
