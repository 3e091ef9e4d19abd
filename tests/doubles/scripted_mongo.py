"""A MongoDB that answers each command as a test says, for errors that a real one makes only in its worst hours."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import bson

Command = dict[str, Any]
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
HELLO = {
    "ok": 1.0,
    "helloOk": True,
    "ismaster": True,
    "isWritablePrimary": True,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}

_header = struct.Struct("<iiii")


class ScriptedMongo:
    """`answer` gives the reply to each command but the greeting."""

    def __init__(self, answer: Callable[[Command], Command]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while (message := read_message(self.request.makefile("rb"))) is not None:
                    number, op, body = message
                    command = read_command(op, body)
                    greeting = next(iter(command)).lower() in ("hello", "ismaster")
                    self.request.sendall(reply(number, op, HELLO if greeting else answer(command)))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def read_message(stream: Any) -> tuple[int, int, bytes] | None:
    head = stream.read(_header.size)
    if len(head) < _header.size:
        return None
    size, number, _, op = _header.unpack(head)
    return number, op, stream.read(size - _header.size)


def read_command(op: int, body: bytes) -> Command:
    if op == OP_QUERY:  # flags, the collection's name, two numbers, the command: only the first greeting comes so
        return bson.decode(body[body.index(b"\0", 4) + 9 :])
    (size,) = struct.unpack_from("<i", body, 5)  # after the flags and the kind of the section
    command: Command = bson.decode(body[5 : 5 + size])
    at = 5 + size
    while at < len(body):  # sections of documents: their kind, their size, the name of a field, the documents
        (size,) = struct.unpack_from("<i", body, at + 1)
        name_end = body.index(b"\0", at + 5)
        command[body[at + 5 : name_end].decode()] = bson.decode_all(body[name_end + 1 : at + 1 + size])
        at += 1 + size
    return command


def reply(to: int, op: int, document: Command) -> bytes:
    encoded = bson.encode(document)
    if op == OP_QUERY:
        body, op_back = struct.pack("<iqii", 8, 0, 0, 1) + encoded, OP_REPLY
    else:
        body, op_back = struct.pack("<iB", 0, 0) + encoded, OP_MSG
    return _header.pack(_header.size + len(body), 0, to, op_back) + body
