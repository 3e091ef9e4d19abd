"""nsqds are found whatever else nsqlookupd and nsqds answer. An unexpected error is logged and does not end a loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest

from quorate.ingest.nsq.connection import NsqdConnection
from quorate.ingest.nsq.lookup import Lookup
from quorate.ingest.nsq.publisher import nsqds_of
from quorate.ingest.nsq.settings import NsqSettings
from tests.doubles.nsq import web
from tests.services.nsq.counting import source
from tests.services.nsq.servers import Server, Servers
from tests.support.families import needs_ipv6
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until


@asynccontextmanager
async def answering(answers: dict[str, Any]) -> AsyncIterator[str]:
    """The address of a server. It answers GET of each path with what `answers` has for the path at that moment."""

    def answer(path: str, request: web.Request) -> Any:
        return answers[path]

    server = await web.serve("127.0.0.1:0", {("GET", path): partial(answer, path) for path in answers})
    yield "{}:{}".format(*server.sockets[0].getsockname())
    server.close()


@asynccontextmanager
async def relayed(host: str, target: tuple[str, int]) -> AsyncIterator[int]:
    """The port of a server on `host` that passes everything on to `target` and back."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*target)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(relay, host, 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


def producer(nsqd: Server, **other: object) -> dict[str, Any]:
    ports = {"tcp_port": nsqd.address[1], "http_port": int(nsqd.http.rpartition(":")[2])}
    return {"broadcast_address": "127.0.0.1", **ports, **other}


ODD = [
    [],
    b"<html>",
    {"producers": 3},
    {"producers": ["127.0.0.1:4150"]},
    {"producers": [{"broadcast_address": "127.0.0.1", "http_port": 4151}]},
    {"producers": [{"broadcast_address": "127.0.0.1", "http_port": 4151, "tcp_port": "4150"}]},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
@on_loop
async def test_a_senseless_answer_of_lookupd_is_reported_and_it_is_asked_again(servers: Servers, odd: object) -> None:
    nsqd, counted, answers = servers.nsqd(), await local_cluster(), {"/lookup": odd}
    async with answering(answers) as address, source(counted.submitter, lookupd=[address]) as taking:
        await until("it is told", lambda: f"nsqlookupd {address}" in taking.status()["last_error"])
        answers["/lookup"] = {"producers": [producer(nsqd)]}
        nsqd.publish("votes", b"happy")
        await until("the nsqd is found", lambda: counted.total == 1)


@needs_ipv6
@on_loop
async def test_an_nsqd_whose_address_is_ipv6_is_taken_from(servers: Servers) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", b"happy")
    async with relayed("::1", nsqd.address) as port:
        found = {"producers": [producer(nsqd, broadcast_address="::1", tcp_port=port)]}
        async with answering({"/lookup": found, "/nodes": found}) as address:
            assert [f"[::1]:{port}"] == await asyncio.to_thread(nsqds_of, [address])
            async with source(counted.submitter, lookupd=[address]):
                await until("the vote is counted", lambda: counted.total == 1)


@on_loop
async def test_a_name_is_tried_at_each_address_that_it_means(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host may have a name of both families while its nsqd answers at one of them."""
    nsqd, counted = servers.nsqd(), await local_cluster()
    nsqd.publish("votes", b"happy")
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **named: Any) -> Any:
        hosts = ("127.0.0.2", "127.0.0.1") if host == "both.example" else (host,)
        return [found for each in hosts for found in real(each, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    answers = {"/lookup": {"producers": [producer(nsqd, broadcast_address="both.example")]}}
    async with answering(answers) as address, source(counted.submitter, lookupd=[address]):
        await until("the vote is counted", lambda: counted.total == 1)


@on_loop
async def test_senseless_statistics_are_reported_and_nsqds_are_still_found(servers: Servers) -> None:
    first, later, counted = servers.nsqd(), servers.nsqd(), await local_cluster()
    answers: dict[str, Any] = {"/lookup": {"producers": []}, "/stats": {"topics": [{}]}}
    async with answering(answers) as address, source(counted.submitter, lookupd=[address]) as taking:
        producers = [producer(first, http_port=int(address.rpartition(":")[2]))]
        answers["/lookup"] = {"producers": producers}
        await until("it is told", lambda: "asking nsqds for their depth" in taking.status()["last_error"])
        answers["/lookup"] = {"producers": [*producers, producer(later)]}
        later.publish("votes", b"happy")
        await until("the later nsqd is found", lambda: counted.total == 1)


@on_loop
async def test_an_unexpected_error_is_logged_once_and_ends_no_loop(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    touch, turns = NsqdConnection.touch_old, []

    def failing(connection: NsqdConnection) -> None:
        turns.append(connection)
        if len(turns) <= 2:
            raise RuntimeError("unheard of")
        touch(connection)

    monkeypatch.setattr(NsqdConnection, "touch_old", failing)
    async with source(counted.submitter, nsqd) as taking:
        await until("it goes on", lambda: len(turns) > 3)
        assert "unheard of" in taking.status()["last_error"]
    assert 1 == sum(record.exc_info is not None for record in caplog.records), "one traceback, not one a turn"


@on_loop
async def test_a_stop_while_nsqlookupd_is_asked_logs_no_error(caplog: pytest.LogCaptureFixture) -> None:
    asked, stopped, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def refuse_after_the_stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await stopped.wait()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        answered.set()

    server = await asyncio.start_server(refuse_after_the_stop, "127.0.0.1", 0)
    address = "{}:{}".format(*server.sockets[0].getsockname())
    asking = asyncio.ensure_future(Lookup(NsqSettings(lookupd=[address]), lambda whose, error: False).find_nsqds())
    await asked.wait()
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    stopped.set()
    await answered.wait()
    await until("the request has ended", lambda: all(each.name != "nsqlookupd" for each in threading.enumerate()))
    assert [] == caplog.records
    server.close()
