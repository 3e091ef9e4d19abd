"""A TCP link to MongoDB, of which a test says what passes and when."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress


class MongoLink:
    """Passes on all that comes. `pass_on` is there to be overridden: it is called on the thread of one direction."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("mongodb://").partition("/")[0].rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here = self._listener.accept()[0]
                there = socket.create_connection(self._target)
                threading.Thread(target=self._carry, args=(here, there, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(there, here, False), daemon=True).start()

    def _carry(self, a: socket.socket, b: socket.socket, to_server: bool) -> None:
        with suppress(OSError), closing(a), closing(b):
            while data := a.recv(65536):
                self.pass_on(data, b, to_server=to_server)

    def pass_on(self, data: bytes, goal: socket.socket, *, to_server: bool) -> None:
        goal.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # or it would go on accepting
        self._listener.close()


class MeanwhileLink(MongoLink):
    """Calls `meanwhile` whenever an update has been sent and has not arrived: between a sink's look and its write."""

    UPDATE = b"\x02update\x00"  # the name of the command, as BSON

    def __init__(self, url: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(url)
        self._meanwhile = meanwhile

    def pass_on(self, data: bytes, goal: socket.socket, *, to_server: bool) -> None:
        if to_server and self.UPDATE in data:
            self._meanwhile()
        super().pass_on(data, goal, to_server=to_server)
