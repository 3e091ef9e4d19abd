"""Lies of a MongoDB about writes: its wire protocol is messages with a head, of which most hold one command."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import bson

from quorate.chaos.services.lying import FRAME_BYTES_MAX, Liar, LyingConnection

OP_MSG = 2013
WRITES = frozenset((b"insert", b"update", b"delete", b"findAndModify", b"bulkWrite"))
FAILS_AFTER, TWICE, RESETS, NOT_PRIMARY = "fails after the write", "answers twice", "resets after", "not primary"
_head = struct.Struct("<iiii")  # size, number, number of the request that it answers, kind
AT_COMMAND = _head.size + 10  # behind flags, the kind of the section, its size, and the type of the first element


class MongoConnection(LyingConnection):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._marked: dict[int, str] = {}  # writes that are under way -> the lie that is told of them

    async def forth(self) -> None:
        while True:
            message = await read_message(self.client_reader)
            _, number, _, _ = _head.unpack_from(message)
            lie = self.liar.lies_now() if command_of(message) in WRITES else ""
            if lie == NOT_PRIMARY:
                await self.to_client(refusal(number, 10107, "NotWritablePrimary", "not primary"))
                continue
            if lie:
                self._marked[number] = lie
            await self.to_server(message)

    async def back(self) -> None:
        while True:
            message = await read_message(self.server_reader)
            _, _, answers, _ = _head.unpack_from(message)
            lie = self._marked.pop(answers, "")
            if lie == RESETS:
                self.reset()
                return
            if lie == FAILS_AFTER:
                message = refusal(answers, 1, "InternalError", "this write is said to have failed")
            await self.to_client(message * 2 if lie == TWICE else message)


class MongoLiar(Liar):
    lies = frozenset((FAILS_AFTER, TWICE, RESETS, NOT_PRIMARY))
    connection = MongoConnection


async def read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(_head.size)
    size = _head.unpack(head)[0]
    if not _head.size <= size <= FRAME_BYTES_MAX:
        raise ValueError("no message of MongoDB")
    return head + await reader.readexactly(size - _head.size)


def command_of(message: bytes) -> bytes:
    """The name of the command; empty if the message is of another kind."""
    if _head.unpack_from(message)[3] != OP_MSG or message[_head.size + 4 : _head.size + 5] != b"\0":
        return b""
    return message[AT_COMMAND : message.find(b"\0", AT_COMMAND)]


def refusal(to: int, code: int, name: str, words: str) -> bytes:
    body = struct.pack("<iB", 0, 0) + bson.encode({"ok": 0.0, "code": code, "codeName": name, "errmsg": words})
    return _head.pack(_head.size + len(body), 0, to, OP_MSG) + body
