"""What is written is handed on in pieces: in their order, some in a turn of the loop, and none is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import cast

import pytest

from quorate.doors.in_pieces import PIECE_BYTES, PIECES_AT_ONCE, InPieces, PiecedTransport
from quorate.doors.waiting_line import WORK_S, WaitingLine
from tests.support.on_loop import in_virtual_time


class Beneath(asyncio.Transport):
    """TLS, which takes `room` bytes and then says that it takes no more.

    It holds `unsaid` bytes more that were not sent, which are too few to be said.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol | None = None
        self.taken, self.room, self.closed, self.held = list[bytes](), room, False, False
        self.high, self.unsaid = 0, 0
        self.told = list[str]()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.taken.append(bytes(data))
        self.room -= len(data)
        if self.room < 0 and not self.held:
            self.held = True
            assert self.protocol is not None
            self.protocol.pause_writing()

    def free(self, room: int) -> None:
        """The client has read."""
        self.room = room
        if self.held:
            self.held = False
            assert self.protocol is not None
            self.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return max(0, -self.room) + self.unsaid

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return not self.closed

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Connection(asyncio.Protocol):
    transport: PiecedTransport

    def __init__(self) -> None:
        self.told = list[str]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(PiecedTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.told.append(data.decode())

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


def connected(room: int = 10**9, line: WaitingLine | None = None) -> tuple[Beneath, Connection]:
    beneath, connection = Beneath(room), Connection()
    beneath.protocol = InPieces(connection, line or WaitingLine(1_000, version=lambda: 0))
    beneath.protocol.connection_made(beneath)
    return beneath, connection


@in_virtual_time
async def test_a_turn_of_the_loop_seals_some_pieces() -> None:
    """Three megabytes were sealed in one go."""
    beneath, connection = connected()
    connection.transport.write(bytes(10 * PIECES_AT_ONCE * PIECE_BYTES))
    for turn in range(1, 11):
        assert turn * PIECES_AT_ONCE == len(beneath.taken)
        await asyncio.sleep(0)
    assert {PIECE_BYTES} == set(map(len, beneath.taken))
    assert ["pause", "resume"] == connection.told


@in_virtual_time
async def test_a_turn_of_the_loop_hands_on_some_of_many_parts() -> None:
    """A big event is written in parts, of which each is small, and all went at once."""
    beneath, connection = connected()
    connection.transport.writelines([bytes(PIECE_BYTES // 2)] * 10 * PIECES_AT_ONCE)
    assert PIECES_AT_ONCE == len(beneath.taken)
    while connection.transport.get_write_buffer_size():
        await asyncio.sleep(0)
    assert 10 * PIECES_AT_ONCE == len(beneath.taken)


@in_virtual_time
async def test_connections_share_the_time_in_which_pieces_are_handed_on() -> None:
    """A hundred clients that asked for three megabytes each had the loop copy all of that in a few turns."""
    line = WaitingLine(1_000, version=itertools.count().__next__)  # votes come
    all_of_them = [connected(line=line) for _ in range(100)]
    line.charge(WORK_S)
    for _, connection in all_of_them:
        connection.transport.write(bytes(2 * PIECE_BYTES))
    assert not any(beneath.taken for beneath, _ in all_of_them), "this step has had its time"
    while any(connection.transport.get_write_buffer_size() for _, connection in all_of_them):
        await asyncio.sleep(0.001)
    assert all(2 == len(beneath.taken) for beneath, _ in all_of_them)


@in_virtual_time
async def test_what_the_client_does_not_read_waits_and_is_counted() -> None:
    beneath, connection = connected(room=PIECE_BYTES)
    size = 50 * PIECE_BYTES
    connection.transport.write(bytes(size))
    for _ in range(100):
        await asyncio.sleep(0)
    assert 2 == len(beneath.taken)
    assert size - PIECE_BYTES == connection.transport.get_write_buffer_size()
    connection.transport.write(b"x")
    assert 2 == len(beneath.taken), "nothing overtakes"
    assert ["pause"] == connection.told
    beneath.free(size)
    while len(connection.told) < 2:
        await asyncio.sleep(0)
    assert (0, b"x") == (connection.transport.get_write_buffer_size(), beneath.taken[-1])


@in_virtual_time
async def test_a_connection_closes_when_all_is_handed_on() -> None:
    beneath, connection = connected(room=0)
    connection.transport.write(bytes(3 * PIECE_BYTES))
    connection.transport.close()
    connection.transport.write(b"too late")
    assert connection.transport.is_closing()
    assert not beneath.closed
    beneath.free(10**9)
    await asyncio.sleep(0)
    assert beneath.closed
    assert 3 * PIECE_BYTES == sum(map(len, beneath.taken))


@in_virtual_time
async def test_a_connection_that_closes_is_given_nothing_more() -> None:
    """A vote that came then was counted, and its answer was written nowhere."""
    beneath, connection = connected(room=0)
    assert not connection.transport.is_closing()
    connection.transport.resume_reading()
    connection.transport.write(bytes(3 * PIECE_BYTES))
    connection.transport.close()
    connection.transport.resume_reading()
    assert (["resume", "pause"], True) == (beneath.told, connection.transport.is_closing())


@in_virtual_time
async def test_a_connection_is_not_paused_where_nobody_would_tell_it_to_go_on() -> None:
    """TLS had taken all and kept some: it had told of nothing, and so the next request was never begun."""
    beneath, connection = connected()
    connection.transport.set_write_buffer_limits(high=16 * 1024)
    beneath.unsaid = 32 * 1024
    connection.transport.write(bytes(PIECE_BYTES + 1))
    assert PIECE_BYTES + 1 == sum(map(len, beneath.taken))
    assert [] == connection.told
    assert 16 * 1024 == beneath.high, "so it tells of so much"
    connection.transport.set_write_buffer_limits(high=10**9)
    assert PIECE_BYTES > beneath.high


@in_virtual_time
async def test_a_connection_that_is_aborted_or_lost_holds_nothing() -> None:
    for end in ("abort", "loss"):
        beneath, connection = connected(room=0)
        connection.transport.write(bytes(3 * PIECE_BYTES))
        if end == "abort":
            connection.transport.abort()
        else:
            assert beneath.protocol is not None
            beneath.protocol.connection_lost(None)
            beneath.closed = True
        beneath.free(10**9)
        await asyncio.sleep(0)
        assert PIECE_BYTES == sum(map(len, beneath.taken))
        assert beneath.closed


@pytest.mark.parametrize("seed", range(5))
@in_virtual_time
async def test_whatever_is_written_comes_in_its_order(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    beneath, connection = connected(room=chance.randrange(3 * PIECE_BYTES))
    expected = b""
    for _ in range(60):
        data = chance.randbytes(chance.choice([1, 100, PIECE_BYTES, 5 * PIECE_BYTES]))
        expected += data
        if chance.random() < 0.3:
            half = len(data) // 2
            connection.transport.writelines([data[:half], data[half:]])
        else:
            connection.transport.write(data)
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            beneath.free(chance.randrange(8 * PIECE_BYTES))
    while connection.transport.get_write_buffer_size():
        beneath.free(10 * PIECE_BYTES)
        await asyncio.sleep(0)
    assert expected == b"".join(beneath.taken)
