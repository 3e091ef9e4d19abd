"""The links of `chaos/proxies` with real sockets: what each toxic does to a connection between two nodes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from quorate.chaos.proxies.links import Links
from quorate.chaos.toxics import SOUND, Toxics, together
from tests.support.waiting import wait_for

QUIET_S = 0.15  # nothing came for so long: only for what must never come
PATIENT_S = 10.0


class Inbox:
    """Node b: keeps what each connection brings, and can answer."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections: list[socket.socket] = []
        self.came: list[bytes] = []  # in the order of arrival, over all connections
        self.ended: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def text(self) -> bytes:
        return b"".join(self.came)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(65536):
                self.came.append(data)
            self.ended.append("closed")
        except OSError:
            self.ended.append("reset")

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # or it would go on accepting
        self.listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def b() -> Iterator[Inbox]:
    with closing(Inbox()) as inbox:
        yield inbox


@pytest.fixture
def links(b: Inbox) -> Iterator[Links]:
    links = Links({"b": b.port})
    links.start()
    yield links
    links.close()


def hello(node: str) -> bytes:
    frame = msgspec.msgpack.encode([1, node, False, b"n" * 16])
    return len(frame).to_bytes(4, "big") + frame


def dial(links: Links, b: Inbox, node: str = "a") -> socket.socket:
    """A connection of this node's to b, which b has accepted and read the hello of."""
    connection = socket.create_connection(("127.0.0.1", links.ports["b"]), timeout=PATIENT_S)
    connection.sendall(hello(node))
    wait_for("b is told who dials", lambda: b.text.endswith(hello(node)))
    b.came.clear()
    return connection


def arrives(b: Inbox, text: bytes) -> bool:
    wait_for(f"{text!r} arrives", lambda: b.text == text, seen=lambda: repr(b.text))
    return True


def stays_away(b: Inbox, text: bytes) -> bool:
    end_s = time.monotonic() + QUIET_S
    wait_for("a moment passes", lambda: time.monotonic() > end_s)
    return b.text != text


def is_over(connection: socket.socket) -> str:
    try:
        return "closed" if connection.recv(1) == b"" else "open"
    except ConnectionResetError:
        return "reset"


def test_bytes_pass_in_both_directions_and_so_does_the_end(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        a.sendall(b"there")
        assert arrives(b, b"there")
        b.connections[0].sendall(b"back")
        assert b"back" == a.recv(100)
    wait_for("b is told of the end", lambda: b.ended == ["closed"])


def test_while_it_is_cut_bytes_wait_and_connections_stay_open(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        mend = links.cut(["a"], ["b"])
        assert (True, set()) == (links.is_silent("b", "a"), links.reached_by("a", ["a", "b"]))
        a.sendall(b"later")
        assert stays_away(b, b"later")
        mend()
        assert arrives(b, b"later")
        assert {"b"} == links.reached_by("a", ["a", "b"])
    assert not links.is_silent("a", "b")


def test_one_way_lets_the_other_way_through(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.cut(["a"], ["b"], one_way=True)
        a.sendall(b"later")
        b.connections[0].sendall(b"now")
        assert b"now" == a.recv(100)
        assert stays_away(b, b"later")
        links.heal()
        assert arrives(b, b"later")


def test_of_an_end_nothing_is_told_through_a_cut(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        mend = links.cut(["a"], ["b"])
        a.close()
        assert stays_away(b, b"x")
        assert [] == b.ended
        mend()
    wait_for("b is told of the end", lambda: b.ended == ["closed"])


def test_a_cut_is_of_two_nodes_and_leaves_others_alone(links: Links, b: Inbox) -> None:
    links.cut(["a"], ["b"])
    with dial(links, b, "c") as c:
        c.sendall(b"from c")
        assert arrives(b, b"from c")


def test_two_disturbances_hold_until_both_have_ended(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        first, second = links.cut(["a"], ["b"]), links.cut(["a"], ["b"])
        a.sendall(b"later")
        first()
        first()
        assert stays_away(b, b"later")
        second()
        assert arrives(b, b"later")


def test_latency_keeps_the_order(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.disturb({("a", "b"): Toxics(latency_s=0.05, jitter_s=0.05)})
        began_s = time.monotonic()
        for i in range(20):
            a.sendall(b"%d;" % i)
        assert arrives(b, b"".join(b"%d;" % i for i in range(20)))
        links.disturb({("a", "b"): Toxics(latency_s=0.2)})
        b.came.clear()
        a.sendall(b"x")
        assert arrives(b, b"x")
        assert time.monotonic() - began_s > 0.15


def test_bandwidth_slicing_and_loss_pass_every_byte(links: Links, b: Inbox) -> None:
    text = bytes(range(256)) * 40
    with dial(links, b) as a:
        for toxics in (Toxics(bandwidth_bytes_s=50_000), Toxics(slicer_bytes=100), Toxics(loss=0.5)):
            mend = links.disturb({("a", "b"): toxics})
            b.came.clear()
            a.sendall(text)
            assert arrives(b, text), toxics
            mend()


def test_a_flapping_link_passes_everything_in_the_end(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.disturb({("a", "b"): Toxics(flaps_s=0.05)})
        for i in range(5):
            a.sendall(b"%d" % i)
        assert arrives(b, b"01234")


def test_after_a_timeout_the_connection_is_closed_and_nothing_has_passed(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.disturb({("a", "b"): Toxics(timeout_s=0.05)})
        a.sendall(b"lost")
        assert "closed" == is_over(a)
        wait_for("b is told", lambda: len(b.ended) == 1)
        assert b"" == b.text


def test_a_reset_is_read_as_a_reset_at_both_ends(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.disturb({("b", "a"): Toxics(reset_peer_s=0.0)})
        assert "reset" == is_over(a)
        wait_for("b is told", lambda: b.ended == ["reset"])


def test_after_the_limit_the_connection_is_closed(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.disturb({("a", "b"): Toxics(limit_data_bytes=3)})
        a.sendall(b"12345")
        assert arrives(b, b"123")
        assert is_over(a) in ("closed", "reset")


def test_what_is_reordered_comes_after_bytes_of_the_next_connection(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        mend = links.disturb({("a", "b"): Toxics(reordering=1.0)})
        a.sendall(b"old")
        assert "closed" == is_over(a)
        mend()
    with socket.create_connection(("127.0.0.1", links.ports["b"])) as again:
        again.sendall(hello("a") + b"new")
        wait_for("both came", lambda: b.text.endswith(b"old") and b"new" in b.text, seen=lambda: repr(b.text))


def test_a_slow_close_is_told_late(links: Links, b: Inbox) -> None:
    with dial(links, b) as a:
        links.disturb({("a", "b"): Toxics(slow_close_s=60)})
        a.sendall(b"last words")
    assert arrives(b, b"last words")
    assert stays_away(b, b"")
    assert [] == b.ended


def test_whoever_does_not_say_who_it_is_is_hung_up_on(links: Links, b: Inbox) -> None:
    tls = b"\x16\x03\x01\x02\x00\x01"
    for nonsense in (tls, b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x02\x91\x01"):
        with socket.create_connection(("127.0.0.1", links.ports["b"]), timeout=PATIENT_S) as stranger:
            stranger.sendall(nonsense)
            assert is_over(stranger) in ("closed", "reset"), nonsense
    assert [] == b.connections


def test_a_door_of_a_pair_needs_no_hello(links: Links, b: Inbox) -> None:
    port = links.door("a", "b")
    assert port == links.door("a", "b")
    with socket.create_connection(("127.0.0.1", port)) as a:
        a.sendall(b"\x16\x03\x01")
        assert arrives(b, b"\x16\x03\x01")
        links.cut(["a"], ["b"])
        a.sendall(b"later")
        assert stays_away(b, b"\x16\x03\x01later")


def test_a_node_may_move_and_another_may_come(links: Links, b: Inbox) -> None:
    with closing(Inbox()) as elsewhere, closing(Inbox()) as new:
        links.move("b", elsewhere.port)
        with dial(links, elsewhere) as a:
            a.sendall(b"moved")
            assert arrives(elsewhere, b"moved")
        port = links.add("c", new.port)
        with socket.create_connection(("127.0.0.1", port)) as a:
            a.sendall(hello("a"))
            assert arrives(new, hello("a"))
    assert [] == b.connections


def test_disturbances_after_the_end_are_no_error(links: Links) -> None:
    mend = links.cut(["a"], ["b"])
    links.close()
    links.close()
    mend()


def test_toxics_add_up() -> None:
    both = Toxics(latency_s=0.1, loss=0.5, timeout_s=2).with_(
        Toxics(latency_s=0.2, loss=0.5, bandwidth_bytes_s=7, timeout_s=1)
    )
    assert (0.75, 7, 1) == (both.loss, both.bandwidth_bytes_s, both.timeout_s)
    assert pytest.approx(0.3) == both.latency_s
    assert SOUND == together([]) == SOUND.with_(SOUND)
