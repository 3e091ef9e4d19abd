"""Nodes that give prepared answers, over real sockets."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | str
COUNTED = {"applied": 1, "duplicates": 0, "rejected": [], "version": 7}


def problem(kind: str, status: int, **fields: Any) -> Answer:
    return status, {"type": f"/problems/{kind}", "title": "T", "status": status, "detail": "what to do", **fields}


class ScriptedNode:
    """Answers each request with the next of `answers`, and from then on with the last.

    `hang` does not answer, `break` closes the connection, and `slow` answers late that there is no leader.
    """

    def __init__(self, answers: list[Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.connections = 0
        self.release = threading.Event()
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                node.connections += 1

            def do_GET(self) -> None:
                node.answer(self)

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'' if tls is None else 's'}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append((handler.command, handler.path, body, dict(handler.headers)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            if answer == "hang":
                self.release.wait(20)
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        data = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
        handler.send_response(answer[0])
        for name, value in (answer[2] if len(answer) > 2 else {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def stop(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


_KEPT: list[socket.socket] = []  # as long as one of them is bound, nobody else gets its port


def nowhere() -> str:
    """A URL where nothing listens."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    _KEPT.append(kept)
    return f"http://127.0.0.1:{kept.getsockname()[1]}"
