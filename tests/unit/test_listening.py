"""Listening on addresses of both families: all of them, or none, and the one that cannot be had is named."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from quorate.errors import ConfigError
from quorate.listening import Purpose, listen_on
from tests.support.families import needs_ipv6

PURPOSE = Purpose("serve HTTP", "http.listen", backlog=16)


@contextlib.contextmanager
def listening(*addresses: tuple[str, int]) -> Iterator[list[socket.socket]]:
    sockets = asyncio.run(listen_on(addresses, PURPOSE))
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=20).close()
    except OSError:
        return False
    return True


def refusal(*addresses: tuple[str, int]) -> str:
    with pytest.raises(ConfigError) as refused, listening(*addresses):
        pass
    return refused.value.detail


def test_what_is_accepted_by_asyncio_is_sent_without_delay() -> None:
    """asyncio looks at the protocol of the socket that listens."""

    async def main() -> int:
        [sock] = await listen_on([("127.0.0.1", 0)], PURPOSE)
        no_delay = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            no_delay.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(accept, sock=sock):
            _, writer = await asyncio.open_connection(*sock.getsockname())
            found = int(await no_delay)
            writer.close()
        return found

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        assert 0 != runner.run(main())


@needs_ipv6
def test_the_wildcard_of_ipv6_takes_ipv4_too() -> None:
    with listening(("::", 0)) as [sock]:
        assert [True, True] == [answers(host, port_of(sock)) for host in ("127.0.0.1", "::1")]


@needs_ipv6
def test_where_one_socket_cannot_take_both_families_there_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listening(("::", 0)) as sockets:
        assert [socket.AF_INET6, socket.AF_INET] == [each.family for each in sockets]
        [port] = {port_of(each) for each in sockets}
        assert [True, True] == [answers(host, port) for host in ("127.0.0.1", "::1")]


@needs_ipv6
def test_an_ipv4_address_beside_the_wildcard_of_ipv6_has_a_socket_of_its_own() -> None:
    with listening(("127.0.0.1", 0)) as [probe]:
        port = port_of(probe)
    with listening(("::", port), ("127.0.0.1", port)) as sockets:
        assert 2 == len(sockets)
        assert [True, True] == [answers(host, port) for host in ("127.0.0.1", "::1")]


def test_a_name_listens_on_each_address_that_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    name_means(monkeypatch, "127.0.0.1", "127.0.0.2")
    with listening(("both.example", 0)) as sockets:
        [port] = {port_of(each) for each in sockets}
        assert [True, True] == [answers(host, port) for host in ("127.0.0.1", "127.0.0.2")]


def test_an_address_of_a_name_that_this_host_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    name_means(monkeypatch, "192.0.2.1", "127.0.0.1")
    with listening(("half.example", 0)) as [sock]:
        assert "127.0.0.1" == sock.getsockname()[0]


def test_an_address_that_a_name_means_too_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error would ask whether another node runs there."""
    with listening(("127.0.0.1", 0)) as [free]:
        port = port_of(free)
    name_means(monkeypatch, "127.0.0.1", "127.0.0.2")
    with listening(("here.example", port), ("here.also.example", port)) as sockets:
        assert ["127.0.0.1", "127.0.0.2"] == [each.getsockname()[0] for each in sockets]


def test_the_wildcard_takes_what_a_name_means_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(("127.0.0.1", 0)) as [free]:
        port = port_of(free)
    meant = {"here.example": "127.0.0.1"}
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: real(meant.get(host, host), *rest, **named))
    with listening(("here.example", port), ("0.0.0.0", port)) as sockets:
        assert ["0.0.0.0"] == [each.getsockname()[0] for each in sockets]


@pytest.mark.parametrize("name", ["localhost", "votes.localhost"])
def test_a_name_of_loopback_that_leads_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The settings take it for an address that only this host can reach, so they ask for no tokens and no key."""
    name_means(monkeypatch, "127.0.0.1", "0.0.0.0")
    assert f"{name} means 0.0.0.0 here, open to other hosts; correct http.listen" in refusal((name, 0))


def name_means(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> Sequence[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_one_address_that_cannot_be_had_is_named_and_the_others_are_let_go() -> None:
    with listening(("127.0.0.1", 0), ("127.0.0.2", 0)) as [free, taken]:
        free_port, taken_port = port_of(free), port_of(taken)
        free.close()
        said = refusal(("127.0.0.1", free_port), ("127.0.0.2", taken_port))
    assert f"cannot serve HTTP on 127.0.0.2:{taken_port}: Address already in use" in said
    assert "another address as http.listen" in said
    assert not answers("127.0.0.1", free_port)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (("192.0.2.1", 8001), "on 192.0.2.1:8001: Cannot assign requested address. This host has no such address"),
        (("no.such.name", 8001), "on no.such.name:8001: the name is not known"),
    ],
)
def test_the_words_name_the_cause(address: tuple[str, int], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def without_dns(host: str, *given: Any, **more: Any) -> Any:
        if host == "no.such.name":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", without_dns)
    assert said in refusal(("127.0.0.1", 0), address)


@needs_ipv6
def test_a_link_local_address_without_its_interface_is_told() -> None:
    said = refusal(("fe80::1", 8001))
    assert "on [fe80::1]:8001" in said
    assert "A link-local address needs its interface, as [fe80::1%eth0]: correct http.listen" in said


@pytest.fixture
def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def only_ipv4(family: int = socket.AF_INET, *rest: Any, **named: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest, **named)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)


@pytest.mark.usefixtures("no_ipv6")
def test_on_a_host_without_ipv6_its_wildcard_means_all_of_ipv4() -> None:
    with listening(("::", 0)) as [sock]:
        assert "0.0.0.0" == sock.getsockname()[0]


@pytest.mark.usefixtures("no_ipv6")
def test_a_host_without_ipv6_is_told_what_to_give_instead() -> None:
    said = refusal(("::1", 8001))
    assert "cannot serve HTTP on [::1]:8001" in said
    assert "This host has no IPv6: give an IPv4 address as http.listen" in said
