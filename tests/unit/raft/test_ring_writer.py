"""The kernel writes groups of the log by itself, in order with what the disk thread does."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import select
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quorate.cluster.raft.storage import ring_writer
from quorate.cluster.raft.storage.ring import BEGUN, ENTER, SHORT, KernelOperation, Ring, RingWrite
from quorate.cluster.raft.storage.ring_writer import RingWriter
from quorate.cluster.raft.storage.writer import WAITING_MAX
from quorate.errors import Overloaded

DEADLINE_S = 20


def ring_or_skip() -> None:
    try:
        Ring().close()
    except OSError as error:
        pytest.skip(f"this kernel gives no io_uring: {error}")


@asynccontextmanager
async def writer() -> AsyncIterator[RingWriter]:
    made = RingWriter("quorate-disk")
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield made
    finally:
        await asyncio.to_thread(made.stop)
        made.stop()
        await asyncio.sleep(0)  # the ring is closed on the loop


@dataclass
class Operation(KernelOperation):
    """Writes, which the thread makes if it is called."""

    writes: Sequence[RingWrite]
    by_thread: list[int] = field(default_factory=list)
    by_kernel: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        for each in self.writes:
            self.by_thread.append(os.pwrite(each.fd, each.data, each.offset))

    def kernel_writes(self) -> Sequence[RingWrite]:
        return self.writes

    def written(self, took_s: float) -> None:
        self.by_kernel.append(took_s)


@dataclass
class Files:
    """Two files, as the log and the hint are."""

    folder: Path

    def __post_init__(self) -> None:
        self.fds = [os.open(self.folder / name, os.O_RDWR | os.O_CREAT) for name in ("log", "hint")]

    def operation(self, number: int) -> Operation:
        data = b"%08d" % number
        log = RingWrite(self.fds[0], len(data) * number, data, durable=True)
        return Operation([log, RingWrite(self.fds[1], 0, data, durable=False)])

    def found(self) -> tuple[bytes, bytes]:
        log, hint = ((self.folder / name).read_bytes() for name in ("log", "hint"))
        return log, hint


async def answer_of(writer: RingWriter, operation: object) -> object:
    answers: asyncio.Queue[object] = asyncio.Queue()
    writer.run(operation, answers.put_nowait)  # type: ignore[arg-type]  # any callable
    return await answers.get()


def test_the_kernel_writes_what_it_can_in_order(tmp_path: Path) -> None:
    ring_or_skip()

    async def work() -> None:
        files, operations = Files(tmp_path), []
        async with writer() as made:
            for number in range(20):
                operations.append(files.operation(number))
                assert await answer_of(made, operations[-1]) is None
                assert b"%08d" % number == files.found()[1]
            assert made.in_kernel
        assert b"".join(b"%08d" % number for number in range(20)) == files.found()[0]
        assert {(0, 1)} == {(len(each.by_thread), len(each.by_kernel)) for each in operations}

    asyncio.run(work())


def test_what_is_given_while_the_kernel_writes_is_done_after_it(tmp_path: Path) -> None:
    ring_or_skip()

    async def work() -> None:
        files, over = Files(tmp_path), asyncio.Event()
        told: list[object] = []
        async with writer() as made:
            for number in range(3):
                made.run(files.operation(number), told.append)
                made.run(lambda: files.found()[1], told.append)
            made.run(lambda: None, lambda _: over.set())
            await over.wait()
        assert [None, b"%08d" % 0, None, b"%08d" % 1, None, b"%08d" % 2] == told

    asyncio.run(work())


def test_what_a_result_gives_rise_to_comes_after_what_was_given_before_it(tmp_path: Path) -> None:
    """A journal whose group is written writes the next one. Log files that were to be removed meanwhile go first."""
    ring_or_skip()

    async def work() -> None:
        files, told = Files(tmp_path), asyncio.Queue[object]()
        async with writer() as made:
            made.run(files.operation(0), lambda _: made.run(files.operation(1), told.put_nowait))
            made.run(lambda: files.found()[1], told.put_nowait)
            assert [b"%08d" % 0, None] == [await told.get(), await told.get()]

    asyncio.run(work())


def test_the_kernel_does_not_overtake_the_thread(tmp_path: Path) -> None:
    ring_or_skip()

    async def work() -> None:
        files, go_on, told = Files(tmp_path), threading.Event(), asyncio.Queue[object]()
        async with writer() as made:
            made.run(lambda: go_on.wait(DEADLINE_S), told.put_nowait)
            made.run(operation := files.operation(0), told.put_nowait)
            go_on.set()
            assert [True, None] == [await told.get(), await told.get()]
            assert [8, 8] == operation.by_thread

    asyncio.run(work())


def test_a_write_that_fails_is_told_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    ring_or_skip()

    async def work() -> None:
        files = Files(tmp_path)
        full = os.open("/dev/full", os.O_RDWR)
        async with writer() as made:
            assert await answer_of(made, files.operation(0)) is None
            first, second = files.operation(1).writes
            result = await answer_of(made, Operation([first._replace(fd=full), second]))
            assert isinstance(result, OSError)
            assert errno.ENOSPC == result.errno
            assert b"%08d" % 0 == files.found()[1]
            assert not made.in_kernel
            ring = made._ring
            assert ring is not None
            assert not asyncio.get_running_loop().remove_reader(ring.eventfd), "it tells of what was cancelled, too"
            again = files.operation(2)
            assert await answer_of(made, again) is None
            assert [8, 8] == again.by_thread
        os.close(full)

    asyncio.run(work())


def test_a_write_that_falls_short_is_made_again_by_the_thread(tmp_path: Path) -> None:
    """As on a disk that is nearly full: the thread meets its end, and says so."""
    ring_or_skip()

    async def work() -> None:
        files = Files(tmp_path)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)  # so a write of more than it holds falls short
        long = RingWrite(writing, 0, bytes(fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) + 1), durable=False)
        async with writer() as made:
            result = await answer_of(made, Operation([long, *files.operation(0).writes]))
            assert isinstance(result, OSError)
            assert errno.ESPIPE == result.errno, "which the thread's pwrite says of a pipe"
        assert (b"", b"") == files.found()
        for fd in (reading, writing):
            os.close(fd)

    asyncio.run(work())


def test_a_disk_that_hangs_stops_neither_the_loop_nor_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring_or_skip()
    monkeypatch.setattr(ring_writer, "STOP_TIMEOUT_S", 0.01)

    async def work() -> None:
        reading, writing = os.pipe()
        size = os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)))
        answers: asyncio.Queue[object] = asyncio.Queue()
        async with writer() as made:
            made.run(Operation([RingWrite(writing, 0, b"no room", durable=False)]), answers.put_nowait)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(lambda: made.wait(lambda: None, timeout_s=0.01))
            for _ in range(WAITING_MAX):
                made.run(lambda: None, lambda _: None)
            with pytest.raises(Overloaded):
                made.run(lambda: None, lambda _: None)
            assert answers.empty()
        os.read(reading, size)  # the kernel can end now
        for fd in (reading, writing):
            os.close(fd)

    asyncio.run(work())


def test_who_waits_waits_for_the_kernel_too(tmp_path: Path) -> None:
    """An orderly stop writes the last mark on another thread, while the loop runs, or on the loop's own."""
    ring_or_skip()

    async def work() -> None:
        files = Files(tmp_path)
        async with writer() as made:
            told: asyncio.Queue[object] = asyncio.Queue()
            made.run(files.operation(0), told.put_nowait)
            assert b"%08d" % 0 == made.wait(files.found, timeout_s=DEADLINE_S)[1]
            assert await told.get() is None
            made.run(files.operation(1), told.put_nowait)
            found = await asyncio.to_thread(lambda: made.wait(files.found, timeout_s=DEADLINE_S))
            assert b"%08d" % 1 == found[1]
            assert await told.get() is None

    asyncio.run(work())


def test_without_a_ring_the_thread_does_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Ring:
        raise PermissionError(errno.EPERM, "as a container's rules say")

    monkeypatch.setattr(ring_writer, "Ring", refuse)

    async def work() -> None:
        files = Files(tmp_path)
        async with writer() as made:
            operation = files.operation(0)
            assert await answer_of(made, operation) is None
            assert not made.in_kernel
            assert [8, 8] == operation.by_thread
        assert (b"%08d" % 0, b"%08d" % 0) == files.found()

    asyncio.run(work())


def test_a_node_may_be_told_to_leave_it_to_the_thread(tmp_path: Path) -> None:
    async def work() -> None:
        files = Files(tmp_path)
        made = RingWriter("quorate-disk", uses_ring=False)
        operation = files.operation(0)
        assert await answer_of(made, operation) is None
        assert not made.in_kernel
        assert [8, 8] == operation.by_thread
        await asyncio.to_thread(made.stop)

    asyncio.run(work())


def test_who_waits_waits_also_where_descriptors_are_many(tmp_path: Path) -> None:
    """`select` takes none above 1,023, and a node may have tens of thousands of connections."""
    ring_or_skip()

    async def work() -> None:
        files = Files(tmp_path)
        async with writer() as made:
            assert await answer_of(made, files.operation(0)) is None
            ring = made._ring
            assert ring is not None
            low, ring.eventfd = ring.eventfd, fcntl.fcntl(ring.eventfd, fcntl.F_DUPFD_CLOEXEC, 1_500)
            made.run(files.operation(1), lambda _: None)
            assert b"%08d" % 1 == made.wait(files.found, timeout_s=DEADLINE_S)[1]
            os.close(ring.eventfd)
            ring.eventfd = low

    asyncio.run(work())


def test_news_before_the_end_is_no_success(tmp_path: Path) -> None:
    """Some kernels tell the eventfd of completions that are skipped: what stands in the ring is then an old one."""
    ring_or_skip()
    files, ring = Files(tmp_path), Ring()
    for number in range(20):  # more than the ring has places
        ring.begin(files.operation(number).writes)
        assert 0 == taken(ring)
    reading, writing = os.pipe()
    size = os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)))
    ring.begin([RingWrite(writing, 0, b"no room!", durable=False), files.operation(20).writes[1]])
    os.eventfd_write(ring.eventfd, 1)
    assert ring.take() is None
    os.read(reading, size)
    assert 0 == taken(ring)
    ring.close()
    for fd in (reading, writing):
        os.close(fd)


def taken(ring: Ring) -> int | None:
    ready = select.poll()
    ready.register(ring.eventfd, select.POLLIN)
    assert ready.poll(DEADLINE_S * 1000)
    return ring.take()


@pytest.mark.parametrize("error", [errno.ECANCELED, errno.EINTR, errno.EAGAIN])
def test_what_the_kernel_did_not_make_is_made_by_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """ECANCELED: it could start no thread of its own, as where the limit of processes is reached. The disk is well."""
    ring_or_skip()
    take = Ring.take
    monkeypatch.setattr(Ring, "take", lambda ring: None if take(ring) is None else error)

    async def work() -> None:
        files = Files(tmp_path)
        async with writer() as made:
            operation = files.operation(0)
            assert await answer_of(made, operation) is None
            assert [8, 8] == operation.by_thread
            assert b"%08d" % 0 == made.wait(files.found, timeout_s=DEADLINE_S)[1]

    asyncio.run(work())


@pytest.mark.parametrize("error", [errno.EIO, SHORT])
def test_who_waits_does_nothing_after_a_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """An orderly stop would put a clean mark behind a hole."""
    ring_or_skip()
    take = Ring.take
    monkeypatch.setattr(Ring, "take", lambda ring: None if take(ring) is None else error)

    async def work() -> None:
        files, made_after = Files(tmp_path), list[int]()
        async with writer() as made:
            told: asyncio.Queue[object] = asyncio.Queue()
            made.run(files.operation(0), told.put_nowait)
            with pytest.raises(OSError, match=r"write before"):
                made.wait(lambda: made_after.append(1), timeout_s=DEADLINE_S)
            assert [] == made_after
            await told.get()

    asyncio.run(work())


def test_bytes_of_writes_with_an_unknown_end_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring_or_skip()
    call = Ring._call

    def takes_one(ring: Ring, number: int, *arguments: object) -> int:
        return call(ring, number, *arguments) - (number == ENTER)

    monkeypatch.setattr(Ring, "_call", takes_one)

    async def work() -> None:
        files = Files(tmp_path)
        async with writer() as made:
            operation = files.operation(0)
            with pytest.raises(RuntimeError):
                made.run(operation, lambda _: None)
            ring = made._ring
            assert ring is not None
            with pytest.raises(OSError, match=r"write before"):
                made.wait(lambda: None, timeout_s=DEADLINE_S)
        assert ring in BEGUN
        assert ring._writes is operation.writes
        assert ring.eventfd >= 0
        assert 0 == taken(ring)
        ring.close()
        assert ring not in BEGUN

    asyncio.run(work())
