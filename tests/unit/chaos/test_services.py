"""Which servers `--services` asks for, and the doors before them."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quorate.chaos.services.chaos_services import ChaosServices, address_of, read_services
from quorate.chaos.services.checkout import NotHad
from quorate.chaos.services.doors import ServiceDoors
from quorate.chaos.services.mongo_liar import TWICE, MongoLiar
from quorate.chaos.toxics import Toxics
from quorate.errors import Invalid
from quorate.processes.ports import free_ports
from tests.support.raw_server import raw_server


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("all", {"mongo": "", "consul": "", "nsqd": ""}),
        ("nsqd", {"nsqd": ""}),
        ("mongo=mongodb://h:1/,nsqd=h:2", {"mongo": "mongodb://h:1/", "nsqd": "h:2"}),
    ],
)
def test_what_is_asked_for(asked: str, read: dict[str, str]) -> None:
    assert read == read_services(asked)


@pytest.mark.parametrize(
    "asked", ["", ",", "redis", "mongo=http://h:1", "consul=h:port", "nsqd=mongodb://h", "nsqd=:1"]
)
def test_what_makes_no_sense_is_refused(asked: str) -> None:
    with pytest.raises(Invalid):
        read_services(asked)


def test_addresses() -> None:
    assert ("h", 27017) == address_of("mongo", "mongodb://u:p@h/?x=1")
    assert ("::1", 8501) == address_of("consul", "http://[::1]:8501")


def test_a_server_that_is_not_at_its_address_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    services = ChaosServices({"consul": f"127.0.0.1:{port}"}, tmp_path)
    with closing(services), pytest.raises(NotHad, match=f"no Consul answers at 127.0.0.1:{port}"):
        services.start()


def test_a_server_that_cannot_be_had_is_missing_and_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("quorate.chaos.services.chaos_services.consul_program", lambda: None)
    services = ChaosServices({"consul": ""}, tmp_path)
    with closing(services):
        services.start()
        assert ({"consul": "there is no consul on PATH"}, {}) == (services.missing, services.settings())


# ---- doors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def doors() -> Iterator[ServiceDoors]:
    with closing(ServiceDoors(1)) as doors:
        yield doors


def asks(port: int) -> bytes:
    """What the server says, or nothing."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.settimeout(0.5)
        try:
            return connection.recv(100)
        except TimeoutError:
            return b"silence"


def test_a_door_is_shut_and_opened_again(doors: ServiceDoors, greeter: int) -> None:
    port = doors.add("x", lambda rng: MongoLiar(("127.0.0.1", greeter), rng))
    assert HELLO == asks(port)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as kept:
        assert HELLO == kept.recv(100)
        open_again = doors.shut("x")
        assert b"" == kept.recv(100), "connections that there are end"
    with pytest.raises(ConnectionRefusedError):
        asks(port)
    open_again()
    open_again()
    assert HELLO == asks(port)


def test_a_door_that_hangs_takes_connections_and_says_nothing(doors: ServiceDoors, greeter: int) -> None:
    port = doors.add("x", lambda rng: MongoLiar(("127.0.0.1", greeter), rng))
    mend = doors.disturb("x", Toxics(down=True))
    assert b"silence" == asks(port)
    mend()
    assert HELLO == asks(port)


def test_everything_is_mended_at_once(doors: ServiceDoors, greeter: int) -> None:
    liars: list[MongoLiar] = []

    def liar(rng: random.Random) -> MongoLiar:
        liars.append(MongoLiar(("127.0.0.1", greeter), rng))
        return liars[0]

    port = doors.add("x", liar)
    doors.lie("x", TWICE)
    doors.disturb("x", Toxics(down=True))
    doors.shut("x")
    doors.heal()
    assert (HELLO, "") == (asks(port), liars[0].lie)


HELLO = (16).to_bytes(4, "little") + bytes(12)  # a whole message of MongoDB


@pytest.fixture
def greeter() -> Iterator[int]:
    """A server that says hello to whoever connects."""

    def play(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(1)

    with raw_server(play, reads=False) as server:
        yield server.port
