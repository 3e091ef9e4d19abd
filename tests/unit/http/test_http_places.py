"""Which connections are kept when there are too many, and what one address may hold."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from quorate.doors.address_shares import share_key
from quorate.doors.connection_places import ConnectionPlaces
from quorate.doors.limits import Limits
from quorate.errors import NotReady, Overloaded, QuorateError
from tests.support.http_node import running
from tests.support.waiting import wait_for

HERE, ONE, TWO = "", "203.0.113.1", "203.0.113.2"


@dataclass(eq=False)
class Connection:
    share_key: str
    idle_since_s: float | None
    closed: bool = False

    unsent: int = 0
    unread_since_s: float | None = None

    def break_off(self) -> None: ...

    def close_idle(self) -> None:
        self.closed, self.idle_since_s = True, None


class Door:
    """A server's connections, and the places they have."""

    def __init__(self, connections: int, percent: int) -> None:
        self.open: list[Connection] = []
        self.places = ConnectionPlaces(Limits(connections=connections, address_percent=percent))
        self.now_s = 100.0

    def dial(
        self, key: str, idle_since_s: float | None = None, apart_s: float = 1.0
    ) -> tuple[Connection, QuorateError | None]:
        self.now_s += apart_s
        new = Connection(key, idle_since_s if idle_since_s is not None else self.now_s)
        self.open.append(new)
        why = self.places.admit(new, self.now_s)
        for each in [*self.open]:
            if each.closed or (each is new and why is not None):
                self.open.remove(each)
                self.places.leave(each)
        return new, why


def closed(connections: Sequence[Connection]) -> list[bool]:
    return [connection.closed for connection in connections]


def test_the_longest_idle_is_closed_first() -> None:
    door = Door(3, 100)
    first = [door.dial(HERE, since_s)[0] for since_s in (7.0, 5.0, 6.0)]
    assert [None, None] == [door.dial(HERE)[1] for _ in range(2)]
    assert [False, True, True] == closed(first)


def test_a_crowd_that_comes_quickly_takes_each_others_places() -> None:
    """Under a low limit of the system there are few places: all of them went in one moment, and honest clients next."""
    door = Door(64, 100)
    for _ in range(64):
        door.dial(HERE)
    honest, _ = door.dial(HERE)
    honest.idle_since_s = None
    assert {None} == {door.dial(HERE, apart_s=0.002)[1] for _ in range(1_000)}
    assert not honest.closed


def test_nobody_is_closed_who_is_at_work() -> None:
    door = Door(2, 100)
    first = [door.dial(HERE)[0] for _ in range(2)]
    for each in first:
        each.idle_since_s = None
    assert isinstance(door.dial(HERE)[1], NotReady)
    assert [False, False] == closed(first)


def test_one_that_has_had_a_request_since_the_last_look_is_not_closed() -> None:
    door = Door(3, 100)
    old, busy, young = (door.dial(HERE, since_s)[0] for since_s in (1.0, 2.0, 3.0))
    door.dial(HERE)
    assert old.closed
    door.places._looked_s = door.now_s + 2.0  # the next one is admitted by what was seen at that look
    busy.idle_since_s = None
    assert door.dial(HERE)[1] is None
    assert [False, True] == closed([busy, young])


def test_an_address_that_has_its_share_loses_an_idle_one_of_its_own() -> None:
    door = Door(8, 25)
    of_two, _ = door.dial(TWO, 1.0)
    of_one = [door.dial(ONE, since_s)[0] for since_s in (3.0, 2.0)]
    assert door.dial(ONE)[1] is None
    assert (False, [False, True]) == (of_two.closed, closed(of_one))


def test_an_address_whose_share_is_at_work_is_refused_and_others_are_not() -> None:
    door = Door(8, 25)
    for _ in range(2):
        door.dial(ONE)[0].idle_since_s = None
    assert isinstance(door.dial(ONE)[1], Overloaded)
    assert [None, None, None, None] == [door.dial(key)[1] for key in (TWO, TWO, HERE, HERE)]


def test_a_share_is_given_back() -> None:
    door = Door(4, 25)
    for _ in range(9):
        connection, why = door.dial(ONE)
        assert why is None
        door.open.remove(connection)
        door.places.leave(connection)


def test_clients_of_this_host_may_hold_all() -> None:
    door = Door(4, 25)
    for _ in range(4):
        connection, why = door.dial(HERE)
        connection.idle_since_s = None
        assert why is None


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("127.0.0.1", ""),
        ("127.3.2.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a socket:file", "a socket:file"),
    ],
)
def test_what_an_address_counts_as(host: str, key: str) -> None:
    assert key == share_key(host)


# ---- at a node ------------------------------------------------------------------------------------------------------

HALF = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n[{"


def test_a_request_whose_body_does_not_come_keeps_no_place() -> None:
    with running(limits=Limits(connections=3)) as node, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(node.dial()) for _ in range(3)]
        for each in waiting:
            each.sendall(HALF)
        wait_for("all of them have begun", lambda: sum(each._waits_for_body for each in node.server._open()) == 3)
        wait_for("a new one has a place", lambda: node.ask("GET", "/livez").status == 200)
        # Which of the three has to go is open: they may have begun in the same millisecond.
        told, _, _ = select.select(waiting, [], [], 10)
        answer = told[0].recv(65_536)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"the body was not complete" in answer
