"""What stands before a server passes everything on as it is, and lies when it is told to."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable

import bson
import pytest

from quorate.chaos.proxies.relayed import Ends
from quorate.chaos.services import consul_liar, lying, mongo_liar, nsq_liar
from quorate.chaos.services.lying import HOST, Liar

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_head = struct.Struct("<iiii")


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lying, "SHARE", 1.0)


def through(kind: type[Liar], serve: Serve, lie: str, talk: Callable[[Ends], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), await asyncio.start_server(serve, HOST, 0) as server:
            liar = kind(server.sockets[0].getsockname()[:2], random.Random(1))
            async with await liar.start():
                liar.lie = lie
                ends = await asyncio.open_connection(HOST, liar.port)
                await talk(ends)
                ends[1].close()
                assert liar.told == bool(lie)

    asyncio.run(run())


# ---- MongoDB --------------------------------------------------------------------------------------------------------


def message(number: int, answers: int, document: dict[str, object]) -> bytes:
    body = struct.pack("<iB", 0, 0) + bson.encode(document)
    return _head.pack(_head.size + len(body), number, answers, mongo_liar.OP_MSG) + body


WRITE = message(7, 0, {"update": "polls", "$db": "ballots"})
GREETING = message(6, 0, {"hello": 1, "$db": "admin"})


def mongo_for(commands: list[bytes]) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            came = await mongo_liar.read_message(reader)
            commands.append(mongo_liar.command_of(came))
            writer.write(message(1, _head.unpack_from(came)[1], {"ok": 1.0, "n": 3}))

    return serve


@pytest.mark.parametrize(
    ("lie", "reached", "oks"),
    [
        ("", [b"hello", b"update"], [1.0, 1.0]),
        (mongo_liar.FAILS_AFTER, [b"hello", b"update"], [1.0, 0.0]),
        (mongo_liar.TWICE, [b"hello", b"update"], [1.0, 1.0, 1.0]),
        (mongo_liar.NOT_PRIMARY, [b"hello"], [1.0, 0.0]),
        (mongo_liar.RESETS, [b"hello", b"update"], [1.0]),
    ],
)
def test_a_mongodb_lies_of_writes_alone(lie: str, reached: list[bytes], oks: list[float]) -> None:
    commands: list[bytes] = []

    async def talk(ends: Ends) -> None:
        reader, writer = ends
        writer.write(GREETING)
        for number, ok in enumerate(oks):
            answer = await mongo_liar.read_message(reader)
            assert (6 if number == 0 else 7) == _head.unpack_from(answer)[2]
            assert ok == bson.decode(answer[_head.size + 5 :])["ok"]
            if number == 0:
                writer.write(WRITE)
        if lie == mongo_liar.RESETS:
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)

    through(mongo_liar.MongoLiar, mongo_for(commands), lie, talk)
    assert reached == commands


# ---- nsqd -----------------------------------------------------------------------------------------------------------

IDENTIFY = b"IDENTIFY\n" + struct.pack(">i", 6) + b"FIN x\n"  # a body that reads like a command
FRAME = struct.pack(">iiqH16s", 34, 2, 5, 1, b"0123456789abcdef") + b"body"
OK = struct.pack(">ii", 6, 0) + b"OK"


@pytest.mark.parametrize(
    ("lie", "came", "frames"),
    [
        ("", b"FIN 0123456789abcdef\n", [OK, FRAME]),
        (nsq_liar.DOUBLES, b"FIN 0123456789abcdef\n", [OK, FRAME, FRAME]),
        (nsq_liar.REQUEUES, b"REQ 0123456789abcdef 0\n", [OK, FRAME]),
        (nsq_liar.TIMES_OUT, b"", [OK, FRAME]),
    ],
)
def test_an_nsqd_delivers_twice_or_does_not_hear(lie: str, came: bytes, frames: list[bytes]) -> None:
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + FRAME)
        while piece := await reader.read(1000):
            heard.extend(piece)

    async def talk(ends: Ends) -> None:
        reader, writer = ends
        assert b"".join(frames) == await reader.readexactly(sum(map(len, frames)))
        writer.write(b"  V2" + IDENTIFY + b"FIN 0123456789abcdef\nRDY 7\n")
        while not heard.endswith(b"RDY 7\n"):
            await asyncio.sleep(0.005)

    through(nsq_liar.NsqdLiar, serve, lie, talk)
    assert b"  V2" + IDENTIFY + came + b"RDY 7\n" == heard


# ---- Consul ---------------------------------------------------------------------------------------------------------

GET = b"GET /v1/agent/services HTTP/1.1\r\nHost: x\r\n\r\n"
PUT = b"PUT /v1/agent/service/register HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


def answering(*bodies: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in bodies:
            await consul_liar.read_http(reader)
            chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)

    return serve


def test_a_consul_that_fails() -> None:
    async def talk(ends: Ends) -> None:
        ends[1].write(PUT)
        head, _ = await consul_liar.read_http(ends[0])
        assert head.startswith(b"HTTP/1.1 500 ")

    through(consul_liar.ConsulLiar, answering(), consul_liar.FAILS, talk)


def test_a_consul_answers_what_it_knew_before_and_takes_writes() -> None:
    async def run() -> None:
        async with asyncio.timeout(20), await asyncio.start_server(answering(b"one", b"two", b"done"), HOST, 0) as real:
            liar = consul_liar.ConsulLiar(real.sockets[0].getsockname()[:2], random.Random(1))
            async with await liar.start():
                reader, writer = await asyncio.open_connection(HOST, liar.port)
                seen = []
                for request, lie in ((GET, ""), (GET, ""), (GET, consul_liar.STALE), (PUT, consul_liar.STALE)):
                    liar.lie = lie
                    writer.write(request)
                    seen.append((await consul_liar.read_http(reader))[1].split(b"\r\n")[-4])
                writer.close()
                assert [b"one", b"two", b"two", b"done"] == seen

    asyncio.run(run())
