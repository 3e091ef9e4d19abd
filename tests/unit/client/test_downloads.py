"""A download comes from the first node that gives it, whatever the nodes before that do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from quorate.client.asking import NodeUrls
from quorate.client.downloads import Downloader, OpenedAnswer
from quorate.errors import NoLeader
from tests.support.http_handler import serving


class Well(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"whole")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def well_node() -> Iterator[str]:
    with serving(Well) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def hung() -> Iterator[str]:
    """It takes connections and says nothing, as a process that was stopped."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def whole(answer: OpenedAnswer) -> bytes:
    return b"".join(answer.pieces())


def test_a_node_that_hangs_leaves_time_for_the_next(hung: str) -> None:
    with well_node() as well:
        assert b"whole" == Downloader(NodeUrls([hung, well]), timeout_s=8).read("/backup", {}, whole, anew=True)


def test_a_node_that_hangs_is_given_up_at_the_time_that_was_given(hung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.client.downloads.SILENCE_S", 10**6)  # it would wait for the whole test otherwise
    with pytest.raises(NoLeader, match="did not answer in time"):
        Downloader(NodeUrls([hung]), timeout_s=0.3).read("/backup", {}, whole, anew=True)
