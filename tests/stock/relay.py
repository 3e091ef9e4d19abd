"""A relay between nodes, over real sockets, that cuts its connections in the middle, as a bad network does."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
from types import TracebackType

CHUNK_BYTES = 65536
STEP_S = 0.1


class Relay:
    """Listens at `port` and passes everything on to `target`; each of the first `cuts` connections ends on the way."""

    def __init__(self, *, cuts: int, after_bytes: tuple[int, int], seed: int) -> None:
        self.cuts, self.cut = cuts, 0
        self.target = 0
        self._after_bytes, self._rng = after_bytes, random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Relay:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)
        self._server.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            if select.select([self._server], [], [], STEP_S)[0]:
                thread = threading.Thread(target=self._pass, args=(self._server.accept()[0],))
                self._threads.append(thread)
                thread.start()

    def _pass(self, caller: socket.socket) -> None:
        target = ("127.0.0.1", self.target)
        with caller, contextlib.suppress(OSError), socket.create_connection(target, 5) as called:
            self._copy(caller, called)

    def _copy(self, caller: socket.socket, called: socket.socket) -> None:
        limit, passed = self._rng.randint(*self._after_bytes), 0
        while not self._stopping.is_set():
            for source in select.select([caller, called], [], [], STEP_S)[0]:
                data = source.recv(CHUNK_BYTES)
                if not data:
                    return
                (called if source is caller else caller).sendall(data)
                passed += len(data)
            if passed > limit and self.cut < self.cuts:
                self.cut += 1
                return
