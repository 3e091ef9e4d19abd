"""Ports of 127.0.0.1 on which nobody listens, and that no other program of ours is about to take."""

from __future__ import annotations

import functools
import os
import random
import socket
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from quorate import pidfile

# Below the range from which systems take the ports of outgoing connections (Linux: 32768 and up). Inside that range, a
# connection may occupy the port of a stopped server before the server starts again.
PORTS = range(20_000, 32_000)
BLOCK = 500  # ports for one program: several parts of the tests run side by side, and each may run `dev`
PAIRED = 1_000  # half of a block lies so far above the other: where `dev` has the Raft port of an HTTP port
# Where the locks are: the same place for all programs of a user, also for one that was given a TMPDIR of its own.
LOCKS = Path("/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir())
_lately: deque[int] = deque(maxlen=BLOCK // 2)  # drawn, and perhaps not listened at yet


class NoFreePorts(Exception):
    """There are not as many free ports as were asked for."""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that are free now, drawn at random from this program's own block. The same one does not come again soon."""
    found: list[int] = []
    block = own_block()
    drawn = random.SystemRandom().sample(block, len(block))
    for port in sorted(drawn, key=lambda port: port in _lately):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) == count:
        _lately.extend(found)
        return found
    raise NoFreePorts(f"there are no {count} free ports on 127.0.0.1 from {block[0]} to {block[-1]}")


def own_block() -> Sequence[int]:
    """The ports that this process may take: a part of PORTS that it holds by a lock until it ends.

    So two test runs at the same time never take each other's ports, also not those of a node that is down at the
    moment. If all parts are held, the process draws from all ports.
    """
    held = _hold_a_block()
    return PORTS if held is None else _block(held[0])


def _block(start: int) -> list[int]:
    return [port + above for above in (0, PAIRED) for port in range(start, start + BLOCK // 2)]


@functools.cache  # the open file is the lock
def _hold_a_block() -> tuple[int, IO[str]] | None:
    folder = LOCKS / f"quorate-ports-{os.getuid()}"
    for both in range(PORTS.start, PORTS.stop, 2 * PAIRED):
        for start in range(both, both + PAIRED, BLOCK // 2):
            if (lock := pidfile.hold(folder, str(start))) is not None:
                return start, lock
    return None
