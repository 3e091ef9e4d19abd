"""Writes that the kernel makes by itself: one io_uring of Linux, for a few writes at a time, one after the other.

A thread of Python that writes must get the interpreter's lock back after each system call, and the loop stands in its
way. Here the loop makes one system call, and the kernel tells an eventfd when all is written (io_uring(7)). The kernel
makes these writes on a thread of its own (IOSQE_ASYNC), so the loop never waits for the disk.

The rings are shared memory. The kernel reads the submissions in our own system call. A completion is read only after
the eventfd has told of it, and to read that is a system call, too: so both sides see what the other has written before.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

SETUP, ENTER, REGISTER = 425, 426, 427  # the same on all architectures
REGISTER_EVENTFD = 4
SINGLE_MMAP, CQE_SKIP = 1 << 0, 1 << 11  # features: Linux 5.4, and 5.17
OFFSET_SQES = 0x10000000
OP_WRITE = 23
LINK, ASYNC, SKIP_SUCCESS = 1 << 2, 1 << 4, 1 << 6  # flags of a submission
DURABLY: int = getattr(os, "RWF_DSYNC", 0)
ENTRIES = 8
SHORT = -1  # less was written than was to be, as on a disk that is nearly full
# Another may make these. ECANCELED: the kernel could start no thread, as where the limit of processes is reached.
NOT_MADE = (SHORT, errno.ECANCELED, errno.EINTR, errno.EAGAIN)
PARAMS_BYTES, SQE_BYTES, CQE_BYTES = 120, 64, 16

_SQE = struct.Struct("<BBHiQQIiQ")
_CQE = struct.Struct("<Qi")
_U32 = struct.Struct("<I")

BEGUN: set[Ring] = set()  # with writes under way: the kernel reads their bytes, whoever drops the ring


class RingWrite(NamedTuple):
    fd: int
    offset: int
    data: bytes
    durable: bool  # as `Files.write` has it; of files whose directory entry is durable


class KernelOperation:
    """An operation that the kernel may do by itself. It can be called as any other."""

    def __call__(self) -> None:
        raise NotImplementedError

    def kernel_writes(self) -> Sequence[RingWrite] | None:
        """What it writes. None: it has to be called."""
        raise NotImplementedError

    def written(self, took_s: float) -> None:
        """The kernel has written it."""
        raise NotImplementedError


class Ring:
    """`eventfd` becomes readable when the writes that were begun are done: then `take` tells what became of them.

    After a write that failed it is not `usable` any more.
    """

    def __init__(self) -> None:
        """Raises OSError if this kernel has no such rings, or this process may not use them."""
        if sys.platform != "linux" or not DURABLY:
            raise OSError("io_uring is Linux's")
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        params = (ctypes.c_char * PARAMS_BYTES)()
        self._fd = self._call(SETUP, ENTRIES, params)
        self._writes: Sequence[RingWrite] = ()  # under way
        self._mapped: list[mmap.mmap] = []
        self.eventfd = -1
        self.usable = True
        try:
            sq_entries, cq_entries, _, _, _, features = struct.unpack_from("<6I", params)
            if features & SINGLE_MMAP == 0 or features & CQE_SKIP == 0:
                raise OSError("this kernel's io_uring is too old")
            _, self._sq_tail, sq_mask, _, _, _, sq_array, _, _ = struct.unpack_from("<8IQ", params, 40)
            self._cq_head, self._cq_tail, cq_mask, _, _, self._cqes, _, _, _ = struct.unpack_from("<8IQ", params, 80)
            size = max(sq_array + sq_entries * _U32.size, self._cqes + cq_entries * CQE_BYTES)
            self._rings = self._map(size)
            self._sqes = self._map(sq_entries * SQE_BYTES, OFFSET_SQES)
            self._sq_mask, self._cq_mask = self._number(sq_mask), self._number(cq_mask)
            for place in range(sq_entries):
                _U32.pack_into(self._rings, sq_array + place * _U32.size, place)
            self._submitted = self._taken = 0
            self.eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._call(REGISTER, self._fd, REGISTER_EVENTFD, ctypes.byref(ctypes.c_int(self.eventfd)), 1)
        except BaseException:
            self.close()
            raise

    def _call(self, number: int, *arguments: object) -> int:
        # As C would pass them to syscall(2): an int of 32 bits may leave the upper half of a register as it is.
        longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in (number, *arguments)]
        result = int(self._syscall(*longs))
        if result < 0:
            raise OSError(error := ctypes.get_errno(), os.strerror(error))
        return result

    def _map(self, size: int, offset: int = 0) -> mmap.mmap:
        self._mapped.append(mapped := mmap.mmap(self._fd, size, offset=offset))
        return mapped

    def _number(self, offset: int) -> int:
        return int(_U32.unpack_from(self._rings, offset)[0])

    def begin(self, writes: Sequence[RingWrite]) -> None:
        """Begin to write, one after the other: if one fails, those after it are not made. Nothing may be under way.

        Raises OSError if nothing was begun, and RuntimeError if nobody will know what becomes of it.
        """
        assert not self._writes
        self._writes, begun = writes, self._submitted
        BEGUN.add(self)
        for place, write in enumerate(writes):
            flags = ASYNC if place + 1 == len(writes) else ASYNC | LINK | SKIP_SUCCESS
            address = ctypes.cast(ctypes.c_char_p(write.data), ctypes.c_void_p).value
            at = (self._submitted & self._sq_mask) * SQE_BYTES
            _SQE.pack_into(
                self._sqes,
                at,
                OP_WRITE,
                flags,
                0,
                write.fd,
                write.offset,
                address,
                len(write.data),
                DURABLY if write.durable else 0,
                place,
            )
            self._submitted = (self._submitted + 1) & 0xFFFFFFFF
        _U32.pack_into(self._rings, self._sq_tail, self._submitted)
        try:
            taken = self._call(ENTER, self._fd, len(writes), 0, 0, None, 0)
        except OSError:
            self._writes, self._submitted = (), begun
            BEGUN.discard(self)
            _U32.pack_into(self._rings, self._sq_tail, begun)
            raise
        if taken != len(writes):  # then nothing says that they were made, nor in which order
            raise RuntimeError(f"the kernel took {taken} of {len(writes)} writes")

    def take(self) -> int | None:
        """What became of the writes: 0 if all were made, an error's number, or `SHORT`. None: they are under way."""
        try:
            os.eventfd_read(self.eventfd)
        except BlockingIOError:
            return None
        if self._number(self._cq_tail) == self._taken:  # news of a write whose success is not told, or older news
            return None
        place, result = _CQE.unpack_from(self._rings, self._cqes + (self._taken & self._cq_mask) * CQE_BYTES)
        self._taken = (self._taken + 1) & 0xFFFFFFFF
        _U32.pack_into(self._rings, self._cq_head, self._taken)
        writes, self._writes = self._writes, ()
        BEGUN.discard(self)
        if result == len(writes[place].data) and place + 1 == len(writes):
            return 0
        self.usable = False  # those behind it are cancelled, and that is told, too
        return SHORT if result >= 0 else -result

    def close(self) -> None:
        """Idempotent. While writes are under way, it stays open, with their bytes."""
        if self in BEGUN:
            return
        for mapped in self._mapped:
            mapped.close()
        for fd in (self._fd, self.eventfd):
            if fd >= 0:
                os.close(fd)
        self._fd = self.eventfd = -1
