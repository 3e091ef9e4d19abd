"""Network namespaces for a test that can have them: two of them joined by a router, and sockets inside."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pytest

from quorate.chaos.namespaces.namespace_network import NamespaceNetwork
from quorate.chaos.namespaces.net_namespace import LIBC
from quorate.config import Address
from quorate.errors import Invalid
from quorate.processes.node import Place

T = TypeVar("T")


@contextmanager
def network_of_namespaces() -> Iterator[NamespaceNetwork]:
    """Skips the test where the machine does not allow it. QUORATE_REQUIRE_SERVICES asks for servers, not for this."""
    try:
        network = NamespaceNetwork()
    except Invalid as error:
        pytest.skip(f"no network namespaces here: {error.detail}")
    try:
        network.start()
        yield network
    finally:
        network.close()


def inside(place: Place, call: Callable[[], T]) -> T:
    """Call it in the place's namespace. A socket that it makes stays there, whoever uses it."""
    path = place.through[1].removeprefix("--net=")

    def enter() -> T:
        namespace = os.open(path, os.O_RDONLY)
        try:
            assert 0 == LIBC.setns(namespace, 0)
        finally:
            os.close(namespace)
        return call()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(enter).result()


def listener(place: Place, at: Address) -> socket.socket:
    return inside(place, lambda: socket.create_server((at.host, at.port)))


def dialled(place: Place, goal: Address, timeout_s: float) -> socket.socket:
    return inside(place, lambda: socket.create_connection((goal.host, goal.port), timeout_s))
