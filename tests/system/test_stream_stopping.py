"""A signal ends `quorate stream` in time, with exit code 0, whatever hangs: the network, the cluster, or NSQ."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.words import count
from tests.support.http_node import MOOD, Node, running
from tests.support.waiting import let_pass, wait_for

STOPS_S = 10  # five are promised; a busy machine takes longer
POST = '{"id": "p%d", "text": "so happy"}\n'


class PipedStream:
    """A stream that reads posts from a pipe, so its network hangs in a read whenever the test writes nothing."""

    def __init__(self, node: Node, folder: Path, *flags: str, before: str = "") -> None:
        self._pipe = folder / "pipe"
        os.mkfifo(self._pipe)
        command = [sys.executable, "-m", "quorate", "stream", "replay", "-", "--session", "test", *flags]
        command += ["--state", str(folder / "state"), "--node", f"http://127.0.0.1:{node.port}"]
        shell = ["sh", "-c", f'{before}exec "$@" < {self._pipe}', "sh", *command]
        self.process = Process("stream", shell, folder / "output.txt")
        self.process.start()
        self._writer = os.open(self._pipe, os.O_WRONLY)  # waits until the shell reads it
        self._written = 0
        self.says("connected")

    def write(self, posts: int) -> None:
        for _ in range(posts):
            os.write(self._writer, (POST % self._written).encode())
            self._written += 1

    def says(self, words: str) -> None:
        wait_for(f"it says {words!r}", lambda: words in self.process.output(), deadline_s=30, seen=self.process.tail)

    def close(self) -> None:
        self.process.close()
        os.close(self._writer)


@pytest.fixture
def node() -> Iterator[Node]:
    with running(status=lambda: {"state": {"cluster_id": "c1"}}) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@contextlib.contextmanager
def stalled(node: Node) -> Iterator[None]:
    """The node takes connections, and answers nobody."""
    over = threading.Event()
    node.loop.call_soon_threadsafe(over.wait)
    try:
        yield
    finally:
        over.set()


def ends_well(stream: PipedStream, number: signal.Signals) -> None:
    try:
        stream.process.signal(number)
        assert 0 == stream.process.ended(STOPS_S), stream.process.tail()
    finally:
        stream.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_stops_it_while_the_network_hangs_in_a_read(
    node: Node, tmp_path: Path, number: signal.Signals
) -> None:
    stream = PipedStream(node, tmp_path)
    stream.write(20)
    ends_well(stream, number)
    assert {"happy": node.tally()["happy"], "sad": 0} == node.tally()
    assert f"{count(node.tally()['happy'], 'vote')} confirmed" in stream.process.output()


def test_it_stops_while_the_cluster_answers_nothing(node: Node, tmp_path: Path) -> None:
    stream = PipedStream(node, tmp_path)
    with stalled(node):
        stream.write(20)
        let_pass(0.5, because="the votes are to be under way")
        ends_well(stream, signal.SIGTERM)
    assert "20 posts will be read again" in stream.process.output()


def test_it_stops_while_the_cluster_is_down(node: Node, tmp_path: Path) -> None:
    stream = PipedStream(node, tmp_path)
    node.run(node.server.stop(0.2))
    stream.write(20)
    stream.says("the cluster takes no votes: ")
    ends_well(stream, signal.SIGTERM)
    assert "20 posts will be read again" in stream.process.output()


def test_it_stops_while_nsq_is_down(node: Node, tmp_path: Path) -> None:
    stream = PipedStream(node, tmp_path, "--nsqd", f"127.0.0.1:{free_ports(1)[0]}")
    stream.write(20)
    stream.says("takes no votes: ")
    ends_well(stream, signal.SIGTERM)
    assert "20 posts will be read again" in stream.process.output()


def test_it_stops_while_nsq_answers_nothing(node: Node, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stream = PipedStream(node, tmp_path, "--nsqd", f"127.0.0.1:{silent.getsockname()[1]}")
        stream.write(20)
        connection, _ = silent.accept()
        ends_well(stream, signal.SIGTERM)
        connection.close()
    assert "20 posts will be read again" in stream.process.output()


def test_it_stops_while_it_is_being_started(node: Node, tmp_path: Path) -> None:
    (tmp_path / "posts").write_text(POST % 1)
    command = [sys.executable, "-m", "quorate", "stream", "replay", str(tmp_path / "posts"), "--state", str(tmp_path)]
    process = Process("stream", [*command, "--node", f"http://127.0.0.1:{node.port}"], tmp_path / "output.txt")
    asked = threading.Event()
    with stalled(node), contextlib.closing(process):
        node.loop.call_soon_threadsafe(asked.set)
        process.start()
        wait_for("it asks the node", lambda: is_asking(process, node.port))
        process.signal(signal.SIGTERM)
        assert 0 == process.ended(STOPS_S), process.tail()


def is_asking(process: Process, port: int) -> bool:
    """Whether some connection to the port is established, as /proc has it."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[2].endswith(f":{port:04X}") and line[3] == "01" for line in lines) and process.running


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(node: Node, tmp_path: Path) -> None:
    """`nohup quorate stream … &`"""
    stream = PipedStream(node, tmp_path, before="trap '' HUP INT; ")
    stream.process.signal(signal.SIGHUP)
    stream.process.signal(signal.SIGINT)
    stream.write(5)
    wait_for("the votes are counted", lambda: 5 == node.tally()["happy"])
    ends_well(stream, signal.SIGTERM)
    assert "5 posts read, 5 votes confirmed" in stream.process.output()
