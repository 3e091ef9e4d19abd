"""Makes the measured requests: from a number to the bytes of a request, in about a microsecond.

Numbers have a fixed width, so that the length of a request never changes and its head is made once. The nearest that
etcd has to a vote with an id is a put of a new key: by gRPC, which its clients use, and through its JSON gateway, which
is its own HTTP interface. NATS has counters, and knows the id of a message for two minutes unless set.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

DIGITS = 15  # a multiple of three: base64 of a number then needs no padding
BULK = 1_000
PIPE = 16


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    about: str
    votes: int  # in a request
    maker: Callable[[str], Callable[[int], bytes]]  # Host header -> number -> request
    success: bytes = b""  # what an answer must hold besides that it is no error
    protocol: str = "http"  # one of `bench.load_clients`
    lines: int = 0  # that the replies have together, of RESP
    path: bytes = b""  # of a call by gRPC


def post(host: str, path: str, body_bytes: int, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {body_bytes}", "", ""]).encode()


def one_vote(host: str) -> Callable[[int], bytes]:
    before, after = b'{"option":"happy","id":"', b'"}'
    before = post(host, "/votes", len(before) + DIGITS + len(after)) + before
    return lambda number: b"%b%015d%b" % (before, number, after)


def bulk_once(host: str) -> Callable[[int], bytes]:
    body = b"[" + b",".join([b'{"option":"happy"}'] * BULK) + b"]"
    mark = "@" * DIGITS
    before, _, after = post(host, "/votes", len(body), f"Idempotency-Key: {mark}").partition(mark.encode())
    return lambda number: b"%b%015d%b%b" % (before, number, after, body)


def bulk_ids(host: str) -> Callable[[int], bytes]:
    mark = b"@" * DIGITS
    body = b"[" + b",".join(b'{"option":"happy","id":"%b.%03d"}' % (mark, i) for i in range(BULK)) + b"]"
    request = post(host, "/votes", len(body)) + body
    return lambda number: request.replace(mark, b"%015d" % number)


def read(level: str) -> Callable[[str], Callable[[int], bytes]]:
    def make(host: str) -> Callable[[int], bytes]:
        request = f"GET /polls/bench/results?level={level} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        return lambda number: request

    return make


def etcd_put(host: str) -> Callable[[int], bytes]:
    before, after = b'{"key":"', b'","value":"aGFwcHk="}'
    before = post(host, "/v3/kv/put", len(before) + DIGITS // 3 * 4 + len(after)) + before
    return lambda number: b"%b%b%b" % (before, base64.b64encode(b"%015d" % number), after)


def etcd_read(host: str) -> Callable[[int], bytes]:
    body = b'{"key":"YmVuY2g="}'
    request = post(host, "/v3/kv/range", len(body)) + body
    return lambda number: request


def etcd_grpc_put(host: str) -> Callable[[int], bytes]:
    """The message PutRequest: field 1 is the key, field 2 the value."""
    return lambda number: b"\x0a\x0f%015d\x12\x05happy" % number


def nats_increment(host: str) -> Callable[[int], bytes]:
    """A message without a body: the headers say by how much its subject counts up, and the id of the message."""
    head = b"NATS/1.0\r\nNats-Incr: 1\r\nNats-Msg-Id: %015d\r\n\r\n"
    size = len(head % 0)
    request = b"HPUB bench.happy %b.%%015d %d %d\r\n%b\r\n" % (b"@" * 16, size, size, head)
    return lambda number: request % (number, number)


def xadds(votes: int) -> Callable[[str], Callable[[int], bytes]]:
    """Votes with an id each, written together."""

    def make(host: str) -> Callable[[int], bytes]:
        before = command(b"XADD", b"poll:bench", b"IDMP", b"bench", head=False)
        after = command(b"*", b"option", b"happy", head=False)
        vote = b"".join((b"*8\r\n", before, b"$%d\r\n%%015d" % DIGITS, b"\r\n", after))
        return lambda number: b"".join([vote % (number * votes + place) for place in range(votes)])

    return make


def incrs(votes: int) -> Callable[[str], Callable[[int], bytes]]:
    """What comes next to votes in Redis: increments, and one wait until a replica has them."""

    def make(host: str) -> Callable[[int], bytes]:
        request = command(b"INCR", b"happy") * votes + command(b"WAIT", b"1", b"1000")
        return lambda number: request

    return make


def hash_read(name: bytes, *words: bytes) -> Callable[[str], Callable[[int], bytes]]:
    def make(host: str) -> Callable[[int], bytes]:
        request = command(name, b"poll:bench", *words)
        return lambda number: request

    return make


def command(*words: bytes, head: bool = True) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return (b"*%d\r\n" % len(words) if head else b"") + b"".join(parts)


WORKLOADS = {
    workload.name: workload
    for workload in [
        Workload("vote", "one vote with an id a request", 1, one_vote, b'"applied":1'),
        Workload("resp", "one vote with an id, by XADD IDMP", 1, xadds(1), b"-0\r\n", "resp", lines=2),
        Workload(
            f"resp-{PIPE}", f"{PIPE} votes with an id each, together", PIPE, xadds(PIPE), b"-0\r\n", "resp", 2 * PIPE
        ),
        Workload("redis", "Redis: INCR, and WAIT 1", 1, incrs(1), b"\r\n:", "resp", lines=2),
        Workload(f"redis-{PIPE}", f"Redis: {PIPE} INCR, and WAIT 1", PIPE, incrs(PIPE), b"\r\n:", "resp", PIPE + 1),
        Workload("stock-vote", "PySyncObj as shipped, nothing on disk: as vote", 1, one_vote, b'"applied":1'),
        Workload("once", f"{BULK:,} votes a request under one idempotency key", BULK, bulk_once, b'"applied":1000'),
        Workload("ids", f"{BULK:,} votes a request, an id on every vote", BULK, bulk_ids, b'"applied":1000'),
        Workload("linearizable", "a linearizable read of a poll", 0, read("linearizable"), b'"results"'),
        Workload("weak", "a weak read of a poll", 0, read("weak"), b'"results"'),
        Workload("none", "a read of a poll from the node's own state", 0, read("none"), b'"results"'),
        *(
            Workload(f"hgetall-{n}", f"HGETALL of {n:,} options", 0, hash_read(b"HGETALL"), b"\r\n", "resp", 4 * n + 1)
            for n in (10, 10_000)
        ),
        Workload("hget", "HGET of one option", 0, hash_read(b"HGET", b"o0"), b"\r\n", "resp", 2),
        Workload("etcd-put", "etcd: put of a new key over its JSON gateway", 1, etcd_put, b'"revision"'),
        Workload(
            "etcd-grpc",
            "etcd: put of a new key by gRPC",
            1,
            etcd_grpc_put,
            protocol="grpc",
            path=b"/etcdserverpb.KV/Put",
        ),
        Workload("nats", "NATS: a counter's increment with the id of a message", 1, nats_increment, b'"val":', "nats"),
        Workload("etcd-read", "etcd: linearizable read over its JSON gateway", 0, etcd_read, b'"revision"'),
    ]
}
