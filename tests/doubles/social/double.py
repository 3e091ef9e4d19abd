"""What the doubles of networks have in common: a server on a port, a list of its client's mistakes, and a way to be
told from outside what to do, when a double is a process of its own.

A double is asked `POST /double/METHOD` with the arguments of that method as a JSON object, and `GET /double` for what
it has seen.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

ORDERS = "/double"


class Double:
    """`clock` is the time by which pauses are judged, and `unix_s` that of ids and of `Date`: a test whose pauses take
    no time gives its own."""

    orders: tuple[str, ...] = ()  # its methods that may be asked for from outside

    def __init__(
        self, *, port: int = 0, clock: Callable[[], float] = time.monotonic, unix_s: Callable[[], float] = time.time
    ) -> None:
        self.clock, self.unix_s = clock, unix_s
        self.violations: list[str] = []  # what the client did wrong
        self.lock = threading.RLock()
        self._server = _Server(port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close_connections()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: Request) -> None:
        raise NotImplementedError

    def close_connections(self) -> None:
        """Of the answers that never end."""

    def seen(self) -> dict[str, Any]:
        return {"violations": self.violations}

    def blame(self, what: str) -> None:
        with self.lock:
            self.violations.append(what)


class Request:
    """One request of a client, read whole."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.handler = handler
        self.method = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.headers = handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))

    @property
    def url(self) -> str:
        return f"http://{self.headers['Host']}{self.handler.path}"

    @property
    def params(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.query, keep_blank_values=True).items()}

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    def reply(self, status: int, body: object = b"", headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.handler.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        request = Request(self)
        if request.path == ORDERS:
            request.reply(200, server.double.seen())
        elif request.path.startswith(f"{ORDERS}/"):
            self._order(server.double, request)
        else:
            server.double.answer(request)

    def do_POST(self) -> None:
        self.do_GET()

    def _order(self, double: Double, request: Request) -> None:
        name = urlsplit(request.path).path.rpartition("/")[2]
        if name not in double.orders:
            request.reply(404, {"orders": double.orders})
            return
        given = getattr(double, name)(**json.loads(request.body or b"{}"))
        request.reply(200, given if isinstance(given, dict | list | str | int) else {})

    def date_time_string(self, timestamp: float | None = None) -> str:
        server = self.server
        assert isinstance(server, _Server)
        return super().date_time_string(timestamp or server.double.unix_s())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, double: Double) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.double = double

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up as they like."""


def serve_for_ever(double: Double) -> None:
    with double:
        print(f"listening on {double.base}", flush=True)
        threading.Event().wait()


def arguments(about: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0)
    return parser
