"""Ports of 127.0.0.1 on which nobody listens."""

from __future__ import annotations

import random
import socket

# Below the range from which systems take the ports of outgoing connections (Linux: 32768 and up). Inside that range, a
# connection may occupy the port of a stopped server before the server starts again.
PORTS = range(20_000, 32_000)


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
    """Ports that are free now, drawn at random, so that two programs that ask at the same time rarely get the same."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise NoFreePorts(f"there are no {count} free ports on 127.0.0.1 from {PORTS.start} to {PORTS.stop}")
