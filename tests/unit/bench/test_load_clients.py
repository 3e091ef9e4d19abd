"""The clients of `bench.load`: what they say, and that nothing but a confirmed write is counted as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from bench.load_clients import CLIENTS, GrpcClient, LoadClient, Run, http2_frame
from bench.workloads import WORKLOADS


class Said:
    """A transport that keeps what the client says."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def close(self) -> None:
        self.closed = True


async def client_of(workload: str, clients: int = 1) -> tuple[LoadClient, Said]:
    """Its first request has the number 7."""
    run, said = Run(WORKLOADS[workload], seed=6), Said()
    kind = CLIENTS[run.workload.protocol]
    client = kind(run, run.workload.maker("127.0.0.1:8001"), lambda: None, clients)
    client.connection_made(cast(Any, said))
    return client, said


def grpc_answer(stream: int, *, message: bool = True) -> bytes:
    """The head, a message, and the trailers; of a call that failed, trailers alone."""
    trailers = http2_frame(GrpcClient.HEADERS, GrpcClient.END_HEADERS | GrpcClient.END_STREAM, stream, b"\x88")
    if not message:
        return trailers
    head = http2_frame(GrpcClient.HEADERS, GrpcClient.END_HEADERS, stream, b"\x88")
    return head + http2_frame(GrpcClient.DATA, 0, stream, b"\0\0\0\0\0") + trailers


def nats_answer(number: int, message: bytes) -> bytes:
    return b"MSG inbox.%015d 1 %d\r\n%b\r\n" % (number, len(message), message)


SETTINGS = http2_frame(GrpcClient.SETTINGS, 0, 0, b"")
COUNTED = b'{"stream":"BENCH","seq":1,"val":"1"}'


@pytest.mark.parametrize(
    ("workload", "answer", "succeeds"),
    [
        ("vote", b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"applied":1}', True),
        ("vote", b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"applied":0}', False),
        ("vote", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        ("resp", b"$4\r\n17-0\r\n", True),
        ("resp", b"-TRYAGAIN no leader\r\n", False),
        ("redis", b":1\r\n:1\r\n", True),
        ("redis", b":1\r\n:0\r\n", False),
        ("redis", b"-NOREPLICAS Not enough good replicas to write.\r\n:0\r\n", False),
        ("redis", b"-OOM command not allowed\r\n:1\r\n", False),
        ("resp-16", b"$4\r\n17-0\r\n-TRYAGAIN no leader\r\n", False),
        ("nats", b"INFO {}\r\nPING\r\n" + nats_answer(7, COUNTED), True),
        ("nats", nats_answer(7, b'{"error":{"code":503},"stream":"BENCH","seq":0}'), False),
        ("etcd-grpc", SETTINGS + grpc_answer(1), True),
        ("etcd-grpc", SETTINGS + grpc_answer(1, message=False), False),
        ("etcd-grpc", SETTINGS + http2_frame(GrpcClient.RESET, 0, 1, b"\0\0\0\1"), False),
        ("etcd-grpc", http2_frame(GrpcClient.GO_AWAY, 0, 0, b"\0\0\0\0\0\0\0\0too many"), False),
    ],
)
def test_only_a_write_that_was_confirmed_is_a_success(workload: str, answer: bytes, succeeds: bool) -> None:
    """However the answer is cut into pieces."""

    async def hear(pieces: Sequence[bytes]) -> Run:
        client, said = await client_of(workload)
        for piece in pieces:
            if not said.closed:
                client.data_received(piece)
        return client.run

    for cut in range(len(answer)):
        run = asyncio.run(hear([answer[:cut], answer[cut:]] if cut else [answer]))
        assert (succeeds, not succeeds) == (len(run.took_s) == 1, run.failures.total() == 1), cut


@pytest.mark.parametrize(("workload", "answer"), [("nats", nats_answer(9, COUNTED)), ("etcd-grpc", grpc_answer(5))])
def test_clients_that_share_a_connection_have_one_request_each_on_its_way(workload: str, answer: bytes) -> None:
    """Three of them; the answer is to the third."""

    async def talk() -> tuple[LoadClient, Said]:
        client, said = await client_of(workload, clients=3)
        client.data_received(answer)
        return client, said

    client, said = asyncio.run(talk())
    assert 10 == client.run.number
    assert 1 == len(client.run.took_s)
    assert [b"%015d" % number in part for number, part in zip(range(7, 11), said.parts[1:], strict=True)] == [True] * 4


def test_a_ping_of_http2_is_answered_and_its_answer_is_not() -> None:
    async def talk() -> list[bytes]:
        client, said = await client_of("etcd-grpc")
        before = len(said.parts)
        client.data_received(http2_frame(GrpcClient.PING, 0, 0, b"8 bytes!"))
        client.data_received(http2_frame(GrpcClient.PING, GrpcClient.ACK, 0, b"8 bytes!"))
        return said.parts[before:]

    assert [http2_frame(GrpcClient.PING, GrpcClient.ACK, 0, b"8 bytes!")] == asyncio.run(talk())
