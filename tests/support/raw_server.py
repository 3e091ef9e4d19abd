"""A server that plays a script over real sockets, so that a test says each byte of an answer, and when it comes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[[socket.socket], None]


@dataclass(slots=True)
class RawServer:
    """`requests` are the beginnings of what came, up to the blank line."""

    port: int
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def raw_server(script: Script, tls: ssl.SSLContext | None = None, *, reads: bool = True) -> Iterator[RawServer]:
    """Each connection plays the script in a thread of its own, after its request was read, and is closed then."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = RawServer(listening.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    connections.append(accepted)
                    threading.Thread(target=play, args=(accepted,), daemon=True).start()

        def play(accepted: socket.socket) -> None:
            with contextlib.suppress(OSError), accepted:
                accepted.settimeout(20)
                with accepted if tls is None else tls.wrap_socket(accepted, server_side=True) as sock:
                    connections.append(sock)
                    if reads:
                        server.requests.append(_request(sock))
                    script(sock)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for each in connections:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


def _request(sock: socket.socket) -> str:
    got = b""
    while b"\r\n\r\n" not in got:
        piece = sock.recv(65_536)
        if not piece:
            break
        got += piece
    return got.decode("latin-1")


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def wait_for_end(sock: socket.socket) -> None:
    """Until the client hangs up."""
    with contextlib.suppress(OSError):
        while sock.recv(65_536):
            pass
