"""A complete answer in one write, which costs a third less than the two messages of ASGI; and parts of streams."""

from __future__ import annotations

from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from quorate.cluster.replica import Replica
from quorate.doors.event import Event, as_server_sent
from quorate.doors.unsent import BIG_BYTES
from quorate.errors import QuorateError
from quorate.http.reply import VERSION, Headers, Reply, headers_of, problem, reply, signature
from quorate.vote import Tallied

ANSWER = "quorate.answer"  # the scope's key for `answer`


def answer(cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
    """Send a complete answer in one write. False: it was not sent and must go through ASGI's messages.

    This does what `RequestResponseCycle.send` of uvicorn 0.53 and 0.54 does for a start and a body. It leaves out the
    checks of header names and values: our headers are made in this room and contain no line breaks.
    """
    if cycle.waiting_for_100_continue and cycle.more_body:
        cycle.keep_alive = False  # the client may leave its body out now, so what it sends next could be either
    if cycle.disconnected or cycle.flow.write_paused or cycle.response_started or cycle.scope["method"] == "HEAD":
        return False
    headers = cycle.default_headers + headers
    if not cycle.keep_alive:
        headers.append((b"connection", b"close"))
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(_bytes_of(status, headers, body))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def send_parts(cycle: RequestResponseCycle, parts: list[bytes]) -> bool:
    """Send a part of a stream without a copy of it: thousands of streams may have the same megabytes. False: it was
    not sent and must go through ASGI's messages."""
    if not cycle.response_started or not cycle.chunked_encoding or cycle.disconnected or cycle.flow.write_paused:
        return False
    cycle.transport.writelines([b"%x\r\n" % sum(map(len, parts)), *parts, b"\r\n"])
    return True


def send_event(cycle: RequestResponseCycle, event: Event) -> bool:
    """Send one event of a stream in one write, of bytes that all streams share. False: it was not sent, since the
    client has not read what came before, or the event is big."""
    if not cycle.chunked_encoding or cycle.disconnected or cycle.flow.write_paused or len(event.document) > BIG_BYTES:
        return False
    cycle.transport.write(event.framed(_as_chunk))
    return True


def _as_chunk(event: Event) -> bytes:
    group = b"id: %d\n%b" % (event.version, as_server_sent(event))
    return b"%x\r\n%b\r\n" % (len(group), group)


def closing_bytes(error: QuorateError, replica: Replica) -> bytes:
    """The answer after which a connection is closed, where no request was read that it could belong to."""
    refusal = problem(error, "")
    return _bytes_of(error.status, [*headers_of(refusal, replica), (b"connection", b"close")], refusal.body)


def quick_bytes(reply: Reply, replica: Replica, date: Headers, *, keep_alive: bool) -> bytes:
    """A complete answer, as `answer` writes it. Where nothing is unusual, its head is not made anew."""
    if reply.version is None or reply.more or not keep_alive:
        headers = date + headers_of(reply, replica)
        if not keep_alive:
            headers.append((b"connection", b"close"))
        return _bytes_of(reply.status, headers, reply.body)
    before, after = _usual_head(reply.status, reply.content_type, signature(replica), date[0])
    return b"%b%d%b%d\r\n\r\n%b" % (before, len(reply.body), after, reply.version, reply.body)


@lru_cache(maxsize=64)
def all_counted_bytes(
    votes: int, version: int, signed: tuple[tuple[bytes, bytes], ...], date: tuple[bytes, bytes]
) -> bytes:
    """The answer to so many votes that all are counted now: the same for all requests that were cast together."""
    counted = reply(Tallied(votes, 0, [], version))
    before, after = _usual_head(counted.status, counted.content_type, signed, date)
    return b"%b%d%b%d\r\n\r\n%b" % (before, len(counted.body), after, version, counted.body)


@lru_cache(maxsize=64)
def _usual_head(
    status: int, content_type: bytes, signed: tuple[tuple[bytes, bytes], ...], date: tuple[bytes, bytes]
) -> tuple[bytes, bytes]:
    """What stands before and behind the length of the body in the head of an answer that ends with its version."""
    head = _bytes_of(
        status, [date, (b"content-type", content_type), (b"content-length", b""), *signed, (VERSION, b"")], b""
    )
    before, after = head.removesuffix(b"\r\n\r\n").split(b"\r\ncontent-length: \r\n")
    return before + b"\r\ncontent-length: ", b"\r\n" + after


def _bytes_of(status: int, headers: Headers, body: bytes) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))
