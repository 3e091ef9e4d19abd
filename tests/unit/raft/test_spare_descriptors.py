"""The log and the snapshots have descriptors of their own, and a lack of descriptors is no failed disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from quorate.cluster.raft.environment import in_words
from quorate.cluster.raft.storage import spare_descriptors
from quorate.cluster.raft.storage.files import OsFiles
from tests.support.waiting import wait_for


class Crowd:
    """Takes every descriptor of this process, and gives them back."""

    def __init__(self) -> None:
        self._taken: list[int] = []

    def take_all(self) -> None:
        while (descriptor := self._open_one()) is not None:
            self._taken.append(descriptor)

    def _open_one(self) -> int | None:
        with contextlib.suppress(OSError):
            return os.open(os.devnull, os.O_RDONLY)
        return None

    def give_back(self, number: int) -> None:
        for _ in range(min(number, len(self._taken))):
            os.close(self._taken.pop())


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    crowd = Crowd()
    try:
        yield crowd
    finally:
        crowd.give_back(10_000)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[OsFiles]:
    with closing(OsFiles(tmp_path)) as files:
        files.write("old", 0, b"before", durable=True)
        yield files


def test_files_are_opened_when_others_have_used_up_all_descriptors(files: OsFiles, crowd: Crowd) -> None:
    crowd.take_all()
    files.write("new", 0, b"after", durable=True)
    assert (b"before", b"after", ["new", "old"]) == (files.read("old"), files.read("new"), sorted(files.names()))


def test_the_kept_ones_are_replaced_as_soon_as_others_are_free(files: OsFiles, crowd: Crowd) -> None:
    """Each round opens as many files as are kept: without the replacement the second round finds none."""
    for name in ("first", "second", "third"):
        crowd.take_all()
        for number in range(spare_descriptors.KEPT - 1):
            files.write(f"{name}-{number}", 0, b"x", durable=True)
        crowd.give_back(spare_descriptors.KEPT + 1)
        assert b"before" == files.read("old")


def test_a_thread_waits_when_none_is_left_at_all(files: OsFiles, crowd: Crowd) -> None:
    crowd.take_all()
    for number in range(spare_descriptors.KEPT):
        files.write(f"segment-{number}", 0, b"x", durable=True)
    written = threading.Thread(target=lambda: files.write("late", 0, b"late", durable=True))
    written.start()
    wait_for("it says that it waits", lambda: files._spare._said_s > 0)
    assert written.is_alive()
    crowd.give_back(3)
    written.join(10)
    assert b"late" == files.read("late")


def test_the_loop_never_waits_for_a_descriptor(files: OsFiles, crowd: Crowd) -> None:
    async def read_on_the_loop() -> None:
        crowd.take_all()
        for number in range(spare_descriptors.KEPT):
            files.write(f"segment-{number}", 0, b"x")
        with pytest.raises(OSError, match="Too many open files"):
            files.read("old")
        crowd.give_back(10)  # the loop needs some to close itself

    asyncio.run(read_on_the_loop())


def descriptors() -> set[str]:
    """Those that are open, where the system tells. The listing has one of its own, which has the same number again."""
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()


def test_nothing_is_kept_after_closing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        before = descriptors()  # those of other tests may be closed meanwhile
        files = stack.enter_context(closing(OsFiles(tmp_path)))
        files.write("a", 0, b"x")
    assert set() == descriptors() - before


def test_a_lack_of_descriptors_is_not_called_a_failed_disk() -> None:
    words = str(in_words(OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "/var/lib/quorate"))
    assert "The disk is well" in words
    assert "LimitNOFILE" in words
    assert "failed" in str(in_words(OSError(errno.EIO, os.strerror(errno.EIO)), "/var/lib/quorate"))
