"""The network of `quorate chaos --network namespaces`: what the kernel does to real connections, and to real nodes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quorate.chaos.history import Fault
from quorate.chaos.namespaces.namespace_network import NAME, NamespaceNetwork
from quorate.chaos.toxics import Toxics
from quorate.chaos.verdict import judge
from quorate.processes.node import Place
from tests.support.chaos_process import ChaosProcess
from tests.support.namespaces import dialled, inside, listener, network_of_namespaces
from tests.support.waiting import wait_for

PATIENT_S, SHORT_S = 15.0, 0.3
ENDED_S = 100.0
A, B = ("a", "b"), ("b", "a")


@dataclass
class Echo:
    """Node b: what it gets on a connection, it says again. It keeps what came last, also before an end."""

    listener: socket.socket
    last: bytes = b""
    ended: set[bytes] = field(default_factory=set)

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            last = b""
            while data := connection.recv(65536):
                self.last = last = data
                connection.sendall(data)
            self.ended.add(last)


@dataclass
class Pair:
    network: NamespaceNetwork
    a: Place
    b: Place
    echo: Echo

    def dial(self, timeout_s: float = PATIENT_S) -> socket.socket:
        connection = dialled(self.a, self.b.raft, timeout_s)
        connection.settimeout(PATIENT_S)
        return connection

    def sent_packets(self) -> int:
        """By a, on its interface."""
        lines = inside(self.a, lambda: Path("/proc/thread-self/net/dev").read_text()).splitlines()
        return int(next(line for line in lines if "eth0:" in line).split()[10])

    def sent_again(self) -> int:
        """Segments, by a's TCP."""
        lines = inside(self.a, lambda: Path("/proc/thread-self/net/snmp").read_text()).splitlines()
        names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
        return int(numbers[names.index("RetransSegs")])


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with network_of_namespaces() as network:
        a, b = (network.place(id, Path("/nowhere") / id) for id in ("a", "b"))
        echo = Echo(listener(b, b.raft))
        threading.Thread(target=echo.serve, daemon=True).start()
        yield Pair(network, a, b, echo)
        echo.listener.shutdown(socket.SHUT_RDWR)  # or it would go on accepting
        echo.listener.close()


@pytest.fixture(autouse=True)
def sound(pair: Pair) -> Iterator[None]:
    yield
    pair.network.links.heal()


def say(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return heard(connection, len(words))


def heard(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(65536)
        assert piece, "the connection ended"
        found += piece
    return found


def hears_nothing(connection: socket.socket) -> bool:
    connection.settimeout(SHORT_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENT_S)
    return False


def test_what_is_lost_in_a_cut_is_sent_again_by_tcp_on_the_same_connection(pair: Pair) -> None:
    with pair.dial() as connection:
        assert b"before" == say(connection, b"before")
        before = pair.sent_again()
        mend = pair.network.links.cut(["a"], ["b"])
        connection.sendall(b"meanwhile")
        assert hears_nothing(connection)
        with pytest.raises(TimeoutError):
            pair.dial(SHORT_S)
        mend()
        assert b"meanwhile" == heard(connection, 9)
        assert pair.sent_again() > before


def test_a_cut_of_one_direction_lets_the_other_through(pair: Pair) -> None:
    with pair.dial() as connection:
        say(connection, b"before")
        pair.network.links.cut(["b"], ["a"], one_way=True)
        connection.sendall(b"one way")
        wait_for("b hears it", lambda: pair.echo.last == b"one way")
        assert hears_nothing(connection)
        pair.network.links.heal()
        assert b"one way" == heard(connection, 7)


def test_clients_on_the_host_reach_a_node_that_is_cut_off(pair: Pair) -> None:
    pair.network.links.cut(["a"], ["b"])
    with socket.create_connection((pair.b.raft.host, pair.b.raft.port), PATIENT_S) as connection:
        assert b"client" == say(connection, b"client")


def test_lost_packets_are_sent_again_and_all_bytes_come(pair: Pair) -> None:
    with pair.dial() as connection:
        before = pair.sent_again()
        pair.network.links.disturb({A: Toxics(loss=0.2)})
        words = os.urandom(120_000)
        assert words == say(connection, words)
        assert pair.sent_again() > before


@pytest.mark.parametrize("toxics", [Toxics(reset_peer_s=0.1), Toxics(limit_data_bytes=50_000), Toxics(timeout_s=0.1)])
def test_connections_that_are_ended_from_outside(pair: Pair, toxics: Toxics) -> None:
    if (why := pair.network.links.missing(toxics)) is not None:
        pytest.skip(why)
    with pair.dial() as connection:
        say(connection, b"before")
        pair.network.links.disturb({A: toxics, B: toxics})

        def is_over() -> bool:
            try:
                connection.sendall(b"x" * 1000)
            except (ConnectionError, TimeoutError):
                return True
            return False

        wait_for("a is told", is_over)
    pair.network.links.heal()
    with pair.dial() as connection:
        assert b"after" == say(connection, b"after")


def test_the_end_of_a_connection_is_told_late_and_what_was_said_before_is_not(pair: Pair) -> None:
    with pair.dial() as connection:
        pair.network.links.disturb({A: Toxics(slow_close_s=0.3), B: Toxics(slow_close_s=0.3)})
        before = pair.sent_again()
        assert b"last words" == say(connection, b"last words")
        connection.shutdown(socket.SHUT_WR)
        wait_for("b is told", lambda: b"last words" in pair.echo.ended)
        assert pair.sent_again() > before, "the end itself had to be sent again"


def test_packets_get_small(pair: Pair) -> None:
    words = b"x" * 60_000
    with pair.dial() as connection:
        before = pair.sent_packets()
        say(connection, words)
        large = pair.sent_packets() - before
        mend = pair.network.links.disturb({A: Toxics(slicer_bytes=300)})
        before = pair.sent_packets()
        say(connection, words)
        assert pair.sent_packets() - before >= len(words) / 300 > 2 * large
        mend()
        before = pair.sent_packets()
        say(connection, words)
        assert pair.sent_packets() - before < len(words) / 300


@pytest.mark.parametrize("toxics", [Toxics(bandwidth_bytes_s=400_000), Toxics(latency_s=0.03, jitter_s=0.02)])
def test_narrow_and_slow_links_bring_everything(pair: Pair, toxics: Toxics) -> None:
    if (why := pair.network.links.missing(toxics)) is not None:
        pytest.skip(why)
    with pair.dial() as connection:
        words = os.urandom(100_000)
        mend = pair.network.links.disturb({A: toxics, B: toxics})
        assert words == say(connection, words)
        mend()
        assert words == say(connection, words)


def test_a_node_that_moved_is_cut_off_at_both_addresses(pair: Pair) -> None:
    network, c = pair.network, pair.network.place("c", Path("/nowhere/c"))
    moved = network.move("c")
    assert moved == network.addresses()["c"] != c.raft
    at_both = [listener(c, each) for each in (c.raft, moved)]
    try:
        mend = network.links.cut(["a"], ["c"])
        for each in (c.raft, moved):
            with pytest.raises(TimeoutError):
                dialled(pair.a, each, SHORT_S)
        mend()
        dialled(pair.a, moved, PATIENT_S).close()
    finally:
        for listening in at_both:
            listening.close()
        network.drop("c")
    assert {"a", "b"} == set(network.addresses())


def test_two_networks_side_by_side_have_nothing_in_common(pair: Pair) -> None:
    with network_of_namespaces() as other:
        there = other.place("a", Path("/nowhere"))
        pair.network.links.cut(["a"], ["b"])
        assert there.raft != pair.a.raft
        with pytest.raises(OSError, match=r"unreachable|timed out"):
            dialled(there, pair.b.raft, SHORT_S)
        with listener(there, there.raft), socket.create_connection((there.raft.host, there.raft.port), PATIENT_S):
            pass


@pytest.mark.timeout(2 * ENDED_S + 20)
def test_a_run_is_clean_and_leaves_nothing_and_neither_does_one_that_is_killed(tmp_path: Path, pair: Pair) -> None:
    """The killed one has no chance to tidy up: the kernel does it."""
    faults = "partition-leader,partition-one-way,flapping-link,loss,reset,move-node"
    flags = ["--network", "namespaces", "--nodes", "3", "--seed", "3"]
    run, killed = ChaosProcess(tmp_path / "run", *flags), ChaosProcess(tmp_path / "killed", *flags)
    before = interfaces()
    for process, duration in ((run, "8s"), (killed, "60s")):
        process.log.parent.mkdir()
        process.command += ["--duration", duration, "--faults", faults]
    try:
        run.start()
        killed.start()
        wait_for("one breaks things", lambda: "broken: " in killed.output(), deadline_s=ENDED_S, seen=killed.output)
        killed.signal(signal.SIGKILL)
        run.ended(ENDED_S)
    finally:
        run.close()
        killed.close()
    verdict = judge(run.history)
    assert ("clean", []) == (verdict.verdict, verdict.violations), (verdict.reasons, run.output())
    assert len({record.name for record in run.records() if isinstance(record, Fault)}) > 2
    wait_for("no interface is left", lambda: interfaces() <= before)
    wait_for("no node is left", lambda: not holding(tmp_path))


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex() if name.startswith(NAME)}


def holding(folder: Path) -> list[str]:
    return [str(path) for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in words_of(path)]


def words_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""
