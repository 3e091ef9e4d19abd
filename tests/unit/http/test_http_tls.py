"""HTTP over TLS: who speaks it is served as without, who does not is told, and nobody waits for anybody."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from quorate.doors import tls_listener
from quorate.doors.limits import Limits
from quorate.security.tls import server_tls
from tests.support.certificates import DAY, Authority
from tests.support.http_node import MOOD, TIMEOUT_S, Node, answer_of, running
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def over_tls(authority: Authority, **given: Any) -> Any:
    pair = authority.issue()
    return running(tls=partial(server_tls, *pair), trusts=authority.client_context(), **given)


@pytest.fixture(scope="module", params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Node]:
    with over_tls(authority, hot=request.param) as node:
        assert 201 == node.ask("POST", "/polls", MOOD).status
        yield node


def test_requests_are_answered_as_without(node: Node) -> None:
    before = node.tally()["happy"]
    assert 200 == node.vote(option="happy").status
    assert before + 1 == node.ask("GET", "/polls/mood/results").json["results"]["happy"]
    assert 3_000 == node.ask("POST", "/votes", [{"option": "sad"} for _ in range(3_000)]).json["applied"]
    assert (404, 421) == (node.ask("GET", "/x").status, node.ask("GET", "/x", None, {"Host": "evil.example"}).status)


def test_a_page_may_ask_its_own_node(node: Node) -> None:
    assert 200 == node.ask("GET", "/livez", None, {"Origin": f"https://localhost:{node.port}"}).status


def test_a_connection_serves_many_requests_and_events(node: Node) -> None:
    connection = node.connect()
    for _ in range(3):
        connection.request("GET", "/livez")
        assert b"ok" in connection.getresponse().read()
    connection.request("GET", "/events?poll=mood")
    answer = connection.getresponse()
    assert any(b"mood" in answer.readline() for _ in range(20))
    connection.close()
    wait_for("the stream is gone", lambda: node.api.counts.streams == 0)


def test_what_a_client_leaves_unread_is_counted(authority: Authority) -> None:
    """What was sealed and not sent was in no count, so answers of megabytes had no bound."""
    with over_tls(authority) as node, socket.socket() as sock:
        assert (
            201
            == node.ask("POST", "/polls", {"id": "big", "options": [f"option {n:05}" for n in range(50_000)]}).status
        )
        node.hold_little_in_sockets()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", node.port))
        with authority.client_context().wrap_socket(sock, server_hostname="localhost") as sealed:
            sealed.sendall(b"GET /polls/big/results HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for("the answer is held", lambda: sum(each.unsent for each in node.server._open()) > 500_000)
            wait_for("it is seen unread", lambda: all(each.unread_since_s for each in node.server._open()))
            wait_for("the budget has it", lambda: node.server.unsent.held > 500_000)


@pytest.mark.parametrize(
    "request_line", [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /votes HTTP/1.1\r\n"]
)
def test_plain_http_is_told_in_words(node: Node, request_line: bytes) -> None:
    with node.dial() as sock:
        sock.sendall(request_line)
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https:// instead of http://" in answer
    assert b"x-quorate-node: n1" in answer


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01", b"\x80\x2e\x01", b"\x16garbage, and no handshake", b"\x16\x03\x01\xff\xff"]
)
def test_what_is_neither_is_closed_and_others_go_on(node: Node, garbage: bytes) -> None:
    with node.dial() as sock:
        sock.sendall(garbage)
        with contextlib.suppress(OSError):  # it may be closed already
            sock.shutdown(socket.SHUT_WR)
        assert_ends(sock)
    assert 200 == node.ask("GET", "/livez").status


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_of_tls_are_refused(node: Node, authority: Authority) -> None:
    context = authority.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with node.dial() as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock, server_hostname="localhost")


def test_handshakes_that_do_not_end_are_cut_in_time(authority: Authority) -> None:
    with over_tls(authority) as node, ExitStack() as held:
        node.limit(head_timeout_s=0.3)
        slow = [held.enter_context(node.dial()) for _ in range(3)]
        slow[1].sendall(b"\x16")
        slow[2].sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        for sock in slow:
            assert_ends(sock)
        node.limit(head_timeout_s=TIMEOUT_S)
        assert 200 == node.ask("GET", "/livez").status


def test_the_oldest_handshakes_make_room_for_new_ones(authority: Authority) -> None:
    with over_tls(authority, limits=Limits(handshakes=4)) as node, ExitStack() as held:
        idle = [held.enter_context(node.dial()) for _ in range(20)]
        assert 200 == node.ask("GET", "/livez").status
        for sock in idle[:15]:
            assert_ends(sock)


def test_handshakes_beyond_the_pace_wait_and_open_connections_go_on(authority: Authority) -> None:
    slow = Limits(handshakes_per_s=0.001, handshakes_at_once=1)
    with over_tls(authority, limits=slow) as node, contextlib.closing(node.connect()) as first:
        first.request("GET", "/livez")
        assert 200 == answer_of(first.getresponse()).status
        node.limit(head_timeout_s=0.3)
        with pytest.raises((ssl.SSLError, OSError)):
            node.ask("GET", "/livez")
        first.request("GET", "/livez")
        assert 200 == answer_of(first.getresponse()).status


def assert_ends(sock: socket.socket) -> None:
    sock.settimeout(TIMEOUT_S)
    try:
        while sock.recv(65_536):
            pass
    except ConnectionResetError:
        pass


def test_connections_beyond_the_limit_are_refused_unless_one_is_idle(authority: Authority) -> None:
    with over_tls(authority, limits=Limits(connections=1)) as node:
        idle, busy = node.connect(), node.connect()
        idle.request("GET", "/livez")
        assert 200 == idle.getresponse().status
        busy.request("GET", "/events")
        assert 200 == busy.getresponse().status
        assert 503 == node.ask("GET", "/livez").status
        idle.close()
        busy.close()


def test_a_new_certificate_is_taken_and_old_connections_go_on(authority: Authority) -> None:
    with over_tls(authority) as node:
        old = node.connect()
        old.request("GET", "/livez")
        old.getresponse().read()
        before = serial_of(node, authority)
        tls = node.server._tls
        assert tls is not None
        authority.issue()
        for _ in range(2):  # a change holds when two looks in a row agree
            assert before == serial_of(node, authority)
            node.run(tls.look())
        assert before != serial_of(node, authority)
        old.request("GET", "/livez")
        assert 200 == old.getresponse().status
        old.close()


def serial_of(node: Node, authority: Authority) -> str:
    with node.dial() as sock, authority.client_context().wrap_socket(sock, server_hostname="localhost") as wrapped:
        certificate = wrapped.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def test_a_client_that_takes_no_answer_is_cut(authority: Authority) -> None:
    with over_tls(authority) as node:
        node.ask("POST", "/polls", {"id": "big", "options": [f"{i:07d} {'x' * 200}" for i in range(18_000)]})
        with node.dial() as sock, authority.client_context().wrap_socket(sock, server_hostname="localhost") as wrapped:
            wrapped.sendall(b"GET /polls/big/results HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
            wait_for("it is connected", lambda: node.server.connections == 1)
            node.limit(stall_timeout_s=0.1)
            wait_for("it is cut", lambda: node.server.connections == 0)


def test_a_request_that_does_not_arrive_is_cut(authority: Authority) -> None:
    context = authority.client_context()
    with (
        over_tls(authority) as node,
        node.dial() as sock,
        context.wrap_socket(sock, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        wait_for("the first of it is there", lambda: any(each._head_bytes for each in node.server._open()))
        node.limit(head_timeout_s=0.3)
        assert wrapped.recv(65_536).startswith(b"HTTP/1.1 408 ")
        assert b"" == wrapped.recv(65_536)


def test_accepting_goes_on_after_descriptors_were_short(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = iter([OSError(24, "Too many open files")] * 3)
    real = uvloop.Loop.sock_accept

    class Loop(uvloop.Loop):
        async def sock_accept(self, sock: socket.socket) -> Any:
            if (error := next(failing, None)) is not None:
                raise error
            return await real(self, sock)

    monkeypatch.setattr(tls_listener, "ACCEPT_AGAIN_S", 0.01)
    monkeypatch.setattr(uvloop, "new_event_loop", Loop)
    with over_tls(authority) as node:
        assert 200 == node.ask("GET", "/livez").status
    assert next(failing, None) is None
    assert 1 == caplog.text.count("cannot be accepted")


def test_stopping_ends_what_is_no_connection_yet(authority: Authority, tmp_path: Path) -> None:
    with over_tls(authority) as node:
        idle = node.dial()
        half = node.dial()
        half.sendall(b"\x16\x03\x01\x02\x00")
        assert 200 == node.ask("GET", "/livez").status
        node.run(node.server.stop(0.2))
        assert_ends(idle)
        assert_ends(half)
        idle.close()
        half.close()
        with pytest.raises(ConnectionRefusedError):
            node.dial()


def test_an_ended_certificate_is_refused_by_the_client_alone(authority: Authority) -> None:
    pair = authority.issue("ended", lasts=-DAY)
    with (
        running(tls=partial(server_tls, *pair), trusts=authority.client_context()) as node,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        node.ask("GET", "/livez")
