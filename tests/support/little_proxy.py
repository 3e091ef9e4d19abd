"""A little HTTP proxy as a process: it records what reaches it, and passes everything on to one server.

    python -m tests.support.little_proxy RECORD HOST:PORT

It prints its port. Whatever host a request names, it goes to HOST:PORT. CONNECT is refused with 403.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class LittleProxy:
    url: str
    record: Path

    @property
    def seen(self) -> list[str]:
        """The request lines that reached it, without the protocol: `POST http://node.example:8001/votes`."""
        return self.record.read_text().splitlines()


@contextlib.contextmanager
def little_proxy(folder: Path, target: str) -> Iterator[LittleProxy]:
    record = folder / "proxy"
    record.touch()
    command = [sys.executable, "-m", "tests.support.little_proxy", str(record), target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield LittleProxy(f"http://127.0.0.1:{int(process.stdout.readline())}", record)
        finally:
            process.kill()


class _Handler(BaseHTTPRequestHandler):
    record: Path
    target: str

    def do_GET(self) -> None:
        self._note()
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        with contextlib.closing(http.client.HTTPConnection(self.target, timeout=10)) as onward:
            onward.request(self.command, f"{parts.path}?{parts.query}".rstrip("?"), body, headers)
            answer = onward.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server looks for

    def do_CONNECT(self) -> None:
        self._note()
        self.send_error(403)

    def _note(self) -> None:
        with self.record.open("a") as opened:
            opened.write(f"{self.command} {self.path}\n")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    record, target = sys.argv[1:]
    _Handler.record, _Handler.target = Path(record), target
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
