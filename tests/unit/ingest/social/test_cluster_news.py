"""Hearing at once that polls have changed, from whichever node tells it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from quorate.client.http import JsonClient
from quorate.ingest.social.options.cluster_news import ClusterNews
from quorate.ingest.social.options.cluster_polls import ClusterPolls
from quorate.ingest.social.options.live_polls import LivePolls
from quorate.ingest.social.post import Post
from tests.support.http_node import MOOD, Node, running
from tests.support.raw_server import raw_server
from tests.support.waiting import wait_for

PAUSE_S = 0.02


class Heard:
    """Counts the news."""

    def __init__(self) -> None:
        self.times = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.times += 1


@pytest.fixture
def node() -> Iterator[Node]:
    with running(hot=True) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def url(node: Node) -> str:
    return f"http://127.0.0.1:{node.port}"


@contextlib.contextmanager
def hearing(*nodes: str) -> Iterator[Heard]:
    heard, news = Heard(), ClusterNews(nodes, pause_s=PAUSE_S)
    news.start(heard)
    try:
        yield heard
    finally:
        news.stop()


def test_a_poll_that_changes_is_news_and_votes_are_none(node: Node) -> None:
    with hearing(url(node)) as heard:
        wait_for("it follows", lambda: heard.times == 1)
        for _ in range(3):
            node.vote(option="happy", poll="mood")
        node.ask("POST", "/polls/mood/state", {"state": "closed"})
        wait_for("it is told", lambda: heard.times == 2)


def test_another_node_tells_where_one_does_not(node: Node) -> None:
    """One is gone, one is of 0.1.0, and one ends the stream at once."""

    def refuse(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    def end(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n")

    with raw_server(refuse) as old, raw_server(end) as ending:
        others = ["http://127.0.0.1:9", f"http://127.0.0.1:{old.port}", f"http://127.0.0.1:{ending.port}"]
        with hearing(*others, url(node)) as heard:
            wait_for("it follows the one that tells", lambda: len(node.api.events) == 1)
            wait_for("both that began were news", lambda: heard.times == 2)
            node.ask("POST", "/polls/mood/state", {"state": "closed"})
            wait_for("it is told", lambda: heard.times == 3)


def test_a_stop_ends_the_stream(node: Node) -> None:
    with hearing(url(node)):
        wait_for("it follows", lambda: len(node.api.events) == 1)
    wait_for("the node has noticed", lambda: len(node.api.events) == 0)


def test_a_new_poll_is_used_long_before_the_minute_is_over(node: Node) -> None:
    reader = ClusterPolls(lambda: JsonClient([url(node)]), {})
    live = LivePolls(reader, news=ClusterNews([url(node)], pause_s=PAUSE_S), refresh_s=3_600, pause_s=0)
    live.start(lambda terms: None)
    try:
        wait_for("it follows", lambda: len(node.api.events) == 1)
        node.ask("POST", "/polls", {"id": "tea", "options": ["milk", "lemon"], "state": "open"})
        wait_for("the poll is used", lambda: bool(live.current.matcher.match(Post("1", "milk"))))
        node.ask("POST", "/polls/tea/state", {"state": "closed"})
        wait_for("it is used no more", lambda: not live.current.matcher.match(Post("1", "milk")))
    finally:
        live.stop()
