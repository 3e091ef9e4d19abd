"""A stream's own address: `/status`, `/metrics` and `/healthz`, for people, Prometheus and supervisors.

It only shows. A page of another site can have its own name lead here (DNS rebinding), so a name is answered only if it
is one of ours; addresses and localhost are. Requests are few and small, and the connection ends after each.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

import msgspec

from quorate import shown
from quorate.errors import ConfigError
from quorate.host_port import read_host_port
from quorate.ingest.social import stream_metrics
from quorate.ingest.social.stream_status import StreamStatus
from quorate.site import read_name, read_site

log = logging.getLogger(__name__)

REQUEST_S, IN_ALL_S = 5.0, 15.0
CONNECTIONS_MAX = 32
JSON, TEXT, PROMETHEUS = "application/json", "text/plain; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"


class _Requests(BaseHTTPRequestHandler):
    server_version, sys_version = "quorate", ""
    timeout = REQUEST_S
    server: _StreamServer

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self.path.partition("?")[0], self.headers.get_all("Host") or [])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged."""


class _StreamServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], status: StreamStatus, names: Iterable[str]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._status = status
        self._names = {site.name for site in map(read_name, [address[0], *names]) if site is not None}
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Requests)

    def server_bind(self) -> None:
        """Without the library's question for the name of this host, which may take seconds."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread is to be had: it ends here, and the server shuts the connection
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """`REQUEST_S` is for each read: whoever sends byte after byte has a bound in all, too."""
        end = threading.Timer(IN_ALL_S, lambda: _hang_up(request))
        end.daemon = True
        try:
            end.start()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self.shutdown_request(request)
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request could not be answered", exc_info=True)

    def answer(self, path: str, hosts: list[str]) -> tuple[int, str, bytes]:
        site = read_site(hosts[0]) if len(hosts) == 1 else None
        if site is None:
            return 400, TEXT, b"give one Host header, with the name or the address that is asked\n"
        if not site.leads_here and site.name not in self._names:
            return 421, TEXT, b"this name is not known here: ask by the address, or add the name to stream.hosts\n"
        answers: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/status": lambda: (200, JSON, msgspec.json.format(msgspec.json.encode(self._status.report())) + b"\n"),
            "/metrics": lambda: (200, PROMETHEUS, stream_metrics.as_text(self._status)),
            "/healthz": self._health,
        }
        if path not in answers:
            return 404, TEXT, f"there are {', '.join(answers)}\n".encode()
        return answers[path]()

    def _health(self) -> tuple[int, str, bytes]:
        troubles, rests = self._status.troubles(), self._status.rests
        lines = troubles or ["ok", *([f"it waits on purpose: {rests}"] if rests else [])]
        return 503 if troubles else 200, TEXT, "".join(f"{shown.line(each)}\n" for each in lines).encode()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class StreamListener:
    """Listens from the moment it is made. Raises `ConfigError` if the address cannot be had."""

    def __init__(self, listen: str, status: StreamStatus, names: Iterable[str] = ()) -> None:
        try:
            self._server = _StreamServer(listen_address(listen), status, names)
        except OSError as error:
            raise ConfigError(f"cannot listen on {listen}: {error.strerror or error}; correct stream.listen") from None
        self.port: int = self._server.server_address[1]
        log.info("listening on port %d", self.port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="listen", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def listen_address(text: str) -> tuple[str, int]:
    """host:port, or a port alone, which is of this host alone. Raises `ConfigError`."""
    try:
        return read_host_port(f"127.0.0.1:{text.removeprefix(':')}" if text.removeprefix(":").isdigit() else text)
    except ValueError as error:
        raise ConfigError(f"stream.listen: {error}") from None
